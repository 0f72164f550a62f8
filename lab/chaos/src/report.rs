//! The verdict as a table or a line of JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

pub use crate::faults::schedule::FaultKind;
use crate::flow::{Flow, MAX_GAP, seconds};
use crate::options::Options;
use crate::verdict::Judgement;

/// At most this many broken promises are printed.
const MAX_PRINTED: usize = 20;

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The command that repeats the run.
    pub repeat: String,
    /// The time from the first fault to the last.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
    /// The time from the last fault until everything had drained.
    #[serde(rename = "drained_in_seconds", serialize_with = "seconds")]
    pub drained_in: Duration,
    /// The number of faults of each kind.
    pub faults: BTreeMap<FaultKind, u32>,
    /// Services that ended by themselves and were started again, with the last lines of their logs.
    pub ended: Vec<String>,
    /// The comparison of promises and facts.
    #[serde(flatten)]
    pub verdict: Judgement,
    /// Whether the flow stopped; with several brokers only.
    pub flow: Option<Flow>,
}

impl Report {
    pub(crate) fn new(
        options: &Options,
        (took, drained_in): (Duration, Duration),
        faults: BTreeMap<FaultKind, u32>,
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

    /// Returns whether every promise was kept. With several brokers also whether the flow stopped no
    /// longer than the cluster explains, and no service ended: no fault hits the services then, and
    /// a broker that fails is no reason to end.
    #[must_use]
    pub fn holds(&self) -> bool {
        let flows = |flow: &Flow| flow.gaps.is_empty() && self.ended.is_empty();
        self.verdict.holds() && self.flow.as_ref().is_none_or(flows)
    }

    /// Returns the report as one line of JSON.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Judgement {
    /// Returns the judgement as one line of JSON.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    fn write_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: usize, why: &str| line(f, name, value as u64, why);
        line("orders acknowledged", self.orders_acknowledged, "over HTTP")?;
        line(
            "records acknowledged",
            self.records_acknowledged,
            "written directly to the topic",
        )?;
        line(
            "unanswered requests",
            self.unanswered,
            "done or not, but not done twice",
        )?;
        line("eligible orders", self.eligible, "sent, 100.00 EUR or more")?;
        line("rows", self.rows, "")?;
        line("missing", self.missing, "")?;
        line("duplicates", self.duplicates, "")?;
        line("unexpected", self.unexpected, "")?;
        line("dead letters expected", self.dead_letters_expected, "")?;
        line("dead letters found", self.dead_letters_found, "")
    }

    fn write_problems(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.problems.iter().take(MAX_PRINTED) {
            writeln!(f, "  {:?}: {}", problem.broken, problem.what)?;
        }
        if self.problems.len() > MAX_PRINTED {
            writeln!(f, "  and {} more", self.problems.len() - MAX_PRINTED)?;
        }
        Ok(())
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_counts(f)?;
        self.write_problems(f)?;
        writeln!(f, "{}", outcome(self.holds()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verdict.write_counts(f)?;
        let mut line = |name: &str, value: usize, why: &str| line(f, name, value as u64, why);
        let faults = self.faults.values().sum::<u32>();
        let (took, drained) = (self.took.as_secs(), self.drained_in.as_secs());
        line(
            "faults",
            faults as usize,
            &format!("in {took} s; everything drained {drained} s later"),
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
        self.verdict.write_problems(f)?;
        let what = outcome(self.holds());
        writeln!(
            f,
            "seed {}: {what}; repeat with: {}",
            self.seed, self.repeat
        )
    }
}

const fn outcome(holds: bool) -> &'static str {
    if holds {
        "every promise was kept"
    } else {
        "BROKEN"
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: u64, why: &str) -> fmt::Result {
    let line = format!("  {name:<23}{value:>8}   {why}");
    writeln!(f, "{}", line.trim_end())
}

fn write_flow(f: &mut fmt::Formatter<'_>, flow: &Flow) -> fmt::Result {
    line(
        f,
        "cluster available, s",
        flow.available.as_secs(),
        "the probe reached all partitions and coordinators",
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
            "of a wait, while the cluster was available; at most {}",
            MAX_GAP.as_secs()
        ),
    )?;
    line(f, "gaps in the flow", flow.gaps.len() as u64, "")?;
    for gap in flow.gaps.iter().take(MAX_PRINTED) {
        writeln!(
            f,
            "    from {} to {} s: {} orders; {} waited {} s while the cluster was available",
            gap.from.as_secs(),
            gap.to.as_secs(),
            gap.orders,
            gap.order_id,
            gap.unexplained.as_secs()
        )?;
    }
    Ok(())
}
