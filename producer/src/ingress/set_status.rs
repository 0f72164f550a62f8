//! Orders that shall have another status: read, judged, written.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::change::{Action, NotWritten};
use super::commit::{CommitError, Entry, now, write_at_once};
use super::decide::{self, Decision};
use super::queue::Job;
use super::statements::{self, OrderRow, Write};
use crate::orders::Order;

/// Changes orders that nobody holds: they are read, judged, and written if they are still as they
/// were read. So the rules are in one place (`decide`), and a lock is held by one statement alone.
pub(super) async fn at_once(
    connection: &mut PgConnection,
    jobs: &mut [Job],
    entries: &mut [Entry],
) -> Result<(), CommitError> {
    let ids = order_ids(jobs, entries);
    let orders = by_id(statements::read_orders(connection, &ids).await?);
    judge(jobs, entries, orders);
    if entries.iter().all(|entry| entry.write.is_none()) {
        return Ok(());
    }
    write_at_once(connection, jobs, entries, async |connection, writes| {
        statements::change_orders(connection, writes).await
    })
    .await
}

/// Changes orders within the group's transaction: they are locked, judged, and written.
pub(super) async fn in_transaction(
    connection: &mut PgConnection,
    jobs: &[Job],
    entries: &mut [Entry],
) -> Result<(), CommitError> {
    let ids = order_ids(jobs, entries);
    let orders = lock(connection, &ids).await?;
    let judged = judge(jobs, entries, orders);
    let writes: Vec<Write<'_>> = judged
        .iter()
        .filter_map(|index| {
            let order = entries[*index].write.as_ref()?;
            Some(Write::of(&jobs[*index].change, order))
        })
        .collect();
    if !writes.is_empty() {
        let changed = statements::change_orders(connection, &writes).await?;
        assert_eq!(
            changed.len(),
            writes.len(),
            "locked orders stay as they are"
        );
    }
    Ok(())
}

/// Locks orders; by id.
pub(super) async fn lock(
    connection: &mut PgConnection,
    ids: &[&str],
) -> Result<HashMap<String, Order>, CommitError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    Ok(by_id(statements::lock_orders(connection, ids).await?))
}

fn by_id(rows: Vec<OrderRow>) -> HashMap<String, Order> {
    rows.into_iter()
        .map(|row| (row.0.order_id.clone(), row.0))
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
fn judge(jobs: &[Job], entries: &mut [Entry], mut orders: HashMap<String, Order>) -> Vec<usize> {
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
        judged.push(index);
        let decision = decide::set_status(
            orders.remove(order_id),
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
