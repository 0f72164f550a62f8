//! The registry's answers to a question for a schema by its id, and which of them are final.

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;

use schemas::SchemaId;

use super::{RegisteredSchema, RegistryError, SchemaFormat, shortened};

/// A schema, as `GET /schemas/ids/{id}` and `GET /schemas/guids/{guid}` give it.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    schema: String,
    #[serde(rename = "schemaType")]
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<serde_json::Value>,
}

impl Found {
    /// The schema, when it stands for itself. What a JSON Schema refers to is of no interest.
    pub(super) fn registered(self, what: &str) -> Result<RegisteredSchema, RegistryError> {
        let format = SchemaFormat::of_type(self.schema_type.as_deref());
        if format == SchemaFormat::Avro && !self.references.is_empty() {
            return Err(RegistryError::Unsupported(format!(
                "{what} refers to other subjects; register it as one self-contained schema"
            )));
        }
        Ok(RegisteredSchema {
            format,
            text: self.schema,
        })
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
/// - A 404 in JSON is about the id when not every registry knows such ids: one without GUIDs has no
///   route for them, and Apicurio's own API has other codes. In HTML it is a proxy's.
/// - Every other status is about who asks (401, 403), about the URL (404 without the registry's
///   code), about the moment (429) or about the registry or a proxy (5xx): asked again.
pub(super) fn refusal(id: SchemaId, status: StatusCode, body: &str) -> RegistryError {
    let refusal = serde_json::from_str::<Refusal>(body).ok();
    let code = refusal.as_ref().map_or(0, |refusal| refusal.error_code);
    let says = refusal.map_or_else(|| status.to_string(), |refusal| refusal.message);
    let says = format!("{id}: {}", shortened(&says));
    let is_about_the_id = match status.as_u16() {
        _ if matches!(code, 40401..=40403) => true,
        400 | 409 | 410 | 422 => true,
        404 => !matches!(id, SchemaId::Id(_)) && serde_json::from_str::<IgnoredAny>(body).is_ok(),
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

    fn is_final_of(id: SchemaId, status: u16, body: &str) -> bool {
        let status = StatusCode::from_u16(status).unwrap();
        matches!(refusal(id, status, body), RegistryError::NotFound(_))
    }

    fn is_final(status: u16, body: &str) -> bool {
        is_final_of(SchemaId::Id(7), status, body)
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
    fn a_registry_without_such_ids_is_not_asked_for_ever() {
        let no_route = r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#;
        for id in [
            SchemaId::Guid([7; 16]),
            SchemaId::GlobalId(7),
            SchemaId::ContentId(7),
        ] {
            assert!(is_final_of(id, 404, no_route), "{id}");
            assert!(is_final_of(id, 404, r#"{"detail":"Not Found"}"#), "{id}");
            assert!(
                !is_final_of(id, 404, "<html>default backend</html>"),
                "{id}"
            );
            assert!(!is_final_of(id, 403, ""), "{id}");
            assert!(!is_final_of(id, 503, ""), "{id}");
        }
    }

    #[test]
    fn a_schema_has_its_format_and_avro_stands_for_itself() {
        let found = |json: &str| {
            let found: Found = serde_json::from_str(json).unwrap();
            found.registered("schema 7").map(|schema| schema.format)
        };
        for (json, format) in [
            (r#"{"schema":"\"int\""}"#, SchemaFormat::Avro),
            (
                r#"{"schema":"","schemaType":"AVRO","references":[]}"#,
                SchemaFormat::Avro,
            ),
            (r#"{"schema":"","schemaType":"JSON"}"#, SchemaFormat::Json),
            (
                r#"{"schema":"","schemaType":"JSON","references":[{"name":"a"}]}"#,
                SchemaFormat::Json,
            ),
            (
                r#"{"schema":"","schemaType":"PROTOBUF"}"#,
                SchemaFormat::Protobuf,
            ),
            (
                r#"{"schema":"","schemaType":"XML"}"#,
                SchemaFormat::Other("XML".to_owned()),
            ),
        ] {
            assert_eq!(found(json), Ok(format), "{json}");
        }
        assert!(matches!(
            found(r#"{"schema":"","references":[{"name":"a"}]}"#),
            Err(RegistryError::Unsupported(_))
        ));
    }
}
