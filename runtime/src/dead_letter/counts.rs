//! Counts dead letters by reason, each once; repeats and those of other groups apart.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{DeadLetter, DeadLetterId, DeadLetterState, Origin, RecordDigest};

/// The number of dead letters of one reason, or of all reasons.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Count {
    /// Those without a final outcome.
    pub open: u64,
    /// Open and closed ones.
    pub all: u64,
}

/// Whether a dead letter was counted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is the first with its id.
    First,
    /// The same original became a dead letter before: the service was killed before it committed
    /// its offsets, or a backfill read the original again.
    Repeat,
}

/// Counts the dead letters of a topic, each id once.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    seen: HashSet<DeadLetterId>,
    /// The first record that became a dead letter at each origin.
    first_at: HashMap<Origin, RecordDigest>,
    shared_origins: HashSet<Origin>,
    reasons: BTreeMap<String, Count>,
    repeats: u64,
    foreign: u64,
    other_groups: BTreeMap<String, u64>,
}

impl Counts {
    /// Counts a dead letter under its newest reason.
    pub fn note(&mut self, dead_letter: &DeadLetter, state: Option<&DeadLetterState>) -> Seen {
        if !self.seen.insert(dead_letter.id.clone()) {
            self.repeats += 1;
            return Seen::Repeat;
        }
        let reason = dead_letter.reason_now(state).to_owned();
        let count = self.reasons.entry(reason).or_default();
        count.all += 1;
        count.open += u64::from(dead_letter.is_open(state));
        Seen::First
    }

    /// Notes a dead letter's origin, whether or not it is counted.
    pub fn note_origin(&mut self, dead_letter: &DeadLetter) {
        let DeadLetterId { origin, digest } = &dead_letter.id;
        if self.first_at.entry(origin.clone()).or_insert(*digest) != digest {
            self.shared_origins.insert(origin.clone());
        }
    }

    /// Counts a record that is not a dead letter of the source topic.
    pub const fn note_foreign(&mut self) {
        self.foreign += 1;
    }

    /// Counts a dead letter of another group. Commands report the number and leave it alone.
    pub fn note_other_group(&mut self, dead_letter: &DeadLetter) {
        let group = dead_letter.group.clone().unwrap_or_default();
        *self.other_groups.entry(group).or_default() += 1;
    }

    /// Returns the counts by reason.
    pub const fn reasons(&self) -> &BTreeMap<String, Count> {
        &self.reasons
    }

    /// Returns the count of all reasons together.
    pub fn total(&self) -> Count {
        self.reasons
            .values()
            .fold(Count::default(), |sum, count| Count {
                open: sum.open + count.open,
                all: sum.all + count.all,
            })
    }

    /// Returns the number of repeats.
    pub const fn repeats(&self) -> u64 {
        self.repeats
    }

    /// Returns the number of records that are not dead letters of the source topic.
    pub const fn foreign(&self) -> u64 {
        self.foreign
    }

    /// Returns the number of dead letters of other groups, by group.
    pub const fn other_groups(&self) -> &BTreeMap<String, u64> {
        &self.other_groups
    }

    /// Returns the end of a sentence that names the other groups; empty when there are none.
    pub fn other_groups_note(&self) -> String {
        let groups: Vec<_> = self
            .other_groups
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

    /// Returns the shortest unambiguous name of a dead letter: its origin, with the digest where
    /// several records have the same origin because the topic was deleted and created again.
    pub fn name(&self, id: &DeadLetterId) -> String {
        match self.shared_origins.contains(&id.origin) {
            true => id.to_string(),
            false => id.origin.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::Outcome;

    fn dead_letter(offset: i64, reason: &str) -> DeadLetter {
        let id = format!("a/0/{offset}@0000000000000000");
        DeadLetter {
            reason: reason.to_owned(),
            ..DeadLetter::sample(id.parse().unwrap())
        }
    }

    #[test]
    fn each_id_is_counted_once_under_its_newest_reason() {
        let mut counts = Counts::default();
        let discarded = DeadLetterState::now(
            Outcome::Discarded {
                note: String::new(),
            },
            1,
            "discard",
        );
        let failed = DeadLetterState::now(
            Outcome::Failed {
                reason: "y".to_owned(),
                message: String::new(),
            },
            2,
            "redrive",
        );
        assert_eq!(counts.note(&dead_letter(0, "x"), None), Seen::First);
        assert_eq!(counts.note(&dead_letter(0, "x"), None), Seen::Repeat);
        assert_eq!(
            counts.note(&dead_letter(1, "x"), Some(&discarded)),
            Seen::First
        );
        assert_eq!(
            counts.note(&dead_letter(2, "x"), Some(&failed)),
            Seen::First
        );
        counts.note_foreign();
        let by_reason: Vec<_> = counts
            .reasons()
            .iter()
            .map(|(reason, count)| (reason.as_str(), count.open, count.all))
            .collect();
        assert_eq!(by_reason, [("x", 1, 2), ("y", 1, 1)]);
        assert_eq!(counts.total(), Count { open: 2, all: 3 });
        assert_eq!((counts.repeats(), counts.foreign()), (1, 1));
        assert_eq!(dead_letter(2, "x").attempts_now(Some(&failed)), 2);
    }

    #[test]
    fn records_of_one_origin_are_dead_letters_of_their_own_and_named_by_their_digests() {
        let (old, mut new) = (dead_letter(0, "x"), dead_letter(0, "x"));
        new.id.digest = "00112233445566ff".parse().unwrap();
        let mut counts = Counts::default();
        counts.note_origin(&old);
        counts.note_origin(&old);
        assert_eq!(counts.note(&old, None), Seen::First);
        assert_eq!(counts.name(&old.id), "a/0/0");
        counts.note_origin(&new);
        assert_eq!(counts.note(&new, None), Seen::First);
        assert_eq!(counts.note(&new, None), Seen::Repeat);
        assert_eq!(counts.total(), Count { open: 2, all: 2 });
        assert_eq!(counts.name(&new.id), "a/0/0@00112233445566ff");
        assert_eq!(counts.name(&old.id), old.id.to_string());
    }

    #[test]
    fn dead_letters_of_other_groups_are_reported_and_not_counted() {
        let mut counts = Counts::default();
        assert_eq!(counts.other_groups_note(), "");
        for group in ["spring", "autumn", "spring"] {
            let mut other = dead_letter(0, "x");
            other.group = Some(group.to_owned());
            counts.note_other_group(&other);
        }
        assert_eq!(counts.total(), Count::default());
        assert_eq!(
            counts.other_groups_note(),
            "; dead letters of other groups are not counted (1 of autumn, 2 of spring)"
        );
    }
}
