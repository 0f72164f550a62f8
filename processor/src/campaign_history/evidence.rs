//! Collects the campaign's earlier vouchers and judges the current rule and keys by them. Pure.

use std::collections::HashMap;

use runtime::record::InputRecord;
use schemas::{Timestamp, decimal};

use super::judgement::{Fields, Judgement, Position};
use super::keys::KeyEvidence;
use crate::batch::headers;
use crate::rule::Rule;
use crate::signing_keys::SigningKeys;

/// The evidence from the vouchers that were read.
pub(super) struct Evidence {
    rule: Rule,
    fingerprint: String,
    keys: Option<KeyEvidence>,
    /// Whether each fingerprint belongs to a rule of this campaign. A fingerprint covers the campaign's
    /// name, so one voucher decides for all vouchers with that fingerprint.
    is_ours: HashMap<Vec<u8>, bool>,
    vouchers: u64,
    newest: Option<Newest>,
    /// The newest voucher of each fingerprint that cannot be read.
    unreadable: HashMap<Vec<u8>, Position>,
}

/// The newest voucher of the campaign.
struct Newest {
    position: Position,
    /// What it is worth, if another rule issued it.
    other_rule: Option<String>,
}

impl Evidence {
    /// Starts without vouchers. A key whose time begins after `now` has signed none.
    pub(super) fn new(rule: &Rule, keys: Option<&SigningKeys>, now: Timestamp) -> Self {
        Self {
            fingerprint: rule.fingerprint(),
            keys: keys.map(|keys| KeyEvidence::new(keys, rule, now)),
            rule: rule.clone(),
            is_ours: HashMap::new(),
            vouchers: 0,
            newest: None,
            unreadable: HashMap::new(),
        }
    }

    /// Takes note of a voucher's record. Calls `read` only if its value is needed.
    ///
    /// # Errors
    /// The first error of `read`, which returns `None` for a value that cannot be read.
    pub(super) fn note<E>(
        &mut self,
        record: &impl InputRecord,
        mut read: impl FnMut() -> Result<Option<Fields>, E>,
    ) -> Result<(), E> {
        self.vouchers += 1;
        let Some(fingerprint) = record.header(headers::VOUCHER_RULE) else {
            return Ok(());
        };
        let position = Position::of(record);
        let is_same = fingerprint == self.fingerprint.as_bytes();
        let known = match self.is_ours.get(&fingerprint) {
            _ if is_same => true,
            Some(false) => return Ok(()),
            Some(true) => true,
            None => false,
        };
        let has_one_key = self.keys.as_ref().is_none_or(KeyEvidence::has_one_key);
        let fields = match is_same && has_one_key {
            true => None,
            false => read()?,
        };
        if !known {
            let Some(fields) = &fields else {
                self.note_unreadable(fingerprint, position);
                return Ok(());
            };
            let is_ours = fields.campaign == self.rule.campaign;
            self.is_ours.insert(fingerprint.clone(), is_ours);
            if !is_ours {
                return Ok(());
            }
        }
        let newest = self.newest.as_ref();
        if newest.is_none_or(|newest| newest.position < position) {
            let other_rule = (!is_same).then(|| worth(fields.as_ref()));
            self.newest = Some(Newest {
                position,
                other_rule,
            });
        }
        if let Some(keys) = &mut self.keys
            && let Some(key_id) = record.header(headers::VOUCHER_KEY_ID)
            && !keys.note(position, &key_id, fields.map(|fields| fields.issued_at))
        {
            self.note_unreadable(fingerprint, position);
        }
        Ok(())
    }

    fn note_unreadable(&mut self, fingerprint: Vec<u8>, position: Position) {
        let newest = self.unreadable.entry(fingerprint).or_insert(position);
        *newest = position.max(*newest);
    }

    /// Returns the newest voucher that cannot be read and may be the campaign's.
    fn newest_unreadable(&self) -> Option<Position> {
        let unreadable = self.unreadable.iter();
        unreadable
            .filter(|(fingerprint, _)| self.is_ours.get(*fingerprint) != Some(&false))
            .map(|(_, position)| *position)
            .max()
    }

    /// Returns whether a voucher was found for the rule and for each key.
    pub(super) fn found_all(&self) -> bool {
        self.newest.is_some() && self.keys.as_ref().is_none_or(KeyEvidence::found_all)
    }

    /// Judges the rule and the keys; `complete` when no voucher is left to read.
    pub(super) fn judge(&self, complete: bool) -> Judgement {
        if let Some(newest) = &self.newest
            && let Some(worth) = &newest.other_rule
        {
            return Judgement::another_rule(newest.position, worth, &self.rule);
        }
        if let Some(differs) = self.keys.as_ref().and_then(KeyEvidence::judge) {
            return differs;
        }
        let found_all = self.found_all();
        let newest = self.newest.as_ref().map(|newest| newest.position);
        let vouchers = self.vouchers;
        match self.newest_unreadable() {
            Some(unreadable) if Some(unreadable) > newest || (complete && !found_all) => {
                Judgement::unreadable(unreadable, &self.rule)
            }
            _ if found_all => Judgement::Same,
            _ if complete && newest.is_none() => Judgement::None { vouchers },
            _ if complete => Judgement::Same,
            _ => Judgement::Open { vouchers },
        }
    }
}

fn worth(fields: Option<&Fields>) -> String {
    fields.map_or_else(
        || "something else".to_owned(),
        |fields| {
            let amount = decimal::as_money(fields.amount);
            format!("{amount} {}", fields.currency.as_str())
        },
    )
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use runtime::record::OwnedRecord;

    use super::*;

    const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TWO: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
    const ONE_ID: &str = "fa0cde5e";
    const TWO_ID: &str = "9aadb289";
    const CHANGE: &str = "2026-06-01T00:00:00Z";

    fn rule(campaign: &str, amount: &str) -> Rule {
        Rule {
            campaign: campaign.to_owned(),
            min_total: "100".parse().unwrap(),
            amount: amount.parse().unwrap(),
            currency: "EUR".parse().unwrap(),
            valid_days: None,
            sent_from: None,
            sent_until: None,
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn one_key() -> SigningKeys {
        SigningKeys::single(ONE).unwrap()
    }

    fn two_keys() -> SigningKeys {
        SigningKeys::parse(&format!("- {ONE}\n{CHANGE} {TWO}")).unwrap()
    }

    /// The record of a voucher, and its fields if they can be read.
    type Issued = (OwnedRecord, Option<Fields>);

    fn issued(by: &Rule, key_id: &str, issued_at: &str, written: i64) -> Issued {
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        let record = OwnedRecord {
            offset: written,
            timestamp_millis: Some(written),
            headers: vec![
                header(headers::VOUCHER_RULE, &by.fingerprint()),
                header(headers::VOUCHER_KEY_ID, key_id),
            ],
            ..OwnedRecord::default()
        };
        let fields = Fields {
            campaign: by.campaign.clone(),
            amount: by.amount,
            currency: by.currency,
            issued_at: at(issued_at),
        };
        (record, Some(fields))
    }

    fn by(rule: &Rule, written: i64) -> Issued {
        issued(rule, ONE_ID, "2026-05-01T00:00:00Z", written)
    }

    fn unreadable((record, _): Issued) -> Issued {
        (record, None)
    }

    fn evidence(rule: &Rule, keys: &SigningKeys, vouchers: &[Issued]) -> Evidence {
        let mut evidence = Evidence::new(rule, Some(keys), at("2026-11-29T00:00:00Z"));
        for (record, fields) in vouchers {
            let Ok(()) = evidence.note(record, || Ok::<_, Infallible>(fields.clone()));
        }
        evidence
    }

    /// Returns the judgements before and after it is known that no voucher is left to read.
    fn judged(rule: &Rule, keys: &SigningKeys, vouchers: &[Issued]) -> [Judgement; 2] {
        let evidence = evidence(rule, keys, vouchers);
        [evidence.judge(false), evidence.judge(true)]
    }

    fn differs(judgements: &[Judgement; 2], parts: &[&str]) {
        for judgement in judgements {
            let Judgement::Differs { finding, .. } = judgement else {
                panic!("{judgement:?}");
            };
            assert!(parts.iter().all(|part| finding.contains(part)), "{finding}");
        }
    }

    #[test]
    fn a_campaign_without_a_voucher_may_begin_once_all_were_read() {
        let open = |vouchers| [Judgement::Open { vouchers }, Judgement::None { vouchers }];
        let now = rule("a", "5.00");
        assert_eq!(judged(&now, &one_key(), &[]), open(0));
        let other = rule("b", "7.50");
        let others = [by(&other, 1), by(&other, 2)];
        assert_eq!(judged(&now, &one_key(), &others), open(2));
        // Imported vouchers have no fingerprint.
        let mut imported = by(&rule("a", "9.00"), 1);
        imported.0.headers.clear();
        assert_eq!(judged(&now, &one_key(), &[imported]), open(1));
    }

    #[test]
    fn the_rule_is_that_of_the_campaigns_newest_voucher() {
        let (now, old) = (rule("a", "5.00"), rule("a", "7.50"));
        let lower = Rule {
            min_total: "80".parse().unwrap(),
            ..now.clone()
        };
        let mixed = [by(&now, 2), by(&old, 1)];
        for rule in [&now, &lower] {
            assert_eq!(
                judged(rule, &one_key(), &mixed),
                [Judgement::Same, Judgement::Same]
            );
        }
        let parts = [
            "offset 2",
            "worth 5.00 EUR by another rule",
            "says 7.50 EUR",
        ];
        differs(&judged(&old, &one_key(), &mixed), &parts);
    }

    #[test]
    fn another_key_is_refused() {
        let now = rule("a", "5.00");
        let other = issued(&now, TWO_ID, "2026-05-01T00:00:00Z", 1);
        differs(&judged(&now, &one_key(), &[other]), &[TWO_ID, ONE_ID]);
    }

    #[test]
    fn each_key_is_compared_in_its_own_time() {
        let now = rule("a", "5.00");
        let (old, new) = ("2026-05-31T23:59:59Z", CHANGE);
        let first = || issued(&now, ONE_ID, old, 1);
        let second = || issued(&now, TWO_ID, new, 2);
        let same = [Judgement::Same, Judgement::Same];
        assert_eq!(judged(&now, &two_keys(), &[second(), first()]), same);
        // The vouchers of the first key are older, or there are none.
        assert_eq!(
            judged(&now, &two_keys(), &[second()]),
            [Judgement::Open { vouchers: 1 }, Judgement::Same]
        );
        // The key is a current one, but not that of this time.
        let early = issued(&now, TWO_ID, old, 1);
        differs(
            &judged(&now, &two_keys(), &[second(), early]),
            &["issued at 2026-05-31", TWO_ID],
        );
        // Keys whose time ends before the campaign or has not begun sign none of its vouchers.
        let later = Rule {
            sent_from: Some(at(CHANGE)),
            ..now.clone()
        };
        assert_eq!(judged(&later, &two_keys(), &[second()]), same);
        let future = SigningKeys::parse(&format!("- {ONE}\n2027-06-01T00:00:00Z {TWO}")).unwrap();
        assert_eq!(judged(&now, &future, &[first()]), same);
    }

    #[test]
    fn an_unreadable_voucher_leaves_the_guard_closed_unless_a_newer_one_decides() {
        let (now, other) = (rule("a", "5.00"), rule("b", "7.50"));
        let closed = |vouchers: &[Issued]| {
            let judged = judged(&now, &one_key(), vouchers);
            matches!(
                judged,
                [Judgement::Unreadable { .. }, Judgement::Unreadable { .. }]
            )
        };
        let unread = || unreadable(by(&other, 2));
        assert!(closed(&[unread()]));
        assert!(closed(&[unread(), by(&now, 1)]));
        assert!(!closed(&[by(&now, 3), unread()]));
        // One voucher decides which campaign a fingerprint belongs to.
        assert!(!closed(&[by(&other, 3), unread()]));
        assert!(!closed(&[unread(), by(&other, 3)]));
        // With one key, vouchers of the current rule need not be read.
        assert!(!closed(&[unreadable(by(&now, 1))]));
    }
}
