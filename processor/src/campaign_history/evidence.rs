//! What the vouchers that were read say of the campaign's rule and keys. Pure.

use std::collections::{BTreeMap, HashMap};

use runtime::record::{InputRecord, Offset, Partition};
use runtime::wording::count;
use rust_decimal::Decimal;
use schemas::{Currency, Timestamp, decimal};

use crate::batch::headers;
use crate::rule::Rule;
use crate::signing_keys::SigningKeys;

/// The fields of a voucher that are needed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) campaign: String,
    pub(super) amount: Decimal,
    pub(super) currency: Currency,
    pub(super) issued_at: Timestamp,
}

/// What is known by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The campaign's newest vouchers were issued by this rule, and signed by these keys.
    Same,
    /// All vouchers were read, and what was not found is not there.
    None {
        /// How many were read.
        vouchers: u64,
    },
    /// Older vouchers have to be read.
    Open {
        /// How many were read.
        vouchers: u64,
    },
    /// They were issued by another rule, or signed by another key.
    Differs {
        finding: String,
        advice: &'static str,
    },
    /// A newer voucher than all that were found can't be read.
    Unreadable {
        finding: String,
        advice: &'static str,
    },
}

/// See the module.
pub(super) struct Evidence {
    rule: Rule,
    fingerprint: String,
    keys: Option<SigningKeys>,
    /// The keys that may have signed vouchers of the campaign, by their number.
    wanted_keys: Vec<usize>,
    /// Whether a rule's fingerprint is of this campaign: it names one, so one voucher tells it.
    is_ours: HashMap<Vec<u8>, bool>,
    vouchers: u64,
    newest: Option<Found>,
    newest_of_key: BTreeMap<usize, FoundKey>,
    /// The newest voucher of each rule that can't be read.
    unreadable: HashMap<Vec<u8>, Place>,
}

/// Where a voucher is; the later one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    written_millis: Option<i64>,
    offset: Offset,
    partition: Partition,
}

struct Found {
    place: Place,
    /// What it is worth, when it was issued by another rule.
    other_rule: Option<String>,
}

struct FoundKey {
    place: Place,
    id: String,
    issued_at: Option<Timestamp>,
}

impl Evidence {
    /// Nothing was read yet. A key whose time begins after `now` has signed nothing.
    pub(super) fn new(rule: &Rule, keys: Option<&SigningKeys>, now: Timestamp) -> Self {
        let wanted_keys = keys.map_or_else(Vec::new, |keys| {
            let signs = |from: Option<Timestamp>, until: Option<Timestamp>| {
                from.is_none_or(|from| from <= now)
                    && !matches!((from, rule.sent_until), (Some(from), Some(end)) if from >= end)
                    && !matches!((until, rule.sent_from), (Some(until), Some(start)) if until <= start)
            };
            let times = keys.times().enumerate();
            times
                .filter(|(_, (from, until))| signs(*from, *until))
                .map(|(number, _)| number)
                .collect()
        });
        Self {
            fingerprint: rule.fingerprint(),
            rule: rule.clone(),
            keys: keys.cloned(),
            wanted_keys,
            is_ours: HashMap::new(),
            vouchers: 0,
            newest: None,
            newest_of_key: BTreeMap::new(),
            unreadable: HashMap::new(),
        }
    }

    /// Takes a voucher's record; `read` reads its value, when that is needed.
    ///
    /// # Errors
    /// The first error of `read`, which gives none for a value that can't be read.
    pub(super) fn take<E>(
        &mut self,
        record: &impl InputRecord,
        mut read: impl FnMut() -> Result<Option<Fields>, E>,
    ) -> Result<(), E> {
        self.vouchers += 1;
        let Some(issued_by) = record.header(headers::VOUCHER_RULE) else {
            return Ok(());
        };
        let place = Place {
            written_millis: record.timestamp_millis(),
            offset: record.offset(),
            partition: record.partition(),
        };
        let is_same = issued_by == self.fingerprint.as_bytes();
        let known = is_same || self.is_ours.get(&issued_by) == Some(&true);
        if !known && self.is_ours.get(&issued_by) == Some(&false) {
            return Ok(());
        }
        let has_one_key = self.keys.as_ref().is_none_or(SigningKeys::is_single);
        let fields = if is_same && has_one_key {
            None
        } else {
            read()?
        };
        match &fields {
            None if !known => {
                self.note_unreadable(issued_by, place);
                return Ok(());
            }
            Some(fields) if !known => {
                let is_ours = fields.campaign == self.rule.campaign;
                self.is_ours.insert(issued_by, is_ours);
                if !is_ours {
                    return Ok(());
                }
            }
            _ => {}
        }
        if self
            .newest
            .as_ref()
            .is_none_or(|newest| newest.place < place)
        {
            let other_rule = (!is_same).then(|| worth(fields.as_ref()));
            self.newest = Some(Found { place, other_rule });
        }
        self.take_key(record, place, fields.as_ref(), has_one_key);
        Ok(())
    }

    fn note_unreadable(&mut self, issued_by: Vec<u8>, place: Place) {
        let newest = self.unreadable.entry(issued_by).or_insert(place);
        *newest = place.max(*newest);
    }

    /// The newest voucher that can't be read and may be the campaign's.
    fn newest_unreadable(&self) -> Option<Place> {
        let unreadable = self.unreadable.iter();
        unreadable
            .filter(|(issued_by, _)| self.is_ours.get(*issued_by) != Some(&false))
            .map(|(_, place)| *place)
            .max()
    }

    fn take_key(
        &mut self,
        record: &impl InputRecord,
        place: Place,
        fields: Option<&Fields>,
        has_one_key: bool,
    ) {
        let Some(keys) = &self.keys else {
            return;
        };
        let Some(id) = record.header(headers::VOUCHER_KEY_ID) else {
            return;
        };
        let issued_at = fields.map(|fields| fields.issued_at);
        let number = match issued_at {
            Some(issued_at) => keys.number_at(issued_at),
            None if has_one_key => 0,
            // Which of the keys should have signed it is in its value.
            None => {
                let issued_by = record.header(headers::VOUCHER_RULE).unwrap_or_default();
                self.note_unreadable(issued_by, place);
                return;
            }
        };
        let known = self.newest_of_key.get(&number);
        if known.is_none_or(|known| known.place < place) {
            let id = String::from_utf8_lossy(&id).into_owned();
            let found = FoundKey {
                place,
                id,
                issued_at,
            };
            self.newest_of_key.insert(number, found);
        }
    }

    /// Whether a voucher was found for the rule and for each key.
    pub(super) fn found_all(&self) -> bool {
        let mut wanted = self.wanted_keys.iter();
        self.newest.is_some() && wanted.all(|number| self.newest_of_key.contains_key(number))
    }

    /// What is known by now; `complete` when no voucher is left to be read.
    pub(super) fn judge(&self, complete: bool) -> Judgement {
        if let Some(newest) = &self.newest
            && let Some(worth) = &newest.other_rule
        {
            return self.another_rule(newest.place, worth);
        }
        if let Some(differs) = self.another_key() {
            return differs;
        }
        let found_all = self.found_all();
        let newest = self.newest.as_ref().map(|newest| newest.place);
        match self.newest_unreadable() {
            Some(unreadable) if Some(unreadable) > newest || (complete && !found_all) => {
                self.unreadable_voucher(unreadable)
            }
            _ if found_all => Judgement::Same,
            _ if complete && self.newest.is_none() => Judgement::None {
                vouchers: self.vouchers,
            },
            _ if complete => Judgement::Same,
            _ => Judgement::Open {
                vouchers: self.vouchers,
            },
        }
    }

    fn another_rule(&self, place: Place, worth: &str) -> Judgement {
        let rule = &self.rule;
        let validity = match rule.valid_days {
            None => ", without an end".to_owned(),
            Some(days) => format!(", for {}", count(days, "day")),
        };
        Judgement::Differs {
            finding: format!(
                "the campaign's newest voucher ({place}) is worth {worth} by another rule; this one \
                 says {} {}{validity}",
                decimal::as_money(rule.amount),
                rule.currency.as_str(),
            ),
            advice: "give another amount, currency or validity its own VOUCHER_CAMPAIGN and \
                     VOUCHER_SENT_FROM, or set them as they were",
        }
    }

    fn another_key(&self) -> Option<Judgement> {
        let keys = self.keys.as_ref()?;
        let (found, own) = self.newest_of_key.iter().find_map(|(number, found)| {
            let own = keys.ids().nth(*number)?;
            (own != found.id).then_some((found, own))
        })?;
        let issued = match found.issued_at {
            Some(issued_at) => format!("issued at {issued_at} "),
            None => String::new(),
        };
        Some(Judgement::Differs {
            finding: format!(
                "the campaign's voucher {issued}({}) is signed by the key {}, and now {own} would \
                 sign it: the same order would have another code",
                found.place,
                schemas::printable(&found.id),
            ),
            advice: "set VOUCHER_SIGNING_KEY as it was, or keep the earlier key with its time in \
                     VOUCHER_SIGNING_KEYS_FILE",
        })
    }

    fn unreadable_voucher(&self, place: Place) -> Judgement {
        Judgement::Unreadable {
            finding: format!(
                "a voucher ({place}) can't be read, so that it is not known whether the campaign {} \
                 issued vouchers by this rule and these keys",
                self.rule.campaign
            ),
            advice: "set SCHEMA_REGISTRY_URL to the registry that knows its schema",
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "partition {}, offset {}", self.partition, self.offset)
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

    /// A voucher's record and its fields, if they can be read.
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
            let Ok(()) = evidence.take(record, || Ok::<_, Infallible>(fields.clone()));
        }
        evidence
    }

    /// What is known before and after the last voucher was read.
    fn judged(rule: &Rule, keys: &SigningKeys, vouchers: &[Issued]) -> [Judgement; 2] {
        let evidence = evidence(rule, keys, vouchers);
        [evidence.judge(false), evidence.judge(true)]
    }

    fn differs(judgements: &[Judgement; 2], words: &[&str]) {
        for judgement in judgements {
            let Judgement::Differs { finding, .. } = judgement else {
                panic!("{judgement:?}");
            };
            assert!(words.iter().all(|word| finding.contains(word)), "{finding}");
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
        // They were imported: they tell no rule.
        let mut imported = by(&rule("a", "9.00"), 1);
        imported.0.headers.clear();
        assert_eq!(judged(&now, &one_key(), &[imported]), open(1));
    }

    #[test]
    fn the_campaigns_newest_voucher_tells_its_rule() {
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
        let words = [
            "offset 2",
            "worth 5.00 EUR by another rule",
            "says 7.50 EUR",
        ];
        differs(&judged(&old, &one_key(), &mixed), &words);
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
        // The first key's vouchers lie further back, or there are none.
        assert_eq!(
            judged(&now, &two_keys(), &[second()]),
            [Judgement::Open { vouchers: 1 }, Judgement::Same]
        );
        // A key that is right, but not for that time.
        let early = issued(&now, TWO_ID, old, 1);
        differs(
            &judged(&now, &two_keys(), &[second(), early]),
            &["issued at 2026-05-31", TWO_ID],
        );
        // Keys whose time is over before the campaign, or yet to come, sign nothing of it.
        let later = Rule {
            sent_from: Some(at(CHANGE)),
            ..now.clone()
        };
        assert_eq!(judged(&later, &two_keys(), &[second()]), same);
        let future = SigningKeys::parse(&format!("- {ONE}\n2027-06-01T00:00:00Z {TWO}")).unwrap();
        assert_eq!(judged(&now, &future, &[first()]), same);
    }

    #[test]
    fn what_can_not_be_read_leaves_it_closed_unless_a_newer_voucher_tells() {
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
        // One voucher tells whose a rule is.
        assert!(!closed(&[by(&other, 3), unread()]));
        assert!(!closed(&[unread(), by(&other, 3)]));
        // The rule's own need no reading, with one key.
        assert!(!closed(&[unreadable(by(&now, 1))]));
    }
}
