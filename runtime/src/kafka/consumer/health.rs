//! The health of a member: whether it still belongs to its group, and which of its partitions are blocked.

use std::time::Instant;

use super::blocked::{Blocked, Cause};
use super::limits::{HEALTH_INTERVAL, MEMBERSHIP_LOST_AFTER, QUICK_AFTER_OUTAGE};
use super::stalled::{StallReport, Stalled};
use super::subscription::Subscription;

impl Subscription {
    /// Brings [`blocked`](Self::blocked) up to date, and restarts stalled partitions. Returns whether the
    /// group is known to have removed this member.
    pub(super) fn check_health(&mut self) -> bool {
        let now = Instant::now();
        if now < self.next_health_check {
            return false;
        }
        self.next_health_check = now + HEALTH_INTERVAL;
        // The question also wakes the client's main thread, which sends due heartbeats only when it is
        // awake: a member that has nothing to do would learn of a rebalance a second late, and all members
        // wait for the last one.
        let is_removed = !self.is_same_member();
        match self.context().membership_lost_since() {
            Some(since) if since.elapsed() >= MEMBERSHIP_LOST_AFTER => {
                self.report_all_blocked(Cause::NotAMember);
            }
            Some(_) => {}
            None => self
                .blocked
                .clear_if(None, |cause| matches!(cause, Cause::NotAMember)),
        }
        for (partition, offset) in self.blocked.offsets() {
            let next = self.positions.next_offset(partition);
            if next.is_some_and(|next| next > offset) {
                self.mark_healthy(partition);
            }
        }
        let after_outage = self.context().connection_lost_within(QUICK_AFTER_OUTAGE);
        let (client, positions) = (self.queue.client(), &self.positions);
        let report = self
            .stalls
            .check(client, &self.topic, after_outage, || positions.of_fetched());
        if let Some(report) = report {
            self.report_stalls(report);
        }
        is_removed
    }

    fn report_stalls(&mut self, report: StallReport) {
        match report.ends_unknown {
            Some(why) => self.report_all_blocked(Cause::EndUnknown { why }),
            None => self.clear_unknown_ends(),
        }
        let positions = self.positions.of_fetched();
        if let Some(ends) = &report.ends {
            self.lag.compare(ends, &positions);
        }
        for Stalled {
            partition,
            end,
            restart,
        } in report.stalled
        {
            if self.blocked.get(partition).is_none() {
                self.blocked.report(Blocked {
                    topic: self.topic.clone(),
                    partition: Some(partition),
                    offset: positions.get(&partition).copied(),
                    cause: Cause::NoProgress { end },
                });
            }
            if restart {
                self.restart(partition);
            }
        }
    }

    pub(super) fn clear_unknown_ends(&mut self) {
        self.blocked
            .clear_if(None, |cause| matches!(cause, Cause::EndUnknown { .. }));
    }

    fn report_all_blocked(&mut self, cause: Cause) {
        self.blocked.report(Blocked {
            topic: self.topic.clone(),
            partition: None,
            offset: None,
            cause,
        });
    }
}
