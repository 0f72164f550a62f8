//! Planted bugs: each stands in an adapter of the model and does what a wrong product would do.

/// A bug that the simulator must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mutation {
    /// Offsets are committed before the vouchers are written.
    OffsetsBeforeVouchers,
    /// The offsets are not in the vouchers' transaction, but come after it.
    OffsetsOutsideTransaction,
    /// After an abort the consumer is not rewound.
    NoRewind,
    /// Offsets are sent without the member's generation.
    NoGeneration,
    /// A new transactional id at each start: a predecessor is not fenced.
    NewTransactionalId,
    /// After a call that was interrupted the producer is kept, and with it its epoch.
    ProducerKept,
    /// Taking over a transactional id does not fence.
    NoFencing,
    /// Offsets that anybody's transaction holds back are a reason to abort what hangs of one's own.
    HangingOfAnybody,
    /// An abort that commits.
    AbortCommits,
    /// A commit without an answer is taken for done.
    UnknownIsCommitted,
    /// A transaction that could not be finished beside the loop is taken for committed.
    UnfinishedIsCommitted,
    /// A dead letter is dropped.
    DeadLetterDropped,
    /// While the loop waits, a record is taken and not put back.
    WaitingLosesRecord,
    /// What a rebalance takes away is not forgotten.
    RevocationUntold,
    /// Vouchers are read before their transaction is committed.
    ReadUncommitted,
    /// The sink's offsets are committed before its rows.
    OffsetsBeforeRows,
    /// With a batch's offsets those of what the sink has read since are committed.
    ReadsAheadCommits,
    /// A statement that met a conflict is taken for done.
    ConflictSwallowed,
    /// The last record of a voucher wins, not the first.
    LastRecordWins,
    /// The sink's letters count as acknowledged when they are sent.
    LetterUnacknowledged,
    /// A partition whose offset is out of range is read from its beginning.
    OutOfRangeResets,
    /// Committed offsets are one too far.
    OffByOne,
    /// A relay publishes without having the lock.
    RelayWithoutLock,
    /// A relay is content with the lock of a standby, which the primary knows nothing of.
    LockOfAStandby,
    /// A relay's rows are deleted when they are read, not when they are published.
    RelayDeletesFirst,
    /// A relay's low-water mark passes ids that open transactions have taken.
    RelayMarkIgnoresWriters,
}
