//! Repeats a transactional call that the broker has not answered yet.

use std::time::Instant;

use super::TransactionError;
use crate::backoff::Backoff;

/// Repeats `call` while it returns [`TransactionError::Retriable`], until `deadline` has passed.
/// Blocks its thread.
///
/// # Errors
/// The first error of another kind; the last retriable one after `deadline`.
pub fn retry_until<T>(
    deadline: Instant,
    mut call: impl FnMut() -> Result<T, TransactionError>,
) -> Result<T, TransactionError> {
    let mut backoff = Backoff::outside();
    loop {
        match call() {
            Err(TransactionError::Retriable(why)) if Instant::now() < deadline => {
                tracing::debug!(why, "waiting for the broker");
                std::thread::sleep(backoff.next_pause());
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_retriable_call_is_repeated_until_the_deadline() {
        let mut calls = 0;
        let answer = retry_until(Instant::now() + Duration::from_secs(30), || {
            calls += 1;
            match calls {
                1 | 2 => Err(TransactionError::Retriable("busy".to_owned())),
                calls => Ok(calls),
            }
        });
        assert_eq!(answer.ok(), Some(3));
        let late = retry_until(Instant::now(), || {
            Err::<(), _>(TransactionError::Retriable("busy".to_owned()))
        });
        assert!(matches!(late, Err(TransactionError::Retriable(_))));
    }
}
