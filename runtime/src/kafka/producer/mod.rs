//! Producers whose calls return in time, and the transactions that they write.
//!
//! ```text
//! alternating_producers    Producers: several transactional ids that take turns
//!  ├─ bounded_producer     Producer: one client whose calls return in time
//!  │   ├─ client           librdkafka's producer; local calls run on the caller's thread
//!  │   └─ call_thread      makes the calls that can block (`call`), and abandons those that do not
//!  │                       return in time (`adaptive_timeout`)
//!  └─ hanging_transactions aborts what the ids left open, after a takeover
//! ```
//!
//! | module | subject |
//! |---|---|
//! | `transaction` | records, offsets, and errors that say what to do next |
//! | `partitioner` | the partition of a key |
//! | `limits` | all timeouts and bounds, with their reasons |

mod adaptive_timeout;
mod alternating_producers;
mod bounded_producer;
mod call;
mod call_thread;
mod client;
mod hanging_transactions;
mod limits;
mod partitioner;
mod transaction;

pub use alternating_producers::Producers;
pub use bounded_producer::Producer;
pub use hanging_transactions::TransactionScope;
pub use partitioner::partition_of;
pub use transaction::{GroupOffsets, Outgoing, Refused, Stage, TransactionError, Unfinished};
