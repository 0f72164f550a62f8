//! The rows, and the reported outcomes, do not depend on which statement the sink's table tries first.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, ensure};
use end_to_end::system::{STOP, TestSystem};
use runtime::record::OwnedRecord;
use runtime::registry::{Lookup, SchemaSource};
use runtime::settings::Secret;
use schemas::{Malformed, Reason, SchemaId, VoucherPlan};
use sink::batch::Batch;
use sink::columns::Columns;
use sink::decide::{Decision, decide};
use sink::ports::{Table as _, VoucherIdentity, WriteError, Written};
use sink::target::postgres::{Database, PostgresTable};

/// Rows of a statement, enough for the table to try the statement that fails if a row exists.
const ROWS: usize = 500;

/// Statements, enough for the table to expect new rows from then on.
const LONG: usize = 9;

/// A registry without schemas: the vouchers are JSON.
struct NoSchemas;

impl SchemaSource for NoSchemas {
    type Plan = VoucherPlan;

    fn lookup(&mut self, _: SchemaId) -> Lookup<'_, VoucherPlan> {
        Lookup::Bad(Malformed::new(Reason::UnknownSchema, "none"))
    }
}

/// Returns a voucher whose order id sorts as its number does.
fn voucher(number: usize, code: &str, amount: &str) -> OwnedRecord {
    let id = format!("{number:06}");
    let value = format!(
        r#"{{"campaign":"order-reward","order_id":"{id}","code":"{code}","amount":"{amount}","currency":"EUR","issued_at":"2026-01-01T00:00:00Z","expires_at":null}}"#
    );
    OwnedRecord {
        key: Some(id.into_bytes()),
        value: Some(value.into_bytes()),
        ..OwnedRecord::default()
    }
}

fn vouchers(numbers: Range<usize>) -> Vec<OwnedRecord> {
    numbers
        .map(|number| voucher(number, &format!("CODE-{number}"), "5.00"))
        .collect()
}

fn write(
    table: &mut PostgresTable,
    records: &[OwnedRecord],
) -> Result<Result<Written, WriteError>> {
    let mut batch = Batch::default();
    for record in records {
        let decision = decide(record, &mut NoSchemas, &mut batch);
        ensure!(decision == Decision::Row, "{decision:?}");
    }
    let mut columns = Columns::default();
    columns.fill(&batch, 0..batch.rows());
    table.start(columns);
    let mut looks = 0;
    loop {
        // The first poll does not wait, as in the loop, which prefetches meanwhile.
        let patience = if looks == 0 { 0 } else { 1000 };
        if let Some((_, result)) = table.poll(Duration::from_millis(patience)) {
            return Ok(result);
        }
        looks += 1;
        ensure!(looks < 30, "no answer");
    }
}

fn written(inserted: usize, different: &[usize]) -> Result<Written, WriteError> {
    Ok(Written {
        inserted: inserted as u64,
        different: different.to_vec(),
    })
}

fn a_backlog_a_replay_and_both(url: &str) -> Result<()> {
    let database = Database::new(&Secret::new(url))?;
    let mut table = PostgresTable::new(database)?;
    let mut next = 0;
    let mut backlog = |table: &mut PostgresTable| -> Result<usize> {
        for _ in 0..LONG {
            let rows = vouchers(next..next + ROWS);
            assert_eq!(write(table, &rows)?, written(ROWS, &[]));
            next += ROWS;
        }
        Ok(next)
    };

    // Half of the rows exist already, one of them with another code and amount.
    let end = backlog(&mut table)?;
    let mut mixed = vouchers(end - ROWS / 2..end + ROWS / 2);
    mixed[7] = voucher(end - ROWS / 2 + 7, "OTHER", "7.50");
    assert_eq!(write(&mut table, &mixed)?, written(ROWS / 2, &[7]));
    assert_eq!(write(&mut table, &mixed)?, written(0, &[7]));

    // Replays of existing rows, and of half existing rows after a backlog.
    for _ in 0..3 {
        assert_eq!(write(&mut table, &vouchers(0..ROWS))?, written(0, &[]));
    }
    let again = vouchers(end..end + ROWS);
    assert_eq!(write(&mut table, &again)?, written(ROWS / 2, &[]));
    Ok(())
}

fn a_code_of_another_order_in_a_backlog(url: &str) -> Result<()> {
    let database = Database::new(&Secret::new(url))?;
    let mut table = PostgresTable::new(database)?;
    let first = 500_000;
    for number in 0..LONG {
        let from = first + number * ROWS;
        assert_eq!(
            write(&mut table, &vouchers(from..from + ROWS))?,
            written(ROWS, &[])
        );
    }
    let from = first + LONG * ROWS;
    let mut rows = vouchers(from..from + ROWS);
    rows[3] = voucher(from + 3, &format!("CODE-{first}"), "5.00");
    let refused = write(&mut table, &rows)?;
    assert_eq!(refused, Err(WriteError::CodeClash { holder: None }));
    // No row of the statement was written. Written alone, the row's error names the holder of the code.
    let holder = VoucherIdentity {
        campaign: "order-reward".to_owned(),
        order_id: format!("{first:06}"),
    };
    let alone = write(&mut table, &rows[3..4])?;
    let holder = Some(holder);
    assert_eq!(alone, Err(WriteError::CodeClash { holder }));
    rows.remove(3);
    assert_eq!(write(&mut table, &rows)?, written(ROWS - 1, &[]));
    Ok(())
}

#[tokio::test]
async fn rows_are_the_same_whichever_statement_is_tried_first() -> Result<()> {
    let system = TestSystem::open().await?;
    // A sink creates the table.
    system.sink().await?.terminate(STOP).await?;
    let url = system.vouchers_url.clone();
    tokio::task::spawn_blocking(move || {
        a_backlog_a_replay_and_both(&url)?;
        a_code_of_another_order_in_a_backlog(&url)
    })
    .await?
}
