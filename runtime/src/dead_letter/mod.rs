//! Dead letters: records that could not be used, kept until the cause is fixed.
//!
//! A dead letter carries its original byte for byte (key, value and headers) and adds the headers
//! below. It is identified by the original's topic, partition, offset and digest. The compacted
//! topic `<dlq>.state` beside it holds the outcome of each dead letter for each consumer group
//! ([`DeadLetterState`]). A dead letter without a final outcome is open.
//!
//! | module | contents |
//! |---|---|
//! | here | the names of the headers that a dead letter adds |
//! | `write` | the record of the dead letter topic that a service writes |
//! | `read` | a dead letter as it is read back, with its original |
//! | `id` | what identifies a dead letter |
//! | `extent` | how much of its original a dead letter carries: what is too large is omitted |
//! | `original` | reads the original of a dead letter that does not carry it |
//! | `state` | the outcome of one dead letter: the values of `<dlq>.state` |
//! | `states` | all of `<dlq>.state`, and for which group an outcome is final |
//! | `filter` | which dead letters a command is about |
//! | `counts` | dead letters by reason; repeats and those of other groups apart |
//! | `shown_bytes` | bytes as text or hex |
//! | `topic` | reads the dead letter topic and its `.state` topic |
//! | `state_writer` | writes states, and the records that belong to them, in one transaction |
//! | [`command`] | the commands `dead-letters` (`list`, `show`, `discard`) and `redrive` |

pub mod command;
mod counts;
mod extent;
mod filter;
mod id;
mod original;
mod read;
mod shown_bytes;
mod state;
mod state_writer;
mod states;
mod topic;
mod write;

pub use counts::{Count, Counts, Seen};
pub use extent::{Extent, Omitted, largest_of};
pub use filter::{DeadLetterFilter, OriginFilter};
pub use id::{DeadLetterId, InvalidDeadLetterId, Origin, RecordDigest};
pub use original::MissingOriginal;
pub use read::{DeadLetter, NotADeadLetter};
pub use shown_bytes::ShownBytes;
pub use state::{DeadLetterState, Outcome};
pub use state_writer::{OwnedOutgoing, StateWriter};
pub use states::{DeadLetterOwner, DeadLetterStates, StateKey};
pub use topic::DeadLetterTopic;
pub use write::{Cause, OutgoingDeadLetter};

/// The reason as an identifier, such as `invalid_total`.
pub const REASON: &str = "dlq.reason";
/// A sentence for a person, at most 1 KiB.
pub const MESSAGE: &str = "dlq.message";
/// The topic that the original was read from.
pub const TOPIC: &str = "dlq.topic";
/// The partition that the original was read from.
pub const PARTITION: &str = "dlq.partition";
/// The original's offset.
pub const OFFSET: &str = "dlq.offset";
/// The original's timestamp in milliseconds since the epoch; absent when it had none.
pub const TIMESTAMP: &str = "dlq.timestamp";
/// The service that could not use the record: `processor` or `sink`.
pub const SERVICE: &str = "dlq.service";
/// How often the record was tried, starting with 1.
pub const ATTEMPTS: &str = "dlq.attempts";
/// The consumer group that could not use the record and owns the dead letter. Absent in dead
/// letters of the first released version. The services add it to an [`OutgoingDeadLetter`].
pub const GROUP: &str = "dlq.group";

/// The parts of the original that the dead letter omits because they do not fit into its topic:
/// some of `key,value,headers`. Absent when nothing is omitted.
pub const OMITTED: &str = "dlq.omitted";
/// With [`OMITTED`]: the size of the original's value in bytes.
pub const ORIGINAL_BYTES: &str = "dlq.original.bytes";
/// With [`OMITTED`]: SHA-256 of the original's value in hex.
pub const ORIGINAL_SHA256: &str = "dlq.original.sha256";
