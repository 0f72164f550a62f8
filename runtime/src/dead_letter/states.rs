//! The compacted topic `<dlq>.state`: the outcome of each dead letter, and for which group.
//!
//! Campaigns share a dead letter topic. An outcome belongs to the group that came to it: what
//! closes a dead letter for one group leaves it open for another. See `docs/adr/0018`.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use schemas::Timestamp;

use super::{
    DeadLetter, DeadLetterId, DeadLetterState, InvalidDeadLetterId, Origin, Outcome, RecordDigest,
};

/// The consumer group whose dead letters a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterOwner {
    /// The consumer group.
    pub group: String,
    /// The campaign of a processor's group; none for the sink, which writes vouchers of all
    /// campaigns.
    pub campaign: Option<String>,
}

impl DeadLetterOwner {
    /// Returns whether this group wrote the dead letter, or the first released version did: that
    /// version named no group, so its dead letters belong to every group.
    pub fn owns(&self, dead_letter: &DeadLetter) -> bool {
        let group = dead_letter.group.as_ref();
        group.is_none_or(|group| *group == self.group)
    }
}

/// The key of a record in `<dlq>.state`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StateKey {
    /// `topic/partition/offset@digest/group`. The group's name may contain slashes.
    Of(DeadLetterId, String),
    /// `topic/partition/offset`, as the first released version wrote it. It is only read.
    Unowned(Origin),
}

impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(id, group) => write!(f, "{id}/{group}"),
            Self::Unowned(origin) => write!(f, "{origin}"),
        }
    }
}

impl FromStr for StateKey {
    type Err = InvalidDeadLetterId;

    fn from_str(text: &str) -> Result<Self, InvalidDeadLetterId> {
        let Some((third_slash, _)) = text.match_indices('/').nth(2) else {
            return text.parse().map(Self::Unowned);
        };
        let (id, group) = (&text[..third_slash], &text[third_slash + 1..]);
        if group.is_empty() {
            return Err(InvalidDeadLetterId);
        }
        Ok(Self::Of(id.parse()?, group.to_owned()))
    }
}

/// The newest state of each key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterStates {
    newest: HashMap<StateKey, DeadLetterState>,
    /// For each origin with an unowned state: the first record that became a dead letter there.
    first_at: HashMap<Origin, RecordDigest>,
}

impl DeadLetterStates {
    /// Applies the topic's next record. A null value removes the state, which opens the dead letter
    /// again.
    ///
    /// # Errors
    /// Says what is wrong with a record that cannot be read. Such a record is never skipped,
    /// because the state of its dead letter would be guessed.
    pub fn apply(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), String> {
        let key: StateKey = key
            .and_then(|key| std::str::from_utf8(key).ok())
            .and_then(|key| key.parse().ok())
            .ok_or(
                "its key is neither topic/partition/offset@digest/group nor topic/partition/offset",
            )?;
        match value {
            None => {
                self.newest.remove(&key);
            }
            Some(value) => {
                let state = serde_json::from_slice(value)
                    .map_err(|error| schemas::printable(&error.to_string()).into_owned())?;
                self.newest.insert(key, state);
            }
        }
        Ok(())
    }

    /// Returns the state of a key.
    pub fn get(&self, key: &StateKey) -> Option<&DeadLetterState> {
        self.newest.get(key)
    }

    /// Returns the state that holds for `owner`, if there is one. Call it for every dead letter in
    /// the order of the topic: an unowned state is about the first record that became a dead letter
    /// at its origin.
    pub fn find(
        &mut self,
        dead_letter: &DeadLetter,
        owner: &DeadLetterOwner,
    ) -> Option<&DeadLetterState> {
        let DeadLetterId { origin, digest } = &dead_letter.id;
        let unowned = StateKey::Unowned(origin.clone());
        let is_first = self.newest.contains_key(&unowned)
            && self.first_at.entry(origin.clone()).or_insert(*digest) == digest;
        let own = StateKey::Of(dead_letter.id.clone(), owner.group.clone());
        if let Some(state) = self.newest.get(&own) {
            return is_of_campaign(state, owner).then_some(state);
        }
        let state = self.newest.get(&unowned).filter(|_| is_first)?;
        (was_decided_after(state, dead_letter) && closes_for(state, owner)).then_some(state)
    }
}

/// Returns whether the state was not decided by another campaign, which happens when somebody ran a
/// command for this group with the settings of the other campaign.
fn is_of_campaign(state: &DeadLetterState, owner: &DeadLetterOwner) -> bool {
    match (state.outcome.campaign(), &owner.campaign) {
        (Some(decided), Some(own)) => decided == own,
        _ => true,
    }
}

/// Returns whether the state is newer than the dead letter: the dead letter topic may have been
/// deleted and created again since the state was written.
fn was_decided_after(state: &DeadLetterState, dead_letter: &DeadLetter) -> bool {
    match (state.at.parse::<Timestamp>(), dead_letter.written_millis) {
        (Ok(at), Some(written)) => Timestamp::from_millis(written) <= at,
        _ => true,
    }
}

/// Returns whether an unowned state holds for `owner`. The first released version did not write
/// which campaign's rule skipped an order. Such a skip closes the dead letter for no group: trying
/// it again is idempotent, while not trying it would lose the other campaign's voucher.
fn closes_for(state: &DeadLetterState, owner: &DeadLetterOwner) -> bool {
    /// Reasons for which the record alone decides, whatever the rule.
    const OF_THE_RECORD: [&str; 2] = ["tombstone", "status"];
    match &state.outcome {
        Outcome::Skipped {
            campaign: None,
            reason,
            ..
        } => OF_THE_RECORD.contains(&reason.as_str()),
        _ => is_of_campaign(state, owner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::OwnedRecord;

    const AT: &str = "2026-11-23T09:30:00Z";

    fn owner(group: &str) -> DeadLetterOwner {
        DeadLetterOwner {
            group: group.to_owned(),
            campaign: Some(format!("{group}'s campaign")),
        }
    }

    fn dead_letter(offset: i64, value: &str) -> DeadLetter {
        let original = OwnedRecord {
            offset,
            value: Some(value.as_bytes().to_vec()),
            ..OwnedRecord::default()
        };
        let id = DeadLetterId {
            origin: format!("t/0/{offset}").parse().unwrap(),
            digest: RecordDigest::of(&original),
        };
        DeadLetter {
            written_millis: Some(AT.parse::<Timestamp>().unwrap().as_millis() - 1),
            original,
            ..DeadLetter::sample(id)
        }
    }

    fn state(outcome: Outcome) -> DeadLetterState {
        DeadLetterState {
            outcome,
            attempts: 2,
            at: AT.to_owned(),
            run: "redrive".to_owned(),
            by: None,
        }
    }

    fn skipped(campaign: Option<&str>, reason: &str) -> Outcome {
        Outcome::Skipped {
            campaign: campaign.map(str::to_owned),
            reason: reason.to_owned(),
            message: String::new(),
        }
    }

    fn voucher(campaign: &str) -> Outcome {
        Outcome::Voucher {
            campaign: campaign.to_owned(),
        }
    }

    fn discarded() -> Outcome {
        Outcome::Discarded {
            note: "a test order".to_owned(),
        }
    }

    /// Returns the topic with one state under this key.
    fn states(key: impl fmt::Display, outcome: Outcome) -> DeadLetterStates {
        let mut states = DeadLetterStates::default();
        let (key, value) = (key.to_string(), state(outcome).to_bytes());
        states.apply(Some(key.as_bytes()), Some(&value)).unwrap();
        states
    }

    fn is_open(
        states: &mut DeadLetterStates,
        dead_letter: &DeadLetter,
        owner: &DeadLetterOwner,
    ) -> bool {
        dead_letter.is_open(states.find(dead_letter, owner))
    }

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let id = dead_letter(41, "a").id;
        for key in [
            StateKey::Unowned("a/1/2".parse().unwrap()),
            StateKey::Of(id.clone(), "processor".to_owned()),
            StateKey::Of(id, "teams/spring/@ processor".to_owned()),
        ] {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        for text in [
            "",
            "a/1",
            "a/1/2/g",
            "a/1/2@0011223344556677/",
            "a/1/2@0011223344556677",
        ] {
            assert_eq!(text.parse::<StateKey>(), Err(InvalidDeadLetterId), "{text}");
        }
    }

    #[test]
    fn what_is_final_for_one_group_is_open_for_another() {
        let dead_letter = dead_letter(1, "a");
        for outcome in [
            voucher("a's campaign"),
            skipped(Some("a's campaign"), "campaign_dates"),
            skipped(None, "status"),
            Outcome::Row { existed: false },
            discarded(),
        ] {
            let key = StateKey::Of(dead_letter.id.clone(), "a".to_owned());
            let mut states = states(key, outcome.clone());
            assert!(
                !is_open(&mut states, &dead_letter, &owner("a")),
                "{outcome}"
            );
            assert!(is_open(&mut states, &dead_letter, &owner("b")), "{outcome}");
        }
    }

    #[test]
    fn an_outcome_of_another_campaign_leaves_the_dead_letter_open() {
        let dead_letter = dead_letter(1, "a");
        let key = StateKey::Of(dead_letter.id.clone(), "a".to_owned());
        for outcome in [
            voucher("b's campaign"),
            skipped(Some("b's campaign"), "currency"),
        ] {
            let mut states = states(&key, outcome);
            assert!(is_open(&mut states, &dead_letter, &owner("a")));
        }
    }

    #[test]
    fn a_state_of_the_released_version_closes_only_for_whom_it_was_decided() {
        let dead_letter = dead_letter(1, "a");
        for (outcome, closed_for_a, closed_for_b) in [
            (voucher("a's campaign"), true, false),
            (skipped(None, "status"), true, true),
            (skipped(None, "tombstone"), true, true),
            (skipped(None, "threshold"), false, false),
            (skipped(None, "currency"), false, false),
            (skipped(None, "campaign_dates"), false, false),
            (Outcome::Row { existed: true }, true, true),
            (discarded(), true, true),
        ] {
            let mut states = states("t/0/1", outcome.clone());
            for (group, closed) in [("a", closed_for_a), ("b", closed_for_b)] {
                let open = is_open(&mut states, &dead_letter, &owner(group));
                assert_eq!(open, !closed, "{outcome} for {group}");
            }
        }
    }

    #[test]
    fn a_state_does_not_apply_to_another_record_at_the_same_origin() {
        let (old, new) = (dead_letter(1, "old"), dead_letter(1, "new"));
        let key = StateKey::Of(old.id.clone(), "a".to_owned());
        for mut states in [states(key, discarded()), states("t/0/1", discarded())] {
            assert!(!is_open(&mut states, &old, &owner("a")));
            assert!(is_open(&mut states, &new, &owner("a")));
            assert!(!is_open(&mut states, &old, &owner("a")), "its repeat");
        }
        // The dead letter topic was created again too, and its first dead letter here is newer than
        // the state.
        let mut later = new;
        later.written_millis = later.written_millis.map(|written| written + 2);
        assert!(is_open(
            &mut states("t/0/1", discarded()),
            &later,
            &owner("a")
        ));
    }

    #[test]
    fn the_newest_state_counts_and_a_null_opens_the_dead_letter_again() {
        let dead_letter = dead_letter(1, "a");
        let key = StateKey::Of(dead_letter.id.clone(), "a".to_owned()).to_string();
        let mut states = states(&key, discarded());
        let failed = state(Outcome::Failed {
            reason: "x".to_owned(),
            message: String::new(),
        });
        let key = Some(key.as_bytes());
        states.apply(key, Some(&failed.to_bytes())).unwrap();
        assert_eq!(states.find(&dead_letter, &owner("a")), Some(&failed));
        states.apply(key, None).unwrap();
        assert_eq!(states, DeadLetterStates::default());
    }

    #[test]
    fn a_state_that_cannot_be_read_is_an_error() {
        let mut states = DeadLetterStates::default();
        let good = state(discarded()).to_bytes();
        for (key, value) in [
            (None, good.as_slice()),
            (Some(b"a/1".as_slice()), &good),
            (Some(b"a/1/2"), b"{}"),
            (
                Some(b"a/1/2"),
                br#"{"outcome":"of a later version","attempts":1,"at":"","run":""}"#,
            ),
        ] {
            assert!(states.apply(key, Some(value)).is_err());
        }
        let why = states.apply(Some(b"a/1/2"), Some(br#"{"outcome":"\n\u001b[2J"}"#));
        assert!(!why.unwrap_err().contains(schemas::is_unprintable));
        assert_eq!(states, DeadLetterStates::default());
    }
}
