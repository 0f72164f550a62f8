//! The compacted topic `<dlq>.state`: what became of each letter, and for whom that is final.
//!
//! Campaigns share a dead letter topic, so an outcome belongs to the group that came to it, and what
//! closes a letter for one group leaves it open for another. See `docs/adr/0018`.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use schemas::Timestamp;

use super::{DeadLetter, DeadLetterId, InvalidIdentity, Origin, Outcome, RecordDigest, State};

/// Whose letters are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The consumer group.
    pub group: String,
    /// The campaign of a processor's group; none for the sink, which has vouchers of all campaigns.
    pub campaign: Option<String>,
}

impl Owner {
    /// Whether the letter was written by this group, or by the first released version, which did not
    /// say which group it was: those are everybody's.
    pub fn owns(&self, letter: &DeadLetter) -> bool {
        let group = letter.group.as_ref();
        group.is_none_or(|group| *group == self.group)
    }
}

/// A record's key in the topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StateKey {
    /// `topic/partition/offset@digest/group`. A group's name may have slashes.
    Of(DeadLetterId, String),
    /// `topic/partition/offset`, as the first released version wrote it. Only read.
    Unowned(Origin),
}

impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(identity, group) => write!(f, "{identity}/{group}"),
            Self::Unowned(origin) => write!(f, "{origin}"),
        }
    }
}

impl FromStr for StateKey {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        let Some((third_slash, _)) = text.match_indices('/').nth(2) else {
            return text.parse().map(Self::Unowned);
        };
        let (identity, group) = (&text[..third_slash], &text[third_slash + 1..]);
        if group.is_empty() {
            return Err(InvalidIdentity);
        }
        Ok(Self::Of(identity.parse()?, group.to_owned()))
    }
}

/// The newest state under each key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct States {
    newest: HashMap<StateKey, State>,
    /// The first record that a letter was written of, of each origin with an unowned state.
    first_at: HashMap<Origin, RecordDigest>,
}

impl States {
    /// Takes the topic's next record. A null value forgets: the letter is open again.
    ///
    /// # Errors
    /// A record that can't be read: what became of a letter is never guessed.
    pub fn fold(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), String> {
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

    /// The state under a key.
    pub fn get(&self, key: &StateKey) -> Option<&State> {
        self.newest.get(key)
    }

    /// What became of a letter for `owner`, if anything did. To be asked of every letter, in the
    /// order in which they were written: an unowned state is about the first record that a letter
    /// was written of at its place.
    pub fn find(&mut self, letter: &DeadLetter, owner: &Owner) -> Option<&State> {
        let DeadLetterId { origin, digest } = &letter.identity;
        let unowned = StateKey::Unowned(origin.clone());
        let is_first = self.newest.contains_key(&unowned)
            && self.first_at.entry(origin.clone()).or_insert(*digest) == digest;
        let own = StateKey::Of(letter.identity.clone(), owner.group.clone());
        if let Some(state) = self.newest.get(&own) {
            return is_of_campaign(state, owner).then_some(state);
        }
        let state = self.newest.get(&unowned).filter(|_| is_first)?;
        (was_decided_after(state, letter) && closes_for(state, owner)).then_some(state)
    }
}

/// Whether no other campaign decided it, such as in a command that was given another's settings.
fn is_of_campaign(state: &State, owner: &Owner) -> bool {
    match (state.outcome.campaign(), &owner.campaign) {
        (Some(decided), Some(own)) => decided == own,
        _ => true,
    }
}

/// The dead letter topic may have been made anew since.
fn was_decided_after(state: &State, letter: &DeadLetter) -> bool {
    match (state.at.parse::<Timestamp>(), letter.written_millis) {
        (Ok(at), Some(written)) => Timestamp::from_millis(written) <= at,
        _ => true,
    }
}

/// Whether an unowned state holds for `owner`. The first released version did not write whose rule
/// skipped an order, so that such a skip closes the letter for nobody: trying it again is idempotent,
/// and not trying it lost the other campaign's voucher.
fn closes_for(state: &State, owner: &Owner) -> bool {
    /// Reasons of skips that the record alone decides.
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

    fn owner(group: &str) -> Owner {
        Owner {
            group: group.to_owned(),
            campaign: Some(format!("{group}'s campaign")),
        }
    }

    fn letter(offset: i64, value: &str) -> DeadLetter {
        let original = OwnedRecord {
            offset,
            value: Some(value.as_bytes().to_vec()),
            ..OwnedRecord::default()
        };
        DeadLetter {
            identity: DeadLetterId {
                origin: format!("t/0/{offset}").parse().unwrap(),
                digest: RecordDigest::of(&original),
            },
            reason: "invalid_total".to_owned(),
            message: String::new(),
            service: "processor".to_owned(),
            group: None,
            omitted: None,
            attempts: 1,
            place: (0, offset),
            written_millis: Some(AT.parse::<Timestamp>().unwrap().as_millis() - 1),
            original,
        }
    }

    fn state(outcome: Outcome) -> State {
        State {
            outcome,
            attempts: 2,
            at: AT.to_owned(),
            run: "redrive".to_owned(),
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

    /// The topic with one state under this key.
    fn states(key: impl fmt::Display, outcome: Outcome) -> States {
        let mut states = States::default();
        let (key, value) = (key.to_string(), state(outcome).to_bytes());
        states.fold(Some(key.as_bytes()), Some(&value)).unwrap();
        states
    }

    fn is_open(states: &mut States, letter: &DeadLetter, owner: &Owner) -> bool {
        letter.is_open(states.find(letter, owner))
    }

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let identity = letter(41, "a").identity;
        for key in [
            StateKey::Unowned("a/1/2".parse().unwrap()),
            StateKey::Of(identity.clone(), "processor".to_owned()),
            StateKey::Of(identity, "teams/spring/@ processor".to_owned()),
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
            assert_eq!(text.parse::<StateKey>(), Err(InvalidIdentity), "{text}");
        }
    }

    #[test]
    fn what_is_final_for_one_group_is_open_for_another() {
        let letter = letter(1, "a");
        for outcome in [
            voucher("a's campaign"),
            skipped(Some("a's campaign"), "campaign_dates"),
            skipped(None, "status"),
            Outcome::Row { existed: false },
            discarded(),
        ] {
            let key = StateKey::Of(letter.identity.clone(), "a".to_owned());
            let mut states = states(key, outcome.clone());
            assert!(!is_open(&mut states, &letter, &owner("a")), "{outcome}");
            assert!(is_open(&mut states, &letter, &owner("b")), "{outcome}");
        }
    }

    #[test]
    fn a_group_whose_settings_named_another_campaign_has_still_to_do_its_own() {
        let letter = letter(1, "a");
        let key = StateKey::Of(letter.identity.clone(), "a".to_owned());
        for outcome in [
            voucher("b's campaign"),
            skipped(Some("b's campaign"), "currency"),
        ] {
            let mut states = states(&key, outcome);
            assert!(is_open(&mut states, &letter, &owner("a")));
        }
    }

    #[test]
    fn a_state_of_the_released_version_closes_only_for_whom_it_was_decided() {
        let letter = letter(1, "a");
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
                let open = is_open(&mut states, &letter, &owner(group));
                assert_eq!(open, !closed, "{outcome} for {group}");
            }
        }
    }

    #[test]
    fn a_state_is_about_the_record_that_it_was_decided_on_and_no_other_at_its_place() {
        let (old, new) = (letter(1, "old"), letter(1, "new"));
        let key = StateKey::Of(old.identity.clone(), "a".to_owned());
        for mut states in [states(key, discarded()), states("t/0/1", discarded())] {
            assert!(!is_open(&mut states, &old, &owner("a")));
            assert!(is_open(&mut states, &new, &owner("a")));
            assert!(!is_open(&mut states, &old, &owner("a")), "its repeat");
        }
        // The dead letter topic was made anew too, and its first letter here came after the state.
        let mut later = new;
        later.written_millis = later.written_millis.map(|written| written + 2);
        assert!(is_open(
            &mut states("t/0/1", discarded()),
            &later,
            &owner("a")
        ));
    }

    #[test]
    fn the_newest_state_counts_and_a_null_opens_the_letter_again() {
        let letter = letter(1, "a");
        let key = StateKey::Of(letter.identity.clone(), "a".to_owned()).to_string();
        let mut states = states(&key, discarded());
        let failed = state(Outcome::Failed {
            reason: "x".to_owned(),
            message: String::new(),
        });
        let key = Some(key.as_bytes());
        states.fold(key, Some(&failed.to_bytes())).unwrap();
        assert_eq!(states.find(&letter, &owner("a")), Some(&failed));
        states.fold(key, None).unwrap();
        assert_eq!(states, States::default());
    }

    #[test]
    fn what_became_of_a_letter_is_never_guessed() {
        let mut states = States::default();
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
            assert!(states.fold(key, Some(value)).is_err());
        }
        let why = states.fold(Some(b"a/1/2"), Some(br#"{"outcome":"\n\u001b[2J"}"#));
        assert!(!why.unwrap_err().contains(schemas::is_unprintable));
        assert_eq!(states, States::default());
    }
}
