//! Why an assigned partition is blocked, as sentences for the log and for `/readyz`.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::error::RDKafkaErrorCode;

use crate::record::{Offset, Partition};

/// A blocked partition, or all partitions of this member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The topic.
    pub topic: String,
    /// The partition; `None` when it concerns all partitions of this member.
    pub partition: Option<Partition>,
    /// The offset that is read next, where that is known.
    pub offset: Option<Offset>,
    /// Why.
    pub cause: Cause,
}

/// Why no records arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// This member lost its membership and has not joined its group again.
    NotAMember,
    /// The coordinator has not returned the group's committed offset.
    OffsetUnknown {
        /// The last error, if there was any.
        why: Option<String>,
    },
    /// The log does not hold the group's offset.
    OutOfRange {
        /// The first offset that the log holds and the one past its last, once known.
        held: Option<(Offset, Offset)>,
    },
    /// The batch at this offset cannot be read.
    Unreadable {
        /// The client's message.
        why: String,
    },
    /// The broker does not let this user read.
    Refused {
        /// The broker's message.
        why: String,
    },
    /// The broker or the client failed to fetch for another reason.
    FetchFailed {
        /// Its message.
        why: String,
    },
    /// The position does not move although the log goes on.
    NoProgress {
        /// The offset past the last committed record.
        end: Offset,
    },
    /// The brokers do not say whether the log goes on.
    EndUnknown {
        /// The error.
        why: String,
    },
}

impl Cause {
    /// The names of all causes.
    pub const NAMES: &'static [&'static str] = &[
        "offset_unknown",
        "out_of_range",
        "unreadable",
        "refused",
        "fetch_failed",
        "no_progress",
        "end_unknown",
        "not_a_member",
    ];

    /// Returns the cause that an error stands for which the client reported for one partition.
    pub(crate) fn of(code: RDKafkaErrorCode, why: &str) -> Self {
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

    /// Returns whether the cause may disappear without a person.
    pub(super) const fn may_pass(&self) -> bool {
        !matches!(self, Self::OutOfRange { .. })
    }

    /// Returns the name that metrics use as a label, one of [`NAMES`](Self::NAMES).
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
    /// Writes which partition, at which offset, why, and what a person can do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partition {
            Some(partition) => write!(f, "partition {partition} of {}", self.topic)?,
            None => f.write_str(&self.topic)?,
        }
        if let (Some(offset), false) = (self.offset, matches!(self.cause, Cause::OutOfRange { .. }))
        {
            write!(f, " is blocked at offset {offset}")?;
        } else {
            f.write_str(" is not read")?;
        }
        match &self.cause {
            Cause::NotAMember => {
                f.write_str(": this consumer lost its group membership and is joining again")
            }
            Cause::OffsetUnknown { why } => {
                f.write_str(
                    ": the group's coordinator has not returned the committed offset (an open \
                     transaction may hold it back)",
                )?;
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
                     see \"A group's offset is out of range\" in docs/troubleshooting.md",
                )
            }
            Cause::Unreadable { why } => write!(
                f,
                ": the batch there cannot be read: {why}; raise receive.message.max.bytes or skip \
                 the batch: see \"A batch cannot be read\" in docs/troubleshooting.md"
            ),
            Cause::Refused { why } => write!(
                f,
                ": the broker refuses access: {why}; allow this user Read and Describe on the topic"
            ),
            Cause::FetchFailed { why } => write!(f, ": {why}"),
            Cause::NoProgress { end } => write!(
                f,
                ": no records come although its log goes on to offset {end}; its fetch is restarted \
                 from time to time; check that its leader and its replicas are healthy"
            ),
            Cause::EndUnknown { why } => write!(
                f,
                ": its brokers do not say whether there is more to read: {why}"
            ),
        }
    }
}

/// The partitions that are blocked now. Each is logged when it becomes blocked and when it no longer
/// is.
#[derive(Default)]
pub(super) struct BlockedPartitions {
    current: BTreeMap<Option<Partition>, Blocked>,
}

impl BlockedPartitions {
    pub(super) fn is_empty(&self) -> bool {
        self.current.is_empty()
    }

    pub(super) fn all(&self) -> Vec<Blocked> {
        self.current.values().cloned().collect()
    }

    pub(super) fn get(&self, partition: Partition) -> Option<&Blocked> {
        self.current.get(&Some(partition))
    }

    /// Returns the blocked partitions and the offset of each. A position past this offset means that the
    /// partition is healthy again.
    pub(super) fn offsets(&self) -> Vec<(Partition, Offset)> {
        self.current
            .values()
            // Without an offset nothing of the partition was read: any position is past it.
            .filter_map(|blocked| Some((blocked.partition?, blocked.offset.unwrap_or(-1))))
            .collect()
    }

    /// Sets why a partition is blocked. Logs it, unless it was blocked at the same offset for the
    /// same kind of cause.
    pub(super) fn report(&mut self, blocked: Blocked) {
        let before = self.current.get(&blocked.partition);
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
        self.current.insert(blocked.partition, blocked);
    }

    /// Removes a partition that is healthy again, or revoked.
    pub(super) fn clear(&mut self, partition: Option<Partition>) {
        if let Some(blocked) = self.current.remove(&partition) {
            tracing::info!(
                topic = blocked.topic,
                partition,
                reason = blocked.cause.as_str(),
                "no longer blocked"
            );
        }
    }

    /// Removes a partition if it is blocked for this cause.
    pub(super) fn clear_if(
        &mut self,
        partition: Option<Partition>,
        is_cause: impl Fn(&Cause) -> bool,
    ) {
        let blocked = self.current.get(&partition);
        if blocked.is_some_and(|blocked| is_cause(&blocked.cause)) {
            self.clear(partition);
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
            "partition 3 of order-status is blocked at offset 17",
            "decompression failed",
            "receive.message.max.bytes",
            "docs/troubleshooting.md",
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
    fn the_names_are_those_of_all_causes() {
        let why = String::new;
        let all = [
            Cause::OffsetUnknown { why: None },
            Cause::OutOfRange { held: None },
            Cause::Unreadable { why: why() },
            Cause::Refused { why: why() },
            Cause::FetchFailed { why: why() },
            Cause::NoProgress { end: 0 },
            Cause::EndUnknown { why: why() },
            Cause::NotAMember,
        ];
        let names: Vec<_> = all
            .iter()
            .map(|cause| match cause {
                // A new variant is missing here, and then in the list above.
                Cause::OffsetUnknown { .. }
                | Cause::OutOfRange { .. }
                | Cause::Unreadable { .. }
                | Cause::Refused { .. }
                | Cause::FetchFailed { .. }
                | Cause::NoProgress { .. }
                | Cause::EndUnknown { .. }
                | Cause::NotAMember => cause.as_str(),
            })
            .collect();
        assert_eq!(names, Cause::NAMES);
    }

    #[test]
    fn only_an_offset_that_is_out_of_range_waits_for_a_person() {
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
    fn an_error_without_a_message_has_that_of_its_code() {
        let Cause::FetchFailed { why } = Cause::of(RDKafkaErrorCode::UnknownPartition, "") else {
            panic!("a failed fetch");
        };
        assert!(!why.is_empty());
    }
}
