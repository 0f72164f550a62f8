//! Rounds for tests, from the very texts that services answer.

use std::time::Duration;

use chrono::DateTime;

use super::{Flow, OpenDeadLetters};
use crate::scrape::{Reading, Report, Service, Status, Window, examples, read};

/// A service and an address.
pub(super) type Address = (Service, &'static str);

pub(super) const PRODUCER: Address = (Service::Producer, "127.0.0.1:54322");
pub(super) const PROCESSOR: Address = (Service::Processor, "10.0.0.1:9464");
pub(super) const OTHER_PROCESSOR: Address = (Service::Processor, "10.0.0.2:9464");
pub(super) const SINK: Address = (Service::Sink, "127.0.0.1:9465");

/// Rounds that are a second apart.
#[derive(Default)]
pub(super) struct Rounds {
    window: Window,
    seconds: u64,
    reports: Vec<Report>,
    pub(super) open: OpenDeadLetters,
}

impl Rounds {
    /// An instance whose parts are all ready answers in this round.
    pub(super) fn ready(&mut self, of: Address, metrics: &str) -> &mut Self {
        self.answer(of, Status::read(200, examples::READY), metrics)
    }

    /// An instance with these parts, a JSON object, answers in this round.
    pub(super) fn not_ready(&mut self, of: Address, parts: &str, metrics: &str) -> &mut Self {
        let readyz = format!(r#"{{"status":"not ready","parts":{parts}}}"#);
        self.answer(of, Status::read(503, &readyz), metrics)
    }

    /// An instance with these parts, of which none is not ready, answers in this round.
    pub(super) fn degraded(&mut self, of: Address, parts: &str, metrics: &str) -> &mut Self {
        let readyz = format!(r#"{{"status":"ready","parts":{parts}}}"#);
        self.answer(of, Status::read(200, &readyz), metrics)
    }

    fn answer(&mut self, of: Address, status: Result<Status, String>, metrics: &str) -> &mut Self {
        let (numbers, details) = read(of.0, metrics).unwrap();
        self.reports.push(Report {
            service: of.0,
            address: of.1.into(),
            status: status.unwrap(),
            details,
            reading: Reading::Numbers(Box::new(numbers)),
        });
        self
    }

    /// Nobody listens at the address in this round.
    pub(super) fn refused(&mut self, of: Address) -> &mut Self {
        self.reports.push(Report {
            service: of.0,
            address: of.1.into(),
            status: Status::unreachable("connection refused"),
            details: Default::default(),
            reading: Reading::NotRunning,
        });
        self
    }

    /// Ends the round; the next one begins a second later.
    pub(super) fn end_round(&mut self) -> &mut Self {
        let at = Duration::from_secs(self.seconds);
        let clock = DateTime::UNIX_EPOCH + at;
        self.window
            .push(at, clock, std::mem::take(&mut self.reports));
        self.wait(1)
    }

    /// Lets some seconds pass without a round.
    pub(super) fn wait(&mut self, seconds: u64) -> &mut Self {
        self.seconds += seconds;
        self
    }

    /// Ends the round, and returns all of them.
    pub(super) fn window(&mut self) -> &Window {
        if !self.reports.is_empty() {
            self.end_round();
        }
        &self.window
    }

    /// Ends the round, and returns the flow at its time.
    pub(super) fn flow(&mut self) -> Flow {
        let open = self.open;
        Flow::of(self.window(), &Service::ALL, open, DateTime::UNIX_EPOCH)
    }
}
