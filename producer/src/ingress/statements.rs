//! The SQL: one statement per step for a whole group, arrays in, rows out. An order and its event
//! are written by one statement.
//!
//! Postgres pads arrays of unequal length with NULL without a word, so the arrays of a statement
//! are filled in one pass over the same rows.

use chrono::{DateTime, Utc};
use schemas::Timestamp;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};

use super::change::{Change, Claim};
use super::stored::StoredOrder;
use crate::orders::Order;

/// The answer that an earlier request under the same key was given.
#[derive(Debug, FromRow)]
pub(super) struct StoredAnswer {
    pub(super) api_key_id: String,
    pub(super) key: String,
    pub(super) request_hash: Vec<u8>,
    pub(super) status: i32,
    pub(super) body: Vec<u8>,
}

/// An answer to be stored.
#[derive(Debug)]
pub(super) struct NewAnswer<'a> {
    pub(super) claim: &'a Claim,
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// The answers that are stored under these keys.
pub(super) async fn stored_answers(
    connection: &mut PgConnection,
    claims: &[&Claim],
) -> sqlx::Result<Vec<StoredAnswer>> {
    let (api_key_ids, keys): (Vec<&str>, Vec<&str>) = claims
        .iter()
        .map(|claim| (claim.api_key_id.as_str(), claim.key.as_str()))
        .unzip();
    sqlx::query_as(
        "SELECT i.api_key_id, i.key, i.request_hash, i.status, i.body
         FROM idempotency_keys i
         JOIN unnest($1::text[], $2::text[]) AS wanted(api_key_id, key)
           ON i.api_key_id = wanted.api_key_id AND i.key = wanted.key",
    )
    .bind(api_key_ids)
    .bind(keys)
    .fetch_all(connection)
    .await
}

/// Stores answers. One that is missing from the result belongs to a key that somebody else just
/// used: the transaction must be undone.
pub(super) async fn store_answers(
    connection: &mut PgConnection,
    answers: &[NewAnswer<'_>],
    at: Timestamp,
) -> sqlx::Result<u64> {
    let mut api_key_ids = Vec::with_capacity(answers.len());
    let mut keys = Vec::with_capacity(answers.len());
    let mut hashes = Vec::with_capacity(answers.len());
    let mut statuses = Vec::with_capacity(answers.len());
    let mut bodies = Vec::with_capacity(answers.len());
    for answer in answers {
        api_key_ids.push(answer.claim.api_key_id.as_str());
        keys.push(answer.claim.key.as_str());
        hashes.push(answer.claim.request_hash.as_slice());
        statuses.push(i32::from(answer.status));
        bodies.push(answer.body.as_slice());
    }
    // Sorted, so that two groups with the same keys wait for each other instead of deadlocking.
    sqlx::query(
        r#"INSERT INTO idempotency_keys (api_key_id, key, request_hash, status, body, created_at)
           SELECT api_key_id, key, request_hash, status, body, $6
           FROM unnest($1::text[], $2::text[], $3::bytea[], $4::integer[], $5::bytea[])
             AS new(api_key_id, key, request_hash, status, body)
           ORDER BY api_key_id COLLATE "C", key COLLATE "C"
           ON CONFLICT (api_key_id, key) DO NOTHING"#,
    )
    .bind(api_key_ids)
    .bind(keys)
    .bind(hashes)
    .bind(statuses)
    .bind(bodies)
    .bind(DateTime::<Utc>::from(at))
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
}

/// An order as it shall be, and the trace that its event carries.
#[derive(Debug)]
pub(super) struct Write<'a> {
    pub(super) order: &'a Order,
    pub(super) trace: String,
}

impl<'a> Write<'a> {
    /// What `change` makes of an order.
    pub(super) fn of(change: &Change, order: &'a Order) -> Self {
        Self {
            order,
            trace: change.trace.child().to_string(),
        }
    }
}

/// Inserts new orders with their events, and says which were: an id that exists is left alone.
/// Atomic by itself.
pub(super) async fn place_orders(
    connection: &mut PgConnection,
    writes: &[Write<'_>],
    at: Timestamp,
) -> sqlx::Result<Vec<String>> {
    let mut order_ids = Vec::with_capacity(writes.len());
    let mut totals = Vec::with_capacity(writes.len());
    let mut currencies = Vec::with_capacity(writes.len());
    let mut products = Vec::with_capacity(writes.len());
    let mut traces = Vec::with_capacity(writes.len());
    for Write { order, trace } in writes {
        order_ids.push(order.order_id.as_str());
        totals.push(order.total);
        currencies.push(order.currency.as_str());
        products.push(Json(&order.products));
        traces.push(trace.as_str());
    }
    // Sorted, so that two groups with the same ids wait for each other instead of deadlocking.
    // "IS TRUE" keeps the planner from making a join of it, each row beside each; as it is, the ids
    // are hashed once.
    sqlx::query_scalar(
        r#"WITH wanted AS MATERIALIZED (
             SELECT * FROM unnest($1::text[], $2::numeric[], $3::text[], $4::jsonb[], $5::text[])
               AS wanted(order_id, total, currency, products, traceparent)),
           placed AS (
             INSERT INTO orders (order_id, status, total, currency, products, version, created_at, updated_at)
             SELECT order_id, 'PENDING', total, currency, products, 1, $6, $6
             FROM wanted
             ORDER BY order_id COLLATE "C"
             ON CONFLICT (order_id) DO NOTHING
             RETURNING order_id)
           INSERT INTO outbox (order_id, version, status, total, currency, occurred_at, traceparent)
           SELECT order_id, 1, 'PENDING', total, currency, $6, traceparent
           FROM wanted
           WHERE (order_id IN (SELECT order_id FROM placed)) IS TRUE
           RETURNING order_id"#,
    )
    .bind(order_ids)
    .bind(totals)
    .bind(currencies)
    .bind(products)
    .bind(traces)
    .bind(DateTime::<Utc>::from(at))
    .fetch_all(connection)
    .await
}

/// The columns of a [`StoredOrder`]; a macro, because statements are literals.
macro_rules! select_orders {
    ($rest:literal) => {
        concat!(
            "SELECT order_id, status, total, currency, products, version, sent_at, created_at, \
             updated_at FROM orders WHERE order_id = ANY($1) ",
            $rest
        )
    };
}

/// Reads orders as they are committed, in no order.
pub(super) async fn read_orders(
    connection: &mut PgConnection,
    order_ids: &[&str],
) -> sqlx::Result<Vec<StoredOrder>> {
    sqlx::query_as(select_orders!(""))
        .bind(order_ids)
        .fetch_all(connection)
        .await
}

/// Locks orders, in id order, and reads them. Those that another session has locked are missing:
/// waiting for one would make all the others wait.
pub(super) async fn lock_orders(
    connection: &mut PgConnection,
    order_ids: &[&str],
) -> sqlx::Result<Vec<StoredOrder>> {
    sqlx::query_as(select_orders!("ORDER BY order_id FOR UPDATE SKIP LOCKED"))
        .bind(order_ids)
        .fetch_all(connection)
        .await
}

/// Those of these orders that exist.
pub(super) async fn existing_orders(
    connection: &mut PgConnection,
    order_ids: &[&str],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT order_id FROM orders WHERE order_id = ANY($1)")
        .bind(order_ids)
        .fetch_all(connection)
        .await
}

/// Makes sure that no other session has locked a table against writers.
pub(super) async fn share_tables(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("LOCK TABLE orders, outbox, idempotency_keys IN ROW EXCLUSIVE MODE")
        .execute(connection)
        .await
        .map(|_| ())
}

/// Writes what changed of orders, with their events, and says of which: one that has another
/// version than the one before by now is left alone. Atomic by itself.
///
/// An event is written once its order's row is held: only then do the events of one order get
/// their ids in the order of its versions.
pub(super) async fn change_orders(
    connection: &mut PgConnection,
    writes: &[Write<'_>],
) -> sqlx::Result<Vec<String>> {
    let mut order_ids = Vec::with_capacity(writes.len());
    let mut statuses = Vec::with_capacity(writes.len());
    let mut versions = Vec::with_capacity(writes.len());
    let mut sent_ats = Vec::with_capacity(writes.len());
    let mut updated_ats = Vec::with_capacity(writes.len());
    let mut traces = Vec::with_capacity(writes.len());
    // In the order of the ids, in which their rows are then locked.
    let mut writes: Vec<&Write<'_>> = writes.iter().collect();
    writes.sort_unstable_by(|one, other| one.order.order_id.cmp(&other.order.order_id));
    for Write { order, trace } in writes {
        order_ids.push(order.order_id.as_str());
        statuses.push(order.status.as_str());
        versions.push(order.version);
        sent_ats.push(order.sent_at.map(DateTime::<Utc>::from));
        updated_ats.push(DateTime::<Utc>::from(order.updated_at));
        traces.push(trace.as_str());
    }
    sqlx::query_scalar(
        "WITH changed AS (
             UPDATE orders o
             SET status = wanted.status, version = wanted.version,
                 sent_at = wanted.sent_at, updated_at = wanted.updated_at
             FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[],
                         $5::timestamptz[], $6::text[])
               AS wanted(order_id, status, version, sent_at, updated_at, traceparent)
             WHERE o.order_id = wanted.order_id AND o.version = wanted.version - 1
             RETURNING o.order_id, o.version, o.status, o.total, o.currency, o.updated_at,
                       o.sent_at, wanted.traceparent)
         INSERT INTO outbox (order_id, version, status, total, currency, occurred_at, sent_at, traceparent)
         SELECT * FROM changed
         RETURNING order_id",
    )
    .bind(order_ids)
    .bind(statuses)
    .bind(versions)
    .bind(sent_ats)
    .bind(updated_ats)
    .bind(traces)
    .fetch_all(connection)
    .await
}

/// At most `count` of the next integers that no order has for its id; those that are taken are
/// used up, so asking again comes further.
pub(super) async fn free_numbers(
    connection: &mut PgConnection,
    count: i64,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT number
         FROM (SELECT nextval('old_order_ids') AS number FROM generate_series(1, $1)) AS next
         WHERE NOT EXISTS (SELECT FROM orders WHERE order_id = number::text)",
    )
    .bind(count)
    .fetch_all(connection)
    .await
}

/// The next numbers for products.
pub(super) async fn product_numbers(
    connection: &mut PgConnection,
    count: i64,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar("SELECT nextval('product_ids') FROM generate_series(1, $1)")
        .bind(count)
        .fetch_all(connection)
        .await
}
