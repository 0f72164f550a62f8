//! Compares the keys that signed the campaign's vouchers with the current ones. Pure.

use std::collections::BTreeMap;

use schemas::Timestamp;

use super::judgement::{Judgement, Position};
use crate::rule::Rule;
use crate::signing_keys::SigningKeys;

/// The newest voucher of each key.
pub(super) struct KeyEvidence {
    keys: SigningKeys,
    /// The keys that may have signed vouchers of the campaign, by their index.
    expected: Vec<usize>,
    /// The newest voucher of each key, by the index of the key.
    newest: BTreeMap<usize, Signed>,
}

struct Signed {
    position: Position,
    key_id: String,
    issued_at: Option<Timestamp>,
}

impl KeyEvidence {
    /// Expects a voucher of each key whose time overlaps with the campaign's and has begun by `now`.
    pub(super) fn new(keys: &SigningKeys, rule: &Rule, now: Timestamp) -> Self {
        let overlaps = |from: Option<Timestamp>, until: Option<Timestamp>| {
            from.is_none_or(|from| from <= now)
                && !matches!((from, rule.sent_until), (Some(from), Some(end)) if from >= end)
                && !matches!((until, rule.sent_from), (Some(until), Some(start)) if until <= start)
        };
        let times = keys.times().enumerate();
        Self {
            expected: times
                .filter(|(_, (from, until))| overlaps(*from, *until))
                .map(|(index, _)| index)
                .collect(),
            keys: keys.clone(),
            newest: BTreeMap::new(),
        }
    }

    /// Returns whether one key signs all vouchers, so that their time of issue is not needed.
    pub(super) const fn has_one_key(&self) -> bool {
        self.keys.is_single()
    }

    /// Notes which key signed a voucher. Returns whether that could be compared: with several keys
    /// the time of issue says which of them should have signed.
    pub(super) fn note(
        &mut self,
        position: Position,
        key_id: &[u8],
        issued_at: Option<Timestamp>,
    ) -> bool {
        let index = match issued_at {
            Some(issued_at) => self.keys.index_at(issued_at),
            None if self.has_one_key() => 0,
            None => return false,
        };
        let known = self.newest.get(&index);
        if known.is_none_or(|known| known.position < position) {
            let signed = Signed {
                position,
                key_id: String::from_utf8_lossy(key_id).into_owned(),
                issued_at,
            };
            self.newest.insert(index, signed);
        }
        true
    }

    /// Returns whether a voucher of each expected key was found.
    pub(super) fn found_all(&self) -> bool {
        let mut expected = self.expected.iter();
        expected.all(|index| self.newest.contains_key(index))
    }

    /// Returns the judgement about a voucher that another key signed, if there is one.
    pub(super) fn judge(&self) -> Option<Judgement> {
        self.newest.iter().find_map(|(index, signed)| {
            let current = self.keys.ids().nth(*index)?;
            let Signed {
                position,
                key_id,
                issued_at,
            } = signed;
            (current != key_id)
                .then(|| Judgement::another_key(*position, *issued_at, key_id, current))
        })
    }
}
