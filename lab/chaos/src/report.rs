//! The verdict as a table or a line of JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::flow::{Flow, MAX_GAP, seconds};
use crate::judge::Judgement;
use crate::run::Options;
pub use crate::schedule::Kind;

/// So many broken promises are printed.
const SHOWN: usize = 20;

/// What a run says at its end.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// How to do the same again.
    pub repeat: String,
    /// From the first fault to the last.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
    /// From the end of the faults until all was drained.
    #[serde(rename = "drained_in_seconds", serialize_with = "seconds")]
    pub drained_in: Duration,
    /// How many faults of each kind.
    pub faults: BTreeMap<Kind, u32>,
    /// Services that ended by themselves and were started again, with their last lines.
    pub ended: Vec<String>,
    /// The comparison.
    #[serde(flatten)]
    pub verdict: Judgement,
    /// Whether the flow stood still; watched with several brokers.
    pub flow: Option<Flow>,
}

impl Report {
    pub(crate) fn new(
        options: &Options,
        (took, drained_in): (Duration, Duration),
        faults: BTreeMap<Kind, u32>,
        ended: Vec<String>,
        verdict: Judgement,
        flow: Option<Flow>,
    ) -> Self {
        Self {
            seed: options.seed,
            repeat: options.command(),
            took,
            drained_in,
            faults,
            ended,
            verdict,
            flow,
        }
    }

    /// Whether every promise was kept. With several brokers, also whether the flow stood still no
    /// longer than the cluster explains, and no service ended: nobody else touches the services
    /// there, and a broker that goes away is no reason to end.
    #[must_use]
    pub fn holds(&self) -> bool {
        let flows = |flow: &Flow| flow.gaps.is_empty() && self.ended.is_empty();
        self.verdict.holds() && self.flow.as_ref().is_none_or(flows)
    }

    /// One line.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = &self.verdict;
        let mut line = |name: &str, value: usize, why: &str| line(f, name, value as u64, why);
        line(
            "orders acknowledged",
            verdict.orders_acknowledged,
            "over HTTP",
        )?;
        line(
            "records acknowledged",
            verdict.records_acknowledged,
            "written to the topic, past the ingress",
        )?;
        line(
            "unanswered requests",
            verdict.unanswered,
            "done or not: both are fine, twice is not",
        )?;
        line(
            "eligible orders",
            verdict.eligible,
            "sent, 100.00 EUR or more",
        )?;
        line("rows", verdict.rows, "")?;
        line("missing", verdict.missing, "")?;
        line("duplicates", verdict.duplicates, "")?;
        line("unexpected", verdict.unexpected, "")?;
        line("dead letters expected", verdict.dead_letters_expected, "")?;
        line("dead letters found", verdict.dead_letters_found, "")?;
        let faults = self.faults.values().sum::<u32>();
        let (took, drained) = (self.took.as_secs(), self.drained_in.as_secs());
        line(
            "faults",
            faults as usize,
            &format!("in {took} s; all drained {drained} s later"),
        )?;
        for (kind, count) in &self.faults {
            line(&format!("  {}", kind.name()), *count as usize, "")?;
        }
        line(
            "ended by themselves",
            self.ended.len(),
            "services that were started again",
        )?;
        for ended in &self.ended {
            writeln!(f, "    {ended}")?;
        }
        if let Some(flow) = &self.flow {
            write_flow(f, flow)?;
        }
        for problem in verdict.problems.iter().take(SHOWN) {
            writeln!(f, "  {:?}: {}", problem.broken, problem.what)?;
        }
        if verdict.problems.len() > SHOWN {
            writeln!(f, "  and {} more", verdict.problems.len() - SHOWN)?;
        }
        let what = if self.holds() {
            "every promise was kept"
        } else {
            "BROKEN"
        };
        writeln!(f, "seed {}: {what}; again: {}", self.seed, self.repeat)
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: u64, why: &str) -> fmt::Result {
    let line = format!("  {name:<23}{value:>8}   {why}");
    writeln!(f, "{}", line.trim_end())
}

fn write_flow(f: &mut fmt::Formatter<'_>, flow: &Flow) -> fmt::Result {
    line(
        f,
        "cluster able, s",
        flow.able.as_secs(),
        "all partitions and coordinators acknowledged, by the probe",
    )?;
    line(
        f,
        "longest wait, s",
        flow.longest.as_secs(),
        "from an order's acknowledgement to its row",
    )?;
    line(
        f,
        "  unexplained, s",
        flow.longest_unexplained.as_secs(),
        &format!(
            "of a wait, while the cluster was able; at most {}",
            MAX_GAP.as_secs()
        ),
    )?;
    line(f, "gaps in the flow", flow.gaps.len() as u64, "")?;
    for gap in flow.gaps.iter().take(SHOWN) {
        writeln!(
            f,
            "    from {} to {} s: {} orders; {} waited {} s while the cluster was able",
            gap.from.as_secs(),
            gap.to.as_secs(),
            gap.orders,
            gap.order_id,
            gap.unexplained.as_secs()
        )?;
    }
    Ok(())
}
