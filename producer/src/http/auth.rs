//! Bearer API keys (RFC 6750): who gets in, and how often.
//!
//! | module | subject |
//! |---|---|
//! | `api_keys` | the keys, and the text of their file |
//! | `key_file` | the file, read again when it changes |
//! | `rate` | what a client may ask for in a second |

mod api_keys;
mod key_file;
mod rate;

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use tokio::sync::watch;

use super::problem::Problem;

pub use api_keys::ApiKeys;
pub use key_file::{KeyFile, Reload};
pub(super) use rate::Allowance;
pub use rate::KeyRate;

/// The keys of the moment, and what each may ask for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Keys {
    /// As the file has them.
    pub known: watch::Receiver<ApiKeys>,
    /// None: as much as it likes.
    pub rate: Option<KeyRate>,
}

/// Who makes a request: what its idempotency keys and its rate belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name before its key in the file, or the first 8 hex digits of the digest of a key without
    /// one; empty where no key is asked for.
    pub client: String,
}

impl Caller {
    /// Whoever it is, where no key is asked for.
    pub const fn anyone() -> Self {
        Self {
            client: String::new(),
        }
    }
}

/// Lets through who has a key of a client whose rate is not used up, and says to the handler who it is. Where no
/// key is asked for, nobody is counted.
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
    /// A wrong key is refused before anything is counted: it can't use up another's rate.
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
