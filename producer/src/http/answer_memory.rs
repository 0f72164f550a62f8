//! The memory of answers that clients have not taken yet.
//!
//! An answer is in memory until its last byte is handed to the kernel, so a client that reads slowly
//! keeps it there. Answers that a small request can make large are counted against a bound of all
//! requests together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;

/// The most bytes of answers that are made or sent at a time.
pub(super) const ANSWER_MEMORY: usize = 64 * 1024 * 1024;

/// A request waits this long for its share: readers of small answers come and go in milliseconds,
/// and a queue behind slow ones would only add to the delay.
const PATIENCE: Duration = Duration::from_secs(1);

/// The bound. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct AnswerMemory(Arc<Semaphore>);

/// A share of it, until the bytes that it was taken for are sent.
#[derive(Debug)]
pub(super) struct Reserved(OwnedSemaphorePermit);

/// Bytes that are counted for as long as anybody holds them.
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
    /// So many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// Takes the share of an answer of at most so many bytes, or a little more.
    ///
    /// # Errors
    /// 503 when others keep it for too long.
    pub(super) async fn reserve(&self, bytes: usize) -> Result<Reserved, Problem> {
        let share = u32::try_from(bytes).map_err(|_| Problem::Internal)?;
        let share = Arc::clone(&self.0).acquire_many_owned(share);
        match tokio::time::timeout(PATIENCE, share).await {
            Ok(Ok(share)) => Ok(Reserved(share)),
            Ok(Err(_)) => Err(Problem::Internal),
            Err(_) => Err(Problem::Overloaded),
        }
    }
}

impl Reserved {
    /// Keeps of the share what `bytes` need, until they are sent.
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
        assert_eq!(memory.reserve(71).await.unwrap_err(), Problem::Overloaded);
        drop(part);
        assert!(memory.reserve(100).await.is_ok());
        assert_eq!(memory.0.available_permits(), 100);
    }

    #[tokio::test]
    async fn an_answer_that_is_longer_than_its_share_is_given_all_the_same() {
        let memory = AnswerMemory::new(100);
        let answer = memory.reserve(10).await.unwrap().bytes(vec![0; 30]);
        assert_eq!((answer.len(), memory.0.available_permits()), (30, 90));
    }
}
