//! One letter through the live loop's evaluation and its batch.

use std::convert::Infallible;

use runtime::dead_letter::command::{Redrive, Redriven};
use runtime::dead_letter::{Letter, Outcome, OwnedOutgoing};
use runtime::lifecycle::Failure;
use runtime::registry::{Registry, WaitsFor, settled};
use schemas::Currency;

use crate::batch::{Batch, Topics, VoucherFormat};
use crate::evaluate::{self, Evaluator};
use crate::rule::Skip;
use crate::told::Teller;

/// See the module.
pub(super) struct Redriver {
    evaluator: Evaluator,
    teller: Teller,
    topics: Topics,
    format: VoucherFormat,
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
            teller: Teller::new(evaluator.rule().clone(), default_currency, registry),
            evaluator,
            topics,
            format,
        }
    }
}

impl Redrive for Redriver {
    fn redrive(&mut self, letter: &Letter, run: &str) -> Result<Redriven, Failure> {
        let Self {
            evaluator, teller, ..
        } = self;
        let record = &letter.original;
        // A batch of its own: the letters of a partition come in any order.
        let mut batch = Batch::new(self.topics.clone(), self.format).of_run(run);
        let decided = settled(|| {
            Ok(match evaluator.evaluate(record, &mut teller.schemas) {
                evaluate::Outcome::Wait { schema_id } => return Err(WaitsFor { schema_id }),
                evaluate::Outcome::Voucher(issued) => {
                    batch.issue(record, &issued, evaluator);
                    Decided::Outcome(Outcome::Voucher {
                        campaign: evaluator.rule().campaign.clone(),
                    })
                }
                evaluate::Outcome::Skip(skip) => Decided::Skip(skip),
                evaluate::Outcome::Dead(malformed) => Decided::Outcome(Outcome::Failed {
                    reason: malformed.reason().word().to_owned(),
                    message: malformed.message().to_owned(),
                }),
            })
        })?;
        let outcome = match decided {
            Decided::Outcome(outcome) => outcome,
            Decided::Skip(skip) => Outcome::Skipped {
                campaign: skip
                    .is_of_the_rule()
                    .then(|| evaluator.rule().campaign.clone()),
                reason: skip.word().to_owned(),
                message: teller.tell(record)?.words,
            },
        };
        Ok(Redriven {
            outcome,
            outputs: outputs_of(&batch),
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
