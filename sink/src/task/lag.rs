//! The age of the oldest record whose outcome is not durable.

use runtime::clock::Clock;
use runtime::kafka::GroupConsumer;
use runtime::registry::SchemaSource;
use schemas::VoucherPlan;

use super::Task;
use crate::ports::{DeadLetters, Observer, Table};

impl<K, T, D, S, C, O> Task<K, T, D, S, C, O>
where
    K: GroupConsumer,
    T: Table,
    D: DeadLetters,
    S: SchemaSource<Plan = VoucherPlan>,
    C: Clock,
    O: Observer,
{
    /// Reports the timestamp of the oldest record whose outcome is not durable, whether it was read or is
    /// still to be read.
    pub(super) fn report_lag(&mut self) {
        let unread = self.ports.source.unread_since();
        let since = [self.oldest_read(), unread].into_iter().flatten().min();
        self.ports.observer.flow().unsettled_since(since);
    }

    /// Returns the timestamp of the oldest record that was read and whose outcome is not durable.
    /// Records that were forgotten after a failure count too.
    pub(super) fn oldest_read(&self) -> Option<i64> {
        let held = self.held.as_ref().and_then(|held| held.timestamp_millis);
        let oldest = [
            self.batch.oldest(),
            self.next.oldest(),
            held,
            self.forgotten,
        ];
        oldest.into_iter().flatten().min()
    }
}
