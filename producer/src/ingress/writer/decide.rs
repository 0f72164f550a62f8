//! Decides about a change, given the order's row. Pure.

use schemas::{Status, Timestamp};

use super::super::change::{ChangeRefused, Outcome, Precondition};
use super::super::job::Attempt;
use crate::orders::{Order, Transition, transition};

/// What to do about a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ChangeDecision {
    /// Nothing to write.
    Answer(Outcome),
    /// Write the order like this, and its event.
    Write(Order),
    /// The answer to an earlier commit was lost, and the order has changed since: the outcome is
    /// unknown.
    Unknown,
}

/// Decides about a change to the status `wanted`, at the time `now`.
pub(super) fn set_status(
    order: Option<Order>,
    wanted: Status,
    precondition: Option<&Precondition>,
    attempt: Option<&Attempt>,
    now: Timestamp,
) -> ChangeDecision {
    let Some(order) = order else {
        return ChangeDecision::Answer(ChangeRefused::OrderNotFound.into());
    };
    if let Some(attempt) = attempt {
        // The row is locked, so the earlier transaction has ended, by a commit or a rollback.
        let is_ours = order.version == attempt.version
            && order.updated_at == attempt.at
            && order.status == wanted;
        if is_ours {
            return ChangeDecision::Answer(Outcome::Changed(order));
        }
        if order.version > attempt.version {
            return ChangeDecision::Unknown;
        }
    }
    if precondition.is_some_and(|precondition| !precondition.holds(order.version)) {
        let version = order.version;
        return ChangeDecision::Answer(ChangeRefused::PreconditionFailed { version }.into());
    }
    match transition(order.status, wanted) {
        Transition::Unchanged => ChangeDecision::Answer(Outcome::Unchanged(order)),
        Transition::Refused => {
            let current = order.status;
            ChangeDecision::Answer(ChangeRefused::Transition { current, wanted }.into())
        }
        Transition::Changed => {
            // The clock of another instance may be ahead: an order's times never go back.
            let at = now.max(order.updated_at);
            let sent_at = match wanted {
                Status::Sent => order.sent_at.or(Some(at)),
                _ => order.sent_at,
            };
            ChangeDecision::Write(Order {
                status: wanted,
                version: order.version + 1,
                sent_at,
                updated_at: at,
                ..order
            })
        }
    }
}

/// Decides about an order that could not be placed because `existing` has its id.
pub(super) fn place_again(existing: Order, attempt: Option<&Attempt>) -> Outcome {
    let is_own = attempt.is_some_and(|attempt| existing.created_at == attempt.at);
    if is_own {
        Outcome::Placed(existing)
    } else {
        let order_id = existing.order_id;
        ChangeRefused::OrderExists { order_id }.into()
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;
    use schemas::Currency;

    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn order(status: Status, version: i64) -> Order {
        Order {
            order_id: "17".to_owned(),
            status,
            total: Decimal::ONE_HUNDRED,
            currency: Currency::EUR,
            products: Vec::new(),
            version,
            sent_at: (status != Status::Pending).then(|| at(5)),
            created_at: at(1),
            updated_at: at(10),
        }
    }

    fn decide(order: &Order, wanted: Status) -> ChangeDecision {
        set_status(Some(order.clone()), wanted, None, None, at(20))
    }

    #[test]
    fn sent_at_is_set_once_and_carried() {
        let ChangeDecision::Write(sent) = decide(&order(Status::Pending, 1), Status::Sent) else {
            panic!("pending orders are sent");
        };
        assert_eq!((sent.version, sent.sent_at), (2, Some(at(20))));
        let ChangeDecision::Write(delivered) = decide(&sent, Status::Delivered) else {
            panic!("sent orders are delivered");
        };
        assert_eq!((delivered.version, delivered.sent_at), (3, Some(at(20))));
        let ChangeDecision::Write(cancelled) =
            decide(&order(Status::Pending, 1), Status::Cancelled)
        else {
            panic!("pending orders are cancelled");
        };
        assert_eq!(cancelled.sent_at, None, "it was never sent");
    }

    #[test]
    fn the_same_again_writes_nothing() {
        let sent = order(Status::Sent, 2);
        assert_eq!(
            decide(&sent, Status::Sent),
            ChangeDecision::Answer(Outcome::Unchanged(sent.clone()))
        );
    }

    #[test]
    fn an_orders_times_never_go_back() {
        let early = set_status(
            Some(order(Status::Pending, 1)),
            Status::Sent,
            None,
            None,
            at(3),
        );
        assert!(matches!(early, ChangeDecision::Write(order) if order.updated_at == at(10)));
    }

    #[test]
    fn a_precondition_is_checked_before_the_transition() {
        let stale = Precondition::Versions(vec![1]);
        for wanted in Status::ALL {
            assert_eq!(
                set_status(
                    Some(order(Status::Sent, 2)),
                    wanted,
                    Some(&stale),
                    None,
                    at(20)
                ),
                ChangeDecision::Answer(ChangeRefused::PreconditionFailed { version: 2 }.into())
            );
        }
    }

    #[test]
    fn after_a_lost_commit_the_row_shows_whether_it_arrived() {
        let attempt = Attempt {
            order_id: "17".to_owned(),
            version: 2,
            at: at(10),
        };
        let again = |order: &Order| {
            set_status(
                Some(order.clone()),
                Status::Sent,
                None,
                Some(&attempt),
                at(20),
            )
        };
        let arrived = order(Status::Sent, 2);
        assert_eq!(
            again(&arrived),
            ChangeDecision::Answer(Outcome::Changed(arrived.clone()))
        );
        let not_arrived = order(Status::Pending, 1);
        assert!(matches!(again(&not_arrived), ChangeDecision::Write(_)));
        assert_eq!(again(&order(Status::Delivered, 3)), ChangeDecision::Unknown);
        let of_another = Order {
            updated_at: at(11),
            ..order(Status::Cancelled, 2)
        };
        assert!(matches!(
            again(&of_another),
            ChangeDecision::Answer(Outcome::Refused(ChangeRefused::Transition { .. }))
        ));
    }

    #[test]
    fn a_repeated_placing_knows_its_own_order() {
        let attempt = Attempt {
            order_id: "17".to_owned(),
            version: 1,
            at: at(1),
        };
        let mine = order(Status::Pending, 1);
        assert_eq!(
            place_again(mine.clone(), Some(&attempt)),
            Outcome::Placed(mine.clone())
        );
        let other = Order {
            created_at: at(2),
            ..mine.clone()
        };
        let order_id = "17".to_owned();
        let exists = Outcome::Refused(ChangeRefused::OrderExists { order_id });
        assert_eq!(place_again(other, Some(&attempt)), exists);
        assert_eq!(place_again(mine, None), exists);
    }
}
