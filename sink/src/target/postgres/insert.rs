//! The statements that insert each row once, whichever rows exist already, and the choice of the one that
//! is executed first.

use chrono::{DateTime, Utc};
use runtime::postgres::within;
use sqlx::postgres::{PgArguments, PgBindIterExt as _};
use sqlx::query::Query;
use sqlx::{Connection as _, Error, PgConnection, Postgres, Row as _};

use super::fault::{ignored, is_unique_violation};
use crate::columns::Columns;
use crate::limits::{
    ANSWER_TIMEOUT, MAX_COMPARISONS, MIN_ROWS_TO_EXPECT_NEW, MIN_STATEMENTS_TO_EXPECT_NEW,
};
use crate::ports::{VoucherIdentity, Written};

/// Inserts the rows in order, so that their locks are taken in order.
///
/// Arrays in the select list advance together, and are not materialized as those in `FROM` are.
macro_rules! insert {
    ($on_conflict:literal) => {
        concat!(
            "INSERT INTO vouchers (
                 campaign, order_id, code, amount, currency, issued_at, expires_at, traceparent,
                 record_partition, record_offset
             )
             SELECT UNNEST($1::text[]), UNNEST($2::text[]), UNNEST($3::text[]),
                    UNNEST($4::numeric[]), UNNEST($5::text[]), UNNEST($6::timestamptz[]),
                    UNNEST($7::timestamptz[]), UNNEST($8::text[]), UNNEST($9::integer[]),
                    UNNEST($10::bigint[]) ",
            $on_conflict
        )
    };
}

/// Inserts all of the rows, or none if one of them exists. Costs two thirds of
/// [`INSERT_MISSING`], which looks up each row, inserts it speculatively, and then confirms it.
const INSERT_ALL: &str = insert!("");

/// Inserts the rows whose identity does not exist. `ON CONFLICT` names the identity: without it, a clash
/// on the code would be swallowed as well.
const INSERT_MISSING: &str = insert!("ON CONFLICT (campaign, order_id) DO NOTHING");

/// Selects how many of the rows exist, and the numbers of those that differ. For existing rows it costs
/// less than [`INSERT_MISSING`], and it takes no row lock.
///
/// - The look-up is a subquery in the select list: always one probe of the primary key for each row,
///   where a join might be planned as a scan of the table.
/// - `OFFSET 0` keeps the planner from repeating it in each place where its result is named.
const COMPARE: &str = "\
SELECT count(same) AS there,
       coalesce(array_agg(number) FILTER (WHERE NOT same), '{}') AS different
FROM (
    SELECT number, (
        SELECT there.code = input.code
           AND there.amount = input.amount
           AND there.currency = input.currency
        FROM vouchers AS there
        WHERE there.campaign = input.campaign AND there.order_id = input.order_id
    ) AS same
    FROM UNNEST($1::text[], $2::text[], $3::text[], $4::numeric[], $5::text[])
    WITH ORDINALITY AS input (campaign, order_id, code, amount, currency, number)
    OFFSET 0
) AS compared";

/// Selects the voucher that has a code.
const HOLDER: &str = "SELECT campaign, order_id FROM vouchers WHERE code = $1";

/// Finds out whether the table accepts statements at all: a durable transaction that takes the table's
/// lock and writes to the write-ahead log, as a batch does, but inserts no row.
const CANARY: &str = "SELECT pg_logical_emit_message(true, 'checkout-sink', ''); \
     INSERT INTO vouchers (campaign, order_id, code, amount, currency, issued_at, expires_at, traceparent, \
     record_partition, record_offset) \
     SELECT campaign, order_id, code, amount, currency, issued_at, expires_at, traceparent, \
     record_partition, record_offset \
     FROM vouchers WHERE false";

/// Checks deferred constraints, as a commit would.
const CHECK_NOW: &str = "SET CONSTRAINTS ALL IMMEDIATE";

/// Predicts from the last statements whether the rows of the next one are new: a backlog brings new rows
/// batch after batch, a replay brings existing rows, and a flow with echoes brings both.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expectation {
    /// The number of statements in a row that met only new rows.
    all_new: u32,
    /// Whether the last one met more new rows than others.
    mostly_new: bool,
}

impl Expectation {
    /// Expects mostly new rows. After a start some may exist already.
    pub(super) const fn new() -> Self {
        Self {
            all_new: 0,
            mostly_new: true,
        }
    }

    /// Learns from the outcome of a statement of `rows` rows.
    pub(super) fn learn(&mut self, rows: usize, written: &Written) {
        let inserted = usize::try_from(written.inserted).unwrap_or(usize::MAX);
        self.mostly_new = inserted.saturating_mul(2) >= rows;
        self.all_new = match inserted {
            _ if inserted >= rows => self.all_new.saturating_add(1),
            _ => 0,
        };
    }

    const fn all_are_new(self, rows: usize) -> bool {
        self.all_new >= MIN_STATEMENTS_TO_EXPECT_NEW && rows >= MIN_ROWS_TO_EXPECT_NEW
    }
}

/// Inserts the rows that are missing: by one statement when the rows are as expected.
///
/// # Errors
/// The error of Postgres.
pub(super) async fn insert(
    connection: &mut PgConnection,
    columns: &Columns,
    expectation: Expectation,
) -> Result<Written, Error> {
    let rows = columns.len() as u64;
    let mut inserted = 0;
    if expectation.all_are_new(columns.len()) {
        match execute(INSERT_ALL, connection, columns).await {
            Ok(inserted) => {
                return Ok(Written {
                    inserted,
                    different: Vec::new(),
                });
            }
            // Both the identity and the code are unique, and the error names only the first clash. The
            // statements below tell an existing row from a code of another voucher.
            Err(error) if is_unique_violation(&error) => {}
            Err(error) => return Err(error),
        }
    } else if expectation.mostly_new {
        inserted = execute(INSERT_MISSING, connection, columns).await?;
        if inserted == rows {
            return Ok(Written {
                inserted,
                different: Vec::new(),
            });
        }
    }
    for _ in 0..MAX_COMPARISONS {
        let (there, different) = compare(connection, columns).await?;
        let new = match there {
            _ if there == rows => 0,
            _ => execute(INSERT_MISSING, connection, columns).await?,
        };
        inserted += new;
        // A row that was neither found nor inserted has come from another writer in between: the next
        // comparison finds it.
        if new + there >= rows {
            return Ok(Written {
                inserted,
                different,
            });
        }
    }
    Err(ignored())
}

/// Does what [`insert`] does, and rolls all of it back at once. Triggers run, and deferred constraints
/// are checked.
///
/// # Errors
/// The error of Postgres.
pub(super) async fn insert_and_roll_back(
    connection: &mut PgConnection,
    columns: &Columns,
    expectation: Expectation,
) -> Result<Written, Error> {
    let mut transaction = within(ANSWER_TIMEOUT, connection.begin()).await?;
    let mut written = insert(&mut transaction, columns, expectation).await;
    if written.is_ok() {
        let checked = sqlx::raw_sql(CHECK_NOW).execute(&mut *transaction);
        if let Err(error) = within(ANSWER_TIMEOUT, checked).await {
            written = Err(error);
        }
    }
    let rolled_back = within(ANSWER_TIMEOUT, transaction.rollback()).await;
    written.and_then(|written| rolled_back.map(|()| written))
}

/// Executes a statement that inserts. Returns how many rows it inserted.
async fn execute(
    statement: &'static str,
    connection: &mut PgConnection,
    columns: &Columns,
) -> Result<u64, Error> {
    let time = DateTime::<Utc>::from;
    let done = with_values(statement, columns)
        .bind(columns.issued_at.iter().map(|at| time(*at)).bind_iter())
        .bind(columns.expires_at.iter().map(|at| at.map(time)).bind_iter())
        .bind(
            columns
                .traceparents
                .iter()
                .map(|traceparent| (!traceparent.is_empty()).then_some(traceparent))
                .bind_iter(),
        )
        .bind(columns.record_partitions.iter().bind_iter())
        .bind(columns.record_offsets.iter().bind_iter())
        .execute(connection);
    Ok(within(ANSWER_TIMEOUT, done).await?.rows_affected())
}

/// Returns how many rows exist, and the places of those that differ.
async fn compare(
    connection: &mut PgConnection,
    columns: &Columns,
) -> Result<(u64, Vec<usize>), Error> {
    let row = with_values(COMPARE, columns).fetch_one(connection);
    let row = within(ANSWER_TIMEOUT, row).await?;
    let there: i64 = row.try_get("there")?;
    let different: Vec<i64> = row.try_get("different")?;
    let places = different
        .into_iter()
        // Postgres counts from one.
        .filter_map(|number| usize::try_from(number - 1).ok())
        .collect();
    Ok((there.unsigned_abs(), places))
}

/// Binds the identities of the rows, and the values that are compared with existing rows.
fn with_values<'q>(
    statement: &'static str,
    columns: &'q Columns,
) -> Query<'q, Postgres, PgArguments> {
    sqlx::query(statement)
        .bind(columns.campaigns.iter().bind_iter())
        .bind(columns.order_ids.iter().bind_iter())
        .bind(columns.codes.iter().bind_iter())
        .bind(columns.amounts.iter().bind_iter())
        .bind(columns.currencies.iter().map(|c| c.as_str()).bind_iter())
}

/// Executes [`CANARY`].
///
/// # Errors
/// The error of Postgres.
pub(super) async fn canary(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::raw_sql(CANARY).execute(connection).await.map(|_| ())
}

/// Returns the voucher that has the code of a row that was refused alone.
///
/// # Errors
/// The error of Postgres.
pub(super) async fn holder(
    connection: &mut PgConnection,
    columns: &Columns,
) -> Result<Option<VoucherIdentity>, Error> {
    if columns.len() != 1 {
        return Ok(None);
    }
    let found: Option<(String, String)> = sqlx::query_as(HOLDER)
        .bind(columns.codes.get(0))
        .fetch_optional(connection)
        .await?;
    Ok(found.map(|(campaign, order_id)| VoucherIdentity { campaign, order_id }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(inserted: u64) -> Written {
        Written {
            inserted,
            different: Vec::new(),
        }
    }

    #[test]
    fn only_a_long_run_of_new_rows_leads_to_the_statement_that_fails_for_others() {
        const ROWS: usize = MIN_ROWS_TO_EXPECT_NEW;
        let mut expectation = Expectation::new();
        for _ in 0..MIN_STATEMENTS_TO_EXPECT_NEW {
            assert!(!expectation.all_are_new(ROWS));
            expectation.learn(ROWS, &written(ROWS as u64));
        }
        assert!(expectation.all_are_new(ROWS));
        assert!(!expectation.all_are_new(ROWS - 1), "too few rows");
        expectation.learn(ROWS, &written(ROWS as u64 - 1));
        assert!(!expectation.all_are_new(ROWS));
        assert!(expectation.mostly_new);
    }

    #[test]
    fn the_rows_of_a_replay_are_compared_first() {
        let mut expectation = Expectation::new();
        assert!(expectation.mostly_new);
        expectation.learn(10, &written(4));
        assert!(!expectation.mostly_new);
        expectation.learn(10, &written(5));
        assert!(expectation.mostly_new);
    }
}
