//! Whichever statement the sink's table tries first, the rows and what it tells of them are the same.

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

/// Rows of a statement, enough for the one that fails when a row is there.
const ROWS: usize = 500;

/// Statements, enough to expect new rows for ever.
const LONG: usize = 9;

/// The vouchers here are JSON.
struct NoSchemas;

impl SchemaSource for NoSchemas {
    type Plan = VoucherPlan;

    fn lookup(&mut self, _: SchemaId) -> Lookup<'_, VoucherPlan> {
        Lookup::Bad(Malformed::new(Reason::UnknownSchema, "none"))
    }
}

/// A voucher whose id sorts as its number does.
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
        // A look first, as the loop does that reads on meanwhile.
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

    // Half of the rows are there, one of them with another amount.
    let end = backlog(&mut table)?;
    let mut mixed = vouchers(end - ROWS / 2..end + ROWS / 2);
    mixed[7] = voucher(end - ROWS / 2 + 7, "OTHER", "7.50");
    assert_eq!(write(&mut table, &mixed)?, written(ROWS / 2, &[7]));
    assert_eq!(write(&mut table, &mixed)?, written(0, &[7]));

    // A replay: by itself, and after a backlog.
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
    // Nothing of it was written; alone, the row tells who has the code.
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
async fn what_was_expected_of_the_rows_changes_nothing_but_the_time() -> Result<()> {
    let system = TestSystem::open().await?;
    // Makes the table.
    system.sink().await?.terminate(STOP).await?;
    let url = system.vouchers_url.clone();
    tokio::task::spawn_blocking(move || {
        a_backlog_a_replay_and_both(&url)?;
        a_code_of_another_order_in_a_backlog(&url)
    })
    .await?
}
