//! Places new orders: assigns ids and product numbers, and inserts the orders.

use std::collections::HashSet;

use schemas::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::change::{Action, ChangeRefused, NotDone};
use super::super::job::Job;
use super::decide;
use super::entry::{Entry, State, keep_written, now, remember_attempts, writes};
use crate::limits::MAX_ORDER_NUMBERS;
use crate::orders::{NewOrder, Order, OrderIdSource, Product};
use crate::store::order_ids::{free_order_numbers, product_numbers};
use crate::store::orders::{self, FoundOrder, OrderWrite};

/// Places a group that has nothing but new orders, each tried for the first time, in one statement.
pub(super) async fn at_once(
    connection: &mut PgConnection,
    entries: &mut [Entry<'_>],
) -> sqlx::Result<()> {
    let at = now();
    let jobs: Vec<&Job> = entries.iter().map(|entry| &*entry.job).collect();
    let orders = new_orders(connection, &jobs, at).await?;
    for (entry, order) in entries.iter_mut().zip(orders) {
        entry.state = State::Write(order);
    }
    remember_attempts(entries);
    let written = orders::insert(connection, &writes(entries), at).await;
    keep_written(entries, written)?;
    for entry in entries.iter_mut().filter(|entry| entry.is_undecided()) {
        if let Some(order_id) = entry.job.order_id() {
            entry.state = exists(order_id.to_owned());
        }
    }
    Ok(())
}

/// Places the new orders of a group within its transaction. An order whose id exists is refused, unless
/// the id was generated here: then the order gets another id.
pub(super) async fn in_transaction(
    connection: &mut PgConnection,
    entries: &mut [Entry<'_>],
) -> sqlx::Result<()> {
    let mut open: Vec<&mut Entry<'_>> = entries
        .iter_mut()
        .filter(|entry| entry.is_undecided() && new_order(entry.job).is_some())
        .collect();
    while !open.is_empty() {
        let (distinct, later) = with_distinct_ids(open);
        let at = now();
        let jobs: Vec<&Job> = distinct.iter().map(|entry| &*entry.job).collect();
        let orders = new_orders(connection, &jobs, at).await?;
        let writes: Vec<OrderWrite<'_>> = distinct
            .iter()
            .zip(&orders)
            .map(|(entry, order)| entry.write(order))
            .collect();
        let inserted = orders::insert(connection, &writes, at).await?;
        let mut taken = Vec::new();
        for (entry, order) in distinct.into_iter().zip(orders) {
            if inserted.contains(&order.order_id) {
                entry.state = State::Write(order);
            } else {
                taken.push((entry, order.order_id));
            }
        }
        open = answer_existing(connection, taken).await?;
        open.extend(later);
    }
    Ok(())
}

/// Splits entries so that the first part has each id once: the insert reports the written orders by id.
/// An entry that was tried before goes first. (An integer that an earlier try took may be the id that
/// another client chooses now.)
fn with_distinct_ids<'e, 'j>(
    mut open: Vec<&'e mut Entry<'j>>,
) -> (Vec<&'e mut Entry<'j>>, Vec<&'e mut Entry<'j>>) {
    open.sort_by_key(|entry| entry.job.attempt.is_none());
    let mut seen = HashSet::new();
    open.into_iter().partition(|entry| {
        let id = known_id(entry.job).map(str::to_owned);
        id.is_none_or(|id| seen.insert(id))
    })
}

/// Returns the client's id, or that of an earlier try.
fn known_id(job: &Job) -> Option<&str> {
    match (&new_order(job)?.id, &job.attempt) {
        (OrderIdSource::Client(order_id), _) => Some(order_id),
        (_, attempt) => attempt.as_ref().map(|attempt| attempt.order_id.as_str()),
    }
}

/// Answers the changes whose id is `taken`, and returns those that are to be tried with another id.
async fn answer_existing<'e, 'j>(
    connection: &mut PgConnection,
    taken: Vec<(&'e mut Entry<'j>, String)>,
) -> sqlx::Result<Vec<&'e mut Entry<'j>>> {
    let tried_before: Vec<&str> = taken
        .iter()
        .filter(|(entry, _)| entry.job.attempt.is_some())
        .map(|(_, order_id)| order_id.as_str())
        .collect();
    let mut found = orders::lock(connection, &tried_before).await?;
    let mut again = Vec::new();
    for (entry, order_id) in taken {
        entry.state = match found.take(&order_id) {
            FoundOrder::Order(existing) => {
                let attempt = entry.job.attempt.as_ref();
                State::Answer(Ok(decide::place_again(existing, attempt)))
            }
            FoundOrder::Unreadable => State::Answer(Err(NotDone::Unreadable(order_id))),
            FoundOrder::Locked => State::Locked,
            FoundOrder::Absent if entry.job.order_id().is_some() => exists(order_id),
            FoundOrder::Absent => {
                again.push(entry);
                continue;
            }
        };
    }
    Ok(again)
}

fn exists(order_id: String) -> State {
    State::Answer(Ok(ChangeRefused::OrderExists { order_id }.into()))
}

/// Returns the new orders of these jobs.
async fn new_orders(
    connection: &mut PgConnection,
    jobs: &[&Job],
    at: Timestamp,
) -> sqlx::Result<Vec<Order>> {
    let new: Vec<(&Job, &NewOrder)> = jobs
        .iter()
        .filter_map(|job| Some((*job, new_order(job)?)))
        .collect();
    let ids = order_ids(connection, &new).await?;
    let products = products(connection, &new).await?;
    assert_eq!((ids.len(), products.len()), (jobs.len(), jobs.len()));
    Ok(new
        .into_iter()
        .zip(ids)
        .zip(products)
        .map(|(((_, new), order_id), products)| new.placed(order_id, products, at))
        .collect())
}

/// Returns the ids of new orders: the client's, those of an earlier try, or new ones.
async fn order_ids(
    connection: &mut PgConnection,
    new: &[(&Job, &NewOrder)],
) -> sqlx::Result<Vec<String>> {
    let known: HashSet<&str> = new.iter().filter_map(|(job, _)| known_id(job)).collect();
    let is_numbered =
        |job: &Job, new: &NewOrder| known_id(job).is_none() && new.id == OrderIdSource::Sequence;
    let wanted = new
        .iter()
        .filter(|(job, new)| is_numbered(job, new))
        .count();
    let mut numbers = order_numbers(connection, wanted, &known).await?.into_iter();
    let ids: Vec<String> = new
        .iter()
        .filter_map(|(job, new)| match (known_id(job), &new.id) {
            (Some(id), _) => Some(id.to_owned()),
            (None, OrderIdSource::Sequence) => numbers.next().map(|number| number.to_string()),
            (None, _) => Some(Uuid::now_v7().to_string()),
        })
        .collect();
    let distinct: HashSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "one order, one id");
    Ok(ids)
}

/// Takes `wanted` free integers, none of which is `known` as the id of another order of the group.
async fn order_numbers(
    connection: &mut PgConnection,
    wanted: usize,
    known: &HashSet<&str>,
) -> sqlx::Result<Vec<i64>> {
    let mut numbers = Vec::with_capacity(wanted);
    let mut count = i64::try_from(wanted).unwrap_or(MAX_ORDER_NUMBERS);
    while numbers.len() < wanted {
        let free = free_order_numbers(connection, count).await?;
        let is_known = |number: &i64| known.contains(number.to_string().as_str());
        numbers.extend(free.into_iter().filter(|number| !is_known(number)));
        count = (count * 2).min(MAX_ORDER_NUMBERS);
    }
    numbers.sort_unstable();
    numbers.truncate(wanted);
    Ok(numbers)
}

/// Returns the products of new orders. Products of the old routes get numbers.
async fn products(
    connection: &mut PgConnection,
    new: &[(&Job, &NewOrder)],
) -> sqlx::Result<Vec<Vec<Product>>> {
    let wanted: usize = new
        .iter()
        .filter(|(_, new)| new.id == OrderIdSource::Sequence)
        .map(|(_, new)| new.products.len())
        .sum();
    let numbers = match i64::try_from(wanted) {
        Ok(0) | Err(_) => Vec::new(),
        Ok(wanted) => product_numbers(connection, wanted).await?,
    };
    let mut numbers = numbers.into_iter();
    Ok(new
        .iter()
        .map(|(_, new)| {
            let is_numbered = new.id == OrderIdSource::Sequence;
            new.products
                .iter()
                .map(|product| product.placed(if is_numbered { numbers.next() } else { None }))
                .collect()
        })
        .collect())
}

fn new_order(job: &Job) -> Option<&NewOrder> {
    match &job.change.action {
        Action::Place(new) => Some(new),
        Action::SetStatus { .. } => None,
    }
}
