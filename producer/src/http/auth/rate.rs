//! How many requests a client may make: a token bucket for each client.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use metrics::counter;
use runtime::metrics::RATE_LIMITED;

use super::super::problem::Problem;
use super::Caller;

/// The rate of each client over all its keys: a second key of a client has no second rate. A client
/// that is removed from the file and added again finds its bucket as it was. Cheap to clone.
#[derive(Clone)]
pub struct KeyRate {
    buckets: Arc<DefaultKeyedRateLimiter<String>>,
    quota: Quota,
}

impl fmt::Debug for KeyRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRate({:?})", self.quota)
    }
}

impl KeyRate {
    /// Allows `rate` requests a second, and `burst` at once after a pause.
    pub fn new(rate: NonZeroU32, burst: NonZeroU32) -> Self {
        Self::of(Quota::per_second(rate).allow_burst(burst))
    }

    /// Allows a quota of any period.
    pub(in super::super) fn of(quota: Quota) -> Self {
        Self {
            buckets: Arc::new(RateLimiter::keyed(quota)),
            quota,
        }
    }

    /// Takes one request from the bucket, or returns the seconds until the next one is available,
    /// rounded up.
    fn take(&self, client: &String) -> Result<(), u64> {
        self.buckets.check_key(client).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
        })
    }
}

/// The remaining requests of one client.
#[derive(Debug, Clone)]
pub(in super::super) struct Allowance {
    limited: Option<(KeyRate, String)>,
}

impl Allowance {
    /// Returns an allowance without limit.
    pub(super) const fn unlimited() -> Self {
        Self { limited: None }
    }

    /// Returns what `rate` allows `caller`.
    pub(super) fn of(rate: Option<&KeyRate>, caller: &Caller) -> Self {
        Self {
            limited: rate.map(|rate| (rate.clone(), caller.client.clone())),
        }
    }

    /// Takes one request.
    ///
    /// # Errors
    /// 429 if the allowance is used up.
    pub(in super::super) fn take(&self) -> Result<(), Problem> {
        let Some((rate, client)) = &self.limited else {
            return Ok(());
        };
        rate.take(client).map_err(|seconds| {
            counter!(RATE_LIMITED, "api_key_id" => client.clone()).increment(1);
            Problem::RateLimited {
                // A client that tried again at once would be refused again.
                seconds: seconds.max(1),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_client_has_a_bucket_of_its_own() {
        let hour = Quota::with_period(Duration::from_secs(3600)).unwrap();
        let rate = KeyRate::of(hour.allow_burst(NonZeroU32::new(2).unwrap()));
        let of = |id: &str| {
            let caller = Caller {
                client: id.to_owned(),
            };
            Allowance::of(Some(&rate), &caller)
        };
        let (one, other) = (of("one"), of("other"));
        assert_eq!(one.take(), Ok(()));
        assert_eq!(of("one").take(), Ok(()));
        let Err(Problem::RateLimited { seconds }) = one.take() else {
            panic!("a third one was admitted");
        };
        assert!((1..=3600).contains(&seconds), "{seconds}");
        assert_eq!(other.take(), Ok(()));
        assert_eq!(Allowance::unlimited().take(), Ok(()));
    }
}
