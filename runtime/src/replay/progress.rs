//! How far it is: a bar on a terminal, log lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::kafka::TopicRange;
use crate::record::{Partition, Positions};

/// Between two log lines, and between two looks of the bar.
const LINE_EVERY: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// One thread's share, as far as it is done.
#[derive(Debug, Default)]
pub struct Share {
    /// Offsets still to come; the thread has ended its work at zero, once it knows its offsets.
    left: Mutex<Option<BTreeMap<Partition, u64>>>,
    done: AtomicU64,
    left_out: AtomicU64,
}

impl Share {
    /// These offsets are committed.
    pub fn committed(&self, range: &TopicRange, positions: &Positions) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let left = left.get_or_insert_with(|| {
            range
                .spans
                .iter()
                .map(|(partition, span)| (*partition, span.offsets()))
                .collect()
        });
        for (partition, span) in &range.after(positions).spans {
            if positions.contains_key(partition) {
                left.insert(*partition, span.offsets());
            }
        }
        let rest: u64 = left.values().sum();
        self.done
            .store(range.offsets().saturating_sub(rest), Ordering::Relaxed);
    }

    /// These offsets were read; for a run that commits none.
    pub fn read(&self, offsets: u64) {
        self.done.store(offsets, Ordering::Relaxed);
    }

    /// So many records were left out by now, because of their timestamps.
    pub fn left_out(&self, records: u64) {
        self.left_out.store(records, Ordering::Relaxed);
    }

    /// Records that were left out.
    pub fn records_left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Whether all of it is committed.
    pub fn is_done(&self) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.as_ref()
            .is_some_and(|left| left.values().all(|rest| *rest == 0))
    }

    /// Offsets that are done.
    pub fn offsets(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

/// Shows the shares' progress until it is dropped.
pub struct Shown {
    task: tokio::task::JoinHandle<()>,
    bar: ProgressBar,
}

impl Shown {
    /// Of `total` offsets. Within a Tokio runtime.
    pub fn start(total: u64, shares: Vec<Arc<Share>>) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(
            Some(total),
            if terminal {
                ProgressDrawTarget::stderr()
            } else {
                ProgressDrawTarget::hidden()
            },
        );
        if let Ok(style) = ProgressStyle::with_template(
            "{bar:32} {percent:>3}% {human_pos}/{human_len} offsets, {per_sec}, {eta} left",
        ) {
            bar.set_style(style);
        }
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            let mut last_line = tokio::time::Instant::now();
            loop {
                let done = shares.iter().map(|share| share.offsets()).sum();
                shown.set_position(done);
                if !terminal && last_line.elapsed() >= LINE_EVERY {
                    last_line = tokio::time::Instant::now();
                    tracing::info!(
                        offsets = done,
                        of = total,
                        left = ?Duration::from_secs(shown.eta().as_secs()),
                        "backfill"
                    );
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Self { task, bar }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}
