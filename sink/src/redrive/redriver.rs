//! Evaluates one dead letter with the decoder and the statement of the live loop.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use runtime::backoff::Backoff;
use runtime::dead_letter::command::{Redrive, Redriven};
use runtime::dead_letter::{DeadLetter, Outcome};
use runtime::lifecycle::Failure;
use runtime::registry::{SchemaSource, not_answered};
use rust_decimal::Decimal;
use schemas::{Currency, Malformed, VoucherPlan, decimal};

use crate::batch::Batch;
use crate::columns::Columns;
use crate::decide::{Decision, TOMBSTONE, decide};
use crate::lone_failures::LoneFailures;
use crate::ports::{Table, WriteError, Written};
use crate::rejection::{code_taken, rejected, without_codes};

/// How long one call may wait for the database.
const SLICE: Duration = Duration::from_millis(500);

/// How long a statement is repeated. Longer waits are better decided by the person who runs the
/// command.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a preview waits for a database that is away. It leaves nothing half done that a longer wait would
/// finish.
const PREVIEW_PATIENCE: Duration = Duration::from_secs(3);

/// Redrives dead letters of the vouchers.
pub(super) struct Redriver<S, T> {
    schemas: S,
    table: T,
    /// How long a database that is away is waited for.
    patience: Duration,
    /// Of all rows: a table that refuses every row is not taken for many rows at fault.
    failures: LoneFailures,
    /// Whether it makes no attempt, so that rows at fault need not be bounded.
    is_preview: bool,
    /// The sum of the new rows' amounts, by currency.
    sums: BTreeMap<Currency, Decimal>,
}

impl<S, T> Redriver<S, T> {
    pub(super) fn new(schemas: S, table: T) -> Self {
        Self {
            schemas,
            table,
            patience: PATIENCE,
            failures: LoneFailures::default(),
            is_preview: false,
            sums: BTreeMap::new(),
        }
    }

    /// For a preview: gives up sooner when the database is away.
    pub(super) fn of_preview(schemas: S, table: T) -> Self {
        Self {
            patience: PREVIEW_PATIENCE,
            is_preview: true,
            ..Self::new(schemas, table)
        }
    }
}

impl<S, T> Redrive for Redriver<S, T>
where
    S: SchemaSource<Plan = VoucherPlan>,
    T: Table,
{
    fn redrive(&mut self, dead_letter: &DeadLetter, _run: &str) -> Result<Redriven, Failure> {
        let mut batch = Batch::default();
        let outcome = match decide(&dead_letter.original, &mut self.schemas, &mut batch) {
            Decision::Row => self.write(&batch)?,
            Decision::Tombstone => Outcome::Skipped {
                campaign: None,
                reason: "tombstone".to_owned(),
                message: TOMBSTONE.to_owned(),
            },
            Decision::Dead(reason) => match batch.dead().next() {
                Some(dead) => failed(dead.cause()),
                None => failed(&Malformed::new(reason, "")),
            },
            Decision::Wait { schema_id } => return Err(not_answered(schema_id)),
        };
        Ok(Redriven {
            outcome,
            outputs: Vec::new(),
        })
    }

    fn sums(&self) -> BTreeMap<String, String> {
        let money = |sum: &Decimal| decimal::as_money(*sum).to_string();
        self.sums
            .iter()
            .map(|(currency, sum)| (currency.to_string(), money(sum)))
            .collect()
    }
}

impl<S, T: Table> Redriver<S, T> {
    /// Writes the one row of the batch. Repeats the statement for a while when the row is not at
    /// fault.
    fn write(&mut self, batch: &Batch) -> Result<Outcome, Failure> {
        let started = Instant::now();
        let mut backoff = Backoff::outside();
        match self.is_preview {
            true => self.failures = LoneFailures::default(),
            false => self.failures.forget_row(),
        }
        loop {
            let mut patience = PATIENCE;
            let why = match insert(&mut self.table, batch) {
                Ok(Written { different, .. }) if !different.is_empty() => {
                    return Ok(row_differs(batch));
                }
                Ok(Written { inserted, .. }) => {
                    self.failures.note_written(inserted);
                    if inserted > 0 {
                        self.add(batch);
                    }
                    return Ok(Outcome::Row {
                        existed: inserted == 0,
                    });
                }
                Err(WriteError::Data(sentence)) => return Ok(failed(&rejected(&sentence))),
                Err(WriteError::CodeClash { holder }) => {
                    match holder.and_then(|holder| code_taken(batch, 0, &holder)) {
                        Some(cause) => return Ok(failed(&cause)),
                        None => "another row had its code for a moment".to_owned(),
                    }
                }
                Err(WriteError::Ambiguous { why, others_pass }) => {
                    if self.failures.note_failure(others_pass) {
                        return Ok(failed(&rejected(&why)));
                    }
                    why
                }
                Err(WriteError::NeedsPerson(why)) => {
                    return Err(Failure::failed(format!(
                        "the database has to be repaired: {why}; this was no attempt on the dead letter"
                    )));
                }
                Err(WriteError::Conflict(why)) => why,
                Err(WriteError::Unavailable(why)) => {
                    patience = self.patience;
                    why
                }
            };
            if started.elapsed() >= patience {
                return Err(Failure::failed(format!(
                    "the database accepts no row: {why}; run this command again when it does (what was \
                     committed is not repeated, and this was no attempt on the dead letter)"
                )));
            }
            std::thread::sleep(backoff.next_pause());
        }
    }

    fn add(&mut self, batch: &Batch) {
        let row = batch.row(0);
        let sum = self.sums.entry(row.currency).or_default();
        // No amount has more than 15 digits before the point: a sum does not overflow.
        *sum = sum.saturating_add(row.amount);
    }
}

/// Writes the one row of the batch. The row's code is removed from the sentences of errors.
fn insert(table: &mut impl Table, batch: &Batch) -> Result<Written, WriteError> {
    let mut columns = Columns::default();
    columns.fill(batch, 0..1);
    table.start(columns);
    loop {
        if let Some((_, result)) = table.poll(SLICE) {
            return result.map_err(|error| {
                error.map_sentence(|sentence| without_codes(batch, 0..1, sentence))
            });
        }
    }
}

/// Returns the outcome when the table keeps another voucher of the order. The live flow treats that as
/// an echo. The dead letter stays open, because a person has to decide which of the two
/// vouchers the customer may use.
fn row_differs(batch: &Batch) -> Outcome {
    Outcome::Failed {
        reason: "row_differs".to_owned(),
        message: format!(
            "the table has a voucher of order {} of campaign {} with another code, amount or \
             currency, and keeps it",
            batch.order_id(0),
            batch.campaign(0)
        ),
    }
}

fn failed(cause: &Malformed) -> Outcome {
    Outcome::Failed {
        reason: cause.reason().as_str().to_owned(),
        message: cause.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use runtime::record::OwnedRecord;
    use runtime::registry::Lookup;

    use schemas::SchemaId;

    use super::*;
    use crate::limits::MAX_REJECTED_IN_A_ROW;
    use crate::ports::VoucherIdentity;

    /// A table with prepared answers.
    struct PreparedTable {
        answers: VecDeque<Result<Written, WriteError>>,
        under_way: Option<Columns>,
    }

    impl Table for PreparedTable {
        fn start(&mut self, columns: Columns) {
            self.under_way = Some(columns);
        }

        fn poll(&mut self, _: Duration) -> Option<(Columns, Result<Written, WriteError>)> {
            let columns = self.under_way.take()?;
            let answer = self.answers.pop_front();
            Some((columns, answer.expect("one more attempt than was expected")))
        }
    }

    /// Without a registry only JSON is read.
    struct NoRegistry;

    impl SchemaSource for NoRegistry {
        type Plan = VoucherPlan;

        fn lookup(&mut self, _: SchemaId) -> Lookup<'_, VoucherPlan> {
            Lookup::Bad(Malformed::new(
                schemas::Reason::RegistryNotConfigured,
                "no registry",
            ))
        }
    }

    const GOOD: &str = r#"{"campaign":"order-reward","order_id":"17","code":"SECRET","amount":"5.00","currency":"EUR","issued_at":"2026-01-01T00:00:00Z","expires_at":null}"#;

    fn dead_letter(value: Option<&str>) -> DeadLetter {
        DeadLetter {
            omitted: None,
            id: "vouchers/0/7@00112233445566ff".parse().unwrap(),
            group: None,
            reason: "code_taken".to_owned(),
            message: String::new(),
            service: "sink".to_owned(),
            attempts: 1,
            place: (0, 0),
            written_millis: None,
            original: OwnedRecord {
                offset: 7,
                key: Some(b"17".to_vec()),
                value: value.map(|value| value.as_bytes().to_vec()),
                ..OwnedRecord::default()
            },
        }
    }

    fn redriven(
        value: Option<&str>,
        answers: impl IntoIterator<Item = Result<Written, WriteError>>,
    ) -> Result<Outcome, Failure> {
        let table = PreparedTable {
            answers: answers.into_iter().collect(),
            under_way: None,
        };
        Redriver::new(NoRegistry, table)
            .redrive(&dead_letter(value), "redrive")
            .map(|redriven| redriven.outcome)
    }

    fn written(inserted: u64) -> Result<Written, WriteError> {
        Ok(Written {
            inserted,
            different: Vec::new(),
        })
    }

    #[test]
    fn the_sum_is_that_of_the_new_rows() {
        let table = PreparedTable {
            answers: [written(1), written(0), written(1)].into(),
            under_way: None,
        };
        let mut redriver = Redriver::new(NoRegistry, table);
        assert!(redriver.sums().is_empty());
        for _ in 0..3 {
            redriver
                .redrive(&dead_letter(Some(GOOD)), "redrive")
                .unwrap();
        }
        let sums = BTreeMap::from([("EUR".to_owned(), "10.00".to_owned())]);
        assert_eq!(redriver.sums(), sums);
    }

    #[test]
    fn a_row_is_written_or_existed() {
        for (inserted, existed) in [(1, false), (0, true)] {
            let outcome = redriven(Some(GOOD), [written(inserted)]).unwrap();
            assert_eq!(outcome, Outcome::Row { existed });
        }
    }

    #[test]
    fn a_dead_letter_whose_row_is_another_voucher_stays_open_and_reveals_no_code() {
        let another = Ok(Written {
            inserted: 0,
            different: vec![0],
        });
        let outcome = redriven(Some(GOOD), [another]).unwrap();
        assert!(!outcome.is_final(), "{outcome}");
        let text = outcome.to_string();
        assert!(text.contains("row_differs") && text.contains("order 17"));
        assert!(!text.contains("SECRET"), "{text}");
    }

    #[test]
    fn a_passing_error_is_repeated_and_is_no_attempt() {
        let passing = [
            Err(WriteError::Conflict("deadlock".to_owned())),
            Err(WriteError::CodeClash { holder: None }),
            Err(WriteError::Unavailable("away".to_owned())),
            written(1),
        ];
        let outcome = redriven(Some(GOOD), passing).unwrap();
        assert_eq!(outcome, Outcome::Row { existed: false });
        let broken = Err(WriteError::NeedsPerson("SECRET: no such table".to_owned()));
        let failure = redriven(Some(GOOD), [broken]).unwrap_err().to_string();
        assert!(failure.contains("****: no such table"), "{failure}");
    }

    #[test]
    fn a_row_is_at_fault_only_after_three_failures_in_a_row_while_others_passed() {
        let ambiguous = |others_pass| {
            Err(WriteError::Ambiguous {
                why: "statement timeout".to_owned(),
                others_pass,
            })
        };
        // An outage of the table comes to an end meanwhile: its failures are not the row's.
        let outage = [
            ambiguous(false),
            ambiguous(false),
            ambiguous(true),
            written(1),
        ];
        let outcome = redriven(Some(GOOD), outage).unwrap();
        assert_eq!(outcome, Outcome::Row { existed: false });
        let at_fault = [ambiguous(true), ambiguous(true), ambiguous(true)];
        let outcome = redriven(Some(GOOD), at_fault).unwrap().to_string();
        assert!(outcome.contains("rejected_by_database"), "{outcome}");
    }

    #[test]
    fn a_table_that_refuses_every_row_makes_no_row_fail() {
        let ambiguous = || {
            Err(WriteError::Ambiguous {
                why: "statement timeout".to_owned(),
                others_pass: true,
            })
        };
        let table = PreparedTable {
            answers: [ambiguous(), ambiguous(), ambiguous(), written(1)].into(),
            under_way: None,
        };
        let mut redriver = Redriver::new(NoRegistry, table);
        let mut rejected = 0;
        while rejected < MAX_REJECTED_IN_A_ROW {
            rejected += u32::from(redriver.failures.note_failure(true));
        }
        let table = |answers: Vec<_>| PreparedTable {
            answers: answers.into(),
            under_way: None,
        };
        let redriven = redriver.redrive(&dead_letter(Some(GOOD)), "redrive");
        let outcome = redriven.unwrap().outcome;
        assert_eq!(outcome, Outcome::Row { existed: false });

        let answers = vec![ambiguous(), ambiguous(), ambiguous()];
        let failures = redriver.failures;
        let mut preview = Redriver::of_preview(NoRegistry, table(answers));
        preview.failures = failures;
        let redriven = preview.redrive(&dead_letter(Some(GOOD)), "redrive");
        let outcome = redriven.unwrap().outcome.to_string();
        assert!(outcome.contains("rejected_by_database"), "{outcome}");
    }

    #[test]
    fn a_preview_says_soon_that_the_database_is_away() {
        let away = WriteError::Unavailable("connection refused".to_owned());
        let table = PreparedTable {
            answers: [Err(away)].into(),
            under_way: None,
        };
        let preview = Redriver::of_preview(NoRegistry, table);
        assert!(preview.patience < PATIENCE);
        // There is no answer to a second attempt.
        let mut redriver = Redriver {
            patience: Duration::ZERO,
            ..preview
        };
        let failure = redriver
            .redrive(&dead_letter(Some(GOOD)), "redrive")
            .unwrap_err();
        let says = failure.to_string();
        assert!(says.contains("connection refused"), "{says}");
        assert!(says.contains("was no attempt on the dead letter"), "{says}");
    }

    #[test]
    fn a_fault_of_the_row_is_a_failed_attempt_that_reveals_no_code() {
        let refused = Err(WriteError::Data("the trigger saw SECRET".to_owned()));
        let outcome = redriven(Some(GOOD), [refused]).unwrap().to_string();
        assert!(outcome.contains("rejected_by_database"), "{outcome}");
        assert!(!outcome.contains("SECRET"), "{outcome}");
        let holder = VoucherIdentity {
            campaign: "order-reward".to_owned(),
            order_id: "16".to_owned(),
        };
        let taken = Err(WriteError::CodeClash {
            holder: Some(holder),
        });
        let outcome = redriven(Some(GOOD), [taken]).unwrap().to_string();
        assert!(outcome.contains("code_taken") && outcome.contains("order 16"));
    }

    #[test]
    fn no_statement_is_run_for_a_record_that_asks_for_no_row() {
        let outcome = redriven(Some("not json"), []).unwrap();
        assert!(outcome.to_string().starts_with("failed, invalid_json"));
        let outcome = redriven(None, []).unwrap();
        assert!(outcome.to_string().starts_with("skipped, tombstone"));
    }
}
