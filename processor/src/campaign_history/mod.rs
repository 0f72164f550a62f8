//! By which rule and which keys a campaign's vouchers were issued: two rules or two keys under one
//! name would give two customers different vouchers, and one order two codes.
//!
//! The guard is closed until it knows. It reads the vouchers backwards, the newest first, until one of
//! the campaign was found for the rule and for each key that may sign in the campaign's time; where
//! there is none, it reads all of them and then knows that there is none. Vouchers that tell no rule
//! (they were imported) say nothing.
//!
//! | module | what is in it |
//! |---|---|
//! | `evidence` | what the vouchers that were read say, and whether that is enough: pure |
//! | `search` | reading them |

mod evidence;
mod search;

use clap::Args;
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::Failure;
use runtime::preflight::CheckResult;
use runtime::registry::Registry;

use crate::rule::Rule;
use crate::signing_keys::SigningKeys;
use evidence::Judgement;
use search::{Depth, Search};

/// So many of the newest offsets of each partition are looked at by `check`, which a person waits
/// for and which nothing is written after.
const CHECKED: i64 = 20_000;

/// For a person who knows better.
#[derive(Debug, Clone, Args)]
pub struct HistoryFlags {
    /// Issue vouchers without comparing the rule and the signing keys with those of the campaign's
    /// earlier vouchers.
    #[arg(long)]
    pub skip_history_check: bool,
}

/// Where the campaign's vouchers are, and what they are compared with.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'a> {
    /// The brokers.
    pub kafka: &'a KafkaSettings,
    /// How vouchers in Avro are read.
    pub registry: Option<&'a Registry>,
    /// The vouchers' topic.
    pub topic: &'a str,
    /// A consumer group's name for the reader, which joins none.
    pub group: &'a str,
    /// The campaign's rule as it is set now.
    pub rule: &'a Rule,
    /// The signing keys as they are set now; none: they are not compared.
    pub keys: Option<&'a SigningKeys>,
}

/// Ends the command unless it would issue vouchers as the campaign's earlier ones were. Within a
/// Tokio runtime.
///
/// # Errors
/// Exit code 2 for another rule or key, and when vouchers can't be read; 1 when broker or registry
/// do not answer.
pub async fn refuse_another(compared: Compared<'_>, flags: &HistoryFlags) -> Result<(), Failure> {
    if flags.skip_history_check {
        tracing::warn!("the campaign's earlier vouchers are not looked at (--skip-history-check)");
        return Ok(());
    }
    match Search::new(compared, Depth::Everything).run().await? {
        Judgement::Same | Judgement::None { .. } => Ok(()),
        // Everything was read, so that no judgement is left open.
        Judgement::Open { .. } => Err(Failure::failed(
            "the campaign's earlier vouchers were not read to their beginning; run this again",
        )),
        Judgement::Differs { finding, advice } | Judgement::Unreadable { finding, advice } => {
            Err(Failure::bad_setting(format!(
                "{finding}; {advice}; --skip-history-check goes on without this check"
            )))
        }
    }
}

/// The same for `check`, among the newest vouchers.
///
/// # Errors
/// What the client says.
pub async fn judge(compared: Compared<'_>) -> Result<CheckResult, String> {
    let subject = format!("rule of {}", compared.rule.campaign);
    let search = Search::new(compared, Depth::Newest(CHECKED));
    let judgement = search.run().await.map_err(|failure| failure.to_string())?;
    Ok(match judgement {
        Judgement::Same => CheckResult::ok(subject, "it issued the campaign's newest voucher"),
        Judgement::None { vouchers: 0 } => CheckResult::ok(subject, "no vouchers yet"),
        Judgement::None { vouchers } => CheckResult::ok(
            subject,
            format!("none of the {vouchers} vouchers tells a rule of this campaign"),
        ),
        Judgement::Open { vouchers } => CheckResult::warn(
            subject,
            format!(
                "the newest {vouchers} vouchers do not tell the campaign's rule and all of its keys"
            ),
            "backfill and redrive read the others before they issue any",
        ),
        Judgement::Differs { finding, advice } => CheckResult::fail(subject, finding, advice),
        Judgement::Unreadable { finding, advice } => CheckResult::warn(subject, finding, advice),
    })
}
