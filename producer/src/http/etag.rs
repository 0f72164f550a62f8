//! Entity tags (RFC 9110, section 8.8.3): an order's is its version in quotes, strong.

use axum::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue};

use super::problem::Problem;
use crate::ingress::Precondition;

/// Returns the tag of a version.
pub(super) fn etag(version: i64) -> HeaderValue {
    // Digits and quotes are always a valid header value.
    HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// A tag that a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tag {
    weak: bool,
    /// The version; `None` for a tag that this service never sends.
    version: Option<i64>,
}

/// Returns the precondition in the request's `If-Match`. Tags are compared strongly: a weak one never
/// matches.
///
/// # Errors
/// 400 for a header that is not a list of tags: if it were ignored, the service would make a change
/// that the client wanted to prevent.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<Precondition>, Problem> {
    let Some(tags) = tags(headers, &IF_MATCH)? else {
        return Ok(None);
    };
    Ok(Some(match tags {
        Tags::Any => Precondition::Any,
        Tags::These(tags) => Precondition::Versions(
            tags.into_iter()
                .filter(|tag| !tag.weak)
                .filter_map(|tag| tag.version)
                .collect(),
        ),
    }))
}

/// Returns whether the client has this version already, by its `If-None-Match`. Tags are compared weakly;
/// a malformed header does not match.
pub(super) fn has_version(headers: &HeaderMap, version: i64) -> bool {
    match tags(headers, &IF_NONE_MATCH) {
        Ok(Some(Tags::Any)) => true,
        Ok(Some(Tags::These(tags))) => tags.iter().any(|tag| tag.version == Some(version)),
        Ok(None) | Err(_) => false,
    }
}

enum Tags {
    Any,
    These(Vec<Tag>),
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    let mut tags = Vec::new();
    let mut present = false;
    for value in headers.get_all(name) {
        present = true;
        let text = value.as_bytes().trim_ascii();
        if text == b"*" {
            return Ok(Some(Tags::Any));
        }
        parse(text, &mut tags).ok_or_else(|| {
            Problem::BadRequest(format!(
                "{name}: write tags as they are in ETag, such as \"3\", or *"
            ))
        })?;
    }
    Ok(present.then_some(Tags::These(tags)))
}

/// Parses a comma-separated list of tags; empty elements are allowed (RFC 9110, section 5.6.1).
fn parse(mut text: &[u8], tags: &mut Vec<Tag>) -> Option<()> {
    loop {
        text = text.trim_ascii_start();
        match text {
            [] => return Some(()),
            [b',', rest @ ..] => {
                text = rest;
                continue;
            }
            _ => {}
        }
        let (weak, quoted) = match text {
            [b'W', b'/', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let end = inner.iter().position(|byte| *byte == b'"')?;
        let legal = |byte: &u8| *byte == 0x21 || *byte >= 0x23 && *byte != 0x7f;
        let (opaque, rest) = (&inner[..end], &inner[end + 1..]);
        if !opaque.iter().all(legal) {
            return None;
        }
        tags.push(Tag {
            weak,
            version: version(opaque),
        });
        text = rest.trim_ascii_start();
        if !matches!(text, [] | [b',', ..]) {
            return None;
        }
    }
}

/// Returns the version, if the tag is exactly what [`etag`] writes: `"03"` is not `"3"`.
fn version(opaque: &[u8]) -> Option<i64> {
    let version: i64 = std::str::from_utf8(opaque).ok()?.parse().ok()?;
    (version.to_string().as_bytes() == opaque).then_some(version)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matching(value: &str) -> Result<Option<Precondition>, Problem> {
        if_match(&HeaderMap::from_iter([(IF_MATCH, value.parse().unwrap())]))
    }

    fn versions(list: &[i64]) -> Result<Option<Precondition>, Problem> {
        Ok(Some(Precondition::Versions(list.to_vec())))
    }

    #[test]
    fn if_match_accepts_strong_tags_and_the_star() {
        assert_eq!(if_match(&HeaderMap::new()), Ok(None));
        assert_eq!(matching("*"), Ok(Some(Precondition::Any)));
        assert_eq!(matching("\"3\""), versions(&[3]));
        assert_eq!(matching("\"3\" , ,\"4\","), versions(&[3, 4]));
        assert_eq!(matching("W/\"3\""), versions(&[]), "weak never matches");
        assert_eq!(matching("\"abc\", \"03\", \"+3\""), versions(&[]));
        assert_eq!(matching("\"a,b\", \"7\""), versions(&[7]));
    }

    #[test]
    fn a_malformed_if_match_is_not_ignored() {
        for bad in [
            "3",
            "\"3",
            "3\"",
            "\"3\"\"4\"",
            "w/\"3\"",
            "\"3\" \"4\"",
            "*, \"3\"",
        ] {
            assert!(
                matches!(matching(bad), Err(Problem::BadRequest(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn if_none_match_compares_weakly_and_ignores_nonsense() {
        let has = |value: &str| {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, value.parse().unwrap())]);
            has_version(&headers, 3)
        };
        assert!(has("\"3\"") && has("W/\"3\"") && has("*") && has("\"2\", \"3\""));
        assert!(!has("\"2\"") && !has("3") && !has("\"\""));
    }

    proptest! {
        #[test]
        fn the_tag_of_an_answer_matches_and_nothing_panics(version in 1_i64.., noise in "[ -~]{0,30}") {
            let own = HeaderMap::from_iter([(IF_MATCH, etag(version))]);
            prop_assert_eq!(if_match(&own), versions(&[version]));
            let _ = matching(&noise);
        }
    }
}
