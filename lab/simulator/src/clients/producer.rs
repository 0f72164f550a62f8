//! A transactional producer: its state, and the errors that it derives from the broker's answers.

use std::time::Duration;

use runtime::kafka::{Outgoing, TransactionError};

use crate::mutation::Mutation;
use crate::world::kafka::group::GroupOffsets;
use crate::world::kafka::log::Record;
use crate::world::kafka::transactions::{ProducerIdentity, Refused};
use crate::world::kafka::{COMPACTED, TOPICS};
use crate::world::network::{Request, Ticket};
use crate::world::{Fault, ProcessId, Service, World};

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    New,
    Ready,
    Open,
    /// The commit or abort was sent; this ticket identifies its answer.
    Ending(Ticket),
    /// Every further call fails.
    Broken,
}

/// A producer.
#[derive(Debug)]
pub struct Producer {
    id: ProcessId,
    name: String,
    /// Whether records are written in transactions.
    pub in_transactions: bool,
    identity: Option<ProducerIdentity>,
    state: State,
    queue: Vec<(usize, Record)>,
    /// Offsets of this client may still arrive after it has stopped waiting for them.
    has_late_offsets: bool,
}

/// A port's answer.
pub type Answer = Result<(), TransactionError>;

fn retriable(why: &str) -> Answer {
    Err(TransactionError::Retriable(why.to_owned()))
}

fn abortable(why: &str) -> Answer {
    Err(TransactionError::Abortable(why.to_owned()))
}

impl Producer {
    /// Builds a client that has not called the broker yet.
    pub const fn new(id: ProcessId, name: String) -> Self {
        Self {
            id,
            name,
            in_transactions: true,
            identity: None,
            state: State::New,
            queue: Vec::new(),
            has_late_offsets: false,
        }
    }

    /// Replaces the client by a new one. Queued records may have been sent before.
    pub fn reopen(&mut self, world: &mut World) {
        if self.is_kept(world) {
            return;
        }
        if world.random.per_mille(500) && !world.lives[self.id].dead {
            let _ = self.flush(world);
        }
        *self = Self {
            in_transactions: self.in_transactions,
            ..Self::new(self.id, std::mem::take(&mut self.name))
        };
    }

    /// Returns whether a planted bug keeps this client and its epoch instead of replacing it.
    fn is_kept(&self, world: &World) -> bool {
        let is_kept = world.has(Mutation::ProducerKept)
            || self.has_late_offsets && world.has(Mutation::LateOffsetsKeepProducer);
        is_kept && self.state == State::Ready
    }

    /// Returns the answer to a call that takes longer than its caller waits, and whose request arrives
    /// later.
    ///
    /// The real client waits for the same answer when the call is repeated. But it also sends the request
    /// again when a connection breaks, as does the client that replaces it once the call is abandoned
    /// (ADR 0015). So in the model a repeated call is a new request, and the first one arrives whenever it
    /// does.
    fn slow(&mut self, world: &mut World, timeout: Duration, request: Request) -> Answer {
        world.spend(self.id, timeout);
        world.arrive_late(self.id, request);
        if world.random.per_mille(300) {
            return self.fatal("the call has not returned and is abandoned");
        }
        retriable("no answer")
    }

    fn fatal(&mut self, why: &str) -> Answer {
        self.state = State::Broken;
        Err(TransactionError::Fatal(why.to_owned()))
    }

    fn refused(&mut self, refused: Refused) -> Answer {
        self.state = State::Broken;
        Err(match refused {
            Refused::Fenced => TransactionError::Fenced("a newer epoch".to_owned()),
            Refused::InvalidState => TransactionError::Fatal("invalid state".to_owned()),
        })
    }

    /// Takes over the transactional id.
    pub fn init(&mut self, world: &mut World, timeout: Duration) -> Answer {
        if self.is_kept(world) {
            return Ok(());
        }
        if self.state != State::New {
            return self.fatal("init twice");
        }
        let fault = world.call(self.id, Service::Kafka, "init");
        match fault {
            Fault::Refused => {
                world.spend(self.id, timeout);
                return retriable("no answer");
            }
            // It fences whoever has the id by then: a successor, or this client's repeated call.
            Fault::Slow => {
                let request = Request::TakeOver(self.name.clone());
                return self.slow(world, timeout, request);
            }
            Fault::None | Fault::AnswerLost => {}
        }
        let identity = if world.has(Mutation::NewTransactionalId) {
            let name = format!("{}/{}", self.name, world.random.next());
            world.broker.init(&name, true)
        } else {
            let fences = !world.has(Mutation::NoFencing);
            world.broker.init(&self.name, fences)
        };
        if fault == Fault::AnswerLost {
            return retriable("the answer was lost");
        }
        self.identity = Some(identity);
        self.state = State::Ready;
        Ok(())
    }

    /// Reports a violation if a transactional id that begins with this one has an open transaction. Called
    /// after a complete takeover.
    pub fn has_taken_over(&self, world: &mut World) {
        if world.broker.transactions.is_open(&self.name) {
            let name = &self.name;
            world.violate(|| format!("a predecessor's transaction is open after {name}'s init"));
        }
    }

    /// Aborts the hanging transactions of this transactional id.
    pub fn end_hanging(&self, world: &mut World) {
        if let Some(identity) = self.identity {
            let group_wide = world.has(Mutation::HangingOfAnybody);
            world.broker.end_hanging(identity, group_wide);
        }
    }

    /// Begins a transaction.
    pub fn begin(&mut self) -> Answer {
        if self.state != State::Ready {
            return self.fatal("begin out of place");
        }
        self.state = State::Open;
        Ok(())
    }

    /// Hands over a record to be written.
    pub fn send(&mut self, world: &mut World, record: &Outgoing<'_>) -> Answer {
        if self.in_transactions && self.state != State::Open {
            return self.fatal("send without a transaction");
        }
        let topic = TOPICS.iter().position(|name| *name == record.topic);
        let Some(topic) = topic else {
            return abortable("unknown topic");
        };
        if world.has(Mutation::DeadLetterDropped) && record.topic.ends_with(".dlq") {
            return Ok(());
        }
        let headers = record.headers.iter();
        self.queue.push((
            topic,
            Record {
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: headers
                    .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
                    .collect(),
            },
        ));
        // The client may send a batch at any time.
        if world.random.per_mille(200) && !world.lives[self.id].dead {
            return self.flush(world);
        }
        Ok(())
    }

    fn flush(&mut self, world: &mut World) -> Answer {
        let keyless =
            |(topic, record): &(usize, Record)| COMPACTED.contains(topic) && record.key.is_none();
        if self.queue.iter().any(keyless) {
            self.queue.clear();
            return abortable("a compacted topic takes no record without a key");
        }
        if !self.in_transactions {
            for (topic, record) in self.queue.drain(..) {
                world.broker.append(topic, record);
            }
            return Ok(());
        }
        let Some(identity) = self.identity else {
            return Ok(());
        };
        let time = world.now;
        for (topic, record) in std::mem::take(&mut self.queue) {
            if let Err(refused) = world.broker.produce(identity, topic, record, time) {
                return self.refused(refused);
            }
        }
        Ok(())
    }

    /// Waits until all records that were sent are acknowledged.
    pub fn drain(&mut self, world: &mut World, timeout: Duration) -> Answer {
        match self.state {
            _ if !self.in_transactions => {}
            State::Open => {}
            State::Ending(_) => return Ok(()),
            _ => return self.fatal("the client is dead"),
        }
        if self.queue.is_empty() {
            return Ok(());
        }
        match world.call(self.id, Service::Kafka, "drain") {
            Fault::None => self.flush(world),
            Fault::Slow => {
                world.spend(self.id, timeout);
                retriable("not acknowledged yet")
            }
            // The records are written, but their acknowledgements are lost; the caller waits for them
            // again.
            Fault::AnswerLost => {
                self.flush(world)?;
                world.spend(self.id, timeout);
                retriable("not acknowledged yet")
            }
            Fault::Refused if world.time_of(self.id) < world.broker_away => {
                world.spend(self.id, timeout);
                retriable("the broker is away")
            }
            Fault::Refused => {
                // Only some of the records were written.
                let kept = world.random.place(self.queue.len());
                self.queue.truncate(kept);
                if !world.lives[self.id].dead {
                    self.flush(world)?;
                }
                abortable("a record was refused")
            }
        }
    }

    /// Adds offsets to the transaction.
    pub fn send_offsets(
        &mut self,
        world: &mut World,
        offsets: GroupOffsets,
        timeout: Duration,
    ) -> Answer {
        let (State::Open, Some(identity)) = (&self.state, self.identity) else {
            return self.fatal("offsets without a transaction");
        };
        let fault = world.call(self.id, Service::Kafka, "send offsets");
        match fault {
            Fault::Refused => {
                world.spend(self.id, timeout);
                return retriable("no answer");
            }
            // They are added to what this epoch has open by then: this transaction, in which they change
            // nothing, or, unless the client is replaced, one of its next transactions.
            Fault::Slow => {
                self.has_late_offsets = true;
                let request = Request::AddOffsets { identity, offsets };
                return self.slow(world, timeout, request);
            }
            Fault::None | Fault::AnswerLost => {}
        }
        let added = if world.has(Mutation::OffsetsBeforeVouchers) {
            let is_accepted = world.broker.accepts(&offsets);
            if is_accepted {
                world.broker.groups[offsets.group].commit(&offsets.positions);
            }
            Ok(is_accepted)
        } else {
            let now = world.now;
            world.broker.add_offsets(identity, &offsets, now)
        };
        match added {
            Err(refused) => return self.refused(refused),
            Ok(false) => return abortable("illegal generation"),
            Ok(true) => {}
        }
        if fault == Fault::AnswerLost {
            return retriable("the answer was lost");
        }
        Ok(())
    }

    /// Commits or aborts the transaction. Called again, it waits for the answer to the same request.
    pub fn end(&mut self, world: &mut World, commit: bool, timeout: Duration) -> Answer {
        let identity = match (&self.state, self.identity) {
            (State::Ending(ticket), Some(_)) => {
                let ticket = *ticket;
                return self.resume(world, ticket, timeout);
            }
            (State::Open, Some(identity)) => identity,
            _ => return self.fatal("no transaction"),
        };
        self.queue.clear();
        let name = if commit { "commit" } else { "abort" };
        let fault = world.call(self.id, Service::Kafka, name);
        let commit = commit || world.has(Mutation::AbortCommits);
        if world.lives[self.id].dead && fault == Fault::Refused {
            // The process was killed, but its request may still arrive.
            if world.random.per_mille(300) {
                let delay = Duration::from_millis(world.random.below(12_000));
                world.send_later(self.id, delay, Request::End { identity, commit });
            }
            return self.fatal("killed");
        }
        match fault {
            Fault::None => match world.broker.end(identity, commit) {
                Err(Refused::Fenced) if commit && world.has(Mutation::FencedIsCommitted) => {
                    self.state = State::Ready;
                    Ok(())
                }
                Ok(()) => {
                    self.state = State::Ready;
                    Ok(())
                }
                Err(refused) => self.refused(refused),
            },
            Fault::AnswerLost => {
                if let Err(refused) = world.broker.end(identity, commit) {
                    return self.refused(refused);
                }
                // The connection broke before the answer arrived, so the client sends the request again. It
                // may arrive after the client has ended.
                self.go_on_asking(world, identity, commit)
            }
            Fault::Refused if world.random.per_mille(300) => self.fatal("the client gave up"),
            Fault::Refused | Fault::Slow => {
                world.spend(self.id, timeout);
                if commit && world.has(Mutation::UnknownIsCommitted) {
                    self.state = State::Ready;
                    return Ok(());
                }
                self.go_on_asking(world, identity, commit)
            }
        }
    }

    fn go_on_asking(
        &mut self,
        world: &mut World,
        identity: ProducerIdentity,
        commit: bool,
    ) -> Answer {
        let delay = Duration::from_millis(world.random.below(20_000));
        let ticket = world.send_later(self.id, delay, Request::End { identity, commit });
        if world.random.per_mille(500) {
            // The request was sent twice, and the second one arrives later.
            let delay = delay + Duration::from_millis(world.random.below(20_000));
            world.send_later(self.id, delay, Request::End { identity, commit });
        }
        self.state = State::Ending(ticket);
        retriable("the end is under way")
    }

    fn resume(&mut self, world: &mut World, ticket: Ticket, timeout: Duration) -> Answer {
        if world.lives[self.id].dead {
            return self.fatal("killed");
        }
        match world.answer(ticket) {
            None => {
                world.spend(self.id, timeout);
                retriable("the end is under way")
            }
            Some(Ok(())) => {
                self.state = State::Ready;
                Ok(())
            }
            Some(Err(refused)) => self.refused(refused),
        }
    }
}
