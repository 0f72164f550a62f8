//! The outcome of one dead letter: the values of the compacted topic `<dlq>.state`.

use schemas::Timestamp;
use serde::{Deserialize, Serialize};

/// The last outcome of one dead letter for one consumer group; [`StateKey`](super::StateKey) is its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterState {
    /// The last outcome, which may be that the record still cannot be used.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How often it was tried so far, including the first time, when it became a dead letter.
    pub attempts: u32,
    /// The time of the last attempt, RFC 3339.
    pub at: String,
    /// The run that wrote this state, as vouchers carry it in `source.run`.
    pub run: String,
    /// Who ran it; none where no audit was kept. Earlier versions ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What a redrive or a person made of a dead letter. Every variant but `Failed` is final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// A voucher was written.
    Voucher {
        /// The campaign of the voucher.
        campaign: String,
    },
    /// The voucher has a row in the table.
    Row {
        /// Whether the row existed before.
        existed: bool,
    },
    /// The record is well formed and asks for nothing to be written.
    Skipped {
        /// The campaign whose rule skipped it; none when the record alone decides. The first
        /// released version wrote none in either case.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        campaign: Option<String>,
        /// The reason as an identifier.
        reason: String,
        /// A sentence for a person.
        message: String,
    },
    /// The record still cannot be used: the dead letter stays open.
    Failed {
        /// The reason as an identifier.
        reason: String,
        /// A sentence for a person.
        message: String,
    },
    /// A person closed the dead letter.
    Discarded {
        /// The note that the person gave.
        note: String,
    },
}

impl Outcome {
    /// Returns whether the dead letter is closed for the group whose outcome this is.
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Failed { .. })
    }

    /// Returns the campaign whose rule decided; none when no campaign was involved.
    pub fn campaign(&self) -> Option<&str> {
        match self {
            Self::Voucher { campaign } => Some(campaign),
            Self::Skipped { campaign, .. } => campaign.as_deref(),
            Self::Row { .. } | Self::Failed { .. } | Self::Discarded { .. } => None,
        }
    }

    /// Returns the identifier of the variant, as it is serialized.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Voucher { .. } => "voucher",
            Self::Row { .. } => "row",
            Self::Skipped { .. } => "skipped",
            Self::Failed { .. } => "failed",
            Self::Discarded { .. } => "discarded",
        }
    }
}

/// Formats the outcome for a person, in one line.
impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Voucher { campaign } => write!(f, "voucher of {campaign}"),
            Self::Row { existed: false } => f.write_str("row"),
            Self::Row { existed: true } => f.write_str("row, which was there"),
            Self::Skipped {
                reason, message, ..
            } => write!(f, "skipped, {reason}: {message}"),
            Self::Failed { reason, message } => write!(f, "failed, {reason}: {message}"),
            Self::Discarded { note } => write!(f, "discarded: {note}"),
        }
    }
}

impl DeadLetterState {
    /// Returns a state with the current time.
    pub fn now(outcome: Outcome, attempts: u32, run: &str) -> Self {
        Self {
            outcome,
            attempts,
            at: Timestamp::from(chrono::Utc::now()).to_string(),
            run: run.to_owned(),
            by: None,
        }
    }

    /// Returns the value of the state's record.
    pub fn to_bytes(&self) -> Vec<u8> {
        // A struct of strings and numbers always serializes.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(outcome: Outcome, attempts: u32) -> DeadLetterState {
        DeadLetterState {
            outcome,
            attempts,
            at: "2026-11-23T09:30:00Z".to_owned(),
            run: "redrive".to_owned(),
            by: None,
        }
    }

    fn failed() -> Outcome {
        Outcome::Failed {
            reason: "invalid_json".to_owned(),
            message: "no JSON".to_owned(),
        }
    }

    fn skipped(campaign: Option<&str>) -> Outcome {
        Outcome::Skipped {
            campaign: campaign.map(str::to_owned),
            reason: "threshold".to_owned(),
            message: "total 1.00 EUR is below 100.00".to_owned(),
        }
    }

    #[test]
    fn a_state_is_read_as_it_is_written() {
        for outcome in [
            failed(),
            Outcome::Voucher {
                campaign: "order-reward".to_owned(),
            },
            Outcome::Row { existed: true },
            skipped(None),
            skipped(Some("order-reward")),
            Outcome::Discarded {
                note: "a test order".to_owned(),
            },
        ] {
            let written = state(outcome.clone(), 3);
            let read: DeadLetterState = serde_json::from_slice(&written.to_bytes()).unwrap();
            assert_eq!(read, written);
            assert_eq!(outcome.is_final(), outcome != failed(), "{outcome}");
        }
    }

    #[test]
    fn who_decided_is_kept_where_it_is_known() {
        let mut decided = state(failed(), 2);
        decided.by = Some("ana".to_owned());
        let bytes = decided.to_bytes();
        assert!(String::from_utf8_lossy(&bytes).ends_with(r#""run":"redrive","by":"ana"}"#));
        let read: DeadLetterState = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read, decided);
    }

    #[test]
    fn the_format_of_the_topic_is_stable() {
        let written = |outcome| String::from_utf8(state(outcome, 2).to_bytes()).unwrap();
        assert_eq!(
            written(failed()),
            r#"{"outcome":"failed","reason":"invalid_json","message":"no JSON","attempts":2,"at":"2026-11-23T09:30:00Z","run":"redrive"}"#
        );
        assert_eq!(
            written(skipped(Some("spring"))),
            r#"{"outcome":"skipped","campaign":"spring","reason":"threshold","message":"total 1.00 EUR is below 100.00","attempts":2,"at":"2026-11-23T09:30:00Z","run":"redrive"}"#
        );
        // As the first released version wrote it.
        assert_eq!(
            written(skipped(None)),
            r#"{"outcome":"skipped","reason":"threshold","message":"total 1.00 EUR is below 100.00","attempts":2,"at":"2026-11-23T09:30:00Z","run":"redrive"}"#
        );
    }
}
