//! One group in one transaction.

use std::collections::{HashMap, HashSet};

use chrono::Utc;
use schemas::{Status, Timestamp};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::change::{Action, Change, Claim, NotWritten, Outcome};
use super::decide::{self, Attempt, Decision};
use super::queue::Job;
use super::statements::{self, NewAnswer, StoredAnswer};
use crate::orders::{NewOrder, Order, OrderName, Product, money_text, render};

/// Why a group was not committed.
#[derive(Debug)]
pub(super) enum CommitError {
    /// The database's word.
    Database(sqlx::Error),
    /// Another instance used one of the idempotency keys at the same time: the group must be tried
    /// again, and will find its answer.
    KeyTaken,
}

impl From<sqlx::Error> for CommitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// What is known of one change while its group is being written.
#[derive(Debug, Default)]
struct Entry {
    outcome: Option<Result<Outcome, NotWritten>>,
    /// The order to be written, with its event.
    write: Option<Order>,
}

/// Writes a group: decides on every change and commits. The outcomes are in the jobs' order, and
/// they are true once this returns.
///
/// When the commit itself fails, the jobs remember what they tried, so that a second try knows
/// whether the first one arrived.
pub(super) async fn commit_group(
    connection: &mut PgConnection,
    jobs: &mut [Job],
) -> Result<Vec<Result<Outcome, NotWritten>>, CommitError> {
    let mut transaction = connection.begin().await?;
    let mut entries: Vec<Entry> = jobs.iter().map(|_| Entry::default()).collect();

    replay_stored_answers(&mut transaction, jobs, &mut entries).await?;
    place_orders(&mut transaction, jobs, &mut entries).await?;
    set_statuses(&mut transaction, jobs, &mut entries).await?;
    write_events(&mut transaction, jobs, &entries).await?;
    store_answers(&mut transaction, jobs, &entries).await?;

    for (job, entry) in jobs.iter_mut().zip(&entries) {
        if let Some(order) = &entry.write {
            job.attempt = Some(Attempt {
                order_id: order.order_id.clone(),
                version: order.version,
                at: order.updated_at,
            });
        }
    }
    transaction.commit().await?;
    Ok(entries.into_iter().map(Entry::into_outcome).collect())
}

impl Entry {
    const fn is_open(&self) -> bool {
        self.outcome.is_none() && self.write.is_none()
    }

    fn into_outcome(self) -> Result<Outcome, NotWritten> {
        match (self.outcome, self.write) {
            (Some(outcome), _) => outcome,
            (None, Some(order)) if order.version == 1 => Ok(Outcome::Placed(order)),
            (None, Some(order)) => Ok(Outcome::Changed(order)),
            // Every step leaves an answer or an order behind.
            (None, None) => Err(NotWritten::OutcomeUnknown),
        }
    }

    /// The answer to be stored under the change's idempotency key. Only what took effect is: a
    /// change that was refused had none, and may be tried again under the same key.
    fn answer(&self) -> Option<(u16, &Order)> {
        match (&self.outcome, &self.write) {
            (_, Some(order)) if order.version == 1 => Some((201, order)),
            (_, Some(order))
            | (Some(Ok(Outcome::Changed(order) | Outcome::Unchanged(order))), _) => {
                Some((200, order))
            }
            (Some(Ok(Outcome::Placed(order))), _) => Some((201, order)),
            _ => None,
        }
    }
}

/// Step 1: what was asked before under an idempotency key is answered as it was then.
async fn replay_stored_answers(
    connection: &mut PgConnection,
    jobs: &[Job],
    entries: &mut [Entry],
) -> Result<(), CommitError> {
    let claims: Vec<&Claim> = jobs
        .iter()
        .filter_map(|job| job.change.claim.as_ref())
        .collect();
    if claims.is_empty() {
        return Ok(());
    }
    let stored: HashMap<(String, String), StoredAnswer> =
        statements::stored_answers(connection, &claims)
            .await?
            .into_iter()
            .map(|answer| ((answer.api_key_id.clone(), answer.key.clone()), answer))
            .collect();
    for (job, entry) in jobs.iter().zip(entries) {
        let Some(claim) = &job.change.claim else {
            continue;
        };
        let name = (claim.api_key_id.clone(), claim.key.clone());
        if let Some(answer) = stored.get(&name) {
            entry.outcome = Some(Ok(replayed(claim, answer)));
        }
    }
    Ok(())
}

fn replayed(claim: &Claim, answer: &StoredAnswer) -> Outcome {
    if claim.request_hash.as_slice() != answer.request_hash {
        return Outcome::KeyReused;
    }
    Outcome::Replayed {
        status: u16::try_from(answer.status).unwrap_or(200),
        body: answer.body.clone(),
    }
}

/// Step 2: new orders are inserted. Those whose id exists are not; one that we numbered gets the
/// next number.
async fn place_orders(
    connection: &mut PgConnection,
    jobs: &[Job],
    entries: &mut [Entry],
) -> Result<(), CommitError> {
    let mut open: Vec<usize> = (0..jobs.len())
        .filter(|at| entries[*at].is_open() && matches!(jobs[*at].change.action, Action::Place(_)))
        .collect();
    while !open.is_empty() {
        let at = now();
        let names = order_ids(connection, jobs, &open).await?;
        let products = products(connection, jobs, &open).await?;
        let orders: Vec<Order> = open
            .iter()
            .zip(names)
            .zip(products)
            .filter_map(
                |((index, order_id), products)| match &jobs[*index].change.action {
                    Action::Place(new) => Some(placed(new, order_id, products, at)),
                    Action::SetStatus { .. } => None,
                },
            )
            .collect();
        assert_eq!(
            orders.len(),
            open.len(),
            "one order per change that places one"
        );
        let references: Vec<&Order> = orders.iter().collect();
        let inserted: HashSet<String> = statements::insert_orders(connection, &references, at)
            .await?
            .into_iter()
            .collect();
        let (done, taken): (Vec<_>, Vec<_>) = open
            .into_iter()
            .zip(orders)
            .partition(|(_, order)| inserted.contains(&order.order_id));
        for (index, order) in done {
            entries[index].write = Some(order);
        }
        open = answer_existing(connection, jobs, entries, taken).await?;
    }
    Ok(())
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
    let mut tried_before = locked(connection, &ids).await?;
    let mut again = Vec::new();
    for (index, order) in taken {
        let job = &jobs[index];
        let ours_to_name = matches!(
            &job.change.action,
            Action::Place(NewOrder {
                name: OrderName::Number | OrderName::Uuid,
                ..
            })
        );
        let outcome = match tried_before.remove(&order.order_id) {
            Some(existing) => decide::place_again(existing, job.attempt.as_ref()),
            None if ours_to_name => {
                again.push(index);
                continue;
            }
            None => Outcome::Exists {
                order_id: order.order_id,
            },
        };
        entries[index].outcome = Some(Ok(outcome));
    }
    Ok(again)
}

/// The ids of the new orders: the client's, those of an earlier try, or new ones.
async fn order_ids(
    connection: &mut PgConnection,
    jobs: &[Job],
    open: &[usize],
) -> Result<Vec<String>, CommitError> {
    let mut numbers_wanted = 0;
    let mut ids: Vec<Option<String>> = Vec::with_capacity(open.len());
    for index in open {
        let Job {
            change: Change { action, .. },
            attempt,
            ..
        } = &jobs[*index];
        let name = match action {
            Action::Place(new) => &new.name,
            Action::SetStatus { .. } => continue,
        };
        ids.push(match (name, attempt) {
            (OrderName::Given(order_id), _) => Some(order_id.clone()),
            (_, Some(attempt)) => Some(attempt.order_id.clone()),
            (OrderName::Uuid, None) => Some(Uuid::now_v7().to_string()),
            (OrderName::Number, None) => {
                numbers_wanted += 1;
                None
            }
        });
    }
    let mut numbers = numbers(connection, numbers_wanted).await?.into_iter();
    Ok(ids
        .into_iter()
        .filter_map(|id| id.or_else(|| numbers.next().map(|number| number.to_string())))
        .collect())
}

/// As many free integers as wanted. Where many are taken (imported orders) the steps get longer.
async fn numbers(connection: &mut PgConnection, wanted: usize) -> Result<Vec<i64>, CommitError> {
    const LONGEST_STEP: i64 = 10_000;
    let mut numbers = Vec::with_capacity(wanted);
    let mut step = i64::try_from(wanted).unwrap_or(LONGEST_STEP);
    while numbers.len() < wanted {
        numbers.extend(statements::free_numbers(connection, step).await?);
        step = (step * 2).min(LONGEST_STEP);
    }
    numbers.sort_unstable();
    numbers.truncate(wanted);
    Ok(numbers)
}

/// The products of the new orders; those of the old routes get numbers.
async fn products(
    connection: &mut PgConnection,
    jobs: &[Job],
    open: &[usize],
) -> Result<Vec<Vec<Product>>, CommitError> {
    let new_orders: Vec<&NewOrder> = open
        .iter()
        .filter_map(|index| match &jobs[*index].change.action {
            Action::Place(new) => Some(new),
            Action::SetStatus { .. } => None,
        })
        .collect();
    let wanted: usize = new_orders
        .iter()
        .filter(|new| new.name == OrderName::Number)
        .map(|new| new.products.len())
        .sum();
    let numbers = match i64::try_from(wanted) {
        Ok(0) | Err(_) => Vec::new(),
        Ok(wanted) => statements::product_numbers(connection, wanted).await?,
    };
    let mut numbers = numbers.into_iter();
    Ok(new_orders
        .into_iter()
        .map(|new| {
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

/// Step 3: orders whose status is to change are locked, judged, and updated.
async fn set_statuses(
    connection: &mut PgConnection,
    jobs: &[Job],
    entries: &mut [Entry],
) -> Result<(), CommitError> {
    let ids: Vec<&str> = jobs
        .iter()
        .zip(&*entries)
        .filter(|(_, entry)| entry.is_open())
        .filter_map(|(job, _)| match &job.change.action {
            Action::SetStatus { order_id, .. } => Some(order_id.as_str()),
            Action::Place(_) => None,
        })
        .collect();
    let orders = locked(connection, &ids).await?;
    let at = now();
    let mut changed = Vec::new();
    for (index, (job, entry)) in jobs.iter().zip(&mut *entries).enumerate() {
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
        let decision = decide::set_status(
            orders.get(order_id),
            *wanted,
            precondition.as_ref(),
            job.attempt.as_ref(),
            at,
        );
        match decision {
            Decision::Answer(outcome) => entry.outcome = Some(Ok(outcome)),
            Decision::Unknown => entry.outcome = Some(Err(NotWritten::OutcomeUnknown)),
            Decision::Write(order) => {
                entry.write = Some(order);
                changed.push(index);
            }
        }
    }
    let changed: Vec<&Order> = changed
        .into_iter()
        .filter_map(|index| entries[index].write.as_ref())
        .collect();
    if !changed.is_empty() {
        let updated = statements::update_orders(connection, &changed).await?;
        assert_eq!(
            updated,
            changed.len() as u64,
            "locked orders stay as they are"
        );
    }
    Ok(())
}

async fn locked(
    connection: &mut PgConnection,
    ids: &[&str],
) -> Result<HashMap<String, Order>, CommitError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = statements::lock_orders(connection, ids).await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.0.order_id.clone(), row.0))
        .collect())
}

/// Step 4: one event per order that is new or changed.
async fn write_events(
    connection: &mut PgConnection,
    jobs: &[Job],
    entries: &[Entry],
) -> Result<(), CommitError> {
    let events: Vec<(&Order, String)> = jobs
        .iter()
        .zip(entries)
        .filter_map(|(job, entry)| {
            let order = entry.write.as_ref()?;
            Some((order, job.change.trace.child().to_string()))
        })
        .collect();
    if !events.is_empty() {
        statements::insert_events(connection, &events).await?;
    }
    Ok(())
}

/// Step 5: the answers are stored under their idempotency keys.
async fn store_answers(
    connection: &mut PgConnection,
    jobs: &[Job],
    entries: &[Entry],
) -> Result<(), CommitError> {
    let answers: Vec<NewAnswer<'_>> = jobs
        .iter()
        .zip(entries)
        .filter_map(|(job, entry)| {
            let claim = job.change.claim.as_ref()?;
            let (status, order) = entry.answer()?;
            Some(NewAnswer {
                claim,
                status,
                body: render(order),
            })
        })
        .collect();
    if answers.is_empty() {
        return Ok(());
    }
    let stored = statements::store_answers(connection, &answers, now()).await?;
    if stored < answers.len() as u64 {
        return Err(CommitError::KeyTaken);
    }
    Ok(())
}

fn now() -> Timestamp {
    Timestamp::from(Utc::now())
}
