//! The outbox relay: publishes the outbox's rows to the order status topic, and deletes a row only
//! after the transaction that published it is committed.
//!
//! [`task`] is the loop, an explicit state machine over narrow [`ports`], on a thread of its own.
//! This page says why its result is right.
//!
//! # Why the topic never goes back
//!
//! The relay promises: after every committed transaction the last record of an order is the highest
//! version that was ever published of it, and versions appear first in their order. Records may be
//! repeated.
//!
//! 1. **A snapshot has no gaps below.** A row is inserted while its transaction holds the order's row,
//!    so version n+1 gets its id, and is committed, only after version n was committed: a snapshot that
//!    sees a version sees every earlier one of that order that isn't deleted. (The identity column must
//!    keep its `CACHE 1`.) Between orders ids say nothing: a row may turn up late, below others that
//!    were published long ago. If version 1 of an order turned up late and was not read, version 2,
//!    whose id is higher, would be published before it. A read must therefore not begin after the last
//!    id that was read. It begins at the low-water mark, which passes an id only when no row at or
//!    below it is there any more or can ever turn up: every transaction that may have taken such an id
//!    was seen to have ended before the read that found none (`low_water`). A late row is therefore
//!    read as soon as it is committed, like any other. The exceptions are rows whose ids were not taken
//!    in order: inserted with a chosen id, or after the sequence was set back. A full read finds them,
//!    and the log names them. Full reads happen every 60 s or, if one takes more than 0.3 s, after 200
//!    times its duration.
//! 2. **A batch is deleted whole.** It is deleted in one transaction, and only by the relay that saw
//!    its own transaction of that batch committed. So it does not matter when the delete happens, nor
//!    whether that relay still has the lock by then.
//! 3. **Batches of different relays don't mix.** A relay publishes only under epochs of the two
//!    transactional ids (used in turn) that it obtained *after* it took the lock, and only once the
//!    lock's session has answered again *after that* (Confirming, or a read). A relay that takes the
//!    lock later has later epochs of both ids, and the broker refuses the earlier epochs for good; a
//!    relay that held the lock before is fenced before the first read. Without the second answer, a
//!    relay that was paused between its lock and its init would wake up with the newest epochs and an
//!    old batch.
//! 4. **A batch whose outcome isn't known is published again whole**, from memory, so that it ends
//!    with the same versions as before.
//! 5. **Rows that another relay may have published are published again order by order.** That relay may
//!    have died between its commit and its delete, and a row that turned up late shifts what the first
//!    n rows are: the same order's versions 1 and 2, published together before, could now fall on both
//!    sides of the end of a batch, and version 1 alone would be the newest record. So after the lock is
//!    taken the first read must either be of all rows there are, or else all rows of one snapshot are
//!    published in batches that never split the rows of an order. After that no relay has published any
//!    row that is read, and rows are published in the order of their ids.
//! 6. **After an interrupted call the producer is replaced** before its next transaction: in the
//!    protocol versions that librdkafka uses, many transactions share one epoch, so a commit that is
//!    still in the network could reach the next transaction and end it half written.
//!
//! Deletes are committed with `synchronous_commit` off: a crash of Postgres may bring deleted rows
//! back, the latest deletes first. The crash also ends every session, so point 5 covers these rows, and
//! the low-water mark is discarded together with the session.
//!
//! # What it waits for
//!
//! The relay waits without end, and without losing anything, for Postgres, the broker, the registry and
//! the topic. The ingress accepts orders meanwhile. A batch that the broker refuses for its data, or a
//! row that the schema cannot hold, would block all later rows. The ingress's bounds (an id of 128
//! bytes, a total of two decimals below 10^15) make both impossible. If one occurs all the same, every
//! attempt logs an error with the rows' ids, the health part reports it, and the backlog grows until a
//! person fixes it. Skipping the row would be worse: its order's status would be lost without a trace.

mod limits;
mod low_water;
mod observer;
mod outbox_name;
mod outbox_postgres;
pub mod ports;
mod row;
mod service;
mod shared_low_water;
pub mod task;
mod timer;
mod topic_kafka;

pub use limits::ReadLimits;
pub use outbox_name::{InvalidOutboxName, OutboxName};
pub use row::{Row, Unwritable};
pub use service::{CHANNEL, RelaySettings, spawn};
pub use shared_low_water::SharedLowWater;
