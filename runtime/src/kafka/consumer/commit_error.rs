//! Why offsets were not committed, and what to do then.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Why offsets were not committed. Nothing is lost: the records are processed again.
#[derive(Debug, Clone)]
pub enum CommitError {
    /// The group has rebalanced: the partitions may belong to another member, which a poll shows.
    NotOwner(KafkaError),
    /// The client cannot go on, or nobody knows whether they were committed: the records are read again.
    ReadAgain(KafkaError),
    /// The broker did not answer, or refused the commit for another reason, such as missing rights. A later
    /// commit includes these offsets.
    Unavailable(KafkaError),
}

impl CommitError {
    /// Returns what to do after a commit that failed with this error. One that [`is_unanswered`] is tried
    /// again, which is right only while no other client commits offsets of this group.
    pub(super) fn of(error: KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::RebalanceInProgress,
            ) => Self::NotOwner(error),
            // The next poll returns it. A loop that waits for its commit would never poll.
            Some(RDKafkaErrorCode::FencedInstanceId | RDKafkaErrorCode::Fatal) => {
                Self::ReadAgain(error)
            }
            _ => Self::Unavailable(error),
        }
    }
}

/// Returns whether the broker may still have the commit, and apply it later: also when the connection was
/// lost after it was sent.
pub(super) fn is_unanswered(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::BrokerTransportFailure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_to_do_with_the_records() {
        for (code, expected, unanswered) in [
            (RDKafkaErrorCode::IllegalGeneration, "not owner", false),
            (RDKafkaErrorCode::UnknownMemberId, "not owner", false),
            (RDKafkaErrorCode::RebalanceInProgress, "not owner", false),
            (RDKafkaErrorCode::FencedInstanceId, "read again", false),
            (RDKafkaErrorCode::Fatal, "read again", false),
            (RDKafkaErrorCode::OperationTimedOut, "unavailable", true),
            (
                RDKafkaErrorCode::BrokerTransportFailure,
                "unavailable",
                true,
            ),
            (RDKafkaErrorCode::NotCoordinator, "unavailable", false),
            (
                RDKafkaErrorCode::GroupAuthorizationFailed,
                "unavailable",
                false,
            ),
        ] {
            let error = KafkaError::ConsumerCommit(code);
            assert_eq!(is_unanswered(&error), unanswered, "{code}");
            let meaning = match CommitError::of(error) {
                CommitError::NotOwner(_) => "not owner",
                CommitError::ReadAgain(_) => "read again",
                CommitError::Unavailable(_) => "unavailable",
            };
            assert_eq!(meaning, expected, "{code}");
        }
    }

    #[test]
    fn an_error_of_the_client_itself_is_tried_again() {
        let error = KafkaError::Canceled;
        assert!(!is_unanswered(&error));
        assert!(matches!(
            CommitError::of(error),
            CommitError::Unavailable(_)
        ));
    }
}
