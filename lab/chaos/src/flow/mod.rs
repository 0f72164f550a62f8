//! Whether the flow stopped: how long acknowledged orders waited for their rows, and how much of that
//! time the cluster explains. A pure function.
//!
//! A probe repeatedly asks the cluster for what the product needs of it (see `probe`). The time
//! between two rounds of the probe counts as *available* if both succeeded. An order that waits for
//! its row for more than [`MAX_GAP`] of available time has waited for the product, not for the
//! cluster. Each order is checked, not the sum of all rows: one of four partitions may be blocked
//! while rows of the others appear.

pub(crate) mod probe;
pub(crate) mod watch;

use std::time::Duration;

use serde::Serialize;

/// No order may wait longer than this while the cluster is available.
pub const MAX_GAP: Duration = Duration::from_secs(15);

/// One round of the probe. Times are counted from the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// When it began.
    pub begun: Duration,
    /// When it ended.
    pub ended: Duration,
    /// Whether the cluster acknowledged everything.
    pub acknowledged: bool,
}

/// One eligible order. Times are counted from the start of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The order.
    pub order_id: String,
    /// When a client received the acknowledgement.
    pub acknowledged: Duration,
    /// When its row was seen, or else when the run ended.
    pub until: Duration,
}

/// A period in which orders waited too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// When the first of its orders was acknowledged.
    #[serde(rename = "from_seconds", serialize_with = "seconds")]
    pub from: Duration,
    /// When the last of its orders had its row.
    #[serde(rename = "to_seconds", serialize_with = "seconds")]
    pub to: Duration,
    /// The number of orders that waited too long.
    pub orders: usize,
    /// The order that waited longest while the cluster was available.
    pub order_id: String,
    /// How long that order waited while the cluster was available.
    #[serde(rename = "unexplained_seconds", serialize_with = "seconds")]
    pub unexplained: Duration,
}

/// The result of watching the flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// The number of eligible orders.
    pub orders: usize,
    /// For how long the cluster was available.
    #[serde(rename = "available_seconds", serialize_with = "seconds")]
    pub available: Duration,
    /// The longest time from an order's acknowledgement to its row.
    #[serde(rename = "longest_wait_seconds", serialize_with = "seconds")]
    pub longest: Duration,
    /// The longest part of such a time in which the cluster was available.
    #[serde(rename = "longest_unexplained_seconds", serialize_with = "seconds")]
    pub longest_unexplained: Duration,
    /// The periods in which the flow stopped.
    pub gaps: Vec<Gap>,
}

pub(crate) fn seconds<S: serde::Serializer>(
    time: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.as_secs())
}

/// Returns for how much of the time from `from` to `to` the cluster was available.
#[must_use]
pub fn available(rounds: &[Round], from: Duration, to: Duration) -> Duration {
    let overlap = |begun: Duration, ended: Duration| ended.min(to).saturating_sub(begun.max(from));
    let first = rounds
        .partition_point(|round| round.ended < from)
        .saturating_sub(1);
    let mut time = Duration::ZERO;
    for (index, round) in rounds.iter().enumerate().skip(first) {
        if round.begun > to {
            break;
        }
        if !round.acknowledged {
            continue;
        }
        time += overlap(round.begun, round.ended);
        if let Some(next) = rounds.get(index + 1).filter(|next| next.acknowledged) {
            time += overlap(round.ended, next.begun);
        }
    }
    time
}

/// Compares how long orders waited with the availability of the cluster. `rounds` are in the order of
/// their times.
#[must_use]
pub fn judge_flow(waits: &[Wait], rounds: &[Round]) -> Flow {
    let mut flow = Flow {
        orders: waits.len(),
        available: available(rounds, Duration::ZERO, Duration::MAX),
        ..Flow::default()
    };
    let mut late = Vec::new();
    for wait in waits {
        let waited = wait.until.saturating_sub(wait.acknowledged);
        flow.longest = flow.longest.max(waited);
        if waited <= flow.longest_unexplained.min(MAX_GAP) {
            continue;
        }
        let unexplained = available(rounds, wait.acknowledged, wait.until);
        flow.longest_unexplained = flow.longest_unexplained.max(unexplained);
        if unexplained > MAX_GAP {
            late.push((wait, unexplained));
        }
    }
    late.sort_by_key(|(wait, _)| wait.acknowledged);
    for (wait, unexplained) in late {
        match flow.gaps.last_mut() {
            Some(gap) if wait.acknowledged <= gap.to => {
                gap.to = gap.to.max(wait.until);
                gap.orders += 1;
                if unexplained > gap.unexplained {
                    gap.unexplained = unexplained;
                    gap.order_id.clone_from(&wait.order_id);
                }
            }
            _ => flow.gaps.push(Gap {
                from: wait.acknowledged,
                to: wait.until,
                orders: 1,
                order_id: wait.order_id.clone(),
                unexplained,
            }),
        }
    }
    flow
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// One round a second, each of half a second, which fail in the given seconds.
    fn rounds(until: u64, failed: std::ops::Range<u64>) -> Vec<Round> {
        (0..until)
            .map(|second| Round {
                begun: at(second),
                ended: at(second) + Duration::from_millis(500),
                acknowledged: !failed.contains(&second),
            })
            .collect()
    }

    fn wait(order_id: &str, acknowledged: u64, until: u64) -> Wait {
        Wait {
            order_id: order_id.to_owned(),
            acknowledged: at(acknowledged),
            until: at(until),
        }
    }

    #[test]
    fn an_unavailable_cluster_explains_a_wait() {
        let flow = judge_flow(&[wait("a", 9, 45)], &rounds(60, 10..32));
        assert_eq!(flow.gaps, []);
        assert_eq!(flow.longest, at(36));
        // From 9 to the end of the last round before the failure, and from 32 to 45.
        let before = Duration::from_millis(500);
        assert_eq!(flow.longest_unexplained, before + at(13));
    }

    #[test]
    fn an_order_that_waits_while_the_cluster_is_available_is_a_gap() {
        let waits = [
            wait("quick", 1, 2),
            wait("b", 12, 42),
            wait("a", 10, 41),
            wait("later", 60, 80),
        ];
        let flow = judge_flow(&waits, &rounds(100, 20..25));
        let gaps: Vec<_> = flow
            .gaps
            .iter()
            .map(|gap| (gap.from, gap.to, gap.orders, gap.order_id.as_str()))
            .collect();
        assert_eq!(
            gaps,
            [(at(10), at(42), 2, "a"), (at(60), at(80), 1, "later")]
        );
        assert_eq!(flow.orders, 4);
    }

    #[test]
    fn a_failure_between_two_answers_pauses_the_clock_and_does_not_set_it_back() {
        // Available for 10 s, unavailable for 5, available for 10: twenty seconds, not ten.
        let flow = judge_flow(&[wait("a", 0, 25)], &rounds(60, 10..15));
        assert_eq!(flow.gaps.len(), 1);
    }

    #[test]
    fn without_a_probe_nothing_is_counted() {
        let flow = judge_flow(&[wait("a", 0, 1_000)], &[]);
        assert_eq!(flow.gaps, []);
        assert_eq!(flow.available, Duration::ZERO);
    }
}
