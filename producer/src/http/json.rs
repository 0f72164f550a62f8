//! JSON bodies: read completely within their bounds, then parsed. The parser distinguishes text that is
//! not JSON (400) from JSON of another shape (422).

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use bytes::BytesMut;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::Api;
use super::problem::Problem;

/// A JSON body's bytes, not parsed yet.
#[derive(Debug, Clone)]
pub(super) struct JsonBody(pub Bytes);

impl FromRequest<Api> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::UnsupportedMediaType("application/json"));
        }
        refuse_encoding(request.headers())?;
        refuse_announced_excess(request.headers(), api.limits.body.into())?;
        read(request.into_body(), api.limits.body, api.limits.body_time)
            .await
            .map(Self)
    }
}

/// Refuses a compressed body.
///
/// # Errors
/// 415.
pub(super) fn refuse_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().all(plain) {
        Ok(())
    } else {
        Err(Problem::UnsupportedEncoding)
    }
}

/// Refuses a body whose `Content-Length` is beyond the limit, before it is sent.
///
/// # Errors
/// 413.
pub(super) fn refuse_announced_excess(headers: &HeaderMap, limit: u64) -> Result<(), Problem> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match announced {
        Some(length) if length > limit => Err(Problem::TooLarge(limit)),
        _ => Ok(()),
    }
}

async fn read(mut body: Body, limit: u32, time: Duration) -> Result<Bytes, Problem> {
    let reading = async {
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|_| Problem::BadRequest("the body is incomplete".to_owned()))?;
            if let Ok(data) = frame.into_data() {
                if bytes.len() + data.len() > limit as usize {
                    return Err(Problem::TooLarge(limit.into()));
                }
                bytes.extend_from_slice(&data);
            }
        }
        Ok(bytes.freeze())
    };
    tokio::time::timeout(time, reading)
        .await
        .unwrap_or(Err(Problem::SlowBody))
}

fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|media| {
        media == "application/json" || media.starts_with("application/") && media.ends_with("+json")
    })
}

/// Returns the body's media type, in lower case and without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media = value.split(';').next().unwrap_or_default();
    Some(media.trim().to_ascii_lowercase())
}

/// Parses an object. Unknown fields are ignored; a known field must not occur twice.
///
/// # Errors
/// 400 for text that is not JSON, 422 for JSON of another shape.
pub(super) fn object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Problem::MalformedJson(format!("the body is not UTF-8: {error}")))?;
    // Checked here, because serde also accepts an array for a struct, field by field.
    let is_object = text
        .trim_start_matches([' ', '\t', '\r', '\n'])
        .starts_with('{');
    if !is_object {
        return match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Err(Problem::Invalid("the body must be an object".to_owned())),
            Err(error) => Err(Problem::MalformedJson(error.to_string())),
        };
    }
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => Problem::Invalid(error.to_string()),
        Category::Syntax | Category::Eof | Category::Io => {
            Problem::MalformedJson(error.to_string())
        }
    })
}

/// Returns the string that a field holds.
///
/// # Errors
/// 422 for any other value.
pub(super) fn text(field: &str, value: &RawValue) -> Result<String, Problem> {
    serde_json::from_str(value.get())
        .map_err(|_| Problem::Invalid(format!("{field} must be a string")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Fields<'a> {
        #[serde(borrow)]
        total: Option<&'a RawValue>,
    }

    fn status(body: &[u8]) -> u16 {
        match object::<Fields<'_>>(body) {
            Ok(_) => 200,
            Err(problem) => problem.status().as_u16(),
        }
    }

    #[test]
    fn malformed_json_is_400_and_another_shape_422() {
        for malformed in [
            "",
            " ",
            "{",
            "{\"total\":}",
            "{\"total\":NaN}",
            "{\"total\":01}",
            "{}x",
            "nul",
            "{'total':1}",
            "\u{feff}{}",
            "{\"total\":1,}",
            "[1",
            "{\"total\":Infinity}",
        ] {
            assert_eq!(status(malformed.as_bytes()), 400, "{malformed:?}");
        }
        assert_eq!(status(b"{\"total\":\"\xff\"}"), 400);
        for other in [
            "[]",
            "[1]",
            "null",
            "1e400",
            "\"x\"",
            "{\"total\":1,\"total\":2}",
        ] {
            assert_eq!(status(other.as_bytes()), 422, "{other:?}");
        }
    }

    #[test]
    fn numbers_keep_their_text_and_unknown_fields_are_ignored() {
        let fields: Fields<'_> = object(b" {\"x\":[{}],\"total\": 1e400} ").unwrap();
        assert_eq!(fields.total.unwrap().get(), "1e400");
        assert!(
            object::<Fields<'_>>(b"{\"total\":null}")
                .unwrap()
                .total
                .is_none()
        );
    }

    #[test]
    fn deep_nesting_exhausts_no_stack() {
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(status(deep.as_bytes()), 200);
        assert!(status("[".repeat(200_000).as_bytes()) < 500);
    }

    proptest! {
        #[test]
        fn no_body_is_a_server_error(body in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(status(&body) < 500);
        }
    }
}
