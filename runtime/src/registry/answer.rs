//! The registry's answers to a question for a schema by its id, and which of them are final.

use reqwest::StatusCode;
use serde::Deserialize;

use super::{RegistryError, shortened};

/// A schema, as `GET /schemas/ids/{id}` gives it.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    schema: String,
    #[serde(rename = "schemaType")]
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<serde_json::Value>,
}

impl Found {
    /// Its text, when it is Avro and stands for itself.
    pub(super) fn avro(self, what: &str) -> Result<String, RegistryError> {
        match self.schema_type.as_deref() {
            // Absent means Avro (Confluent's API).
            None | Some("AVRO") => {}
            Some(other) => {
                return Err(RegistryError::Unsupported(format!(
                    "{what} is {}, not Avro",
                    shortened(other)
                )));
            }
        }
        if !self.references.is_empty() {
            return Err(RegistryError::Unsupported(format!(
                "{what} refers to other subjects; register it as one self-contained schema"
            )));
        }
        Ok(self.schema)
    }
}

/// The body of a refusal in Confluent's API.
#[derive(Debug, Deserialize)]
struct Refusal {
    error_code: u32,
    message: String,
}

/// What an answer other than a schema says.
///
/// - The registry's own "not found" (40401 subject, 40402 version, 40403 schema) is about the id.
/// - A 400, 409, 410 or 422 is about the id too, since the id is all that differs between two
///   requests: the answer would be the same for ever.
/// - Every other status is about who asks (401, 403), about the URL (404 without the registry's
///   code), about the moment (429) or about the registry or a proxy (5xx): asked again.
pub(super) fn refusal(what: &str, status: StatusCode, body: &str) -> RegistryError {
    let refusal = serde_json::from_str::<Refusal>(body).ok();
    let code = refusal.as_ref().map_or(0, |refusal| refusal.error_code);
    let says = refusal.map_or_else(|| status.to_string(), |refusal| refusal.message);
    let says = format!("{what}: {}", shortened(&says));
    let is_about_the_id = match status.as_u16() {
        _ if matches!(code, 40401..=40403) => true,
        400 | 409 | 410 | 422 => true,
        _ => false,
    };
    if is_about_the_id {
        RegistryError::NotFound(says)
    } else {
        RegistryError::Unavailable(format!("{says} (HTTP {status})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_final(status: u16, body: &str) -> bool {
        let status = StatusCode::from_u16(status).unwrap();
        matches!(
            refusal("schema 7", status, body),
            RegistryError::NotFound(_)
        )
    }

    #[test]
    fn what_is_about_the_id_is_final() {
        let not_found = r#"{"error_code":40403,"message":"Schema 7 not found"}"#;
        assert!(is_final(404, not_found));
        // Whatever the status: Apicurio's has differed.
        assert!(is_final(500, not_found));
        for status in [400, 409, 410, 422] {
            assert!(is_final(status, ""), "{status}");
            assert!(is_final(status, r#"{"error_code":400,"message":"no int"}"#));
        }
    }

    #[test]
    fn what_may_be_another_answer_next_time_is_not_final() {
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
    fn only_avro_that_stands_for_itself_is_read() {
        let found = |json: &str| {
            let found: Found = serde_json::from_str(json).unwrap();
            found.avro("schema 7")
        };
        assert_eq!(found(r#"{"schema":"\"int\""}"#), Ok("\"int\"".to_owned()));
        assert!(found(r#"{"schema":"","schemaType":"AVRO","references":[]}"#).is_ok());
        for json in [
            r#"{"schema":"","schemaType":"JSON"}"#,
            r#"{"schema":"","references":[{"name":"a"}]}"#,
        ] {
            assert!(matches!(found(json), Err(RegistryError::Unsupported(_))));
        }
    }
}
