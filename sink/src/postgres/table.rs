//! The port over Postgres: one statement a batch, two when new rows and old ones are mixed.

use std::pin::Pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgArguments, PgBindIterExt as _};
use sqlx::query::Query;
use sqlx::{Error, PgConnection, Postgres, Row as _};
use tokio::runtime::Handle;

use super::connect::{Database, within};
use super::fault::{Fault, fault_of};
use crate::columns::Columns;
use crate::ports::{Identity, Table, WriteError, Written};

/// Rows that are most probably new: as quick as rows can be written, and says how many were. When
/// some were not, [`WRITE`] follows and tells about those. Rows come, and are locked, in order.
const INSERT: &str = "\
INSERT INTO vouchers (
    campaign, order_id, code, amount, currency, issued_at, expires_at, traceparent
)
SELECT * FROM UNNEST(
    $1::text[], $2::text[], $3::text[], $4::numeric[],
    $5::text[], $6::timestamptz[], $7::timestamptz[], $8::text[]
)
ON CONFLICT (campaign, order_id) DO NOTHING";

/// One statement, whatever is there already: each row is looked up by its identity, and only what
/// is missing is inserted, so that a replay writes nothing.
///
/// - The look-up is a subquery in the list of results: always one probe of the primary key a row,
///   where a join might be planned as a scan of the table.
/// - `ON CONFLICT` names the identity: without it, a clash on the code would be swallowed as well.
/// - `WITH ORDINALITY` numbers the rows, and their order is that of the locks.
const WRITE: &str = "\
WITH input AS MATERIALIZED (
    SELECT input.*, (
        SELECT there.code = input.code
           AND there.amount = input.amount
           AND there.currency = input.currency
        FROM vouchers AS there
        WHERE there.campaign = input.campaign AND there.order_id = input.order_id
    ) AS same
    FROM UNNEST(
        $1::text[], $2::text[], $3::text[], $4::numeric[],
        $5::text[], $6::timestamptz[], $7::timestamptz[], $8::text[]
    ) WITH ORDINALITY AS input (
        campaign, order_id, code, amount, currency, issued_at, expires_at, traceparent, number
    )
), inserted AS (
    INSERT INTO vouchers (
        campaign, order_id, code, amount, currency, issued_at, expires_at, traceparent
    )
    SELECT campaign, order_id, code, amount, currency, issued_at, expires_at, traceparent
    FROM input
    WHERE same IS NULL
    ORDER BY number
    ON CONFLICT (campaign, order_id) DO NOTHING
    RETURNING 1
)
SELECT
    (SELECT count(*) FROM inserted) AS inserted,
    count(same) AS there,
    coalesce(array_agg(number) FILTER (WHERE NOT same), '{}') AS different
FROM input";

/// Whose the code is; asked for a row that was refused alone.
const HOLDER: &str = "SELECT campaign, order_id FROM vouchers WHERE code = $1";

/// The server gives a statement up before.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);

type Answer = (
    Columns,
    Result<(PgConnection, Written), (Option<PgConnection>, WriteError)>,
);

/// The table of the vouchers, over a connection that only this task has.
pub struct PostgresTable {
    database: Database,
    runtime: Handle,
    connection: Option<PgConnection>,
    /// Whether most rows of the last statement were: a replay meets rows that are there, batch after
    /// batch, and looks first.
    expects_new: bool,
    under_way: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
}

impl PostgresTable {
    /// Does not connect yet. `runtime` is where the connection's input and output happen; the
    /// calls of the port must come from a thread that is not its own.
    pub const fn new(database: Database, runtime: Handle) -> Self {
        Self {
            database,
            runtime,
            connection: None,
            expects_new: true,
            under_way: None,
        }
    }
}

impl Table for PostgresTable {
    fn start(&mut self, columns: Columns) {
        debug_assert!(self.under_way.is_none(), "one statement at a time");
        let connection = self.connection.take();
        let database = self.database.clone();
        let expects_new = self.expects_new;
        self.under_way = Some(Box::pin(async move {
            let result = write(&database, connection, &columns, expects_new).await;
            (columns, result)
        }));
    }

    fn poll(&mut self, timeout: Duration) -> Option<(Columns, Result<Written, WriteError>)> {
        let under_way = self.under_way.as_mut()?;
        let (columns, result) = self
            .runtime
            .block_on(async { tokio::time::timeout(timeout, under_way).await })
            .ok()?;
        self.under_way = None;
        let result = match result {
            Ok((connection, written)) => {
                self.connection = Some(connection);
                self.expects_new = written.inserted * 2 >= columns.len() as u64;
                Ok(written)
            }
            Err((connection, error)) => {
                self.connection = connection;
                Err(error)
            }
        };
        Some((columns, result))
    }
}

/// The connection comes back unless it is, or may be, broken.
async fn write(
    database: &Database,
    connection: Option<PgConnection>,
    columns: &Columns,
    expects_new: bool,
) -> Result<(PgConnection, Written), (Option<PgConnection>, WriteError)> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => match database.connect().await {
            Ok(connection) => connection,
            Err(error) => return Err((None, write_error(&error))),
        },
    };
    let error = match within(
        ANSWER_TIMEOUT,
        insert(&mut connection, columns, expects_new),
    )
    .await
    {
        Ok(written) => return Ok((connection, written)),
        Err(error) => error,
    };
    match fault_of(&error) {
        Fault::Data | Fault::Conflict => Err((Some(connection), write_error(&error))),
        Fault::CodeClash => match holder(&mut connection, columns).await {
            Ok(holder) => Err((Some(connection), WriteError::CodeClash { holder })),
            Err(error) => Err((None, write_error(&error))),
        },
        // A new connection also sees rights, tables and a failover as they are now.
        Fault::Away | Fault::NeedsPerson => Err((None, write_error(&error))),
    }
}

async fn insert(
    connection: &mut PgConnection,
    columns: &Columns,
    expects_new: bool,
) -> Result<Written, Error> {
    let rows = columns.len() as u64;
    let mut inserted = 0;
    if expects_new {
        inserted = with_columns(INSERT, columns)
            .execute(&mut *connection)
            .await?
            .rows_affected();
        if inserted == rows {
            return Ok(Written {
                inserted,
                different: Vec::new(),
            });
        }
    }
    loop {
        let (new, there, different) = look_and_insert(connection, columns).await?;
        inserted += new;
        // A row that is neither new nor there was put in by another writer while the statement ran;
        // the next statement sees it.
        if new + there >= rows {
            return Ok(Written {
                inserted,
                different,
            });
        }
    }
}

fn with_columns<'q>(
    statement: &'static str,
    columns: &'q Columns,
) -> Query<'q, Postgres, PgArguments> {
    let time = DateTime::<Utc>::from;
    sqlx::query(statement)
        .bind(columns.campaigns.iter().bind_iter())
        .bind(columns.order_ids.iter().bind_iter())
        .bind(columns.codes.iter().bind_iter())
        .bind(columns.amounts.iter().bind_iter())
        .bind(columns.currencies.iter().map(|c| c.as_str()).bind_iter())
        .bind(columns.issued_at.iter().map(|at| time(*at)).bind_iter())
        .bind(columns.expires_at.iter().map(|at| at.map(time)).bind_iter())
        .bind(
            columns
                .traceparents
                .iter()
                .map(|traceparent| (!traceparent.is_empty()).then_some(traceparent))
                .bind_iter(),
        )
}

/// How many rows were put in, how many are there, and the places of those that differ.
async fn look_and_insert(
    connection: &mut PgConnection,
    columns: &Columns,
) -> Result<(u64, u64, Vec<usize>), Error> {
    let row = with_columns(WRITE, columns).fetch_one(connection).await?;
    let count = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
    let different: Vec<i64> = row.try_get("different")?;
    let places = different
        .into_iter()
        // Postgres counts from one.
        .filter_map(|number| usize::try_from(number - 1).ok())
        .collect();
    Ok((count("inserted")?, count("there")?, places))
}

/// Of a statement of one row.
async fn holder(
    connection: &mut PgConnection,
    columns: &Columns,
) -> Result<Option<Identity>, Error> {
    if columns.len() != 1 {
        return Ok(None);
    }
    let found: Option<(String, String)> = within(
        ANSWER_TIMEOUT,
        sqlx::query_as(HOLDER)
            .bind(columns.codes.get(0))
            .fetch_optional(connection),
    )
    .await?;
    Ok(found.map(|(campaign, order_id)| Identity { campaign, order_id }))
}

fn write_error(error: &Error) -> WriteError {
    // Of a database's error only its sentence: the detail holds the row's values.
    let sentence = match error {
        Error::Database(error) => match error.code() {
            Some(code) => format!("{} (SQLSTATE {code})", error.message()),
            None => error.message().to_owned(),
        },
        _ => error.to_string(),
    };
    match fault_of(error) {
        Fault::Data => WriteError::Data(sentence),
        Fault::CodeClash => WriteError::CodeClash { holder: None },
        Fault::Conflict => WriteError::Conflict(sentence),
        Fault::Away => WriteError::Unavailable(sentence),
        Fault::NeedsPerson => WriteError::NeedsPerson(sentence),
    }
}
