//! Evaluates one dead letter with the evaluation and the batch of the live loop.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;

use runtime::dead_letter::command::{Redrive, Redriven};
use runtime::dead_letter::{DeadLetter, Outcome, OwnedOutgoing};
use runtime::lifecycle::Failure;
use runtime::registry::{Registry, not_answered};
use runtime::replay::{RowCounts, RowState};
use schemas::{Currency, ValueFormat, decimal};
use tokio::runtime::Handle;

use crate::backfill::preview::sum;
use crate::backfill::previewed_voucher::PreviewedVoucher;
use crate::backfill::table::VouchersTable;
use crate::batch::{Batch, Topics};
use crate::evaluate::{Evaluation, Evaluator};
use crate::explainer::Explainer;

/// Redrives dead letters of the order statuses.
pub(super) struct Redriver {
    evaluator: Evaluator,
    explainer: Explainer,
    topics: Topics,
    format: ValueFormat,
    /// The orders for which an earlier dead letter issued a voucher: a second voucher is an echo.
    issued: HashSet<String>,
    comparison: Option<Comparison>,
}

/// Compares the vouchers of a preview with the sink's table.
struct Comparison {
    table: VouchersTable,
    /// Whether the database has answered. A preview without a voucher does not need it.
    is_reached: bool,
    runtime: Handle,
    rows: RowCounts,
}

impl Comparison {
    fn compare(&mut self, mut voucher: PreviewedVoucher, is_echo: bool) -> Result<(), Failure> {
        if is_echo {
            self.rows.note(RowState::Existing);
            return Ok(());
        }
        if !self.is_reached {
            self.runtime.block_on(self.table.reach())?;
            self.is_reached = true;
        }
        let vouchers = std::slice::from_mut(&mut voucher);
        self.runtime.block_on(self.table.compare(vouchers, true))?;
        if let Some(state) = voucher.state {
            self.rows.note(state);
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
        format: ValueFormat,
    ) -> Self {
        Self {
            explainer: Explainer::new(evaluator.rule().clone(), default_currency, registry),
            evaluator,
            topics,
            format,
            issued: HashSet::new(),
            comparison: None,
        }
    }

    /// Counts which of the vouchers have a row in this table. Must be called within a Tokio
    /// runtime.
    pub(super) fn with_table(mut self, table: VouchersTable) -> Self {
        self.comparison = Some(Comparison {
            table,
            is_reached: false,
            runtime: Handle::current(),
            rows: RowCounts::default(),
        });
        self
    }
}

impl Redrive for Redriver {
    fn redrive(&mut self, dead_letter: &DeadLetter, run: &str) -> Result<Redriven, Failure> {
        let Self {
            evaluator,
            explainer,
            ..
        } = self;
        let record = &dead_letter.original;
        // Each dead letter has its own batch: a batch needs ascending offsets, and dead letters come in any
        // order.
        let mut batch = Batch::new(self.topics.clone(), self.format).of_run(run);
        let outcome = match evaluator.evaluate(record, &mut explainer.schemas) {
            Evaluation::Wait { schema_id } => return Err(not_answered(schema_id)),
            Evaluation::Voucher(issued) => {
                batch.issue(record, &issued, evaluator);
                let is_echo = !self.issued.insert(issued.order_id.to_string());
                if let Some(comparison) = &mut self.comparison {
                    let voucher = PreviewedVoucher::of(evaluator, record, &issued, true);
                    comparison.compare(voucher, is_echo)?;
                }
                Outcome::Voucher {
                    campaign: evaluator.rule().campaign.clone(),
                }
            }
            Evaluation::Skip(skip) => Outcome::Skipped {
                campaign: skip
                    .depends_on_rule()
                    .then(|| evaluator.rule().campaign.clone()),
                reason: skip.as_str().to_owned(),
                message: explainer.explain(record)?.message,
            },
            Evaluation::Dead(malformed) => Outcome::Failed {
                reason: malformed.reason().as_str().to_owned(),
                message: malformed.message().to_owned(),
            },
        };
        Ok(Redriven {
            outcome,
            outputs: outputs_of(&batch),
        })
    }

    fn rows(&self) -> Option<RowCounts> {
        self.comparison.as_ref().map(|comparison| comparison.rows)
    }

    fn sums(&self) -> BTreeMap<String, String> {
        let rule = self.evaluator.rule();
        let sum = sum(self.issued.len() as u64, rule.amount).map(decimal::as_money);
        sum.map(|sum| (rule.currency.to_string(), sum.to_string()))
            .into_iter()
            .collect()
    }
}

fn outputs_of(batch: &Batch) -> Vec<OwnedOutgoing> {
    let mut outputs = Vec::new();
    let Ok(()) = batch.each_output(|record| {
        outputs.push(OwnedOutgoing::of(record));
        Ok::<(), Infallible>(())
    });
    outputs
}
