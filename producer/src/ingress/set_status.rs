//! Orders that shall have another status: read, judged, written.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;

use super::change::{Action, NotWritten};
use super::commit::{CommitError, Entry, now, write_at_once};
use super::decide::{self, Decision};
use super::job::Job;
use super::statements::{self, Write};
use super::stored::StoredOrder;
use crate::orders::Order;

/// Orders as they were found.
#[derive(Debug, Default)]
pub(super) struct Found {
    orders: HashMap<String, StoredOrder>,
    /// Those that another session has locked.
    locked: HashSet<String>,
}

/// One order, as it was found.
pub(super) enum FoundOrder {
    /// There is none.
    Absent,
    /// Another session has locked it.
    Locked,
    /// It can't be read.
    Unreadable,
    /// This one.
    Order(Order),
}

impl Found {
    /// Takes the order of this id out.
    pub(super) fn take(&mut self, order_id: &str) -> FoundOrder {
        if self.locked.contains(order_id) {
            return FoundOrder::Locked;
        }
        match self.orders.remove(order_id).map(|stored| stored.order) {
            None => FoundOrder::Absent,
            Some(Err(_)) => FoundOrder::Unreadable,
            Some(Ok(order)) => FoundOrder::Order(order),
        }
    }
}

/// Changes orders that nobody holds: they are read, judged, and written if they are still as they
/// were read. So the rules are in one place (`decide`), and a lock is held by one statement alone.
pub(super) async fn at_once(
    connection: &mut PgConnection,
    jobs: &mut [Job],
    entries: &mut [Entry],
) -> Result<(), CommitError> {
    let ids = order_ids(jobs, entries);
    let found = Found {
        orders: by_id(statements::read_orders(connection, &ids).await?),
        locked: HashSet::new(),
    };
    judge(jobs, entries, found);
    if entries.iter().all(|entry| entry.write.is_none()) {
        return Ok(());
    }
    write_at_once(connection, jobs, entries, async |connection, writes| {
        statements::change_orders(connection, writes).await
    })
    .await
}

/// Changes orders within the group's transaction: they are locked, judged, and written. Those that
/// another session has locked are left out.
pub(super) async fn in_transaction(
    connection: &mut PgConnection,
    jobs: &[Job],
    entries: &mut [Entry],
) -> Result<(), CommitError> {
    let ids = order_ids(jobs, entries);
    let found = lock(connection, &ids).await?;
    let judged = judge(jobs, entries, found);
    let writes: Vec<Write<'_>> = judged
        .iter()
        .filter_map(|index| {
            let order = entries[*index].write.as_ref()?;
            Some(Write::of(&jobs[*index].change, order))
        })
        .collect();
    if !writes.is_empty() {
        let changed: HashSet<String> = statements::change_orders(connection, &writes)
            .await?
            .into_iter()
            .collect();
        for index in judged {
            tell_ignored(&mut entries[index], &changed);
        }
    }
    Ok(())
}

/// A locked order stays as it is, so one that was not changed is one whose change the table ignores.
fn tell_ignored(entry: &mut Entry, changed: &HashSet<String>) {
    let is_ignored = |order: &mut Order| !changed.contains(&order.order_id);
    if let Some(order) = entry.write.take_if(is_ignored) {
        let order_id = order.order_id;
        tracing::error!(order_id, "the table ignores a change of an order");
        entry.outcome = Some(Err(NotWritten::Failed(format!(
            "a trigger, a rule or row-level security ignores the change of the order {order_id:?}"
        ))));
    }
}

/// Locks orders without waiting for any of them. One that exists and could not be locked is in
/// another session's hands.
pub(super) async fn lock(connection: &mut PgConnection, ids: &[&str]) -> sqlx::Result<Found> {
    if ids.is_empty() {
        return Ok(Found::default());
    }
    let orders = by_id(statements::lock_orders(connection, ids).await?);
    let missing: Vec<&str> = ids
        .iter()
        .filter(|id| !orders.contains_key(**id))
        .copied()
        .collect();
    let locked = if missing.is_empty() {
        HashSet::new()
    } else {
        let existing = statements::existing_orders(connection, &missing).await?;
        existing.into_iter().collect()
    };
    Ok(Found { orders, locked })
}

fn by_id(rows: Vec<StoredOrder>) -> HashMap<String, StoredOrder> {
    rows.into_iter()
        .map(|row| (row.order_id.clone(), row))
        .collect()
}

/// The orders whose status is to change.
fn order_ids<'a>(jobs: &'a [Job], entries: &[Entry]) -> Vec<&'a str> {
    jobs.iter()
        .zip(entries)
        .filter(|(_, entry)| entry.is_open())
        .filter_map(|(job, _)| match &job.change.action {
            Action::SetStatus { order_id, .. } => Some(order_id.as_str()),
            Action::Place(_) => None,
        })
        .collect()
}

/// Decides on every status that is wanted; says which of the jobs were judged.
fn judge(jobs: &[Job], entries: &mut [Entry], mut found: Found) -> Vec<usize> {
    let at = now();
    let mut judged = Vec::new();
    for (index, (job, entry)) in jobs.iter().zip(entries).enumerate() {
        let Action::SetStatus {
            order_id,
            wanted,
            precondition,
        } = &job.change.action
        else {
            continue;
        };
        if !entry.is_open() {
            continue;
        }
        let order = match found.take(order_id) {
            FoundOrder::Locked => {
                entry.locked = true;
                continue;
            }
            FoundOrder::Unreadable => {
                entry.outcome = Some(Err(NotWritten::Unreadable(order_id.clone())));
                continue;
            }
            FoundOrder::Absent => None,
            FoundOrder::Order(order) => Some(order),
        };
        judged.push(index);
        let decision = decide::set_status(
            order,
            *wanted,
            precondition.as_ref(),
            job.attempt.as_ref(),
            at,
        );
        match decision {
            Decision::Answer(outcome) => entry.outcome = Some(Ok(outcome)),
            Decision::Unknown => entry.outcome = Some(Err(NotWritten::OutcomeUnknown)),
            Decision::Write(order) => entry.write = Some(order),
        }
    }
    judged
}
