//! One letter through the live loop's decoder and its statement.

use std::time::{Duration, Instant};

use runtime::backoff::Backoff;
use runtime::dead_letter::command::{Redrive, Redriven};
use runtime::dead_letter::{DeadLetter, Outcome};
use runtime::lifecycle::Failure;
use runtime::registry::{SchemaSource, WaitsFor, settled};
use schemas::{Malformed, VoucherPlan};

use crate::batch::Batch;
use crate::columns::Columns;
use crate::decide::{Decision, TOMBSTONE, code_taken, decide, rejected};
use crate::doubt::MAX_LONE_FAILURES;
use crate::ports::{Table, VoucherIdentity, WriteError, Written};

/// How long one call may wait for the database.
const SLICE: Duration = Duration::from_millis(500);

/// A database that takes nothing for so long is told to the person, who waits for it better.
const DEADLINE: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Redriver<S, T> {
    schemas: S,
    table: T,
}

impl<S, T> Redriver<S, T> {
    pub(super) const fn new(schemas: S, table: T) -> Self {
        Self { schemas, table }
    }
}

impl<S, T> Redrive for Redriver<S, T>
where
    S: SchemaSource<Plan = VoucherPlan>,
    T: Table,
{
    fn redrive(&mut self, letter: &DeadLetter, _run: &str) -> Result<Redriven, Failure> {
        let (batch, decision) = settled(|| {
            let mut batch = Batch::default();
            match decide(&letter.original, &mut self.schemas, &mut batch) {
                Decision::Wait { schema_id } => Err(WaitsFor { schema_id }),
                decision => Ok((batch, decision)),
            }
        })?;
        let outcome = match decision {
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
            Decision::Wait { .. } => unreachable!("settled waits for the schema"),
        };
        Ok(Redriven {
            outcome,
            outputs: Vec::new(),
        })
    }
}

impl<S, T: Table> Redriver<S, T> {
    /// Writes the batch's one row; what is not the row's fault is tried again for a while.
    fn write(&mut self, batch: &Batch) -> Result<Outcome, Failure> {
        let deadline = Instant::now() + DEADLINE;
        let mut backoff = Backoff::outside();
        let mut doubted = 0;
        loop {
            let why = match insert(&mut self.table, batch) {
                Ok(Written { different, .. }) if !different.is_empty() => {
                    return Ok(row_differs(batch));
                }
                Ok(Written { inserted, .. }) => {
                    return Ok(Outcome::Row {
                        existed: inserted == 0,
                    });
                }
                Err(WriteError::Data(sentence)) => {
                    let sentence = sentence.replace(batch.code(0), "****");
                    return Ok(failed(&rejected(&sentence)));
                }
                Err(WriteError::CodeClash {
                    holder: Some(holder),
                }) if !is_of(batch, &holder) => {
                    let VoucherIdentity { campaign, order_id } = holder;
                    let cause = code_taken(format_args!("order {order_id} of campaign {campaign}"));
                    return Ok(failed(&cause));
                }
                Err(WriteError::Doubtful {
                    why,
                    others_pass: true,
                }) if doubted + 1 >= MAX_LONE_FAILURES => {
                    return Ok(failed(&rejected(&why.replace(batch.code(0), "****"))));
                }
                Err(WriteError::Doubtful { why, .. }) => {
                    doubted += 1;
                    why
                }
                Err(WriteError::CodeClash { .. }) => "its code was taken for a moment".to_owned(),
                Err(WriteError::NeedsPerson(why)) => {
                    return Err(Failure::failed(format!(
                        "the database has to be mended: {why}; nothing of this letter counts as an \
                         attempt"
                    )));
                }
                Err(WriteError::Conflict(why) | WriteError::Unavailable(why)) => why,
            };
            if Instant::now() >= deadline {
                return Err(Failure::failed(format!(
                    "the database takes no row: {why}; run this again when it does (what was \
                     committed stays, and this was no attempt)"
                )));
            }
            std::thread::sleep(backoff.next_pause());
        }
    }
}

fn insert(table: &mut impl Table, batch: &Batch) -> Result<Written, WriteError> {
    let mut columns = Columns::default();
    columns.fill(batch, 0..1);
    table.start(columns);
    loop {
        if let Some((_, result)) = table.poll(SLICE) {
            return result;
        }
    }
}

fn is_of(batch: &Batch, identity: &VoucherIdentity) -> bool {
    batch.campaign(0) == identity.campaign && batch.order_id(0) == identity.order_id
}

/// The table has another voucher of the order and keeps it. The live flow takes that for an echo; a
/// dead letter stays open, because a person has to decide which of the two the customer may use.
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

    /// Answers as it was told to.
    struct Answers {
        answers: VecDeque<Result<Written, WriteError>>,
        under_way: Option<Columns>,
    }

    impl Table for Answers {
        fn start(&mut self, columns: Columns) {
            self.under_way = Some(columns);
        }

        fn poll(&mut self, _: Duration) -> Option<(Columns, Result<Written, WriteError>)> {
            let columns = self.under_way.take()?;
            self.answers.pop_front().map(|answer| (columns, answer))
        }
    }

    /// No registry: only JSON is read.
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

    fn redriven(
        value: Option<&str>,
        answers: impl IntoIterator<Item = Result<Written, WriteError>>,
    ) -> Result<Outcome, Failure> {
        let letter = DeadLetter {
            omitted: None,
            identity: "vouchers/0/7@00112233445566ff".parse().unwrap(),
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
        };
        let table = Answers {
            answers: answers.into_iter().collect(),
            under_way: None,
        };
        Redriver::new(NoRegistry, table)
            .redrive(&letter, "redrive")
            .map(|redriven| redriven.outcome)
    }

    fn written(inserted: u64) -> Result<Written, WriteError> {
        Ok(Written {
            inserted,
            different: Vec::new(),
        })
    }

    #[test]
    fn a_row_is_written_or_was_there() {
        for (inserted, existed) in [(1, false), (0, true)] {
            let outcome = redriven(Some(GOOD), [written(inserted)]).unwrap();
            assert_eq!(outcome, Outcome::Row { existed });
        }
    }

    #[test]
    fn a_letter_whose_row_is_another_voucher_stays_open_and_tells_no_code() {
        let another = Ok(Written {
            inserted: 0,
            different: vec![0],
        });
        let outcome = redriven(Some(GOOD), [another]).unwrap();
        assert!(!outcome.is_final(), "{outcome}");
        let words = outcome.to_string();
        assert!(words.contains("row_differs") && words.contains("order 17"));
        assert!(!words.contains("SECRET"), "{words}");
    }

    #[test]
    fn what_passes_by_itself_is_tried_again_and_is_no_attempt() {
        let passing = [
            Err(WriteError::Conflict("deadlock".to_owned())),
            Err(WriteError::CodeClash { holder: None }),
            Err(WriteError::Unavailable("away".to_owned())),
            written(1),
        ];
        let outcome = redriven(Some(GOOD), passing).unwrap();
        assert_eq!(outcome, Outcome::Row { existed: false });
        let mend = Err(WriteError::NeedsPerson("no such table".to_owned()));
        let failure = redriven(Some(GOOD), [mend]).unwrap_err().to_string();
        assert!(failure.contains("no such table"), "{failure}");
    }

    #[test]
    fn what_is_the_rows_fault_is_a_failed_attempt_that_tells_no_code() {
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
    fn no_statement_is_run_for_what_asks_for_no_row() {
        let outcome = redriven(Some("not json"), []).unwrap();
        assert!(outcome.to_string().starts_with("failed, invalid_json"));
        let outcome = redriven(None, []).unwrap();
        assert!(outcome.to_string().starts_with("skipped, tombstone"));
    }
}
