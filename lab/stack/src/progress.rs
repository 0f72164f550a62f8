//! What the stack says while it works: live lines on a terminal, plain lines elsewhere, or nothing.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use runtime::output::complain;

/// How progress is shown. Everything goes to stderr.
#[derive(Clone, Debug, Default)]
pub enum Progress {
    /// Live lines with spinners.
    Live(MultiProgress),
    /// One line at the end of a step, and one at the start of a long one.
    Lines,
    /// Nothing, for tests.
    #[default]
    Silent,
}

impl Progress {
    /// Live on a terminal, lines elsewhere.
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
        Step {
            progress: self.clone(),
            bar,
            begun: Instant::now(),
        }
    }

    /// A line that stays.
    pub(crate) fn line(&self, line: &str) {
        match self {
            Self::Live(bars) => {
                let _ = bars.println(line);
            }
            Self::Lines => complain(line),
            Self::Silent => {}
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner:.cyan} {msg} {elapsed:.dim}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// One step under way; dropped without [`Step::done`] it leaves no line.
#[derive(Debug)]
pub(crate) struct Step {
    progress: Progress,
    bar: Option<ProgressBar>,
    begun: Instant,
}

impl Step {
    /// What the step does now. Elsewhere than on a terminal it is not shown.
    pub(crate) fn now(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    /// Something long begins (a download): shown elsewhere than on a terminal too.
    pub(crate) fn begin(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(what.to_owned()),
            None => self.progress.line(what),
        }
    }

    /// The step is done: its line stays, with the time that it took.
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
