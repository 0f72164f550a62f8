//! Why an assigned partition does not flow, in words for the log and for `/readyz`.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::error::RDKafkaErrorCode;

use crate::record::{Offset, Partition};

/// Something that keeps records of an assigned partition from coming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The topic.
    pub topic: String,
    /// The partition; `None` when it concerns all that this member has.
    pub partition: Option<Partition>,
    /// The offset at which it stands, where that is known.
    pub offset: Option<Offset>,
    /// Why.
    pub cause: Cause,
}

/// Why records don't come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// This member fell out of its group and has not joined it again.
    NotAMember,
    /// The coordinator has not told the group's offset.
    OffsetUnknown {
        /// The last error, if there was any.
        why: Option<String>,
    },
    /// The log does not hold the group's offset.
    OutOfRange {
        /// The first offset that the log holds and the one behind its last, once known.
        held: Option<(Offset, Offset)>,
    },
    /// The batch at this offset can't be read.
    Unreadable {
        /// The client's words.
        why: String,
    },
    /// The broker does not let this user read.
    Refused {
        /// The broker's words.
        why: String,
    },
    /// The broker or the client failed to fetch for another reason.
    FetchFailed {
        /// Its words.
        why: String,
    },
    /// Nothing comes although the log goes on.
    NoProgress {
        /// The offset behind the last committed record.
        end: Offset,
    },
    /// Whether the log goes on can't be found out.
    EndUnknown {
        /// The error.
        why: String,
    },
}

impl Cause {
    /// What an error that the client told for one partition means.
    pub(super) fn of(code: RDKafkaErrorCode, why: &str) -> Self {
        let why = if why.is_empty() {
            code.to_string()
        } else {
            why.to_owned()
        };
        match code {
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                Self::OutOfRange { held: None }
            }
            RDKafkaErrorCode::BadCompression
            | RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::NotImplemented
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::CriticalSystemResource => Self::Unreadable { why },
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed => Self::Refused { why },
            _ => Self::FetchFailed { why },
        }
    }

    /// Whether it may pass without a person.
    pub(super) const fn may_pass(&self) -> bool {
        !matches!(self, Self::OutOfRange { .. })
    }

    /// One word for a metric's label.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NotAMember => "not_a_member",
            Self::OffsetUnknown { .. } => "offset_unknown",
            Self::OutOfRange { .. } => "out_of_range",
            Self::Unreadable { .. } => "unreadable",
            Self::Refused { .. } => "refused",
            Self::FetchFailed { .. } => "fetch_failed",
            Self::NoProgress { .. } => "no_progress",
            Self::EndUnknown { .. } => "end_unknown",
        }
    }
}

impl fmt::Display for Blocked {
    /// The sentence: which partition, at which offset, why, and what a person can do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partition {
            Some(partition) => write!(f, "partition {partition} of {}", self.topic)?,
            None => f.write_str(&self.topic)?,
        }
        if let (Some(offset), false) = (self.offset, matches!(self.cause, Cause::OutOfRange { .. }))
        {
            write!(f, " stands at offset {offset}")?;
        } else {
            f.write_str(" is not read")?;
        }
        match &self.cause {
            Cause::NotAMember => {
                f.write_str(": this member fell out of its group and is joining it again")
            }
            Cause::OffsetUnknown { why } => {
                f.write_str(": the group's coordinator has not told its offset (an open transaction may hold it back)")?;
                why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Cause::OutOfRange { held } => {
                f.write_str(": the group's offset")?;
                if let Some(offset) = self.offset {
                    write!(f, " {offset}")?;
                }
                f.write_str(" is not in its log")?;
                if let Some((first, end)) = held {
                    write!(f, ", which holds the offsets from {first} to before {end}")?;
                }
                f.write_str(
                    "; records were lost or deleted, and where to go on is a person's decision: \
                     see \"A group's offset is out of range\" in docs/operations.md",
                )
            }
            Cause::Unreadable { why } => write!(
                f,
                ": the batch there can't be read: {why}; raise receive.message.max.bytes or step \
                 over it: see \"A batch can't be read\" in docs/operations.md"
            ),
            Cause::Refused { why } => {
                write!(
                    f,
                    ": the broker refuses it: {why}; grant this user Read and Describe"
                )
            }
            Cause::FetchFailed { why } => write!(f, ": {why}"),
            Cause::NoProgress { end } => write!(
                f,
                ": nothing comes although its log goes on to offset {end}; see whether its leader \
                 and its replicas are healthy"
            ),
            Cause::EndUnknown { why } => {
                write!(
                    f,
                    ": its brokers don't tell whether there is more to read: {why}"
                )
            }
        }
    }
}

/// What is blocked now. Each is logged when it begins and when it ends.
#[derive(Default)]
pub(super) struct BlockedPartitions {
    now: BTreeMap<Option<Partition>, Blocked>,
}

impl BlockedPartitions {
    pub(super) fn is_empty(&self) -> bool {
        self.now.is_empty()
    }

    pub(super) fn all(&self) -> Vec<Blocked> {
        self.now.values().cloned().collect()
    }

    pub(super) fn get(&self, partition: Partition) -> Option<&Blocked> {
        self.now.get(&Some(partition))
    }

    /// The partitions that are blocked, and the offset beyond which they are not.
    pub(super) fn standing(&self) -> Vec<(Partition, Offset)> {
        self.now
            .values()
            // Without an offset nothing of the partition was read.
            .filter_map(|blocked| Some((blocked.partition?, blocked.offset.unwrap_or(-1))))
            .collect()
    }

    /// Takes note of it; says so in the log unless it was blocked for the same kind of reason.
    pub(super) fn begin(&mut self, blocked: Blocked) {
        let before = self.now.get(&blocked.partition);
        let is_known = before.is_some_and(|before| {
            before.cause.as_str() == blocked.cause.as_str() && before.offset == blocked.offset
        });
        if !is_known {
            tracing::error!(
                topic = blocked.topic,
                partition = blocked.partition,
                offset = blocked.offset,
                reason = blocked.cause.as_str(),
                "{blocked}"
            );
        }
        self.now.insert(blocked.partition, blocked);
    }

    /// It flows again, or is no longer ours.
    pub(super) fn end(&mut self, partition: Option<Partition>) {
        if let Some(blocked) = self.now.remove(&partition) {
            tracing::info!(
                topic = blocked.topic,
                partition,
                reason = blocked.cause.as_str(),
                "no longer blocked"
            );
        }
    }

    /// Ends it if this is the reason.
    pub(super) fn end_if(&mut self, partition: Option<Partition>, reason: &str) {
        let is_it = |blocked: &Blocked| blocked.cause.as_str() == reason;
        if self.now.get(&partition).is_some_and(is_it) {
            self.end(partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_17(cause: Cause) -> Blocked {
        Blocked {
            topic: "order-status".to_owned(),
            partition: Some(3),
            offset: Some(17),
            cause,
        }
    }

    #[test]
    fn a_sentence_names_topic_partition_offset_and_what_to_do() {
        let unreadable = Cause::of(RDKafkaErrorCode::BadCompression, "decompression failed");
        let sentence = at_17(unreadable).to_string();
        for part in [
            "partition 3 of order-status stands at offset 17",
            "decompression failed",
            "receive.message.max.bytes",
            "docs/operations.md",
        ] {
            assert!(sentence.contains(part), "{sentence}");
        }
        let out_of_range = at_17(Cause::OutOfRange {
            held: Some((0, 12)),
        });
        let sentence = out_of_range.to_string();
        for part in ["offset 17 is not in its log", "from 0 to before 12"] {
            assert!(sentence.contains(part), "{sentence}");
        }
    }

    #[test]
    fn only_an_offset_that_is_not_there_waits_for_a_person() {
        assert!(!Cause::of(RDKafkaErrorCode::AutoOffsetReset, "").may_pass());
        for code in [
            RDKafkaErrorCode::TopicAuthorizationFailed,
            RDKafkaErrorCode::BadMessage,
            RDKafkaErrorCode::UnknownPartition,
        ] {
            assert!(Cause::of(code, "").may_pass(), "{code}");
        }
    }

    #[test]
    fn an_error_without_words_has_those_of_its_code() {
        let Cause::FetchFailed { why } = Cause::of(RDKafkaErrorCode::UnknownPartition, "") else {
            panic!("a failed fetch");
        };
        assert!(!why.is_empty());
    }
}
