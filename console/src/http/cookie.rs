//! The cookie of a session.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use super::session::{LIFETIME, Token};

/// The name over TLS. Browsers refuse a cookie with this prefix from any other host, and without
/// `Secure`.
const SECURE: &str = "__Host-checkout";

/// The name over plain HTTP, where a browser refuses `Secure`: on loopback, or behind a tunnel.
const PLAIN: &str = "checkout-session";

/// Returns the `Set-Cookie` of a new session.
pub(super) fn set(token: &Token, secure: bool) -> HeaderValue {
    value(token.as_str(), LIFETIME.as_secs(), secure)
}

/// Returns the `Set-Cookie`s that remove the cookie under either name.
pub(super) fn remove() -> [HeaderValue; 2] {
    [true, false].map(|secure| value("", 0, secure))
}

fn value(token: &str, seconds: u64, secure: bool) -> HeaderValue {
    let (name, attribute) = if secure {
        (SECURE, "; Secure")
    } else {
        (PLAIN, "")
    };
    let text =
        format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{attribute}");
    // Names, hex digits and numbers are always a valid header value.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

/// Returns the tokens that a request sends. There may be two if the browser has used the console both
/// over TLS and over plain HTTP.
pub(super) fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| [SECURE, PLAIN].contains(name))
        .map(|(_, token)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=b; __Host-checkout=one"));
        headers.append(COOKIE, HeaderValue::from_static("checkout-session=two;c"));
        headers.append(COOKIE, HeaderValue::from_static("xcheckout-session=three"));
        assert_eq!(tokens(&headers).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn cookies_of_plain_http_are_not_secure_and_all_are_strict() {
        let [secure, plain] = remove();
        let (secure, plain) = (secure.to_str().unwrap(), plain.to_str().unwrap());
        assert!(secure.starts_with("__Host-checkout=;") && secure.ends_with("; Secure"));
        assert!(plain.starts_with("checkout-session=;") && !plain.contains("Secure"));
        for cookie in [secure, plain] {
            for attribute in ["Path=/", "Max-Age=0", "HttpOnly", "SameSite=Strict"] {
                assert!(cookie.contains(attribute), "{cookie}");
            }
        }
    }
}
