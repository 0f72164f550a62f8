//! A member of a consumer group that reads one topic.
//!
//! The loops read through a [`GroupConsumer`], which [`Subscription`] implements. The subscription calls
//! everything else, on the caller's thread:
//!
//! ```text
//! Subscription::poll
//!  ├─ serves events, when there is no record and at least every 500 records
//!  │   ├─ health            what is blocked, and whether the group has removed this member
//!  │   │   ├─ member              the id under which the partitions were assigned
//!  │   │   └─ stalled             compares positions with the ends of the logs
//!  │   ├─ rebalance         callbacks of the client: partitions are assigned and revoked
//!  │   ├─ start_offsets     begins to fetch the assigned partitions whose offsets are known
//!  │   │   ├─ committed_offsets   asks the group coordinator, without blocking
//!  │   │   └─ unsettled_offsets   distrusts its answer shortly after an outage
//!  │   └─ halted            takes a partition from the client, and fetches it again
//!  └─ takes the next record
//!      ├─ fetch_queue       librdkafka's queue of records
//!      └─ read_positions    the next offset of each partition
//! Subscription::rewind          back to the committed offsets, when a batch is not written again
//! Subscription::commit_offsets  the offsets of settled records, or why not (`commit_error`)
//! Subscription::blocked         what the others found, as sentences (`blocked`)
//! Subscription::unread_since    how far the subscription is behind in time (`lag`)
//! ```
//!
//! An *assigned* partition belongs to this member. It is *fetched* once the client was given a start
//! offset for it; until then, and while it is *halted*, it is *pending*. A partition
//! that brings no records although it has some is *blocked*, and reported.
//!
//! No call holds a loop for an unbounded time: what can block runs on a thread of its own, or has a
//! timeout. `limits` has all timeouts and bounds.

mod blocked;
mod commit_error;
mod committed_offsets;
mod fetch_queue;
mod first_record;
mod group_consumer;
mod halted;
mod health;
mod lag;
mod limits;
mod member;
mod read_positions;
mod rebalance;
mod rewind;
mod stalled;
mod start_offsets;
mod subscription;
mod unsettled_offsets;

pub use blocked::{Blocked, Cause};
pub use commit_error::CommitError;
pub use fetch_queue::FetchedRecord;
pub(super) use fetch_queue::{FetchError, FetchQueue, Fetched};
pub use first_record::{FirstRecord, first_records};
pub use group_consumer::GroupConsumer;
pub use rebalance::AssignmentChange;
pub use subscription::{Polled, Subscription};
