//! The SQL: one statement per step for a whole group, arrays in, rows out.
//!
//! Postgres pads arrays of unequal length with NULL without a word, so the arrays of a statement
//! are filled in one pass over the same rows.

use chrono::{DateTime, Utc};
use schemas::{Currency, Status, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, Row};

use super::change::Claim;
use crate::orders::{Order, Product};

/// An order as it is read.
#[derive(Debug)]
pub struct OrderRow(pub Order);

impl FromRow<'_, PgRow> for OrderRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        fn parsed<T: std::str::FromStr>(row: &PgRow, column: &str) -> sqlx::Result<T>
        where
            T::Err: std::error::Error + Send + Sync + 'static,
        {
            row.try_get::<&str, _>(column)?
                .parse()
                .map_err(|error: T::Err| sqlx::Error::ColumnDecode {
                    index: column.to_owned(),
                    source: Box::new(error),
                })
        }
        let time = |column: &str| -> sqlx::Result<Timestamp> {
            row.try_get::<DateTime<Utc>, _>(column).map(Timestamp::from)
        };
        let products: Json<Vec<Product>> = row.try_get("products")?;
        Ok(Self(Order {
            order_id: row.try_get("order_id")?,
            status: parsed::<Status>(row, "status")?,
            total: row.try_get("total")?,
            currency: parsed::<Currency>(row, "currency")?,
            products: products.0,
            version: row.try_get("version")?,
            sent_at: row
                .try_get::<Option<DateTime<Utc>>, _>("sent_at")?
                .map(Timestamp::from),
            created_at: time("created_at")?,
            updated_at: time("updated_at")?,
        }))
    }
}

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

/// Inserts new orders and says which were: an id that exists is left alone.
pub(super) async fn insert_orders(
    connection: &mut PgConnection,
    orders: &[&Order],
    at: Timestamp,
) -> sqlx::Result<Vec<String>> {
    let mut order_ids = Vec::with_capacity(orders.len());
    let mut totals = Vec::with_capacity(orders.len());
    let mut currencies = Vec::with_capacity(orders.len());
    let mut products = Vec::with_capacity(orders.len());
    for order in orders {
        order_ids.push(order.order_id.as_str());
        totals.push(order.total);
        currencies.push(order.currency.as_str());
        products.push(Json(&order.products));
    }
    // Sorted, so that two groups with the same ids wait for each other instead of deadlocking.
    sqlx::query_scalar(
        r#"INSERT INTO orders (order_id, status, total, currency, products, version, created_at, updated_at)
           SELECT order_id, 'PENDING', total, currency, products, 1, $5, $5
           FROM unnest($1::text[], $2::numeric[], $3::text[], $4::jsonb[])
             AS new(order_id, total, currency, products)
           ORDER BY order_id COLLATE "C"
           ON CONFLICT (order_id) DO NOTHING
           RETURNING order_id"#,
    )
    .bind(order_ids)
    .bind(totals)
    .bind(currencies)
    .bind(products)
    .bind(DateTime::<Utc>::from(at))
    .fetch_all(connection)
    .await
}

/// Locks orders, in id order, and reads them.
pub(super) async fn lock_orders(
    connection: &mut PgConnection,
    order_ids: &[&str],
) -> sqlx::Result<Vec<OrderRow>> {
    sqlx::query_as(
        "SELECT order_id, status, total, currency, products, version, sent_at, created_at, updated_at
         FROM orders WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE",
    )
        .bind(order_ids)
        .fetch_all(connection)
        .await
}

/// Writes what changed of orders that are locked.
pub(super) async fn update_orders(
    connection: &mut PgConnection,
    orders: &[&Order],
) -> sqlx::Result<u64> {
    let mut order_ids = Vec::with_capacity(orders.len());
    let mut statuses = Vec::with_capacity(orders.len());
    let mut versions = Vec::with_capacity(orders.len());
    let mut sent_ats = Vec::with_capacity(orders.len());
    let mut updated_ats = Vec::with_capacity(orders.len());
    for order in orders {
        order_ids.push(order.order_id.as_str());
        statuses.push(order.status.as_str());
        versions.push(order.version);
        sent_ats.push(order.sent_at.map(DateTime::<Utc>::from));
        updated_ats.push(DateTime::<Utc>::from(order.updated_at));
    }
    sqlx::query(
        "UPDATE orders o
         SET status = changed.status, version = changed.version,
             sent_at = changed.sent_at, updated_at = changed.updated_at
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[])
           AS changed(order_id, status, version, sent_at, updated_at)
         WHERE o.order_id = changed.order_id AND o.version = changed.version - 1",
    )
    .bind(order_ids)
    .bind(statuses)
    .bind(versions)
    .bind(sent_ats)
    .bind(updated_ats)
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
}

/// Writes the events of orders whose rows this transaction holds: only then do the events of one
/// order get their ids in the order of its versions.
pub(super) async fn insert_events(
    connection: &mut PgConnection,
    events: &[(&Order, String)],
) -> sqlx::Result<()> {
    let mut order_ids = Vec::with_capacity(events.len());
    let mut versions = Vec::with_capacity(events.len());
    let mut statuses = Vec::with_capacity(events.len());
    let mut totals = Vec::with_capacity(events.len());
    let mut currencies = Vec::with_capacity(events.len());
    let mut occurred_ats = Vec::with_capacity(events.len());
    let mut sent_ats = Vec::with_capacity(events.len());
    let mut traces = Vec::with_capacity(events.len());
    for (order, trace) in events {
        order_ids.push(order.order_id.as_str());
        versions.push(order.version);
        statuses.push(order.status.as_str());
        totals.push(order.total);
        currencies.push(order.currency.as_str());
        occurred_ats.push(DateTime::<Utc>::from(order.updated_at));
        sent_ats.push(order.sent_at.map(DateTime::<Utc>::from));
        traces.push(trace.as_str());
    }
    sqlx::query(
        "INSERT INTO outbox (order_id, version, status, total, currency, occurred_at, sent_at, traceparent)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::numeric[], $5::text[],
                              $6::timestamptz[], $7::timestamptz[], $8::text[])",
    )
    .bind(order_ids)
    .bind(versions)
    .bind(statuses)
    .bind(totals)
    .bind(currencies)
    .bind(occurred_ats)
    .bind(sent_ats)
    .bind(traces)
    .execute(connection)
    .await?;
    Ok(())
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
