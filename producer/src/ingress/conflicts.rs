//! Which change waits for which: a first-in-first-out queue for each order and each idempotency key.

use std::collections::{HashMap, VecDeque};

/// The hash of an order's id or of an idempotency key. A hash collision only makes two unrelated
/// changes wait for each other.
pub(super) type ConflictKey = u64;

/// The number of a change, in the order of arrival.
pub(super) type Ticket = u64;

/// A queue per key: the first ticket of a queue holds the key, the others wait for it. Each ticket joins
/// all its queues at once, at their ends, so tickets never wait for each other in a circle.
#[derive(Debug, Default)]
pub(super) struct Conflicts(HashMap<ConflictKey, VecDeque<Ticket>>);

impl Conflicts {
    /// Joins the queues of `keys`, which are distinct. Returns whether the ticket holds all of them.
    pub(super) fn join(&mut self, ticket: Ticket, keys: &[ConflictKey]) -> bool {
        let mut holds_all = true;
        for key in keys {
            let queue = self.0.entry(*key).or_default();
            queue.push_back(ticket);
            holds_all &= queue.len() == 1;
        }
        holds_all
    }

    /// Returns whether the ticket holds all its keys.
    pub(super) fn holds_all(&self, ticket: Ticket, keys: &[ConflictKey]) -> bool {
        keys.iter().all(|key| {
            let queue = self.0.get(key);
            queue.and_then(VecDeque::front) == Some(&ticket)
        })
    }

    /// Leaves the queues of `keys`. Returns the tickets that hold one of them from now on.
    pub(super) fn leave(&mut self, ticket: Ticket, keys: &[ConflictKey]) -> Vec<Ticket> {
        let mut next = Vec::new();
        for key in keys {
            let Some(queue) = self.0.get_mut(key) else {
                continue;
            };
            if queue.front() == Some(&ticket) {
                queue.pop_front();
                next.extend(queue.front());
            } else {
                queue.retain(|other| *other != ticket);
            }
            if queue.is_empty() {
                self.0.remove(key);
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_waits_for_all_earlier_ones_in_any_of_its_queues() {
        let mut conflicts = Conflicts::default();
        assert!(conflicts.join(1, &[10]));
        assert!(conflicts.join(2, &[20]));
        assert!(!conflicts.join(3, &[10, 20]));
        assert!(!conflicts.join(4, &[20]));
        assert_eq!(conflicts.leave(2, &[20]), [3]);
        assert!(!conflicts.holds_all(3, &[10, 20]), "1 holds the other key");
        assert_eq!(conflicts.leave(1, &[10]), [3]);
        assert!(conflicts.holds_all(3, &[10, 20]));
        assert_eq!(conflicts.leave(3, &[10, 20]), [4]);
        assert_eq!(conflicts.leave(4, &[20]), [] as [Ticket; 0]);
        assert!(conflicts.0.is_empty(), "empty queues are removed");
    }

    #[test]
    fn a_ticket_can_leave_from_the_middle() {
        let mut conflicts = Conflicts::default();
        for ticket in 1..=3 {
            conflicts.join(ticket, &[10]);
        }
        assert_eq!(conflicts.leave(2, &[10]), [] as [Ticket; 0]);
        assert_eq!(conflicts.leave(1, &[10]), [3]);
    }
}
