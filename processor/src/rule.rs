//! Which order earns which voucher. Pure: it reads no clock and looks nothing up.

mod explain;

use chrono::{DateTime, Days, Utc};
use rust_decimal::Decimal;
use schemas::{Currency, Malformed, OrderStatus, Reason, Status, Timestamp};
use sha2::{Digest, Sha256};

pub use explain::{TOMBSTONE, money};

/// The rule of one campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The campaign's name, part of every voucher's identity.
    pub campaign: String,
    /// The smallest total that earns a voucher, inclusive.
    pub min_total: Decimal,
    /// What the voucher is worth.
    pub amount: Decimal,
    /// The currency of the orders that count and of the voucher.
    pub currency: Currency,
    /// Days from the sending of the order to the expiry of the voucher; `None` if it does not expire.
    pub valid_days: Option<u32>,
    /// Orders sent at or after this time count.
    pub sent_from: Option<Timestamp>,
    /// Orders sent before this time count.
    pub sent_until: Option<Timestamp>,
}

/// Why a well-formed order status earns no voucher. If there are several reasons, the first in this
/// order is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skip {
    /// The order was deleted. That deletes no voucher.
    Tombstone,
    /// The order is not sent, and never was.
    Status,
    /// The total is not in the campaign's currency.
    Currency,
    /// The total is below the campaign's smallest total.
    Threshold,
    /// The order was sent before the campaign began or after it ended.
    CampaignDates,
}

impl Skip {
    /// All reasons, in order.
    pub const ALL: [Self; 5] = [
        Self::Tombstone,
        Self::Status,
        Self::Currency,
        Self::Threshold,
        Self::CampaignDates,
    ];

    /// Returns the reason as an identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::Status => "status",
            Self::Currency => "currency",
            Self::Threshold => "threshold",
            Self::CampaignDates => "campaign_dates",
        }
    }

    /// Returns whether the reason depends on the rule, so that another campaign may decide
    /// otherwise.
    pub const fn depends_on_rule(self) -> bool {
        match self {
            Self::Tombstone | Self::Status => false,
            Self::Currency | Self::Threshold | Self::CampaignDates => true,
        }
    }
}

/// The decision of the rule about a well-formed order status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The order earns a voucher.
    Eligible {
        /// When the order was sent. It selects the signing key, and is the time of issue from which
        /// the voucher is valid.
        sent_at: Timestamp,
    },
    /// The order earns no voucher.
    Skip(Skip),
}

impl Rule {
    /// Decides about one order status. `written_at` is the timestamp of the record. It stands in
    /// for the time of sending of a SENT record that has no time of its own, but only in a campaign
    /// without dates: a record that is written again has another timestamp, and would earn the
    /// vouchers of two campaigns.
    ///
    /// # Errors
    /// A SENT record without any usable time is malformed. So is a record of a campaign with dates
    /// that has neither `sent_at` nor `occurred_at` and would otherwise earn a voucher.
    pub fn judge(
        &self,
        order: &OrderStatus<'_>,
        written_at: Option<Timestamp>,
    ) -> Result<Verdict, Malformed> {
        let sent_at = match (order.status, order.earned_at(written_at)?) {
            (Status::Sent | Status::Delivered | Status::Cancelled, Some(sent_at)) => sent_at,
            _ => return Ok(Verdict::Skip(Skip::Status)),
        };
        let skip = if order.currency != self.currency {
            Skip::Currency
        } else if order.total < self.min_total {
            Skip::Threshold
        } else if !has_own_time(order) && self.sent_from.is_some_and(|from| sent_at < from) {
            // An order is sent no later than its record is written.
            Skip::CampaignDates
        } else if self.has_dates() && !has_own_time(order) {
            return Err(self.undated(sent_at));
        } else if self.sent_from.is_some_and(|from| sent_at < from)
            || self.sent_until.is_some_and(|until| sent_at >= until)
        {
            Skip::CampaignDates
        } else {
            return Ok(Verdict::Eligible { sent_at });
        };
        Ok(Verdict::Skip(skip))
    }

    /// Returns whether the campaign has a beginning or an end.
    pub const fn has_dates(&self) -> bool {
        self.sent_from.is_some() || self.sent_until.is_some()
    }

    fn undated(&self, written_at: Timestamp) -> Malformed {
        Malformed::new(
            Reason::MissingTimestamp,
            format!(
                "the campaign {} has dates, and neither sent_at nor occurred_at says when the order \
                 was sent; the record's own timestamp, {written_at}, does not count then, because a \
                 record that is written again has a new one",
                self.campaign
            ),
        )
    }

    /// Returns when a voucher that was earned at `sent_at` expires.
    pub fn expires_at(&self, sent_at: Timestamp) -> Option<Timestamp> {
        let days = self.valid_days?;
        let end = DateTime::<Utc>::from(sent_at).checked_add_days(Days::new(u64::from(days)))?;
        Some(Timestamp::from(end))
    }

    /// Returns a digest of what the vouchers of this rule are worth: campaign, amount, currency and
    /// validity. A rule with another fingerprint needs another campaign, because two customers
    /// would get different vouchers under one name. Who earns a voucher (threshold, dates) may
    /// change.
    pub fn fingerprint(&self) -> String {
        let amount = self.amount.normalize();
        let days = self
            .valid_days
            .map_or("-".to_owned(), |days| days.to_string());
        let text = format!(
            "rule/1\0{}\0{amount}\0{}\0{days}",
            self.campaign,
            self.currency.as_str()
        );
        let digest = Sha256::digest(text.as_bytes());
        digest[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Returns whether the record itself says when the order was sent.
pub fn has_own_time(order: &OrderStatus<'_>) -> bool {
    own_time(order).is_some()
}

/// Returns the order's own time: when it was sent, else when it got its status.
pub fn own_time(order: &OrderStatus<'_>) -> Option<Timestamp> {
    order.sent_at.or(order.occurred_at)
}

#[cfg(test)]
mod tests {
    use schemas::OrderId;

    use super::*;

    fn rule() -> Rule {
        Rule {
            campaign: "order-reward".to_owned(),
            min_total: "100.00".parse().unwrap(),
            amount: "5.00".parse().unwrap(),
            currency: "EUR".parse().unwrap(),
            valid_days: None,
            sent_from: None,
            sent_until: None,
        }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn sent(total: &str) -> OrderStatus<'static> {
        OrderStatus {
            order_id: OrderId::new("17").unwrap(),
            status: Status::Sent,
            total: total.parse().unwrap(),
            currency: "EUR".parse().unwrap(),
            version: None,
            occurred_at: None,
            sent_at: Some(at("2026-05-01T00:00:00Z")),
        }
    }

    fn skip(rule: &Rule, order: &OrderStatus<'_>) -> Option<Skip> {
        match rule.judge(order, None).unwrap() {
            Verdict::Skip(skip) => Some(skip),
            Verdict::Eligible { .. } => None,
        }
    }

    #[test]
    fn the_threshold_is_inclusive_and_exact() {
        assert_eq!(skip(&rule(), &sent("100.00")), None);
        assert_eq!(skip(&rule(), &sent("100")), None);
        assert_eq!(
            skip(&rule(), &sent("99.9999999999999999999999999")),
            Some(Skip::Threshold)
        );
    }

    #[test]
    fn delivered_and_cancelled_count_only_when_they_carry_the_sending() {
        for status in [Status::Delivered, Status::Cancelled] {
            let carried = OrderStatus {
                status,
                ..sent("100")
            };
            assert_eq!(skip(&rule(), &carried), None);
            let never_sent = OrderStatus {
                sent_at: None,
                ..carried
            };
            assert_eq!(skip(&rule(), &never_sent), Some(Skip::Status));
        }
        let pending = OrderStatus {
            status: Status::Pending,
            ..sent("100")
        };
        assert_eq!(skip(&rule(), &pending), Some(Skip::Status));
    }

    #[test]
    fn the_first_reason_in_order_is_reported() {
        let dated = Rule {
            sent_from: Some(at("2026-06-01T00:00:00Z")),
            ..rule()
        };
        let all_wrong = OrderStatus {
            currency: "USD".parse().unwrap(),
            status: Status::Pending,
            ..sent("1")
        };
        assert_eq!(skip(&dated, &all_wrong), Some(Skip::Status));
        let sent_anyway = OrderStatus {
            status: Status::Sent,
            ..all_wrong
        };
        assert_eq!(skip(&dated, &sent_anyway), Some(Skip::Currency));
        assert_eq!(skip(&dated, &sent("1")), Some(Skip::Threshold));
        assert_eq!(skip(&dated, &sent("100")), Some(Skip::CampaignDates));
    }

    #[test]
    fn the_campaign_is_half_open_on_the_sending() {
        let sent_at = at("2026-05-01T00:00:00Z");
        let from = Rule {
            sent_from: Some(sent_at),
            ..rule()
        };
        assert_eq!(skip(&from, &sent("100")), None);
        let until = Rule {
            sent_until: Some(sent_at),
            ..rule()
        };
        assert_eq!(skip(&until, &sent("100")), Some(Skip::CampaignDates));
    }

    #[test]
    fn a_sent_record_without_times_was_sent_when_it_was_written() {
        let bare = OrderStatus {
            sent_at: None,
            ..sent("100")
        };
        let written = at("2026-05-02T00:00:00Z");
        assert_eq!(
            rule().judge(&bare, Some(written)).unwrap(),
            Verdict::Eligible { sent_at: written }
        );
        assert!(rule().judge(&bare, None).is_err());
    }

    #[test]
    fn a_campaign_with_dates_uses_only_times_of_the_record_itself() {
        let (before, within) = (at("2026-04-30T00:00:00Z"), at("2026-05-02T00:00:00Z"));
        let bare = OrderStatus {
            sent_at: None,
            ..sent("100")
        };
        let from = Rule {
            sent_from: Some(at("2026-05-01T00:00:00Z")),
            ..rule()
        };
        let until = Rule {
            sent_until: Some(at("2026-06-01T00:00:00Z")),
            ..rule()
        };
        // It was sent no later than it was written, and so before the campaign.
        assert_eq!(
            from.judge(&bare, Some(before)).unwrap(),
            Verdict::Skip(Skip::CampaignDates)
        );
        for (dated, undecided) in [(from, &[within][..]), (until, &[before, within])] {
            for written in undecided {
                let malformed = dated.judge(&bare, Some(*written)).unwrap_err();
                assert_eq!(malformed.reason(), Reason::MissingTimestamp);
            }
            let said = OrderStatus {
                occurred_at: Some(within),
                ..bare.clone()
            };
            assert_eq!(
                dated.judge(&said, Some(before)).unwrap(),
                Verdict::Eligible { sent_at: within }
            );
            // An order that earns nothing at any time needs no time.
            let small = OrderStatus {
                total: "99.99".parse().unwrap(),
                ..bare.clone()
            };
            assert_eq!(
                dated.judge(&small, Some(within)).unwrap(),
                Verdict::Skip(Skip::Threshold)
            );
        }
    }

    #[test]
    fn the_fingerprint_is_of_the_vouchers_worth_alone() {
        let same = Rule {
            min_total: "1".parse().unwrap(),
            amount: "5".parse().unwrap(),
            sent_from: Some(at("2026-05-01T00:00:00Z")),
            ..rule()
        };
        assert_eq!(same.fingerprint(), rule().fingerprint());
        for other in [
            Rule {
                amount: "6".parse().unwrap(),
                ..rule()
            },
            Rule {
                currency: "USD".parse().unwrap(),
                ..rule()
            },
            Rule {
                valid_days: Some(30),
                ..rule()
            },
            Rule {
                campaign: "other".to_owned(),
                ..rule()
            },
        ] {
            assert_ne!(other.fingerprint(), rule().fingerprint());
        }
    }

    #[test]
    fn validity_counts_from_the_sending() {
        let valid = Rule {
            valid_days: Some(30),
            ..rule()
        };
        assert_eq!(
            valid.expires_at(at("2026-05-01T12:00:00Z")),
            Some(at("2026-05-31T12:00:00Z"))
        );
        assert_eq!(rule().expires_at(at("2026-05-01T12:00:00Z")), None);
    }
}
