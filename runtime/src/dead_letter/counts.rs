//! How many letters there are, by reason; and which of them were seen before.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{DeadLetter, DeadLetterId, Origin, RecordDigest, State};

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
pub struct Counts {
    seen: HashSet<DeadLetterId>,
    /// The first record that was read at each place.
    records_at: HashMap<Origin, RecordDigest>,
    shared_places: HashSet<Origin>,
    reasons: BTreeMap<String, Count>,
    repeats: u64,
    strangers: u64,
    others: BTreeMap<String, u64>,
}

impl Counts {
    /// Counts a letter under its newest reason.
    pub fn note(&mut self, letter: &DeadLetter, state: Option<&State>) -> Seen {
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

    /// Takes note of a letter's place, whether or not it is counted.
    pub fn note_place(&mut self, letter: &DeadLetter) {
        let DeadLetterId { origin, digest } = &letter.identity;
        if self.records_at.entry(origin.clone()).or_insert(*digest) != digest {
            self.shared_places.insert(origin.clone());
        }
    }

    /// Counts a record that none of our services wrote.
    pub const fn note_stranger(&mut self) {
        self.strangers += 1;
    }

    /// Counts a letter of another group, which is told and otherwise left alone.
    pub fn note_other(&mut self, letter: &DeadLetter) {
        let group = letter.group.clone().unwrap_or_default();
        *self.others.entry(group).or_default() += 1;
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

    /// Letters of other groups, by group.
    pub const fn others(&self) -> &BTreeMap<String, u64> {
        &self.others
    }

    /// The letters of other groups as a part of a sentence; empty when there are none.
    pub fn others_in_words(&self) -> String {
        let groups: Vec<_> = self
            .others
            .iter()
            .map(|(group, count)| format!("{count} of {}", schemas::printable(group)))
            .collect();
        match groups.is_empty() {
            true => String::new(),
            false => format!(
                "; dead letters of other groups are not counted ({})",
                groups.join(", ")
            ),
        }
    }

    /// How a letter is named: by its place, and by its digest too where letters of several records
    /// have the same place, because the topic was deleted and created again.
    pub fn name(&self, identity: &DeadLetterId) -> String {
        match self.shared_places.contains(&identity.origin) {
            true => identity.to_string(),
            false => identity.origin.to_string(),
        }
    }
}

impl DeadLetter {
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

    fn letter(offset: i64, reason: &str) -> DeadLetter {
        DeadLetter {
            omitted: None,
            identity: DeadLetterId {
                origin: format!("a/0/{offset}").parse().unwrap(),
                digest: RecordDigest::of(&OwnedRecord::default()),
            },
            reason: reason.to_owned(),
            message: String::new(),
            service: "processor".to_owned(),
            group: None,
            attempts: 1,
            place: (0, offset),
            written_millis: None,
            original: OwnedRecord::default(),
        }
    }

    #[test]
    fn each_identity_is_counted_once_under_its_newest_reason() {
        let mut counts = Counts::default();
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
        assert_eq!(counts.note(&letter(0, "x"), None), Seen::First);
        assert_eq!(counts.note(&letter(0, "x"), None), Seen::Repeat);
        assert_eq!(counts.note(&letter(1, "x"), Some(&discarded)), Seen::First);
        assert_eq!(counts.note(&letter(2, "x"), Some(&failed)), Seen::First);
        counts.note_stranger();
        let by_reason: Vec<_> = counts
            .reasons()
            .iter()
            .map(|(reason, count)| (reason.as_str(), count.open, count.all))
            .collect();
        assert_eq!(by_reason, [("x", 1, 2), ("y", 1, 1)]);
        assert_eq!(counts.total(), Count { open: 2, all: 3 });
        assert_eq!((counts.repeats(), counts.strangers()), (1, 1));
        assert_eq!(letter(2, "x").attempts_now(Some(&failed)), 2);
    }

    #[test]
    fn records_of_one_place_are_letters_of_their_own_and_named_by_their_digests() {
        let (old, mut new) = (letter(0, "x"), letter(0, "x"));
        new.identity.digest = "00112233445566ff".parse().unwrap();
        let mut counts = Counts::default();
        counts.note_place(&old);
        counts.note_place(&old);
        assert_eq!(counts.note(&old, None), Seen::First);
        assert_eq!(counts.name(&old.identity), "a/0/0");
        counts.note_place(&new);
        assert_eq!(counts.note(&new, None), Seen::First);
        assert_eq!(counts.note(&new, None), Seen::Repeat);
        assert_eq!(counts.total(), Count { open: 2, all: 2 });
        assert_eq!(counts.name(&new.identity), "a/0/0@00112233445566ff");
        assert_eq!(counts.name(&old.identity), old.identity.to_string());
    }

    #[test]
    fn letters_of_other_groups_are_told_and_not_counted() {
        let mut counts = Counts::default();
        assert_eq!(counts.others_in_words(), "");
        for group in ["spring", "autumn", "spring"] {
            let mut other = letter(0, "x");
            other.group = Some(group.to_owned());
            counts.note_other(&other);
        }
        assert_eq!(counts.total(), Count::default());
        assert_eq!(
            counts.others_in_words(),
            "; dead letters of other groups are not counted (1 of autumn, 2 of spring)"
        );
    }
}
