//! The cookie of a session.

use std::net::IpAddr;

use axum::http::header::{COOKIE, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue};

use super::session::{LIFETIME, Token};

/// The name over TLS. Browsers refuse a cookie with this prefix from any other host, and without
/// `Secure`.
const SECURE: &str = "__Host-checkout";

/// The name over plain HTTP, where a browser refuses `Secure`: on loopback, or behind a tunnel. Pages of
/// sibling domains can set such a cookie for the console as well.
const PLAIN: &str = "checkout-session";

/// Returns the `Set-Cookie`s of a new session: its own, and one that removes the cookie under the other
/// name, which would stand for an earlier session.
pub(super) fn set(token: &Token, secure: bool) -> [HeaderValue; 2] {
    [
        value(token.as_str(), LIFETIME.as_secs(), secure),
        value("", 0, !secure),
    ]
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

/// Returns the tokens that count in a request. Over TLS only the cookie counts that no other host can have
/// set. Where it is sent it counts alone, because browsers send it only over TLS and to loopback.
pub(super) fn tokens<'a>(
    headers: &'a HeaderMap,
    in_uri: Option<&Authority>,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let is_over_tls =
        is_secure(headers, in_uri) || cookies(headers).any(|(name, _)| name == SECURE);
    let accepted = if is_over_tls { SECURE } else { PLAIN };
    cookies(headers)
        .filter(move |(name, _)| *name == accepted)
        .map(|(_, token)| token)
}

/// Returns the tokens under either name, whether they count or not.
pub(super) fn all_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    cookies(headers)
        .filter(|(name, _)| *name == SECURE || *name == PLAIN)
        .map(|(_, token)| token)
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
}

/// Returns whether a request came over TLS, which a proxy terminates in front of the console, so that its
/// cookie can be `Secure` and must be. Not every proxy says so, but browsers send `Sec-Fetch-Site` only over
/// TLS and to loopback. A client that sends these headers over plain HTTP gets a cookie that its browser
/// refuses. `in_uri` is the host in the request's URI.
pub(super) fn is_secure(headers: &HeaderMap, in_uri: Option<&Authority>) -> bool {
    let value = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    value("origin").is_some_and(|origin| origin.starts_with(b"https://"))
        || value("x-forwarded-proto") == Some(b"https".as_slice())
        || (value("sec-fetch-site").is_some() && !is_to_loopback(headers, in_uri))
}

/// Returns whether the host is this machine, which browsers trust over plain HTTP as well. The URI's host
/// precedes `Host` (RFC 9112, section 3.2.2), which HTTP/2 does without.
fn is_to_loopback(headers: &HeaderMap, in_uri: Option<&Authority>) -> bool {
    let in_headers = || Authority::try_from(headers.get(HOST)?.as_bytes()).ok();
    let Some(host) = in_uri.cloned().or_else(in_headers) else {
        return false;
    };
    let name = host.host().trim_end_matches('.').to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || name.ends_with(".localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        headers.append(
            COOKIE,
            HeaderValue::from_static("a=b; checkout-session=one"),
        );
        headers.append(COOKIE, HeaderValue::from_static("checkout-session=two;c"));
        headers.append(COOKIE, HeaderValue::from_static("xcheckout-session=three"));
        assert_eq!(tokens(&headers, None).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn the_cookie_that_no_other_host_can_set_counts_alone() {
        let both = "checkout-session=theirs; __Host-checkout=own";
        let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(both))]);
        assert_eq!(tokens(&headers, None).collect::<Vec<_>>(), ["own"]);
    }

    #[test]
    fn a_browser_that_is_not_on_loopback_uses_tls() {
        for (host, in_uri, expected) in [
            (Some("localhost:9466"), None, false),
            (Some("console.example"), None, true),
            // HTTP/2 names the host in the URI alone.
            (None, Some("console.example"), true),
            (None, Some("[::1]:9466"), false),
            // The host in the URI precedes the header.
            (Some("localhost:9466"), Some("console.example"), true),
            (Some("console.example"), Some("127.0.0.1:9466"), false),
            // A host that is unknown is not loopback.
            (None, None, true),
            (Some("a b"), None, true),
        ] {
            let site = HeaderValue::from_static("same-origin");
            let mut headers = HeaderMap::new();
            headers.insert("sec-fetch-site", site);
            if let Some(host) = host {
                headers.insert(HOST, HeaderValue::from_static(host));
            }
            let authority = in_uri.map(Authority::from_static);
            let secure = is_secure(&headers, authority.as_ref());
            assert_eq!(secure, expected, "{host:?}, {in_uri:?}");
            headers.remove("sec-fetch-site");
            assert!(!is_secure(&headers, authority.as_ref()), "no browser");
        }
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
