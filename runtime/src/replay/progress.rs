//! How far a replay is: a progress bar on a terminal, log lines elsewhere, JSON for programs.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::live_flow::LiveFlowState;
use crate::duration::human_duration;
use crate::kafka::TopicRange;
use crate::progress::{Limit, ProgressFormat, ProgressLines};
use crate::record::Positions;

/// The interval between two log lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The interval between two updates of the progress.
const UPDATE_EVERY: Duration = Duration::from_millis(200);

/// How far one thread is with its share.
#[derive(Debug, Default)]
pub struct ShareProgress {
    /// Offsets that are committed or read.
    done: AtomicU64,
    is_done: AtomicBool,
    left_out: AtomicU64,
}

impl ShareProgress {
    /// Notes all offsets of `range` that are committed.
    pub fn committed(&self, range: &TopicRange, committed: &Positions) {
        let left = range.after(committed).offsets();
        self.done.store(range.offsets() - left, Ordering::Relaxed);
        self.is_done.store(left == 0, Ordering::Relaxed);
    }

    /// Notes how many offsets were read, in a preview, which commits none.
    pub fn note_read(&self, offsets: u64) {
        self.done.store(offsets, Ordering::Relaxed);
    }

    /// Notes how many records were left out so far because of their timestamps.
    pub fn note_left_out(&self, records: u64) {
        self.left_out.store(records, Ordering::Relaxed);
    }

    /// Returns how many records were left out.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Returns whether the whole share is committed.
    pub fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Relaxed)
    }

    /// Returns how many offsets are committed or read.
    pub fn offsets(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

/// Shows the progress of all threads until it is dropped.
pub(super) struct ProgressDisplay {
    task: tokio::task::JoinHandle<()>,
    end: End,
}

/// What is left to do when the threads have ended.
enum End {
    Clear(ProgressBar),
    Line {
        total: u64,
        threads: Vec<Arc<ShareProgress>>,
    },
}

impl ProgressDisplay {
    /// Shows how many of `total` offsets are done, and what limits a replay that gives way. Must be
    /// called within a Tokio runtime.
    pub(super) fn start(
        total: u64,
        threads: Vec<Arc<ShareProgress>>,
        format: ProgressFormat,
        live_flow: Option<LiveFlowState>,
    ) -> Self {
        let limit = move || live_flow.as_ref().and_then(LiveFlowState::limit);
        match format {
            ProgressFormat::Text => Self::text(total, threads, limit),
            ProgressFormat::Json => Self::json(total, threads, limit),
        }
    }

    /// Shows a bar on a terminal, and writes log lines elsewhere.
    fn text(
        total: u64,
        threads: Vec<Arc<ShareProgress>>,
        limit: impl Fn() -> Option<Limit> + Send + 'static,
    ) -> Self {
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
            "{bar:32} {percent:>3}% {human_pos}/{human_len} offsets, {per_sec}, {eta} left {msg}",
        ) {
            bar.set_style(style);
        }
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            let mut last_line = tokio::time::Instant::now();
            loop {
                let done = offsets(&threads);
                shown.set_position(done);
                let limit = limit().map(|limit| limit.in_words()).unwrap_or_default();
                if !terminal && last_line.elapsed() >= LINE_EVERY {
                    last_line = tokio::time::Instant::now();
                    tracing::info!(
                        offsets = done,
                        of = total,
                        left = human_duration(shown.eta()),
                        limit,
                        "backfill"
                    );
                } else if terminal {
                    shown.set_message(limit);
                }
                tokio::time::sleep(UPDATE_EVERY).await;
            }
        });
        Self {
            task,
            end: End::Clear(bar),
        }
    }

    /// Writes a line of JSON each second, and one at the end.
    fn json(
        total: u64,
        threads: Vec<Arc<ShareProgress>>,
        limit: impl Fn() -> Option<Limit> + Send + 'static,
    ) -> Self {
        let shown = threads.clone();
        let task = tokio::spawn(async move {
            let mut lines = ProgressLines::default();
            loop {
                lines.note_limited(offsets(&shown), Some(total), &limit);
                tokio::time::sleep(UPDATE_EVERY).await;
            }
        });
        Self {
            task,
            end: End::Line { total, threads },
        }
    }
}

fn offsets(threads: &[Arc<ShareProgress>]) -> u64 {
    threads.iter().map(|thread| thread.offsets()).sum()
}

impl Drop for ProgressDisplay {
    fn drop(&mut self) {
        self.task.abort();
        match &self.end {
            End::Clear(bar) => bar.finish_and_clear(),
            End::Line { total, threads } => ProgressLines::end(offsets(threads), Some(*total)),
        }
    }
}
