//! How many dead letters are open, which no metric says.

use crate::scrape::Service;

/// How many dead letters of each service are open; `None` where they were not counted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct OpenDeadLetters {
    processor: Option<u64>,
    sink: Option<u64>,
}

impl OpenDeadLetters {
    /// Sets the count of a service. The ingress has none.
    pub(crate) const fn set(&mut self, service: Service, open: u64) {
        match service {
            Service::Producer => {}
            Service::Processor => self.processor = Some(open),
            Service::Sink => self.sink = Some(open),
        }
    }

    /// Returns the count of a service.
    pub(crate) const fn of(self, service: Service) -> Option<u64> {
        match service {
            Service::Producer => None,
            Service::Processor => self.processor,
            Service::Sink => self.sink,
        }
    }
}
