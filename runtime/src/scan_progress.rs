//! A progress bar on a terminal, for commands that read a long part of a topic.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::kafka::TopicRange;
use crate::record::{Offset, Partition, Positions};

/// Fewer offsets than this are read before a person would wonder how long it takes.
const MIN_OFFSETS_TO_SHOW: u64 = 500_000;

/// Records between two updates of the bar, whose lock costs more than a record does.
const RECORDS_PER_UPDATE: u32 = 4096;

/// Shows how much of a range is read, until it is dropped.
pub struct ScanProgress {
    /// `None` when the range is short, or standard error is no terminal.
    bar: Option<ProgressBar>,
    positions: Positions,
    done: u64,
    since_update: u32,
}

impl ScanProgress {
    /// Shows a bar on standard error if that is a terminal and the range is long.
    pub fn of(range: &TopicRange) -> Self {
        let offsets = range.offsets();
        let is_shown = offsets >= MIN_OFFSETS_TO_SHOW && std::io::stderr().is_terminal();
        let starts = range.spans.iter();
        Self {
            bar: is_shown.then(|| bar(offsets, &range.topic)),
            positions: starts
                .map(|(partition, span)| (*partition, span.from))
                .collect(),
            done: 0,
            since_update: 0,
        }
    }

    /// Notes that this record was read.
    pub fn note(&mut self, partition: Partition, offset: Offset) {
        let Some(bar) = &self.bar else {
            return;
        };
        if let Some(position) = self.positions.get_mut(&partition) {
            self.done += u64::try_from(offset + 1 - *position).unwrap_or_default();
            *position = offset + 1;
        }
        self.since_update += 1;
        if self.since_update >= RECORDS_PER_UPDATE {
            self.since_update = 0;
            bar.set_position(self.done);
        }
    }
}

impl Drop for ScanProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(offsets: u64, topic: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(offsets), ProgressDrawTarget::stderr());
    let template =
        "{prefix} {bar:32} {percent:>3}% {human_pos}/{human_len} offsets, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_prefix(topic.to_owned())
}
