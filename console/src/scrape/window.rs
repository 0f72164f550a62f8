//! The rounds of the last minute, from which rates and latencies are taken.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::metric::{Counter, Service};
use super::readiness::Status;
use super::sample::{Details, Numbers, Reading, Report};

/// How long rounds are kept, because latencies are those of the last minute. Slightly longer, because a
/// round may be a few milliseconds late.
const WINDOW: Duration = Duration::from_millis(60_500);

/// Bounds the number of rounds, in addition to their age. At one round a second there are 61.
const MAX_ROUNDS: usize = 64;

/// The rounds of the last minute.
///
/// One reading is about 3 KB (14 counters, 13 gauges, 5 histograms of 18 buckets, label values that are
/// not 0). So three instances take about 0.6 MB, and the maximum number of instances
/// ([`MAX_INSTANCES`](super::target::MAX_INSTANCES)) about 12 MB.
#[derive(Debug, Default)]
pub(crate) struct Window {
    rounds: VecDeque<Round>,
    /// The status of the instances in the last round.
    found: Vec<Found>,
    /// When an instance of each service last gave numbers, in the order of [`Service::ALL`]. It is kept
    /// longer than the rounds.
    answered: [Option<DateTime<Utc>>; Service::ALL.len()],
}

/// One round.
#[derive(Debug)]
struct Round {
    /// The time since a fixed moment.
    at: Duration,
    readings: Vec<(Service, Arc<str>, Reading)>,
}

/// The status of an instance in the last round.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) service: Service,
    /// Host and port.
    pub(crate) address: Arc<str>,
    pub(crate) status: Status,
    pub(crate) details: Details,
}

/// The change of an instance between two consecutive readings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) address: &'a str,
    pub(crate) begin: Duration,
    pub(crate) end: Duration,
    /// `None` if the instance was started in between, so that all its counts are new.
    before: Option<&'a Numbers>,
    /// `None` if the instance has stopped, so that no count is new.
    now: Option<&'a Numbers>,
}

/// The last known reading of an instance.
struct Known<'a> {
    at: Duration,
    /// `None` when it is not running.
    numbers: Option<&'a Numbers>,
    /// Whether it has been running within the window.
    has_run: bool,
}

impl Window {
    /// Adds a round at `at`, the time since a fixed moment, and drops rounds that are too old. `clock` is
    /// the wall-clock time of the round.
    pub(crate) fn push(&mut self, at: Duration, clock: DateTime<Utc>, reports: Vec<Report>) {
        let mut readings = Vec::with_capacity(reports.len());
        self.found.clear();
        for report in reports {
            let Report {
                service,
                address,
                status,
                details,
                reading,
            } = report;
            if matches!(reading, Reading::Numbers(_)) {
                self.answered[service as usize] = Some(clock);
            }
            readings.push((service, Arc::clone(&address), reading));
            self.found.push(Found {
                service,
                address,
                status,
                details,
            });
        }
        self.rounds.push_back(Round { at, readings });
        let since = at.saturating_sub(WINDOW);
        while self.rounds.len() > MAX_ROUNDS
            || self.rounds.front().is_some_and(|round| round.at < since)
        {
            self.rounds.pop_front();
        }
    }

    /// Returns the time of the last round.
    pub(crate) fn now(&self) -> Duration {
        self.rounds.back().map_or(Duration::ZERO, |round| round.at)
    }

    /// Returns when an instance of a service last gave numbers.
    pub(crate) const fn answered(&self, service: Service) -> Option<DateTime<Utc>> {
        self.answered[service as usize]
    }

    /// Returns whether nothing was scraped yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }

    /// Returns the status of a service's instances in the last round.
    pub(crate) fn found(&self, service: Service) -> impl Iterator<Item = &Found> {
        self.found
            .iter()
            .filter(move |found| found.service == service)
    }

    /// Returns the numbers of the last round of a service's instances that answered.
    pub(crate) fn latest(&self, service: Service) -> impl Iterator<Item = &Numbers> {
        let round = self.rounds.back().into_iter();
        round.flat_map(move |round| round.numbers(service))
    }

    /// Returns the time of each round since `since`, with the numbers of a service's instances that
    /// answered.
    pub(crate) fn rounds(
        &self,
        service: Service,
        since: Duration,
    ) -> impl Iterator<Item = (Duration, Vec<&Numbers>)> {
        self.rounds
            .iter()
            .filter(move |round| round.at >= since)
            .map(move |round| (round.at, round.numbers(service).collect::<Vec<_>>()))
    }

    /// Returns the steps of a service's instances, oldest first. The first reading of an instance gives
    /// no step, because it is unknown since when its counters have grown.
    pub(crate) fn steps(&self, service: Service) -> Vec<Step<'_>> {
        let mut known = HashMap::<&str, Known<'_>>::new();
        let mut steps = Vec::new();
        for round in &self.rounds {
            let readings = round.readings.iter();
            for (_, address, reading) in readings.filter(|(owner, ..)| *owner == service) {
                let address = &**address;
                let numbers = match reading {
                    Reading::Numbers(numbers) => Some(&**numbers),
                    Reading::NotRunning => None,
                    Reading::Missing => continue,
                };
                let last = known.get(address);
                let is_running_or_ran = |known: &&Known<'_>| numbers.is_some() || known.has_run;
                if let Some(last) = last.filter(is_running_or_ran) {
                    steps.push(Step {
                        address,
                        begin: last.at,
                        end: round.at,
                        before: last.numbers.filter(|before| {
                            numbers.is_some_and(|now| !now.has_restarted_since(before))
                        }),
                        now: numbers,
                    });
                }
                let has_run = numbers.is_some() || last.is_some_and(|last| last.has_run);
                known.insert(
                    address,
                    Known {
                        at: round.at,
                        numbers,
                        has_run,
                    },
                );
            }
        }
        steps
    }
}

impl Round {
    fn numbers(&self, service: Service) -> impl Iterator<Item = &Numbers> {
        self.readings
            .iter()
            .filter_map(move |(owner, _, reading)| match reading {
                Reading::Numbers(numbers) if *owner == service => Some(&**numbers),
                _ => None,
            })
    }
}

impl<'a> Step<'a> {
    /// Returns the increase of a counter.
    pub(crate) fn increase(&self, counter: Counter) -> u64 {
        let now = self.now.map_or(0, |now| now.counter(counter));
        let before = self.before.map_or(0, |before| before.counter(counter));
        now.saturating_sub(before)
    }

    /// Returns the numbers before and after; `None` after the instance has stopped.
    pub(crate) fn numbers(&self) -> Option<(Option<&'a Numbers>, &'a Numbers)> {
        Some((self.before, self.now?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::read;
    use super::*;

    fn report(address: &str, reading: Reading) -> Report {
        Report {
            service: Service::Sink,
            address: address.into(),
            status: Status::unreachable("not asked"),
            details: Details::default(),
            reading,
        }
    }

    fn inserted(address: &str, rows: u64) -> Report {
        let text = format!("checkout_sink_rows_total{{outcome=\"inserted\"}} {rows}\n");
        let (numbers, _) = read(Service::Sink, &text).unwrap();
        report(address, Reading::Numbers(Box::new(numbers)))
    }

    fn window(rounds: impl IntoIterator<Item = (u64, Vec<Report>)>) -> Window {
        let mut window = Window::default();
        for (second, reports) in rounds {
            let clock = DateTime::UNIX_EPOCH + Duration::from_secs(second);
            window.push(Duration::from_secs(second), clock, reports);
        }
        window
    }

    /// Returns begin, end and the rows inserted of each step.
    fn steps(window: &Window) -> Vec<(u64, u64, u64)> {
        let steps = window.steps(Service::Sink);
        steps
            .iter()
            .map(|step| {
                (
                    step.begin.as_secs(),
                    step.end.as_secs(),
                    step.increase(Counter::Inserted),
                )
            })
            .collect()
    }

    #[test]
    fn one_reading_is_no_step() {
        let window = window([(1, vec![inserted("a", 500)])]);
        assert!(steps(&window).is_empty());
        assert_eq!(window.latest(Service::Sink).count(), 1);
        assert_eq!(window.latest(Service::Processor).count(), 0);
    }

    #[test]
    fn a_counter_that_falls_begins_at_0() {
        let readings = [500, 510, 4, 9];
        let rounds = (1..).zip(readings.map(|rows| vec![inserted("a", rows)]));
        let steps = steps(&window(rounds));
        assert_eq!(steps, [(1, 2, 10), (2, 3, 4), (3, 4, 5)]);
    }

    #[test]
    fn an_instance_that_was_not_running_begins_at_0_however_much_it_has_done() {
        let stopped = || vec![report("a", Reading::NotRunning)];
        let rounds = [stopped(), stopped(), vec![inserted("a", 700)]];
        assert_eq!(steps(&window((1..).zip(rounds))), [(2, 3, 700)]);
    }

    #[test]
    fn an_instance_that_has_stopped_does_nothing() {
        let rounds = [
            vec![inserted("a", 500)],
            vec![inserted("a", 510)],
            vec![report("a", Reading::NotRunning)],
        ];
        assert_eq!(steps(&window((1..).zip(rounds))), [(1, 2, 10), (2, 3, 0)]);
    }

    #[test]
    fn a_reading_that_is_missing_makes_a_longer_step() {
        let rounds = [
            vec![inserted("a", 500)],
            vec![report("a", Reading::Missing)],
            vec![inserted("a", 520)],
        ];
        assert_eq!(steps(&window((1..).zip(rounds))), [(1, 3, 20)]);
    }

    #[test]
    fn instances_are_counted_apart() {
        let rounds = [
            vec![inserted("a", 500), inserted("b", 3)],
            vec![inserted("b", 4), inserted("a", 510)],
        ];
        assert_eq!(steps(&window((1..).zip(rounds))), [(1, 2, 1), (1, 2, 10)]);
    }

    #[test]
    fn the_last_answer_is_known_for_longer_than_the_rounds() {
        let silent = (2..1000).map(|second| (second, vec![report("a", Reading::Missing)]));
        let rounds = std::iter::once((1, vec![inserted("a", 500)])).chain(silent);
        let window = window(rounds);
        assert_eq!(window.latest(Service::Sink).count(), 0);
        assert_eq!(
            window.answered(Service::Sink),
            DateTime::from_timestamp(1, 0)
        );
        assert_eq!(window.answered(Service::Processor), None);
    }

    #[test]
    fn old_rounds_are_forgotten() {
        let rounds = (0..1000).map(|second| (second, vec![inserted("a", second)]));
        let window = window(rounds);
        assert_eq!(window.rounds.len(), 61);
        assert_eq!(window.found(Service::Sink).count(), 1);
        let since = Duration::from_secs(990);
        assert_eq!(window.rounds(Service::Sink, since).count(), 10);
        let crowded = (0..1000).map(|number| (number / 100, Vec::new()));
        assert_eq!(self::window(crowded).rounds.len(), MAX_ROUNDS);
    }
}
