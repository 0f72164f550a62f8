//! Changes of status: the orders are read, decided about, and written.

use sqlx::PgConnection;

use super::super::change::{Action, NotDone};
use super::decide::{self, ChangeDecision};
use super::entry::{Entry, State, keep_written, now, remember_attempts, writes};
use crate::orders::Order;
use crate::store::orders::{self, FoundOrder, FoundOrders, OrderWrite};

/// Changes orders that no other session has locked: they are read, decided about, and updated if they
/// still have the version that was read. So the rules are in one place (`decide`), and a row is locked
/// for one statement only.
pub(super) async fn at_once(
    connection: &mut PgConnection,
    entries: &mut [Entry<'_>],
) -> sqlx::Result<()> {
    let found = orders::read(connection, &order_ids(entries)).await?;
    decide_all(entries, found);
    let writes_nothing = |entry: &Entry<'_>| !matches!(entry.state, State::Write(_));
    if entries.iter().all(writes_nothing) {
        return Ok(());
    }
    remember_attempts(entries);
    let written = orders::update(connection, &writes(entries)).await;
    keep_written(entries, written)
}

/// Changes orders within the group's transaction: they are locked, decided about, and updated. Orders
/// that another session has locked are left out.
pub(super) async fn in_transaction(
    connection: &mut PgConnection,
    entries: &mut [Entry<'_>],
) -> sqlx::Result<()> {
    let found = orders::lock(connection, &order_ids(entries)).await?;
    decide_all(entries, found);
    let changes: Vec<OrderWrite<'_>> = entries
        .iter()
        .filter_map(|entry| Some(entry.write(entry.changed_order()?)))
        .collect();
    if changes.is_empty() {
        return Ok(());
    }
    let written = orders::update(connection, &changes).await?;
    // No other session can change a locked order, so it was the table that ignored an unwritten change.
    for entry in entries {
        if let Some(Order { order_id, .. }) = entry.changed_order()
            && !written.contains(order_id)
        {
            let trace_id = entry.job.change.trace.trace_id();
            tracing::error!(
                order_id,
                trace_id,
                "the table ignores the change of an order"
            );
            let why = format!(
                "a trigger, a rule or row-level security ignores the change of the order {order_id:?}"
            );
            entry.state = State::Answer(Err(NotDone::StatementFailed(why)));
        }
    }
    Ok(())
}

/// Returns the orders whose status is to change.
fn order_ids<'e>(entries: &'e [Entry<'_>]) -> Vec<&'e str> {
    entries
        .iter()
        .filter(|entry| entry.is_undecided())
        .filter_map(|entry| match &entry.job.change.action {
            Action::SetStatus { order_id, .. } => Some(order_id.as_str()),
            Action::Place(_) => None,
        })
        .collect()
}

/// Decides about every status that is wanted, given the orders.
fn decide_all(entries: &mut [Entry<'_>], mut found: FoundOrders) {
    let at = now();
    for entry in entries.iter_mut().filter(|entry| entry.is_undecided()) {
        let Action::SetStatus {
            order_id,
            wanted,
            precondition,
        } = &entry.job.change.action
        else {
            continue;
        };
        let order = match found.take(order_id) {
            FoundOrder::Locked => {
                entry.state = State::Locked;
                continue;
            }
            FoundOrder::Unreadable => {
                entry.state = State::Answer(Err(NotDone::Unreadable(order_id.clone())));
                continue;
            }
            FoundOrder::Absent => None,
            FoundOrder::Order(order) => Some(order),
        };
        let decision = decide::set_status(
            order,
            *wanted,
            precondition.as_ref(),
            entry.job.attempt.as_ref(),
            at,
        );
        entry.state = match decision {
            ChangeDecision::Answer(outcome) => State::Answer(Ok(outcome)),
            ChangeDecision::Unknown => State::Answer(Err(NotDone::OutcomeUnknown)),
            ChangeDecision::Write(order) => State::Write(order),
        };
    }
}

impl Entry<'_> {
    /// Returns the order whose changed status is to be written. `None` for a new order, which a
    /// transaction may have as well.
    fn changed_order(&self) -> Option<&Order> {
        match (&self.job.change.action, &self.state) {
            (Action::SetStatus { .. }, State::Write(order)) => Some(order),
            _ => None,
        }
    }
}
