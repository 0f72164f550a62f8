//! One letter through the live loop's evaluation and its batch.

use std::collections::HashSet;
use std::convert::Infallible;

use runtime::dead_letter::command::{Redrive, Redriven, Rows};
use runtime::dead_letter::{DeadLetter, Outcome, OwnedOutgoing};
use runtime::lifecycle::Failure;
use runtime::registry::{Registry, WaitsFor, settled};
use schemas::Currency;
use tokio::runtime::Handle;

use crate::backfill::existing::Table;
use crate::backfill::listing::{State, Wanted};
use crate::backfill::preview::Existing;
use crate::batch::{Batch, Topics, VoucherFormat};
use crate::evaluate::{self, Evaluator};
use crate::explainer::Explainer;
use crate::rule::Skip;

/// See the module.
pub(super) struct Redriver {
    evaluator: Evaluator,
    explainer: Explainer,
    topics: Topics,
    format: VoucherFormat,
    rows: Option<RowsThere>,
}

/// What a dry run finds in the sink's table.
struct RowsThere {
    table: Table,
    runtime: Handle,
    /// Orders whose voucher an earlier dead letter would issue: another one is an echo.
    issued: HashSet<String>,
    found: Existing,
}

impl RowsThere {
    fn look(&mut self, mut voucher: Wanted) -> Result<(), Failure> {
        if !self.issued.insert(voucher.order_id.clone()) {
            self.found.take(State::Same);
            return Ok(());
        }
        let voucher = std::slice::from_mut(&mut voucher);
        self.runtime.block_on(self.table.look(voucher, true))?;
        if let Some(state) = voucher[0].state {
            self.found.take(state);
        }
        Ok(())
    }
}

impl Redriver {
    /// Must be called within a Tokio runtime.
    pub(super) fn new(
        evaluator: Evaluator,
        default_currency: Currency,
        registry: Option<Registry>,
        topics: Topics,
        format: VoucherFormat,
    ) -> Self {
        Self {
            explainer: Explainer::new(evaluator.rule().clone(), default_currency, registry),
            evaluator,
            topics,
            format,
            rows: None,
        }
    }

    /// Counts which of the vouchers are rows of this table. Must be called within a Tokio runtime.
    pub(super) fn with_table(mut self, table: Table) -> Self {
        self.rows = Some(RowsThere {
            table,
            runtime: Handle::current(),
            issued: HashSet::new(),
            found: Existing::default(),
        });
        self
    }
}

impl Redrive for Redriver {
    fn redrive(&mut self, letter: &DeadLetter, run: &str) -> Result<Redriven, Failure> {
        let Self {
            evaluator,
            explainer,
            ..
        } = self;
        let record = &letter.original;
        // A batch of its own: the letters of a partition come in any order.
        let mut batch = Batch::new(self.topics.clone(), self.format).of_run(run);
        let mut voucher = None;
        let decided = settled(|| {
            Ok(match evaluator.evaluate(record, &mut explainer.schemas) {
                evaluate::Evaluation::Wait { schema_id } => return Err(WaitsFor { schema_id }),
                evaluate::Evaluation::Voucher(issued) => {
                    batch.issue(record, &issued, evaluator);
                    voucher = Some(Wanted::of(evaluator, record, &issued, true));
                    Decided::Outcome(Outcome::Voucher {
                        campaign: evaluator.rule().campaign.clone(),
                    })
                }
                evaluate::Evaluation::Skip(skip) => Decided::Skip(skip),
                evaluate::Evaluation::Dead(malformed) => Decided::Outcome(Outcome::Failed {
                    reason: malformed.reason().as_str().to_owned(),
                    message: malformed.message().to_owned(),
                }),
            })
        })?;
        if let (Some(rows), Some(voucher)) = (&mut self.rows, voucher) {
            rows.look(voucher)?;
        }
        let outcome = match decided {
            Decided::Outcome(outcome) => outcome,
            Decided::Skip(skip) => Outcome::Skipped {
                campaign: skip
                    .is_of_the_rule()
                    .then(|| evaluator.rule().campaign.clone()),
                reason: skip.as_str().to_owned(),
                message: explainer.tell(record)?.words,
            },
        };
        Ok(Redriven {
            outcome,
            outputs: outputs_of(&batch),
        })
    }

    fn rows(&self) -> Option<Rows> {
        let Existing {
            new,
            same,
            different,
        } = self.rows.as_ref()?.found;
        Some(Rows {
            new,
            existing: same,
            different,
        })
    }
}

/// A skip still wants its words.
enum Decided {
    Outcome(Outcome),
    Skip(Skip),
}

fn outputs_of(batch: &Batch) -> Vec<OwnedOutgoing> {
    let mut outputs = Vec::new();
    let Ok(()) = batch.each_output(|record| {
        outputs.push(OwnedOutgoing::of(record));
        Ok::<(), Infallible>(())
    });
    outputs
}
