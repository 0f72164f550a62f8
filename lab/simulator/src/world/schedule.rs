//! The schedule of a run: its events, one line each.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// Which events of the schedule are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// No events.
    #[default]
    Nothing,
    /// The last events.
    Last,
    /// All events.
    All,
}

/// The number of events that [`Keep::Last`] keeps.
const LAST: usize = 60;

/// One line of the schedule.
#[derive(Debug, Clone)]
pub struct Event {
    at: Duration,
    who: String,
    what: String,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.at.as_millis();
        write!(
            f,
            "{:>5}.{:03} {:<16} {}",
            millis / 1000,
            millis % 1000,
            self.who,
            self.what
        )
    }
}

/// The events of a run that are kept.
#[derive(Debug, Default)]
pub struct Schedule {
    keep: Keep,
    events: VecDeque<Event>,
}

impl Schedule {
    /// Creates an empty schedule.
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            events: VecDeque::new(),
        }
    }

    /// Returns whether events are kept at all.
    pub fn is_kept(&self) -> bool {
        self.keep != Keep::Nothing
    }

    /// Adds an event; `what` is called only when the event is kept.
    pub fn add(&mut self, at: Duration, who: &str, what: impl FnOnce() -> String) {
        if !self.is_kept() {
            return;
        }
        if self.keep == Keep::Last && self.events.len() == LAST {
            self.events.pop_front();
        }
        self.events.push_back(Event {
            at,
            who: who.to_owned(),
            what: what(),
        });
    }

    /// Returns the events that are kept.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }
}
