//! The age of the oldest record whose outcome is not durable.

use runtime::clock::Clock;
use runtime::kafka::GroupConsumer as _;
use runtime::registry::SchemaSource;
use schemas::OrderStatusPlan;

use super::Task;
use crate::ports::{Log, Observer};

impl<L, S, C, O> Task<L, S, C, O>
where
    L: Log,
    S: SchemaSource<Plan = OrderStatusPlan>,
    C: Clock,
    O: Observer,
{
    /// Reports the timestamp of the oldest record whose outcome is not durable, whether it was read or is
    /// still to be read.
    pub(super) fn report_lag(&mut self) {
        let unread = self.ports.log.consumer().unread_since();
        let since = [self.oldest_read(), unread].into_iter().flatten().min();
        self.ports.observer.flow().unsettled_since(since);
    }

    /// Returns the timestamp of the oldest record that was read and whose outcome is not durable.
    /// Records that were forgotten after a failure count too.
    pub(super) fn oldest_read(&self) -> Option<i64> {
        let held = self.held.as_ref().and_then(|held| held.timestamp_millis);
        let oldest = [
            self.batch.oldest(),
            self.next.batch.oldest(),
            held,
            self.forgotten,
        ];
        oldest.into_iter().flatten().min()
    }
}
