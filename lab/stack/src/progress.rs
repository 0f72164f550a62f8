//! How progress is shown: live lines on a terminal, plain lines elsewhere, or nothing.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use runtime::output::eprint_line;

/// Elsewhere than on a terminal, a long step prints a line this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How progress is shown. Everything goes to stderr.
#[derive(Clone, Debug, Default)]
pub enum Progress {
    /// Live lines with spinners.
    Live(MultiProgress),
    /// One line at the end of a step, and one every ten seconds of a long one.
    Lines,
    /// Nothing, for tests.
    #[default]
    Silent,
}

impl Progress {
    /// Chooses live lines on a terminal, plain lines elsewhere.
    #[must_use]
    pub fn auto() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Live(MultiProgress::new())
        } else {
            Self::Lines
        }
    }

    /// Begins a step: `what` is shown until it is done.
    pub(crate) fn step(&self, what: &str) -> Step {
        let bar = match self {
            Self::Live(bars) => {
                let bar = bars.add(ProgressBar::new_spinner());
                bar.set_style(style());
                bar.set_message(what.to_owned());
                bar.enable_steady_tick(Duration::from_millis(100));
                Some(bar)
            }
            Self::Lines | Self::Silent => None,
        };
        let begun = Instant::now();
        Step {
            progress: self.clone(),
            bar,
            begun,
            last_line: Mutex::new(begun),
        }
    }

    /// Prints a line that stays.
    pub(crate) fn line(&self, line: &str) {
        match self {
            Self::Live(bars) => {
                let _ = bars.println(line);
            }
            Self::Lines => eprint_line(line),
            Self::Silent => {}
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner:.cyan} {msg} {elapsed:.dim}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// A step that has begun. Dropping it without [`Step::done`] leaves no line.
#[derive(Debug)]
pub(crate) struct Step {
    progress: Progress,
    bar: Option<ProgressBar>,
    begun: Instant,
    last_line: Mutex<Instant>,
}

impl Step {
    /// Shows what the step does now. Elsewhere than on a terminal it is shown every ten seconds.
    pub(crate) fn now(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
            return;
        }
        let mut last = self
            .last_line
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            self.progress.line(what);
        }
    }

    /// Shows what the step does now, in any case: something that may take long.
    pub(crate) fn begin(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(what.to_owned()),
            None => self.progress.line(what),
        }
    }

    /// Ends the step: `what` stays, with the time that it took.
    pub(crate) fn done(self, what: &str) {
        let millis = self.begun.elapsed().as_millis();
        let line = format!("{what} ({}.{} s)", millis / 1000, millis % 1000 / 100);
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.progress.line(&line);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
