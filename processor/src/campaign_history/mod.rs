//! Compares the rule and the signing keys with those of the campaign's earlier vouchers. Two rules
//! of one campaign would give two customers different vouchers, and two keys would give one order
//! two codes.
//!
//! The guard fails closed. It reads the vouchers from the newest to the oldest, until it has found
//! one of the campaign for the rule and one for each key that may sign in the campaign's time.
//! Where it finds none, it reads all vouchers. Imported vouchers, which carry no fingerprint of a
//! rule, are ignored.
//!
//! | module | contents |
//! |---|---|
//! | `search` | reads the vouchers backwards |
//! | `evidence` | collects what they say about the rule: pure |
//! | `keys` | collects which keys signed them: pure |
//! | `judgement` | what that means for the current rule and keys, in sentences: pure |

mod evidence;
mod judgement;
mod keys;
mod search;

use clap::Args;
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::Failure;
use runtime::preflight::CheckResult;
use runtime::registry::Registry;

use crate::rule::Rule;
use crate::signing_keys::SigningKeys;
use judgement::Judgement;
use search::{Depth, Search};

/// The newest offsets of each partition that `check` reads. It does not read all of them, because a
/// person waits for it and it issues no vouchers.
const CHECKED: i64 = 20_000;

/// Whether the rule and the keys are compared with earlier vouchers.
#[derive(Debug, Clone, Args)]
pub struct HistoryFlags {
    /// Issue vouchers without comparing the rule and the signing keys with those of the campaign's
    /// earlier vouchers.
    #[arg(long)]
    pub skip_history_check: bool,
}

/// The campaign's vouchers, and the settings that they are compared with.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'a> {
    /// The brokers.
    pub kafka: &'a KafkaSettings,
    /// The registry, for vouchers in Avro.
    pub registry: Option<&'a Registry>,
    /// The topic of the vouchers.
    pub topic: &'a str,
    /// The name of a consumer group for the reader, which joins none.
    pub group: &'a str,
    /// The current rule of the campaign.
    pub rule: &'a Rule,
    /// The current signing keys; `None` if they are not compared.
    pub keys: Option<&'a SigningKeys>,
}

/// Fails unless the campaign's earlier vouchers were issued by the same rule and keys. Must be
/// called within a Tokio runtime.
///
/// # Errors
/// Exit code 2 for another rule or key, and when vouchers cannot be read; 1 when the broker or the
/// registry does not answer.
pub async fn require_same(compared: Compared<'_>, flags: &HistoryFlags) -> Result<(), Failure> {
    if flags.skip_history_check {
        tracing::warn!("the campaign's earlier vouchers are not compared (--skip-history-check)");
        return Ok(());
    }
    match Search::new(compared, Depth::Everything).run().await? {
        Judgement::Same | Judgement::None { .. } => Ok(()),
        // Everything is read by then, so that no judgement is left open.
        Judgement::Open { .. } => Err(Failure::failed(
            "not all of the campaign's earlier vouchers were read; run this command again",
        )),
        Judgement::Differs { finding, advice } | Judgement::Unreadable { finding, advice } => {
            Err(Failure::bad_setting(format!(
                "{finding}; {advice}; --skip-history-check skips this check"
            )))
        }
    }
}

/// Compares the newest vouchers, for `check`.
///
/// # Errors
/// The error of the client.
pub async fn judge(compared: Compared<'_>) -> Result<CheckResult, String> {
    let subject = format!("rule of {}", compared.rule.campaign);
    let search = Search::new(compared, Depth::Newest(CHECKED));
    let judgement = search.run().await.map_err(|failure| failure.to_string())?;
    Ok(match judgement {
        Judgement::Same => CheckResult::ok(subject, "it issued the campaign's newest voucher"),
        Judgement::None { vouchers: 0 } => CheckResult::ok(subject, "no vouchers yet"),
        Judgement::None { vouchers } => CheckResult::ok(
            subject,
            format!("none of the {vouchers} vouchers is of a rule of this campaign"),
        ),
        Judgement::Open { vouchers } => CheckResult::warn(
            subject,
            format!(
                "the newest {vouchers} vouchers do not show the campaign's rule and all of its keys"
            ),
            "backfill and redrive read the older ones before they issue any",
        ),
        Judgement::Differs { finding, advice } => CheckResult::fail(subject, finding, advice),
        Judgement::Unreadable { finding, advice } => CheckResult::warn(subject, finding, advice),
    })
}
