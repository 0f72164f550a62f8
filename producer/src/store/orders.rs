//! The table `orders`, and the rows of `outbox` that are written with it: an order and its event are
//! written by one statement.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use schemas::{Currency, Status, Timestamp};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, Row};

use crate::database::timestamp;
use crate::orders::{Order, Product};

/// The columns that [`StoredOrder`] is read from; a macro, because statements are literals.
macro_rules! select_orders {
    ($rest:literal) => {
        concat!(
            "SELECT order_id, status, total, currency, products, version, sent_at, created_at, \
             updated_at",
            $rest
        )
    };
}

/// A row of `orders`. A row whose values cannot be read, because something other than this service has
/// written them, is a value too: the other rows of the same statement are still read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredOrder {
    /// The order's id.
    pub(crate) order_id: String,
    /// The order, or why it cannot be read.
    pub(crate) order: Result<Order, String>,
}

impl FromRow<'_, PgRow> for StoredOrder {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let order_id: String = row.try_get("order_id")?;
        let order = read_columns(row, &order_id).map_err(|error| {
            tracing::error!(
                order = order_id,
                %error,
                "cannot read the order {order_id:?}: something else has written to its row"
            );
            error.to_string()
        });
        Ok(Self { order_id, order })
    }
}

fn read_columns(row: &PgRow, order_id: &str) -> sqlx::Result<Order> {
    let products: Json<Vec<Product>> = row.try_get("products")?;
    let time = |column| {
        let time = timestamp(row, column)?;
        time.ok_or_else(|| sqlx::Error::Decode(format!("{column} is null").into()))
    };
    Ok(Order {
        order_id: order_id.to_owned(),
        status: parsed::<Status>(row, "status")?,
        total: row.try_get("total")?,
        currency: parsed::<Currency>(row, "currency")?,
        products: products.0,
        version: row.try_get("version")?,
        sent_at: timestamp(row, "sent_at")?,
        created_at: time("created_at")?,
        updated_at: time("updated_at")?,
    })
}

fn parsed<T>(row: &PgRow, column: &str) -> sqlx::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.try_get::<&str, _>(column)?
        .parse()
        .map_err(|error: T::Err| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: Box::new(error),
        })
}

/// Reads one order.
pub(crate) async fn find(pool: &PgPool, order_id: &str) -> sqlx::Result<Option<StoredOrder>> {
    sqlx::query_as(select_orders!(" FROM orders WHERE order_id = $1"))
        .bind(order_id)
        .fetch_optional(pool)
        .await
}

/// Which orders a page contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageBounds {
    /// Only orders of this status.
    pub(crate) status: Option<Status>,
    /// Only ids after this one; the empty text sorts before all ids.
    pub(crate) after: String,
    /// The maximum number of orders.
    pub(crate) orders: u16,
    /// The maximum size of the products in bytes. The first order is on the page even if it is larger.
    pub(crate) bytes: usize,
}

/// An order of a page. The last row may be the first order that does not fit; it only shows that there
/// is a next page.
#[derive(Debug)]
pub(crate) struct PageRow {
    pub(crate) stored: StoredOrder,
    pub(crate) fits: bool,
}

impl FromRow<'_, PgRow> for PageRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            stored: StoredOrder::from_row(row)?,
            fits: row.try_get("fits")?,
        })
    }
}

/// The statement of a page, with one more condition; a macro, because statements are literals.
///
/// It steps from order to order and ends at the first one that does not fit, so that neither Postgres
/// nor the connection reads more than a page. The first order is always on the page, so the step to the
/// second one is always made.
macro_rules! page_of_orders {
    ($condition:literal) => {
        concat!(
            "WITH RECURSIVE page AS (
               (SELECT orders.*, 1 AS number, octet_length(products::text)::bigint AS bytes
                FROM orders WHERE order_id > $1 ",
            $condition,
            " ORDER BY order_id LIMIT 1)
               UNION ALL
               SELECT next.*, page.number + 1, page.bytes + octet_length(next.products::text)
               FROM page CROSS JOIN LATERAL
                 (SELECT * FROM orders WHERE order_id > page.order_id ",
            $condition,
            " ORDER BY order_id LIMIT 1) AS next
               WHERE page.number <= $2 AND (page.bytes <= $3 OR page.number = 1)) ",
            select_orders!(
                ", number <= $2 AND (bytes <= $3 OR number = 1) AS fits
             FROM page ORDER BY number"
            )
        )
    };
}

/// Reads a page of orders by their ids.
pub(crate) fn page<'a>(
    pool: &'a PgPool,
    bounds: &'a PageBounds,
) -> BoxStream<'a, sqlx::Result<PageRow>> {
    let statement = match bounds.status {
        None => page_of_orders!(""),
        Some(_) => page_of_orders!("AND status = $4"),
    };
    let query = sqlx::query_as(statement)
        .bind(bounds.after.as_str())
        .bind(i32::from(bounds.orders))
        .bind(i64::try_from(bounds.bytes).unwrap_or(i64::MAX));
    match bounds.status {
        None => query,
        Some(status) => query.bind(status.as_str()),
    }
    .fetch(pool)
}

/// The orders that a statement found, by id.
#[derive(Debug, Default)]
pub(crate) struct FoundOrders {
    orders: HashMap<String, StoredOrder>,
    /// The orders that another session has locked.
    locked: HashSet<String>,
}

/// One order as a statement found it.
#[derive(Debug)]
pub(crate) enum FoundOrder {
    /// It does not exist.
    Absent,
    /// Another session has locked it.
    Locked,
    /// Its row cannot be read.
    Unreadable,
    /// The order.
    Order(Order),
}

impl FoundOrders {
    fn new(rows: Vec<StoredOrder>) -> Self {
        let by_id = rows.into_iter().map(|row| (row.order_id.clone(), row));
        Self {
            orders: by_id.collect(),
            locked: HashSet::new(),
        }
    }

    /// Removes and returns the order with this id.
    pub(crate) fn take(&mut self, order_id: &str) -> FoundOrder {
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

/// Reads the committed state of orders, without locking them.
pub(crate) async fn read(
    connection: &mut PgConnection,
    order_ids: &[&str],
) -> sqlx::Result<FoundOrders> {
    sqlx::query_as(select_orders!(" FROM orders WHERE order_id = ANY($1) "))
        .bind(order_ids)
        .fetch_all(connection)
        .await
        .map(FoundOrders::new)
}

/// Locks orders, in the order of their ids, and reads them. Does not wait for an order that another
/// session has locked: all others of the group would wait too.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    order_ids: &[&str],
) -> sqlx::Result<FoundOrders> {
    if order_ids.is_empty() {
        return Ok(FoundOrders::default());
    }
    let rows = sqlx::query_as(select_orders!(
        " FROM orders WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE SKIP LOCKED"
    ))
    .bind(order_ids)
    .fetch_all(&mut *connection)
    .await?;
    let mut found = FoundOrders::new(rows);
    let is_missing = |id: &&str| !found.orders.contains_key(*id);
    let missing: Vec<&str> = order_ids.iter().copied().filter(is_missing).collect();
    if !missing.is_empty() {
        // An order that exists but was skipped is locked.
        let existing: Vec<String> =
            sqlx::query_scalar("SELECT order_id FROM orders WHERE order_id = ANY($1)")
                .bind(missing)
                .fetch_all(connection)
                .await?;
        found.locked = existing.into_iter().collect();
    }
    Ok(found)
}

/// An order to be written, and the trace that its event carries.
#[derive(Debug)]
pub(crate) struct OrderWrite<'a> {
    pub(crate) order: &'a Order,
    pub(crate) traceparent: String,
}

/// Inserts new orders with their events, and returns the ids of those that were inserted: an id that
/// exists is left alone. Atomic by itself.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    writes: &[OrderWrite<'_>],
    at: Timestamp,
) -> sqlx::Result<HashSet<String>> {
    let mut order_ids = Vec::with_capacity(writes.len());
    let mut totals = Vec::with_capacity(writes.len());
    let mut currencies = Vec::with_capacity(writes.len());
    let mut products = Vec::with_capacity(writes.len());
    let mut traceparents = Vec::with_capacity(writes.len());
    for OrderWrite { order, traceparent } in writes {
        order_ids.push(order.order_id.as_str());
        totals.push(order.total);
        currencies.push(order.currency.as_str());
        products.push(Json(&order.products));
        traceparents.push(traceparent.as_str());
    }
    // Sorted, so that two groups with the same ids wait for each other instead of deadlocking. "IS
    // TRUE" keeps the planner from turning the IN into a nested loop join, which would compare each row
    // with every other one; a hashed subplan hashes the ids once.
    let inserted: Vec<String> = sqlx::query_scalar(
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
    .bind(traceparents)
    .bind(DateTime::<Utc>::from(at))
    .fetch_all(connection)
    .await?;
    Ok(inserted.into_iter().collect())
}

/// Updates orders whose status has changed, with their events, and returns the ids of those that were
/// updated: an order that no longer has the preceding version is left alone. Atomic by itself.
///
/// An event is written once its order's row is locked: only then do the events of one order get their
/// ids in the order of its versions.
pub(crate) async fn update(
    connection: &mut PgConnection,
    writes: &[OrderWrite<'_>],
) -> sqlx::Result<HashSet<String>> {
    let mut order_ids = Vec::with_capacity(writes.len());
    let mut statuses = Vec::with_capacity(writes.len());
    let mut versions = Vec::with_capacity(writes.len());
    let mut sent_ats = Vec::with_capacity(writes.len());
    let mut updated_ats = Vec::with_capacity(writes.len());
    let mut traceparents = Vec::with_capacity(writes.len());
    // Their rows are locked in this order.
    let mut writes: Vec<&OrderWrite<'_>> = writes.iter().collect();
    writes.sort_unstable_by(|one, other| one.order.order_id.cmp(&other.order.order_id));
    for OrderWrite { order, traceparent } in writes {
        order_ids.push(order.order_id.as_str());
        statuses.push(order.status.as_str());
        versions.push(order.version);
        sent_ats.push(order.sent_at.map(DateTime::<Utc>::from));
        updated_ats.push(DateTime::<Utc>::from(order.updated_at));
        traceparents.push(traceparent.as_str());
    }
    let updated: Vec<String> = sqlx::query_scalar(
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
         SELECT order_id, version, status, total, currency, updated_at, sent_at, traceparent
         FROM changed
         RETURNING order_id",
    )
    .bind(order_ids)
    .bind(statuses)
    .bind(versions)
    .bind(sent_ats)
    .bind(updated_ats)
    .bind(traceparents)
    .fetch_all(connection)
    .await?;
    Ok(updated.into_iter().collect())
}
