//! What became of a letter: the values of the compacted topic `<dlq>.state`.

use schemas::Timestamp;
use serde::{Deserialize, Serialize};

/// What became of one letter for one consumer group; see [`StateKey`](super::StateKey) for its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How often it was tried by now, the first time (when it became a letter) included.
    pub attempts: u32,
    /// When, RFC 3339.
    pub at: String,
    /// The run that decided it, as vouchers carry it in `source.run`.
    pub run: String,
}

/// See [`State`]. All but a failure are final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// A voucher was written.
    Voucher {
        /// Of this campaign.
        campaign: String,
    },
    /// A row is in the table.
    Row {
        /// Whether it was there before.
        existed: bool,
    },
    /// Well formed, and nothing is to be written.
    Skipped {
        /// The campaign whose rule said so; none when the record alone decides. The first released
        /// version wrote none in either case.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        campaign: Option<String>,
        /// A machine word.
        reason: String,
        /// The reason in words.
        message: String,
    },
    /// It still can't be used.
    Failed {
        /// A machine word.
        reason: String,
        /// A sentence for a person.
        message: String,
    },
    /// A person closed it.
    Discarded {
        /// Why.
        note: String,
    },
}

impl Outcome {
    /// Whether the letter is closed for whom it was decided.
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Failed { .. })
    }

    /// The campaign whose rule decided it; none when no campaign had a say.
    pub fn campaign(&self) -> Option<&str> {
        match self {
            Self::Voucher { campaign } => Some(campaign),
            Self::Skipped { campaign, .. } => campaign.as_deref(),
            Self::Row { .. } | Self::Failed { .. } | Self::Discarded { .. } => None,
        }
    }

    /// The outcome as a machine word.
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

/// The outcome in one line, for a person.
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

impl State {
    /// A state of this moment.
    pub fn now(outcome: Outcome, attempts: u32, run: &str) -> Self {
        Self {
            outcome,
            attempts,
            at: Timestamp::from(chrono::Utc::now()).to_string(),
            run: run.to_owned(),
        }
    }

    /// The record's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        // A struct of texts and numbers always has a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(outcome: Outcome, attempts: u32) -> State {
        State {
            outcome,
            attempts,
            at: "2026-11-23T09:30:00Z".to_owned(),
            run: "redrive".to_owned(),
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
            let read: State = serde_json::from_slice(&written.to_bytes()).unwrap();
            assert_eq!(read, written);
            assert_eq!(outcome.is_final(), outcome != failed(), "{outcome}");
        }
    }

    #[test]
    fn the_words_of_the_topic_are_a_promise() {
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
