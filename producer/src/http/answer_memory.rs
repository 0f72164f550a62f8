//! Bounds the memory of answers that clients have not read yet.
//!
//! An answer is in memory until its last byte is handed to the kernel, so a client that reads slowly
//! keeps it there. Answers that may be large although their requests are small count against one bound
//! for all requests.

use std::sync::Arc;

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use crate::ingress::NotDone;
use crate::limits::ANSWER_MEMORY_TIMEOUT;

/// The memory that the answers of all requests share. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct AnswerMemory(Arc<Semaphore>);

/// A share of the memory, reserved until the answer's bytes are sent.
#[derive(Debug)]
pub(super) struct Reserved(OwnedSemaphorePermit);

/// Bytes that count against the shared memory for as long as they exist.
struct Counted {
    bytes: Vec<u8>,
    _share: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AnswerMemory {
    /// Returns a shared memory of this many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// Reserves the share of an answer that has at most about this many bytes.
    ///
    /// # Errors
    /// 503 if other answers occupy the memory for too long.
    pub(super) async fn reserve(&self, bytes: usize) -> Result<Reserved, Problem> {
        let share = u32::try_from(bytes).map_err(|_| Problem::Internal)?;
        let share = Arc::clone(&self.0).acquire_many_owned(share);
        match tokio::time::timeout(ANSWER_MEMORY_TIMEOUT, share).await {
            Ok(Ok(share)) => Ok(Reserved(share)),
            Ok(Err(_)) => Err(Problem::Internal),
            Err(_) => Err(NotDone::Overloaded.into()),
        }
    }
}

impl Reserved {
    /// Returns `bytes`, which hold as much of the share as they need until they are sent.
    pub(super) fn bytes(mut self, mut bytes: Vec<u8>) -> Bytes {
        bytes.shrink_to_fit();
        let unused = self.0.num_permits().saturating_sub(bytes.len());
        drop(self.0.split(unused));
        Bytes::from_owner(Counted {
            bytes,
            _share: self.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_counts_until_its_last_part_is_gone() {
        let memory = AnswerMemory::new(100);
        let answer = memory.reserve(80).await.unwrap().bytes(vec![0; 30]);
        assert_eq!(memory.0.available_permits(), 70);
        let part = answer.slice(29..);
        drop(answer);
        let overloaded = Problem::from(NotDone::Overloaded);
        assert_eq!(memory.reserve(71).await.unwrap_err(), overloaded);
        drop(part);
        assert!(memory.reserve(100).await.is_ok());
        assert_eq!(memory.0.available_permits(), 100);
    }

    #[tokio::test]
    async fn an_answer_that_is_longer_than_its_share_is_sent_all_the_same() {
        let memory = AnswerMemory::new(100);
        let answer = memory.reserve(10).await.unwrap().bytes(vec![0; 30]);
        assert_eq!((answer.len(), memory.0.available_permits()), (30, 90));
    }
}
