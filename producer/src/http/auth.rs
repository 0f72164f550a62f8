//! Bearer API keys (RFC 6750): who may use the API, and how often.
//!
//! | module | subject |
//! |---|---|
//! | `api_keys` | the keys, and the text of their file |
//! | `rate` | how many requests a client may make |

mod api_keys;
mod rate;

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use tokio::sync::watch;

use super::problem::Problem;

pub use api_keys::ApiKeys;
pub(super) use rate::Allowance;
pub use rate::KeyRate;

/// The keys that are valid now, and how often each client may use them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The keys of the file.
    pub known: watch::Receiver<ApiKeys>,
    /// `None` for no limit.
    pub rate: Option<KeyRate>,
}

/// The client that makes a request. Idempotency keys and rates belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name before its key in the file or, for a key without a name, the first 8 hex digits of the
    /// key's digest. Empty if no key is required.
    pub client: String,
}

impl Caller {
    /// Returns the client of a request for which no key is required.
    pub const fn anyone() -> Self {
        Self {
            client: String::new(),
        }
    }
}

/// Admits a request with a key of a client whose rate is not used up, and adds the client to it for the
/// handler. Where no key is required, there is no rate.
///
/// # Errors
/// 401, 429.
pub(super) fn admit(keys: Option<&Keys>, mut request: Request) -> Result<Request, Problem> {
    let (caller, allowance) = match keys {
        None => (Caller::anyone(), Allowance::unlimited()),
        Some(keys) => keys.admit(request.headers())?,
    };
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(allowance);
    Ok(request)
}

impl Keys {
    /// Refuses an unknown key before it counts the request, so that an unknown key cannot use up a
    /// client's rate.
    fn admit(&self, headers: &HeaderMap) -> Result<(Caller, Allowance), Problem> {
        let caller = bearer(headers)
            .and_then(|key| self.known.borrow().identify(key))
            .ok_or(Problem::Unauthorized)?;
        let allowance = Allowance::of(self.rate.as_ref(), &caller);
        allowance.take()?;
        Ok((caller, allowance))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked(b"Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| key.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        let key = |value: &str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            bearer(&headers).map(<[u8]>::to_vec)
        };
        assert_eq!(key("bearer abc"), Some(b"abc".to_vec()));
        assert_eq!(key("Basic abc"), None);
        assert_eq!(key("Bearer"), None);
    }
}
