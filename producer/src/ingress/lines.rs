//! Which change waits for which: one line for each order and each idempotency key.

use std::collections::{HashMap, VecDeque};

/// The hash of an order's id or of an idempotency key. Two that are equal by accident only make
/// their changes wait for each other.
pub(super) type Mark = u64;

/// The number of a change, in the order in which changes came.
pub(super) type Ticket = u64;

/// A line per mark; the first ticket of a line has the mark, the others wait for it. Because every
/// ticket joins all its lines at once, at their ends, tickets never wait for each other in a circle.
#[derive(Debug, Default)]
pub(super) struct Lines(HashMap<Mark, VecDeque<Ticket>>);

impl Lines {
    /// Joins the lines of `marks`, which are distinct. Returns whether it is the first of each.
    pub(super) fn join(&mut self, ticket: Ticket, marks: &[Mark]) -> bool {
        let mut first = true;
        for mark in marks {
            let line = self.0.entry(*mark).or_default();
            line.push_back(ticket);
            first &= line.len() == 1;
        }
        first
    }

    /// Whether the ticket has all its marks.
    pub(super) fn is_first(&self, ticket: Ticket, marks: &[Mark]) -> bool {
        marks.iter().all(|mark| {
            let line = self.0.get(mark);
            line.and_then(VecDeque::front) == Some(&ticket)
        })
    }

    /// Leaves the lines of `marks`. Returns the tickets that became the first of one of them.
    pub(super) fn leave(&mut self, ticket: Ticket, marks: &[Mark]) -> Vec<Ticket> {
        let mut next = Vec::new();
        for mark in marks {
            let Some(line) = self.0.get_mut(mark) else {
                continue;
            };
            if line.front() == Some(&ticket) {
                line.pop_front();
                next.extend(line.front());
            } else {
                line.retain(|other| *other != ticket);
            }
            if line.is_empty() {
                self.0.remove(mark);
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_waits_for_all_that_came_before_it_in_any_of_its_lines() {
        let mut lines = Lines::default();
        assert!(lines.join(1, &[10]));
        assert!(lines.join(2, &[20]));
        assert!(!lines.join(3, &[10, 20]));
        assert!(!lines.join(4, &[20]));
        assert_eq!(lines.leave(2, &[20]), [3]);
        assert!(!lines.is_first(3, &[10, 20]), "1 has the other mark");
        assert_eq!(lines.leave(1, &[10]), [3]);
        assert!(lines.is_first(3, &[10, 20]));
        assert_eq!(lines.leave(3, &[10, 20]), [4]);
        assert_eq!(lines.leave(4, &[20]), [] as [Ticket; 0]);
        assert!(lines.0.is_empty(), "nothing is kept of lines that ended");
    }

    #[test]
    fn a_ticket_can_leave_from_the_middle() {
        let mut lines = Lines::default();
        for ticket in 1..=3 {
            lines.join(ticket, &[10]);
        }
        assert_eq!(lines.leave(2, &[10]), [] as [Ticket; 0]);
        assert_eq!(lines.leave(1, &[10]), [3]);
    }
}
