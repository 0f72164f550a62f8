//! The outbox port over the world's Postgres.

use super::{Fault, Session, Shared, World};
use crate::relay::Row;
use crate::relay::ports::{Outbox, OutboxError, Writers};

/// Postgres, as one relay sees it.
pub(in crate::relay::task::tests) struct ModelOutbox {
    pub(super) world: Shared,
    pub(super) session: Option<u64>,
}

impl ModelOutbox {
    fn call<T>(&mut self, work: impl FnOnce(&mut World, u64) -> T) -> Result<T, OutboxError> {
        let world = &mut *self.world.borrow_mut();
        world.end_idle_sessions();
        let fault = world.fault();
        let now = world.now;
        let lost = || OutboxError::Lost("scripted".to_owned());
        let Some(session) = self.session.filter(|id| world.sessions.contains_key(id)) else {
            self.session = None;
            return Err(lost());
        };
        if let Some(session) = world.sessions.get_mut(&session) {
            session.heard_at = now;
        }
        match fault {
            Some(Fault::Refused | Fault::Late | Fault::InTheNetwork) => {
                return Err(OutboxError::Refused("scripted".to_owned()));
            }
            // The session ends on both sides.
            Some(Fault::Broken) => {
                self.session = None;
                world.end_session(session);
                return Err(lost());
            }
            Some(Fault::DoneThenBroken) => {
                work(world, session);
                self.session = None;
                world.end_session(session);
                return Err(lost());
            }
            None => {}
        }
        Ok(work(world, session))
    }
}

impl Outbox for ModelOutbox {
    fn try_lock(&mut self) -> Result<bool, OutboxError> {
        if self.session.is_none() {
            let world = &mut *self.world.borrow_mut();
            world.next_session += 1;
            let session = Session {
                heard_at: world.now,
                backlog: None,
            };
            world.sessions.insert(world.next_session, session);
            self.session = Some(world.next_session);
        }
        self.call(|world, session| *world.lock.get_or_insert(session) == session)
    }

    fn close(&mut self) {
        if let Some(session) = self.session.take() {
            self.world.borrow_mut().end_session(session);
        }
    }

    fn confirm(&mut self) -> Result<(), OutboxError> {
        self.call(|_, _| ())
    }

    fn read(&mut self, from: i64, max: usize, rows: &mut Vec<Row>) -> Result<(), OutboxError> {
        self.call(|world, _| {
            let found = world.rows.range(from..).take(max);
            rows.extend(found.map(|(_, row)| row.clone()));
        })
    }

    fn writers(&mut self) -> Result<Option<Writers>, OutboxError> {
        self.call(|world, _| {
            let writers = world.uncommitted.iter();
            Some(writers.map(|row| row.id.to_string()).collect())
        })
    }

    fn open_backlog(&mut self) -> Result<(), OutboxError> {
        self.call(|world, session| {
            let mut rows: Vec<_> = world.rows.values().cloned().collect();
            rows.sort_by(|a, b| (&a.order_id, a.id).cmp(&(&b.order_id, b.id)));
            world.sessions.get_mut(&session).unwrap().backlog = Some(rows);
        })
    }

    fn read_backlog(&mut self, max: usize, rows: &mut Vec<Row>) -> Result<(), OutboxError> {
        self.call(|world, session| {
            let snapshot = world.sessions.get_mut(&session).unwrap();
            let snapshot = snapshot.backlog.as_mut().expect("a snapshot");
            rows.extend(snapshot.drain(..max.min(snapshot.len())));
        })
    }

    fn delete(&mut self, ids: &[i64]) -> Result<(), OutboxError> {
        self.call(|world, _| {
            let deleted = ids.iter().filter_map(|id| world.rows.remove(id)).collect();
            world.unflushed.push(deleted);
        })
    }
}
