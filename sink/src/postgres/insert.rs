//! The statements that put rows in once, whatever is there already, and which of them is tried first.

use std::time::Duration;

use chrono::{DateTime, Utc};
use runtime::postgres::within;
use sqlx::postgres::{PgArguments, PgBindIterExt as _};
use sqlx::query::Query;
use sqlx::{Connection as _, Error, PgConnection, Postgres, Row as _};

use super::fault::ignored;
use crate::columns::Columns;
use crate::ports::{VoucherIdentity, Written};

/// Puts the rows in. They come, and are locked, in order.
///
/// Arrays in the list of results go in step, and without the store that those in `FROM` have.
macro_rules! insert {
    ($on_conflict:literal) => {
        concat!(
            "INSERT INTO vouchers (
                 campaign, order_id, code, amount, currency, issued_at, expires_at, traceparent
             )
             SELECT UNNEST($1::text[]), UNNEST($2::text[]), UNNEST($3::text[]),
                    UNNEST($4::numeric[]), UNNEST($5::text[]), UNNEST($6::timestamptz[]),
                    UNNEST($7::timestamptz[]), UNNEST($8::text[]) ",
            $on_conflict
        )
    };
}

/// All of the rows, or none when one of them is there: two thirds of the work of [`INSERT_MISSING`],
/// which looks for each row, marks it as tentative and then as not.
const INSERT_ALL: &str = insert!("");

/// Those whose identity is not there. `ON CONFLICT` names the identity: without it, a clash on the
/// code would be swallowed as well.
const INSERT_MISSING: &str = insert!("ON CONFLICT (campaign, order_id) DO NOTHING");

/// How many of the rows are there, and the numbers of those that differ: less work than
/// [`INSERT_MISSING`] has with rows that are there, and no lock.
///
/// - The look-up is a subquery in the list of results: always one probe of the primary key a row,
///   where a join might be planned as a scan of the table.
/// - `OFFSET 0` keeps it from being done once for each place where its result is named.
const LOOK: &str = "\
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
) AS looked";

/// Whose the code is.
const HOLDER: &str = "SELECT campaign, order_id FROM vouchers WHERE code = $1";

/// How long one statement may be without an answer. The server gives it up before, which tells a
/// statement that can't be done in time from a database that does not answer.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);

/// How often the table is looked at for rows that are neither new nor there. Another writer makes one
/// look of this kind necessary; a table that ignores a row would make it endless.
const MAX_LOOKS: usize = 3;

/// Whether the table takes statements at all: a durable transaction that takes the table's lock and
/// writes to the log, as a batch does, but no row.
const CANARY: &str = "SELECT pg_logical_emit_message(true, 'checkout-sink', ''); \
     INSERT INTO vouchers (campaign, order_id, code, amount, currency, issued_at, expires_at, traceparent) \
     SELECT campaign, order_id, code, amount, currency, issued_at, expires_at, traceparent \
     FROM vouchers WHERE false";

/// What a commit would check.
const CHECK_NOW: &str = "SET CONSTRAINTS ALL IMMEDIATE";

/// A statement of fewer rows is not worth a failed one.
const MANY: usize = 500;

/// So many statements whose rows were all new lead one to expect the same of the next.
const LONG: u32 = 8;

/// What the last statements met: a backlog brings new rows batch after batch, a replay rows that are
/// there, and a flow with echoes both.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expectation {
    /// How many statements in a row met new rows alone.
    all_new: u32,
    /// Whether the last one met more new rows than others.
    mostly_new: bool,
}

impl Expectation {
    /// Nothing is known yet. After a start rows may come that are there.
    pub(super) const fn new() -> Self {
        Self {
            all_new: 0,
            mostly_new: true,
        }
    }

    /// What a statement of so many rows met.
    pub(super) fn learn(&mut self, rows: usize, written: &Written) {
        let inserted = usize::try_from(written.inserted).unwrap_or(usize::MAX);
        self.mostly_new = inserted.saturating_mul(2) >= rows;
        self.all_new = match inserted {
            _ if inserted >= rows => self.all_new.saturating_add(1),
            _ => 0,
        };
    }

    const fn all_are_new(self, rows: usize) -> bool {
        self.all_new >= LONG && rows >= MANY
    }
}

/// Puts in what is missing: by one statement when what was expected is so.
///
/// # Errors
/// Postgres'.
pub(super) async fn insert(
    connection: &mut PgConnection,
    columns: &Columns,
    expectation: Expectation,
) -> Result<Written, Error> {
    let rows = columns.len() as u64;
    let mut inserted = 0;
    if expectation.all_are_new(columns.len()) {
        match put_in(INSERT_ALL, connection, columns).await {
            Ok(inserted) => {
                return Ok(Written {
                    inserted,
                    different: Vec::new(),
                });
            }
            // Which of the row's keys is told is a matter of chance: what follows finds out.
            Err(error) if is_there(&error) => {}
            Err(error) => return Err(error),
        }
    } else if expectation.mostly_new {
        inserted = put_in(INSERT_MISSING, connection, columns).await?;
        if inserted == rows {
            return Ok(Written {
                inserted,
                different: Vec::new(),
            });
        }
    }
    for _ in 0..MAX_LOOKS {
        let (there, different) = look(connection, columns).await?;
        let new = match there {
            _ if there == rows => 0,
            _ => put_in(INSERT_MISSING, connection, columns).await?,
        };
        inserted += new;
        // A row that is neither new nor was there has come from another writer in between: the next
        // look sees it.
        if new + there >= rows {
            return Ok(Written {
                inserted,
                different,
            });
        }
    }
    Err(ignored())
}

/// As [`insert`], and takes all of it back at once. Triggers run, and constraints that wait for a
/// commit are checked.
///
/// # Errors
/// Postgres'.
pub(super) async fn rehearse(
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
    let taken_back = within(ANSWER_TIMEOUT, transaction.rollback()).await;
    written.and_then(|written| taken_back.map(|()| written))
}

fn is_there(error: &Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.is_unique_violation())
}

/// How many were put in.
async fn put_in(
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
        .execute(connection);
    Ok(within(ANSWER_TIMEOUT, done).await?.rows_affected())
}

/// How many are there, and the places of those that differ.
async fn look(
    connection: &mut PgConnection,
    columns: &Columns,
) -> Result<(u64, Vec<usize>), Error> {
    let row = with_values(LOOK, columns).fetch_one(connection);
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

/// What tells a row, and what it must agree with.
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

/// Does what a batch does but for its rows.
///
/// # Errors
/// Postgres'.
pub(super) async fn canary(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::raw_sql(CANARY).execute(connection).await.map(|_| ())
}

/// Who holds the code of a row that was refused alone; none of a statement of several.
///
/// # Errors
/// Postgres'.
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
        let mut expectation = Expectation::new();
        for _ in 0..LONG {
            assert!(!expectation.all_are_new(MANY));
            expectation.learn(MANY, &written(MANY as u64));
        }
        assert!(expectation.all_are_new(MANY));
        assert!(!expectation.all_are_new(MANY - 1), "a few rows");
        expectation.learn(MANY, &written(MANY as u64 - 1));
        assert!(!expectation.all_are_new(MANY));
        assert!(expectation.mostly_new);
    }

    #[test]
    fn a_replay_is_looked_at_first() {
        let mut expectation = Expectation::new();
        assert!(expectation.mostly_new);
        expectation.learn(10, &written(4));
        assert!(!expectation.mostly_new);
        expectation.learn(10, &written(5));
        assert!(expectation.mostly_new);
    }
}
