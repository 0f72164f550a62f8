//! Pauses a task when most of its records are dead letters.
//!
//! A faulty deployment upstream makes every record a dead letter within minutes. The task therefore
//! pauses, not ready and saying why, until a person accepts the dead letters or the cause is fixed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use clap::Args;
use schemas::Reason;

use crate::duration::human_duration;

/// How many of the last records are counted. The breaker stays closed until it has seen this number.
pub const WINDOW: usize = 1000;

/// How long a breaker stays open before the same records are tried again. A trial evaluates up to
/// [`WINDOW`] records again and writes nothing.
pub const PAUSE: Duration = Duration::from_secs(10);

/// How many dead letters are too many.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Dead letters")]
pub struct CircuitBreakerSettings {
    /// The flow pauses when more than this share of the last 1,000 records are dead letters.
    #[arg(long, env = "DEAD_LETTER_LIMIT", default_value = "0.5", value_parser = per_mille)]
    pub dead_letter_limit: u16,

    /// Accept any number of dead letters: the flow does not pause because of them.
    #[arg(long)]
    pub accept_dead_letters: bool,
}

impl CircuitBreakerSettings {
    /// Never pauses. For a replay: its unusable records are known, and won't become usable.
    pub const NEVER: Self = Self {
        dead_letter_limit: 1000,
        accept_dead_letters: true,
    };
}

/// Parses a share exactly, to three decimals: `0.5` is 500 of 1,000.
fn per_mille(text: &str) -> Result<u16, String> {
    schemas::decimal::parse(text)
        .ok()
        .and_then(|share| schemas::decimal::to_unscaled(share, 3))
        .and_then(|per_mille| u16::try_from(per_mille).ok())
        .filter(|per_mille| *per_mille <= 1000)
        .ok_or_else(|| {
            "write a share from 0 to 1 with at most three decimals, such as 0.5".to_owned()
        })
}

/// The outcomes of the last [`WINDOW`] records. Pure: a copy made before a batch undoes the batch.
#[derive(Clone)]
pub struct CircuitBreaker {
    /// The maximum number of dead letters among the window that are accepted; `None` accepts any number.
    max_dead: Option<u16>,
    window: Vec<Option<Reason>>,
    next: usize,
    dead: u16,
}

impl CircuitBreaker {
    /// Begins closed, with an empty window.
    pub fn new(settings: &CircuitBreakerSettings) -> Self {
        Self {
            max_dead: (!settings.accept_dead_letters).then_some(settings.dead_letter_limit),
            window: Vec::with_capacity(WINDOW),
            next: 0,
            dead: 0,
        }
    }

    /// Counts one record: the reason when it is a dead letter, `None` when it is not.
    pub fn observe(&mut self, outcome: Option<Reason>) {
        if self.max_dead.is_none() {
            return;
        }
        self.dead += u16::from(outcome.is_some());
        if self.window.len() < WINDOW {
            self.window.push(outcome);
            return;
        }
        let oldest = std::mem::replace(&mut self.window[self.next], outcome);
        self.dead -= u16::from(oldest.is_some());
        self.next = (self.next + 1) % WINDOW;
    }

    /// Returns whether more of the last [`WINDOW`] records are dead letters than is accepted.
    pub fn is_open(&self) -> bool {
        self.window.len() == WINDOW && self.max_dead.is_some_and(|max| self.dead > max)
    }
}

/// What a person needs to know to decide.
impl fmt::Display for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons = BTreeMap::<&str, u16>::new();
        for reason in self.window.iter().flatten() {
            *reasons.entry(reason.as_str()).or_default() += 1;
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let reasons: Vec<_> = reasons
            .iter()
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        write!(
            f,
            "paused: {} of the last {WINDOW} records are dead letters ({}); fix the cause (the same \
             records are tried again every {}) or restart with --accept-dead-letters",
            self.dead,
            reasons.join(", "),
            human_duration(PAUSE)
        )
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "CircuitBreaker({} of {} dead)",
            self.dead,
            self.window.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(accept_dead_letters: bool) -> CircuitBreaker {
        CircuitBreaker::new(&CircuitBreakerSettings {
            dead_letter_limit: 500,
            accept_dead_letters,
        })
    }

    fn observe(breaker: &mut CircuitBreaker, dead: usize, fine: usize) {
        for _ in 0..dead {
            breaker.observe(Some(Reason::InvalidJson));
        }
        for _ in 0..fine {
            breaker.observe(None);
        }
    }

    #[test]
    fn it_opens_above_the_limit_and_not_before_a_thousand_records() {
        let mut breaker = breaker(false);
        observe(&mut breaker, 999, 0);
        assert!(!breaker.is_open(), "too few to decide");
        breaker.observe(None);
        assert!(breaker.is_open());
        assert!(
            breaker.to_string().contains("999 of the last 1000"),
            "{breaker}"
        );
        assert!(
            breaker.to_string().contains("invalid_json 999"),
            "{breaker}"
        );
    }

    #[test]
    fn half_is_not_more_than_half() {
        let mut breaker = breaker(false);
        observe(&mut breaker, 500, 500);
        assert!(!breaker.is_open());
        observe(&mut breaker, 0, 500);
        assert!(!breaker.is_open());
        observe(&mut breaker, 501, 0);
        assert!(breaker.is_open());
    }

    #[test]
    fn only_the_last_thousand_count() {
        let mut breaker = breaker(false);
        observe(&mut breaker, 600, 400);
        assert!(breaker.is_open());
        observe(&mut breaker, 0, 100);
        assert!(
            !breaker.is_open(),
            "a hundred dead ones fell out of the window"
        );
    }

    #[test]
    fn a_person_can_accept_any_number() {
        let mut breaker = breaker(true);
        observe(&mut breaker, 5000, 0);
        assert!(!breaker.is_open());
    }

    #[test]
    fn the_limit_is_an_exact_share() {
        assert_eq!(per_mille("0.5"), Ok(500));
        assert_eq!(per_mille("1"), Ok(1000));
        assert_eq!(per_mille("0.001"), Ok(1));
        for wrong in ["1.001", "-0.1", "0.0001", "half", ""] {
            assert!(per_mille(wrong).is_err(), "{wrong}");
        }
    }
}
