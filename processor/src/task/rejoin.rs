//! Replaces a consumer that cannot go on, and ends a process whose name another process has.

use std::time::Duration;

use runtime::assignment::Assignment;
use runtime::clock::Clock;
use runtime::kafka::{GroupConsumer as _, Membership};
use runtime::lifecycle::Failure;
use runtime::metrics::{Count, PROCESSOR_FENCED};
use runtime::registry::SchemaSource;
use schemas::OrderStatusPlan;

use super::failures::TaskFailures;
use super::{State, Task};
use crate::limits::{NAME_LOOKUP, NAME_LOOKUP_MARGIN};
use crate::ports::{Log, Observer};

impl<L, S, C, O> Task<L, S, C, O>
where
    L: Log,
    S: SchemaSource<Plan = OrderStatusPlan>,
    C: Clock,
    O: Observer,
{
    /// Replaces the consumer: another member has its name, or librdkafka gave up.
    ///
    /// Of two processes with one name, one must end and the other must go on. The coordinator handles
    /// joins one at a time, so only one of the two is the last to be replaced, and the other keeps its
    /// membership from then on. Fences of producers have no such order and would end both.
    pub(super) fn rejoin(&mut self, why: &str) -> Result<State, Failure> {
        tracing::warn!(why, "the consumer cannot go on; joining the group again");
        self.forget_batches();
        self.assignment = Assignment::default();
        self.deferred.clear();
        // The partitions may belong to another member by now.
        self.failures = TaskFailures::new();
        self.report_blocked(&format!("joining the group again: {why}"));
        if self.ports.log.is_fenced() {
            let flow = self.ports.observer.flow();
            flow.count(Count::one(PROCESSOR_FENCED));
            let now = self.now();
            if self.fences.note(now) {
                return Ok(self.begin_to_look_for_another());
            }
        }
        self.join()
    }

    fn join(&mut self) -> Result<State, Failure> {
        self.ports.log.consumer().reopen()?;
        Ok(State::WaitingToOpen {
            until: self.back_off(),
        })
    }

    /// Returns a state that lasts until the group has removed a member that sends no heartbeat.
    fn begin_to_look_for_another(&self) -> State {
        State::LookingForAnother {
            until: self.now() + self.ports.log.session_timeout() + NAME_LOOKUP_MARGIN,
        }
    }

    /// Finds out whether another process has this task's name, or whether the task was fenced by joins
    /// of its own: the client repeats a join that a coordinator did not answer for a while, and the
    /// coordinator then answers both.
    ///
    /// This task is not a member meanwhile. If a member of its name stays for longer than a session
    /// timeout, another process sends its heartbeats, and this process ends. A member that disappears
    /// was this task's own earlier one, and a coordinator that does not answer is an outage: neither
    /// shows another process.
    pub(super) fn look_for_another(&mut self, until: Duration) -> Result<State, Failure> {
        match self.ports.log.look_for_our_name(NAME_LOOKUP) {
            Membership::Present if self.now() >= until => Err(self.another_has_our_name()),
            Membership::Present => Ok(State::LookingForAnother { until }),
            // No session timeout runs during a rebalance.
            Membership::Rebalancing => Ok(self.begin_to_look_for_another()),
            Membership::Absent | Membership::Unknown => {
                tracing::info!("no other process has this task's name; joining the group again");
                self.fences.forget();
                self.join()
            }
        }
    }

    fn another_has_our_name(&self) -> Failure {
        Failure::failed(format!(
            "another process keeps taking over \"{}\"; each instance needs a PROCESSOR_INSTANCE_ID \
             of its own (the default is the host's name)",
            self.transactional_id
        ))
    }
}
