//! Planted bugs: each is in an adapter of the model and does what a wrong product would do.

/// A bug that the simulator must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mutation {
    /// Offsets are committed before the vouchers are written.
    OffsetsBeforeVouchers,
    /// The offsets are not in the vouchers' transaction, but come after it.
    OffsetsOutsideTransaction,
    /// A rewind leaves the consumer where it was, so what was forgotten is skipped.
    NoRewind,
    /// Offsets are sent without the member's generation.
    NoGeneration,
    /// A new transactional id at each start: a predecessor is not fenced.
    NewTransactionalId,
    /// After an interrupted call the producer is kept with its epoch, instead of replaced.
    ProducerKept,
    /// After an interrupted call that added offsets the producer is kept with its epoch.
    LateOffsetsKeepProducer,
    /// A commit that is refused because of a newer epoch counts as done.
    FencedIsCommitted,
    /// After a commit of offsets without an answer the same member goes on, beside transactions.
    LateCommitKeepsMember,
    /// Taking over a transactional id does not fence.
    NoFencing,
    /// A task aborts its own hanging transactions when any owner's transaction holds offsets back.
    HangingOfAnybody,
    /// An abort commits.
    AbortCommits,
    /// A commit without an answer counts as done.
    UnknownIsCommitted,
    /// A full batch's transaction that could not be finished counts as committed.
    UnfinishedIsCommitted,
    /// A dead letter is dropped.
    DeadLetterDropped,
    /// While the loop waits, a record is read and lost.
    WaitingLosesRecord,
    /// The loop does not learn which partitions are revoked.
    RevocationUntold,
    /// Vouchers are read before their transaction is committed.
    ReadUncommitted,
    /// The sink's offsets are committed before its rows.
    OffsetsBeforeRows,
    /// The offsets of the prefetched records are committed together with those of the batch.
    ReadsAheadCommits,
    /// A statement that met a conflict counts as done.
    ConflictSwallowed,
    /// The last record of a voucher wins, not the first.
    LastRecordWins,
    /// The sink's dead letters count as acknowledged when they are sent.
    DeadLetterUnacknowledged,
    /// A partition whose offset is out of range is read from its beginning.
    OutOfRangeResets,
    /// Committed offsets are one too high.
    OffByOne,
    /// A relay publishes without the lock.
    RelayWithoutLock,
    /// A relay is content with the lock of a standby, which the primary does not know of.
    LockOfAStandby,
    /// A relay's rows are deleted when they are read, not when they are published.
    RelayDeletesFirst,
    /// A relay's low-water mark passes ids that open transactions have taken.
    RelayMarkIgnoresWriters,
}
