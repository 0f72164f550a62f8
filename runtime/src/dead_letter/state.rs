//! What became of a letter: the records of the compacted topic `<dlq>.state`.

use std::collections::HashMap;

use schemas::Timestamp;
use serde::{Deserialize, Serialize};

use super::Identity;

/// One letter's newest state; the topic's key is its [`Identity`].
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
    /// Whether the letter is closed.
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Failed { .. })
    }

    /// The outcome as a machine word.
    pub const fn word(&self) -> &'static str {
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
            Self::Skipped { reason, message } => write!(f, "skipped, {reason}: {message}"),
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

/// The newest state of each letter that has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct States(HashMap<Identity, State>);

impl States {
    /// Takes the topic's next record. A null value forgets: the letter is open again.
    ///
    /// # Errors
    /// A record that can't be read: what became of a letter is never guessed.
    pub fn fold(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), String> {
        let identity: Identity = key
            .and_then(|key| std::str::from_utf8(key).ok())
            .and_then(|key| key.parse().ok())
            .ok_or("its key is no topic/partition/offset")?;
        match value {
            None => {
                self.0.remove(&identity);
            }
            Some(value) => {
                let state = serde_json::from_slice(value)
                    .map_err(|error| schemas::printable(&error.to_string()).into_owned())?;
                self.0.insert(identity, state);
            }
        }
        Ok(())
    }

    /// A letter's state, if it was ever decided on.
    pub fn get(&self, identity: &Identity) -> Option<&State> {
        self.0.get(identity)
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

    fn outcomes() -> Vec<Outcome> {
        vec![
            failed(),
            Outcome::Voucher {
                campaign: "order-reward".to_owned(),
            },
            Outcome::Row { existed: true },
            Outcome::Skipped {
                reason: "status".to_owned(),
                message: "status is PENDING".to_owned(),
            },
            Outcome::Discarded {
                note: "a test order".to_owned(),
            },
        ]
    }

    #[test]
    fn a_state_is_read_as_it_is_written() {
        for outcome in outcomes() {
            let written = state(outcome, 3);
            let mut states = States::default();
            states
                .fold(Some(b"a/1/2"), Some(&written.to_bytes()))
                .unwrap();
            assert_eq!(states.get(&"a/1/2".parse().unwrap()), Some(&written));
        }
    }

    #[test]
    fn the_words_of_the_topic_are_a_promise() {
        let written = String::from_utf8(state(failed(), 2).to_bytes()).unwrap();
        assert_eq!(
            written,
            r#"{"outcome":"failed","reason":"invalid_json","message":"no JSON","attempts":2,"at":"2026-11-23T09:30:00Z","run":"redrive"}"#
        );
    }

    #[test]
    fn only_a_failure_leaves_a_letter_open() {
        for outcome in outcomes() {
            assert_eq!(outcome.is_final(), outcome != failed(), "{outcome}");
        }
    }

    #[test]
    fn the_newest_state_counts_and_a_null_opens_the_letter_again() {
        let identity: Identity = "a/1/2".parse().unwrap();
        let mut states = States::default();
        for outcome in outcomes() {
            let newest = state(outcome, 2);
            states
                .fold(Some(b"a/1/2"), Some(&newest.to_bytes()))
                .unwrap();
            assert_eq!(states.get(&identity), Some(&newest));
        }
        states.fold(Some(b"a/1/2"), None).unwrap();
        assert_eq!(states, States::default());
    }

    #[test]
    fn what_became_of_a_letter_is_never_guessed() {
        let mut states = States::default();
        let good = state(failed(), 2).to_bytes();
        for (key, value) in [
            (None, good.as_slice()),
            (Some(b"a/1".as_slice()), &good),
            (Some(b"a/1/2"), b"{}"),
            (
                Some(b"a/1/2"),
                br#"{"outcome":"of a later version","attempts":1,"at":"","run":""}"#,
            ),
        ] {
            assert!(states.fold(key, Some(value)).is_err());
        }
        let why = states.fold(Some(b"a/1/2"), Some(br#"{"outcome":"\n\u001b[2J"}"#));
        assert!(!why.unwrap_err().contains(schemas::is_unprintable));
        assert_eq!(states, States::default());
    }
}
