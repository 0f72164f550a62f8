//! Requests that arrive after their sender has stopped waiting for the answer.

use std::collections::BTreeMap;
use std::time::Duration;

use super::database::Row;
use super::kafka::group::GroupOffsets;
use super::kafka::transactions::{ProducerIdentity, Refused};

/// The number of a request, by which its answer is looked up.
pub type Ticket = u64;

/// A request that may arrive late.
#[derive(Debug, Clone)]
pub enum Request {
    /// Ends a transaction.
    End {
        /// The producer and the epoch of the request.
        identity: ProducerIdentity,
        /// Whether it commits or aborts.
        commit: bool,
    },
    /// Takes over this transactional id.
    TakeOver(String),
    /// Adds offsets to a transaction.
    AddOffsets {
        /// The producer and the epoch of the request.
        identity: ProducerIdentity,
        /// The offsets and their sender.
        offsets: GroupOffsets,
    },
    /// Commits offsets outside of a transaction.
    CommitOffsets(GroupOffsets),
    /// Inserts these rows into the vouchers table.
    Insert(Vec<Row>),
    /// Deletes the rows of these ids from the outbox.
    Delete(Vec<i64>),
}

/// The requests in flight, and the answers to those that have arrived.
#[derive(Debug, Default)]
pub struct Network {
    in_flight: Vec<(Duration, Ticket, Request)>,
    answers: BTreeMap<Ticket, Result<(), Refused>>,
    last_ticket: Ticket,
}

impl Network {
    /// Sends a request that arrives at `due`.
    pub fn send(&mut self, due: Duration, request: Request) -> Ticket {
        self.last_ticket += 1;
        self.in_flight.push((due, self.last_ticket, request));
        self.last_ticket
    }

    /// Takes the first request that is due.
    pub fn take_due(&mut self, now: Duration) -> Option<(Ticket, Request)> {
        let (place, _) = self
            .in_flight
            .iter()
            .enumerate()
            .filter(|(_, (due, ..))| *due <= now)
            .min_by_key(|(_, (due, ticket, _))| (*due, *ticket))?;
        let (_, ticket, request) = self.in_flight.swap_remove(place);
        Some((ticket, request))
    }

    /// Keeps the answer to a request that has arrived.
    pub fn answer(&mut self, ticket: Ticket, answer: Result<(), Refused>) {
        self.answers.insert(ticket, answer);
    }

    /// Returns the answer to a request, once the request has arrived.
    pub fn answer_to(&self, ticket: Ticket) -> Option<Result<(), Refused>> {
        self.answers.get(&ticket).copied()
    }
}
