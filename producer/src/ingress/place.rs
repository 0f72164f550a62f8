//! New orders: named, numbered, inserted.

use std::collections::HashSet;

use schemas::{Status, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::change::{Action, NotWritten, Outcome};
use super::commit::{CommitError, Entry, now, write_at_once};
use super::decide;
use super::job::Job;
use super::set_status::{FoundOrder, lock};
use super::statements::{self, Write};
use crate::orders::{NewOrder, Order, OrderName, Product, money_text};

/// Places a group of nothing but new orders, each for the first time, in one statement.
pub(super) async fn at_once(
    connection: &mut PgConnection,
    jobs: &mut [Job],
    entries: &mut [Entry],
) -> Result<(), CommitError> {
    let at = now();
    let all: Vec<usize> = (0..jobs.len()).collect();
    let orders = new_orders(connection, jobs, &all, at).await?;
    for (entry, order) in entries.iter_mut().zip(orders) {
        entry.write = Some(order);
    }
    write_at_once(connection, jobs, entries, async |connection, writes| {
        statements::place_orders(connection, writes, at).await
    })
    .await?;
    for (job, entry) in jobs.iter().zip(entries) {
        if entry.is_open()
            && let Some(OrderName::Given(order_id)) = new_order(job).map(|new| &new.name)
        {
            let order_id = order_id.clone();
            entry.outcome = Some(Ok(Outcome::Exists { order_id }));
        }
    }
    Ok(())
}

/// Places the new orders of a group within its transaction. Those whose id exists are not; one that
/// we numbered gets the next number.
pub(super) async fn in_transaction(
    connection: &mut PgConnection,
    jobs: &[Job],
    entries: &mut [Entry],
) -> Result<(), CommitError> {
    let mut open: Vec<usize> = (0..jobs.len())
        .filter(|at| entries[*at].is_open() && new_order(&jobs[*at]).is_some())
        .collect();
    while !open.is_empty() {
        let later;
        (open, later) = without_twins(jobs, open);
        let at = now();
        let orders = new_orders(connection, jobs, &open, at).await?;
        let writes: Vec<Write<'_>> = open
            .iter()
            .zip(&orders)
            .map(|(index, order)| Write::of(&jobs[*index].change, order))
            .collect();
        let inserted = statements::place_orders(connection, &writes, at).await?;
        let inserted: HashSet<String> = inserted.into_iter().collect();
        let (done, taken): (Vec<_>, Vec<_>) = open
            .into_iter()
            .zip(orders)
            .partition(|(_, order)| inserted.contains(&order.order_id));
        for (index, order) in done {
            entries[index].write = Some(order);
        }
        open = answer_existing(connection, jobs, entries, taken).await?;
        open.extend(later);
    }
    Ok(())
}

/// Of those that ask for one id only one, which is one that was tried before; and the others. (An
/// integer that we gave at an earlier try may be what somebody else names now.) One statement says
/// by the id alone which orders it placed.
fn without_twins(jobs: &[Job], mut open: Vec<usize>) -> (Vec<usize>, Vec<usize>) {
    open.sort_by_key(|index| jobs[*index].attempt.is_none());
    let mut seen = HashSet::new();
    open.into_iter()
        .partition(|index| known_id(&jobs[*index]).is_none_or(|id| seen.insert(id)))
}

/// The client's id, or that of an earlier try.
fn known_id(job: &Job) -> Option<&str> {
    match (&new_order(job)?.name, &job.attempt) {
        (OrderName::Given(order_id), _) => Some(order_id),
        (_, attempt) => attempt.as_ref().map(|attempt| attempt.order_id.as_str()),
    }
}

/// Answers the changes whose id exists; the rest is to be tried with other ids.
async fn answer_existing(
    connection: &mut PgConnection,
    jobs: &[Job],
    entries: &mut [Entry],
    taken: Vec<(usize, Order)>,
) -> Result<Vec<usize>, CommitError> {
    let ids: Vec<&str> = taken
        .iter()
        .filter(|(index, _)| jobs[*index].attempt.is_some())
        .map(|(_, order)| order.order_id.as_str())
        .collect();
    let mut tried_before = lock(connection, &ids).await?;
    let mut again = Vec::new();
    for (index, order) in taken {
        let job = &jobs[index];
        let ours_to_name = matches!(
            new_order(job).map(|new| &new.name),
            Some(OrderName::Number | OrderName::Uuid)
        );
        let outcome = match tried_before.take(&order.order_id) {
            FoundOrder::Order(existing) => Ok(decide::place_again(existing, job.attempt.as_ref())),
            FoundOrder::Unreadable => Err(NotWritten::Unreadable(order.order_id)),
            FoundOrder::Locked => {
                entries[index].locked = true;
                continue;
            }
            FoundOrder::Absent if ours_to_name => {
                again.push(index);
                continue;
            }
            FoundOrder::Absent => Ok(Outcome::Exists {
                order_id: order.order_id,
            }),
        };
        entries[index].outcome = Some(outcome);
    }
    Ok(again)
}

/// The new orders of these jobs.
async fn new_orders(
    connection: &mut PgConnection,
    jobs: &[Job],
    open: &[usize],
    at: Timestamp,
) -> Result<Vec<Order>, CommitError> {
    let new: Vec<(&Job, &NewOrder)> = open
        .iter()
        .filter_map(|index| Some((&jobs[*index], new_order(&jobs[*index])?)))
        .collect();
    let ids = order_ids(connection, &new).await?;
    let products = products(connection, &new).await?;
    assert_eq!((ids.len(), products.len()), (open.len(), open.len()));
    Ok(new
        .into_iter()
        .zip(ids)
        .zip(products)
        .map(|(((_, new), order_id), products)| placed(new, order_id, products, at))
        .collect())
}

/// Their ids: the client's, those of an earlier try, or new ones.
async fn order_ids(
    connection: &mut PgConnection,
    new: &[(&Job, &NewOrder)],
) -> Result<Vec<String>, CommitError> {
    let known: HashSet<&str> = new.iter().filter_map(|(job, _)| known_id(job)).collect();
    let is_numbered =
        |job: &Job, new: &NewOrder| known_id(job).is_none() && new.name == OrderName::Number;
    let wanted = new
        .iter()
        .filter(|(job, new)| is_numbered(job, new))
        .count();
    let mut numbers = numbers(connection, wanted, &known).await?.into_iter();
    let ids: Vec<String> = new
        .iter()
        .filter_map(|(job, new)| match (known_id(job), &new.name) {
            (Some(id), _) => Some(id.to_owned()),
            (None, OrderName::Number) => numbers.next().map(|number| number.to_string()),
            (None, _) => Some(Uuid::now_v7().to_string()),
        })
        .collect();
    let distinct: HashSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "one order, one id");
    Ok(ids)
}

/// As many free integers as wanted, none of them `known` as the id of another order of the group.
/// Where many are taken (imported orders) the steps get longer.
async fn numbers(
    connection: &mut PgConnection,
    wanted: usize,
    known: &HashSet<&str>,
) -> Result<Vec<i64>, CommitError> {
    const MAX_STEP: i64 = 10_000;
    let mut numbers = Vec::with_capacity(wanted);
    let mut step = i64::try_from(wanted).unwrap_or(MAX_STEP);
    while numbers.len() < wanted {
        let free = statements::free_numbers(connection, step).await?;
        let is_known = |number: &i64| known.contains(number.to_string().as_str());
        numbers.extend(free.into_iter().filter(|number| !is_known(number)));
        step = (step * 2).min(MAX_STEP);
    }
    numbers.sort_unstable();
    numbers.truncate(wanted);
    Ok(numbers)
}

/// Their products; those of the old routes get numbers.
async fn products(
    connection: &mut PgConnection,
    new: &[(&Job, &NewOrder)],
) -> Result<Vec<Vec<Product>>, CommitError> {
    let wanted: usize = new
        .iter()
        .filter(|(_, new)| new.name == OrderName::Number)
        .map(|(_, new)| new.products.len())
        .sum();
    let numbers = match i64::try_from(wanted) {
        Ok(0) | Err(_) => Vec::new(),
        Ok(wanted) => statements::product_numbers(connection, wanted).await?,
    };
    let mut numbers = numbers.into_iter();
    Ok(new
        .iter()
        .map(|(_, new)| {
            let numbered = new.name == OrderName::Number;
            new.products
                .iter()
                .map(|product| Product {
                    id: if numbered { numbers.next() } else { None },
                    name: product.name().to_owned(),
                    price: money_text(product.price()),
                })
                .collect()
        })
        .collect())
}

fn placed(new: &NewOrder, order_id: String, products: Vec<Product>, at: Timestamp) -> Order {
    // Two decimals, also where numeric keeps what it is given (the outbox).
    let mut total = new.total;
    total.rescale(2);
    Order {
        order_id,
        status: Status::Pending,
        total,
        currency: new.currency,
        products,
        version: 1,
        sent_at: None,
        created_at: at,
        updated_at: at,
    }
}

fn new_order(job: &Job) -> Option<&NewOrder> {
    match &job.change.action {
        Action::Place(new) => Some(new),
        Action::SetStatus { .. } => None,
    }
}
