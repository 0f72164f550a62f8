//! Explains the decisions of the rule: which value of the order and which bound of the rule
//! decided.

use rust_decimal::Decimal;
use schemas::{Currency, Malformed, OrderStatus, Timestamp, decimal};

use super::{Rule, Skip, Verdict};

/// The explanation for a null value, which holds no order.
pub const TOMBSTONE: &str = "the value is null: the order was deleted, which deletes no voucher";

impl Rule {
    /// Decides as [`Rule::judge`] does, and explains the decision to a person.
    ///
    /// # Errors
    /// See [`Rule::judge`].
    pub fn explain(
        &self,
        order: &OrderStatus<'_>,
        written_at: Option<Timestamp>,
    ) -> Result<(Verdict, String), Malformed> {
        let verdict = self.judge(order, written_at)?;
        let total = money(order.total, order.currency);
        let min_total = decimal::as_money(self.min_total);
        let explanation = match verdict {
            Verdict::Eligible { sent_at } => {
                format!("sent at {sent_at}, total {total} is at least {min_total}")
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
            Verdict::Skip(Skip::Threshold) => format!("total {total} is below {min_total}"),
            Verdict::Skip(Skip::CampaignDates) => self.explain_dates(order.earned_at(written_at)?),
        };
        Ok((verdict, explanation))
    }

    fn explain_dates(&self, sent_at: Option<Timestamp>) -> String {
        let sent_at = sent_at.map_or_else(|| "never".to_owned(), |at| format!("at {at}"));
        let bound = |name: &str, at: Option<Timestamp>| {
            at.map_or_else(String::new, |at| format!(" {name} {at}"))
        };
        format!(
            "sent {sent_at}, but the campaign counts orders that were sent{}{}",
            bound("from", self.sent_from),
            bound("until", self.sent_until)
        )
    }
}

/// Formats an amount for a person: `99.99 EUR`.
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

    fn explained(change: impl FnOnce(&mut OrderStatus<'_>)) -> String {
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
        rule().explain(&order, None).unwrap().1
    }

    #[test]
    fn each_explanation_names_what_decided() {
        assert_eq!(
            explained(|_| {}),
            "sent at 2026-05-01T00:00:00Z, total 100.00 EUR is at least 100.00"
        );
        assert_eq!(
            explained(|order| order.total = "99.99".parse().unwrap()),
            "total 99.99 EUR is below 100.00"
        );
        assert_eq!(
            explained(|order| order.total = "99.9999".parse().unwrap()),
            "total 99.9999 EUR is below 100.00"
        );
        assert_eq!(
            explained(|order| order.currency = "USD".parse().unwrap()),
            "total 100.00 USD is not in the campaign's currency, EUR"
        );
        assert_eq!(
            explained(|order| {
                order.status = Status::Cancelled;
                order.sent_at = None;
            }),
            "status is CANCELLED, and no sent_at says that it was sent"
        );
        assert_eq!(
            explained(|order| order.sent_at = "2026-04-30T23:59:59Z".parse().ok()),
            "sent at 2026-04-30T23:59:59Z, but the campaign counts orders that were sent from \
             2026-05-01T00:00:00Z"
        );
    }

    #[test]
    fn an_order_without_a_time_is_malformed_when_it_is_explained_too() {
        let order = OrderStatus {
            order_id: OrderId::new("17").unwrap(),
            status: Status::Sent,
            total: "1".parse().unwrap(),
            currency: "EUR".parse().unwrap(),
            version: None,
            occurred_at: None,
            sent_at: None,
        };
        assert!(rule().explain(&order, None).is_err());
    }
}
