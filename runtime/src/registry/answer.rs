//! The registry's answers: schemas, ids, and refusals, some of which are final.

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::access::Authorization;

/// A schema, as `GET /schemas/ids/{id}` and `GET /subjects/{subject}/versions/{version}` give it.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    pub(super) schema: String,
    #[serde(rename = "schemaType")]
    pub(super) schema_type: Option<String>,
    #[serde(default)]
    pub(super) references: Option<Vec<Reference>>,
}

/// Another subject's schema, which a schema refers to.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Reference {
    /// The full name of the type that it defines.
    pub(super) name: String,
    pub(super) subject: String,
    pub(super) version: i64,
}

/// The answer to a schema that is looked up or registered.
#[derive(Debug, Deserialize)]
pub(super) struct Registered {
    pub(super) id: u32,
}

/// The compatibility level of a subject.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    #[serde(rename = "compatibilityLevel")]
    pub(super) level: Option<String>,
}

/// What an answer that is no success refuses.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AnswerRefusal {
    /// About what was requested. The answer would always be the same.
    Final(String),
    /// About the client, the URL or the moment. The request is made again.
    Passing(String),
}

/// The body of a refusal in Confluent's API.
#[derive(Debug, Deserialize)]
struct Body {
    error_code: u32,
    message: String,
}

/// Classifies an answer that is no success. What it is about decides whether it is final.
///
/// - The registry's own "not found" (404xx: 40401 subject, 40402 version, 40403 schema, 40408 level) is
///   about the id.
/// - A 400, 409, 410 or 422 is about the id too, since two requests differ in the id only.
/// - A 404 in JSON is about the id when the route is optional: one that not every registry has, or
///   Apicurio's own API, which has other codes. In HTML it is a proxy's.
/// - Every other status is about the client (401, 403), the URL (404 without the registry's code), the
///   moment (429), or the registry or a proxy (5xx).
pub(super) fn refusal(status: StatusCode, body: &[u8], is_optional: bool) -> AnswerRefusal {
    let said = serde_json::from_slice::<Body>(body).ok();
    let code = said.as_ref().map_or(0, |said| said.error_code);
    let says = said.map_or_else(|| status.to_string(), |said| said.message);
    let is_about_the_id = match status.as_u16() {
        _ if matches!(code, 40400..=40499) => true,
        400 | 409 | 410 | 422 => true,
        404 => is_optional && serde_json::from_slice::<IgnoredAny>(body).is_ok(),
        _ => false,
    };
    if is_about_the_id {
        AnswerRefusal::Final(says)
    } else {
        AnswerRefusal::Passing(format!("{says} (HTTP {status})"))
    }
}

/// Returns what to do about a 401 or 403.
pub(super) fn advice(status: StatusCode, authorization: Option<&Authorization>) -> String {
    match (status, authorization.map(|known| known.source)) {
        (StatusCode::UNAUTHORIZED, None) => {
            ": set SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD_FILE, or \
             SCHEMA_REGISTRY_TOKEN_FILE"
                .to_owned()
        }
        (StatusCode::UNAUTHORIZED, Some(source)) => format!(": it does not accept {source}"),
        (StatusCode::FORBIDDEN, None) => {
            ": a request without a user or a token has no right to this".to_owned()
        }
        (StatusCode::FORBIDDEN, Some(source)) => {
            format!(": the user of {source} has no right to this")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_final(status: u16, body: &str) -> bool {
        let status = StatusCode::from_u16(status).unwrap();
        matches!(
            refusal(status, body.as_bytes(), false),
            AnswerRefusal::Final(_)
        )
    }

    #[test]
    fn an_answer_about_the_id_is_final() {
        let not_found = r#"{"error_code":40403,"message":"Schema 7 not found"}"#;
        assert!(is_final(404, not_found));
        // Whatever the status: versions of Apicurio differ.
        assert!(is_final(500, not_found));
        for status in [400, 409, 410, 422] {
            assert!(is_final(status, ""), "{status}");
            assert!(is_final(status, r#"{"error_code":400,"message":"no int"}"#));
        }
    }

    #[test]
    fn an_answer_that_may_change_is_not_final() {
        for status in [
            301, 401, 403, 404, 405, 406, 407, 408, 425, 429, 500, 502, 503, 504,
        ] {
            assert!(!is_final(status, "<html>"), "{status}");
            assert!(!is_final(
                status,
                r#"{"error_code":50001,"message":"store"}"#
            ));
        }
    }

    #[test]
    fn the_missing_route_of_a_registry_is_final() {
        let optional = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            matches!(
                refusal(status, body.as_bytes(), true),
                AnswerRefusal::Final(_)
            )
        };
        assert!(optional(
            404,
            r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#
        ));
        assert!(optional(404, r#"{"detail":"Not Found"}"#));
        assert!(!optional(404, "<html>default backend</html>"));
        assert!(!optional(403, "") && !optional(503, ""));
    }
}
