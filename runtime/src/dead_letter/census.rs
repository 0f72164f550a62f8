//! How many letters there are, by reason; and which of them were seen before.

use std::collections::{BTreeMap, HashSet};

use super::{Identity, Letter, State};

/// Letters of one reason, or all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Count {
    /// Without a final outcome.
    pub open: u64,
    /// All.
    pub all: u64,
}

/// Whether a letter was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The first of its identity.
    First,
    /// The same original once more, such as of a service that was killed before its offsets were
    /// committed, or of a backfill.
    Repeat,
}

/// Counts letters as they come, each identity once.
#[derive(Debug, Clone, Default)]
pub struct Census {
    seen: HashSet<Identity>,
    reasons: BTreeMap<String, Count>,
    repeats: u64,
    strangers: u64,
}

impl Census {
    /// Counts a letter under its newest reason.
    pub fn note(&mut self, letter: &Letter, state: Option<&State>) -> Seen {
        if !self.seen.insert(letter.identity.clone()) {
            self.repeats += 1;
            return Seen::Repeat;
        }
        let reason = letter.reason_now(state).to_owned();
        let count = self.reasons.entry(reason).or_default();
        count.all += 1;
        count.open += u64::from(letter.is_open(state));
        Seen::First
    }

    /// Counts a record that none of our services wrote.
    pub const fn note_stranger(&mut self) {
        self.strangers += 1;
    }

    /// By reason.
    pub const fn reasons(&self) -> &BTreeMap<String, Count> {
        &self.reasons
    }

    /// All reasons together.
    pub fn total(&self) -> Count {
        self.reasons
            .values()
            .fold(Count::default(), |sum, count| Count {
                open: sum.open + count.open,
                all: sum.all + count.all,
            })
    }

    /// Records whose identity had been seen before.
    pub const fn repeats(&self) -> u64 {
        self.repeats
    }

    /// Records that none of our services wrote.
    pub const fn strangers(&self) -> u64 {
        self.strangers
    }
}

impl Letter {
    /// Why it could not be used when it was last tried.
    pub fn reason_now<'a>(&'a self, state: Option<&'a State>) -> &'a str {
        match state.map(|state| &state.outcome) {
            Some(super::Outcome::Failed { reason, .. }) => reason,
            _ => &self.reason,
        }
    }

    /// How often it was tried by now.
    pub fn attempts_now(&self, state: Option<&State>) -> u32 {
        state.map_or(self.attempts, |state| state.attempts)
    }

    /// Whether it waits for a final outcome.
    pub fn is_open(&self, state: Option<&State>) -> bool {
        state.is_none_or(|state| !state.outcome.is_final())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::Outcome;
    use crate::record::OwnedRecord;

    fn letter(offset: i64, reason: &str) -> Letter {
        Letter {
            omitted: None,
            identity: Identity {
                topic: "a".to_owned(),
                partition: 0,
                offset,
            },
            reason: reason.to_owned(),
            message: String::new(),
            service: "processor".to_owned(),
            attempts: 1,
            place: (0, offset),
            written_millis: None,
            original: OwnedRecord::default(),
        }
    }

    #[test]
    fn each_identity_is_counted_once_under_its_newest_reason() {
        let mut census = Census::default();
        let discarded = State::now(
            Outcome::Discarded {
                note: String::new(),
            },
            1,
            "discard",
        );
        let failed = State::now(
            Outcome::Failed {
                reason: "y".to_owned(),
                message: String::new(),
            },
            2,
            "redrive",
        );
        assert_eq!(census.note(&letter(0, "x"), None), Seen::First);
        assert_eq!(census.note(&letter(0, "x"), None), Seen::Repeat);
        assert_eq!(census.note(&letter(1, "x"), Some(&discarded)), Seen::First);
        assert_eq!(census.note(&letter(2, "x"), Some(&failed)), Seen::First);
        census.note_stranger();
        let counts: Vec<_> = census
            .reasons()
            .iter()
            .map(|(reason, count)| (reason.as_str(), count.open, count.all))
            .collect();
        assert_eq!(counts, [("x", 1, 2), ("y", 1, 1)]);
        assert_eq!(census.total(), Count { open: 2, all: 3 });
        assert_eq!((census.repeats(), census.strangers()), (1, 1));
        assert_eq!(letter(2, "x").attempts_now(Some(&failed)), 2);
    }
}
