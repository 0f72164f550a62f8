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
//! 1. **A snapshot has no gaps below.** A row is inserted while its transaction holds the order's
//!    row, so version n+1 gets its id, and is committed, only after version n was committed: a
//!    snapshot that sees a version sees every earlier one of that order that isn't deleted. (The
//!    identity column must keep its `CACHE 1`.) Between orders ids say nothing: a row may turn up
//!    late, below others that were published long ago. If version 1 of an order turned up late and
//!    was not read, version 2, whose id is higher, would be published before it. A read must
//!    therefore not begin after the last id that was read. It begins at the low-water mark, which
//!    passes an id only when no row at or below it is there any more or can ever turn up: every
//!    transaction that may have taken such an id was seen to have ended before the read that found
//!    none (`low_water`). A late row is therefore read as soon as it is committed, like any other.
//!    The exception are rows whose ids were not taken in order: inserted with a chosen id,
//!    or after the sequence was set back. A full read finds them, which comes every 60 s
//!    (where it takes more than 0.3 s, after 200 times what the last one took), and the log names
//!    them.
//! 2. **Deleting is closed below too.** A batch is deleted whole, in one transaction, and only by
//!    the relay that saw its own transaction of that batch committed. So it does not matter when
//!    that happens, nor whether that relay still has the lock by then.
//! 3. **Batches of different relays don't mix.** A relay publishes only under epochs of the two
//!    transactional ids (they take turns) that it got *after* it had the lock, and after the lock's
//!    own session answered once more *since* (Confirming, or a read). Whoever has the lock later
//!    has later epochs of both, and the broker refuses the earlier ones for good; whoever had it
//!    before is fenced before the first read. Without that second answer a relay that slept between
//!    its lock and its init would wake up with the newest epochs and an old batch.
//! 4. **A batch whose outcome isn't known is published again whole**, from memory, so that it ends
//!    with the same versions as before.
//! 5. **Rows that another relay may have published are published again order by order.** That relay
//!    may have died between its commit and its delete, and a row that turned up late shifts what the
//!    first n rows are: the same order's versions 1 and 2, published together before, could now
//!    fall on both sides of the end of a batch, and version 1 alone would be the newest record. So
//!    after the lock is taken the first read must either be of all rows there are, or else all rows
//!    of one snapshot are published in batches that never part the rows of an order. After that
//!    no relay has published any row that is read, and batches go by id.
//! 6. **After an interrupted call the producer is replaced** before its next transaction:
//!    librdkafka's protocol versions have one epoch for many transactions, so a commit that is
//!    still in the network could hit the next one and end it half written.
//!
//! Deletes are not waited for on disk (`synchronous_commit` off): a crash of Postgres may bring
//! back rows, latest deletes first, and ends every session with it; so they are rows of point 5. The
//! low-water mark is forgotten with the session too.
//!
//! # What it waits for
//!
//! The relay waits without end, and without losing anything, for Postgres, the broker, the registry
//! and the topic. The ingress accepts orders meanwhile. A batch that the broker refuses for its data,
//! or a row that the schema cannot hold, would block all later rows. The ingress's bounds (an id of 128
//! bytes, a total of two decimals below 10^15) make both impossible. If one comes all the same, the log
//! has an error with the rows' ids at every attempt, the health part says so, and the backlog grows
//! until a person fixes it. Leaving the row out would be worse: its order's status would be lost
//! without a trace.

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
