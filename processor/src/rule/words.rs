//! The rule's verdicts in words: what of the order, and what of the rule, decided.

use rust_decimal::Decimal;
use schemas::{Currency, Malformed, OrderStatus, Timestamp, decimal};

use super::{Rule, Skip, Verdict};

/// Of a null value, which has no order to ask the rule about.
pub const TOMBSTONE: &str = "the value is null: the order was deleted, which deletes no voucher";

impl Rule {
    /// As [`Rule::judge`], with the reason for a person.
    ///
    /// # Errors
    /// As there.
    pub fn judge_in_words(
        &self,
        order: &OrderStatus<'_>,
        written_at: Option<Timestamp>,
    ) -> Result<(Verdict, String), Malformed> {
        let verdict = self.judge(order, written_at)?;
        let total = money(order.total, order.currency);
        let least = decimal::as_money(self.min_total);
        let words = match verdict {
            Verdict::Eligible { sent_at } => {
                format!("sent at {sent_at}, total {total} is at least {least}")
            }
            Verdict::Skip(Skip::Tombstone) => TOMBSTONE.to_owned(),
            Verdict::Skip(Skip::Status) => {
                format!(
                    "status is {}, and no sent_at says that it was sent",
                    order.status
                )
            }
            Verdict::Skip(Skip::Currency) => format!(
                "total {total} is not in the campaign's currency, {}",
                self.currency
            ),
            Verdict::Skip(Skip::Threshold) => format!("total {total} is below {least}"),
            Verdict::Skip(Skip::CampaignDates) => self.dates_in_words(order.earned_at(written_at)?),
        };
        Ok((verdict, words))
    }

    fn dates_in_words(&self, sent_at: Option<Timestamp>) -> String {
        let sent_at = sent_at.map_or_else(|| "never".to_owned(), |at| format!("at {at}"));
        let bound = |word: &str, at: Option<Timestamp>| {
            at.map_or_else(String::new, |at| format!(" {word} {at}"))
        };
        format!(
            "sent {sent_at}, and the campaign counts what was sent{}{}",
            bound("from", self.sent_from),
            bound("until", self.sent_until)
        )
    }
}

/// An amount as a person writes it: `99.99 EUR`.
pub fn money(amount: Decimal, currency: Currency) -> String {
    format!("{} {currency}", decimal::as_money(amount))
}

#[cfg(test)]
mod tests {
    use schemas::{OrderId, Status};

    use super::*;

    fn rule() -> Rule {
        Rule {
            campaign: "order-reward".to_owned(),
            min_total: "100".parse().unwrap(),
            amount: "5.00".parse().unwrap(),
            currency: "EUR".parse().unwrap(),
            valid_days: None,
            sent_from: Some("2026-05-01T00:00:00Z".parse().unwrap()),
            sent_until: None,
        }
    }

    fn words(change: impl FnOnce(&mut OrderStatus<'_>)) -> String {
        let mut order = OrderStatus {
            order_id: OrderId::new("17").unwrap(),
            status: Status::Sent,
            total: "100.000".parse().unwrap(),
            currency: "EUR".parse().unwrap(),
            version: None,
            occurred_at: None,
            sent_at: Some("2026-05-01T00:00:00Z".parse().unwrap()),
        };
        change(&mut order);
        rule().judge_in_words(&order, None).unwrap().1
    }

    #[test]
    fn each_verdict_says_what_decided() {
        assert_eq!(
            words(|_| {}),
            "sent at 2026-05-01T00:00:00Z, total 100.00 EUR is at least 100.00"
        );
        assert_eq!(
            words(|order| order.total = "99.99".parse().unwrap()),
            "total 99.99 EUR is below 100.00"
        );
        assert_eq!(
            words(|order| order.total = "99.9999".parse().unwrap()),
            "total 99.9999 EUR is below 100.00"
        );
        assert_eq!(
            words(|order| order.currency = "USD".parse().unwrap()),
            "total 100.00 USD is not in the campaign's currency, EUR"
        );
        assert_eq!(
            words(|order| {
                order.status = Status::Cancelled;
                order.sent_at = None;
            }),
            "status is CANCELLED, and no sent_at says that it was sent"
        );
        assert_eq!(
            words(|order| order.sent_at = "2026-04-30T23:59:59Z".parse().ok()),
            "sent at 2026-04-30T23:59:59Z, and the campaign counts what was sent from \
             2026-05-01T00:00:00Z"
        );
    }

    #[test]
    fn words_and_verdict_are_of_one_judgement() {
        let order = OrderStatus {
            order_id: OrderId::new("17").unwrap(),
            status: Status::Sent,
            total: "1".parse().unwrap(),
            currency: "EUR".parse().unwrap(),
            version: None,
            occurred_at: None,
            sent_at: None,
        };
        assert!(rule().judge_in_words(&order, None).is_err());
    }
}
