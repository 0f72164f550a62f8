//! Whether the flow stood still: how long acknowledged orders waited for their rows, and how much
//! of that time the cluster explains. A pure function.
//!
//! A probe asks the cluster, again and again, for what the product needs of it (see `probe`). Time
//! between two rounds of the probe counts as *able* when both succeeded. An order that waits for
//! its row for more than [`MAX_GAP`] of able time has waited for the product, not for the cluster.
//! Each order is looked at, and not the sum of all rows: of four partitions one may stand still
//! while rows of the others appear.

use std::time::Duration;

use serde::Serialize;

/// No order may wait longer than this while the cluster is able to take its records.
pub const MAX_GAP: Duration = Duration::from_secs(15);

/// One round of the probe; times are from the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// When it began.
    pub begun: Duration,
    /// When its answer was there.
    pub ended: Duration,
    /// Whether the cluster acknowledged all of it.
    pub acknowledged: bool,
}

/// One eligible order; times are from the start of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The order.
    pub order_id: String,
    /// When a client heard that it is taken.
    pub acknowledged: Duration,
    /// When its row was seen; without one: when the run ended.
    pub until: Duration,
}

/// A time in which orders waited for too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// When the first of its orders was acknowledged.
    #[serde(rename = "from_seconds", serialize_with = "seconds")]
    pub from: Duration,
    /// When the last of its orders had its row.
    #[serde(rename = "to_seconds", serialize_with = "seconds")]
    pub to: Duration,
    /// How many orders waited for too long in it.
    pub orders: usize,
    /// The one that waited longest while the cluster was able.
    pub order_id: String,
    /// How long that one waited while the cluster was able.
    #[serde(rename = "unexplained_seconds", serialize_with = "seconds")]
    pub unexplained: Duration,
}

/// What was seen of the flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// Eligible orders that were watched.
    pub orders: usize,
    /// For how long the cluster was able to take records.
    #[serde(rename = "able_seconds", serialize_with = "seconds")]
    pub able: Duration,
    /// The longest time from an order's acknowledgement to its row.
    #[serde(rename = "longest_wait_seconds", serialize_with = "seconds")]
    pub longest: Duration,
    /// The longest such time while the cluster was able.
    #[serde(rename = "longest_unexplained_seconds", serialize_with = "seconds")]
    pub longest_unexplained: Duration,
    /// Where it stood still.
    pub gaps: Vec<Gap>,
}

pub(crate) fn seconds<S: serde::Serializer>(
    time: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.as_secs())
}

/// How much of the time between the two the cluster was able.
#[must_use]
pub fn able(rounds: &[Round], from: Duration, to: Duration) -> Duration {
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

/// Compares how long orders waited with what the cluster could do meanwhile. `rounds` are in the
/// order of their times.
#[must_use]
pub fn judge_flow(waits: &[Wait], rounds: &[Round]) -> Flow {
    let mut flow = Flow {
        orders: waits.len(),
        able: able(rounds, Duration::ZERO, Duration::MAX),
        ..Flow::default()
    };
    let mut late = Vec::new();
    for wait in waits {
        let waited = wait.until.saturating_sub(wait.acknowledged);
        flow.longest = flow.longest.max(waited);
        if waited <= flow.longest_unexplained.min(MAX_GAP) {
            continue;
        }
        let unexplained = able(rounds, wait.acknowledged, wait.until);
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

    /// A round a second, each of half a second, that fail in the given seconds.
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
    fn what_the_cluster_could_not_do_explains_a_wait() {
        let flow = judge_flow(&[wait("a", 9, 45)], &rounds(60, 10..32));
        assert_eq!(flow.gaps, []);
        assert_eq!(flow.longest, at(36));
        // From 9 to the end of the last round before the failure, and from 32 to 45.
        let before = Duration::from_millis(500);
        assert_eq!(flow.longest_unexplained, before + at(13));
    }

    #[test]
    fn an_order_that_waits_while_the_cluster_is_able_is_a_gap() {
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
        // Able for 10 s, away for 5, able for 10: twenty seconds, not ten.
        let flow = judge_flow(&[wait("a", 0, 25)], &rounds(60, 10..15));
        assert_eq!(flow.gaps.len(), 1);
    }

    #[test]
    fn without_a_probe_nothing_is_counted() {
        let flow = judge_flow(&[wait("a", 0, 1_000)], &[]);
        assert_eq!(flow.gaps, []);
        assert_eq!(flow.able, Duration::ZERO);
    }
}
