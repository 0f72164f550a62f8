//! A schema in a registry: where it is requested, and how values that were written with it are read.

use schemas::{Guid, Malformed, Plan, Reason, RecordType, SchemaId, ValueFormat};
use serde_json::Value;

use super::address::Resource;
use super::shortened;

/// A schema as a registry holds it, by its language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RegisteredSchema {
    /// An Avro schema.
    Avro {
        text: String,
        /// The texts of all schemas that it refers to. A schema comes after those that it refers to.
        references: Vec<String>,
    },
    /// A JSON Schema. Values are JSON, and can be read without it.
    Json,
    /// A schema in another language, by the language's name. Its values are not read.
    Other(String),
}

/// Returns whether a registry's `schemaType` is Avro, which a missing one means (Confluent's API).
pub(super) fn is_avro(schema_type: Option<&str>) -> bool {
    matches!(schema_type, None | Some("AVRO"))
}

impl RegisteredSchema {
    /// Returns a schema whose `schemaType` is not Avro.
    pub(super) fn not_avro(schema_type: &str) -> Self {
        match schema_type {
            "JSON" => Self::Json,
            "PROTOBUF" => Self::Other("Protobuf".to_owned()),
            other => Self::Other(shortened(other)),
        }
    }

    /// Returns the schema of an answer that is its text alone, as Apicurio's own API gives it.
    ///
    /// # Errors
    /// Returns what is wrong, for an answer that is a proxy's page.
    pub(super) fn of_text(text: &str) -> Result<Self, String> {
        if is_page(text) {
            return Err("it is HTML".to_owned());
        }
        if text.trim_start().starts_with('<') {
            return Ok(Self::Other("XML".to_owned()));
        }
        let Ok(schema) = serde_json::from_str::<Value>(text) else {
            return Ok(Self::Other("Protobuf".to_owned()));
        };
        Ok(match (&schema, schema["type"].as_str()) {
            (Value::Object(_), Some("struct")) => Self::Other("KCONNECT".to_owned()),
            (Value::Object(_), Some("record" | "enum" | "fixed")) => Self::avro(text),
            (Value::Object(_), _) => Self::Json,
            _ => Self::avro(text),
        })
    }

    fn avro(text: &str) -> Self {
        Self::Avro {
            text: text.to_owned(),
            references: Vec::new(),
        }
    }

    /// Returns how values that were written with the schema are read.
    ///
    /// # Errors
    /// [`Reason::UnsupportedSchema`] with what the writer can do.
    pub(super) fn compiled<R: RecordType>(
        &self,
        id: SchemaId,
    ) -> Result<ValueFormat<Plan<R>>, Malformed> {
        match self {
            Self::Avro { text, references } => {
                Plan::compile_with(text, references).map(ValueFormat::Avro)
            }
            Self::Json => Ok(ValueFormat::Json),
            Self::Other(name) => Err(Malformed::new(
                Reason::UnsupportedSchema,
                format!(
                    "{id} is {name}, and values are read as Avro or JSON: use the serializer of \
                     one of the two (of Confluent: KafkaAvroSerializer or \
                     KafkaJsonSchemaSerializer; of Apicurio: AvroKafkaSerializer or \
                     JsonSchemaKafkaSerializer)"
                ),
            )),
        }
    }
}

/// Returns the resource of a schema.
pub(super) fn resource(id: SchemaId) -> Resource {
    match id {
        SchemaId::Id(id) => Resource::confluent(["schemas", "ids", &id.to_string()]),
        SchemaId::Guid(guid) => Resource::confluent(["schemas", "guids", &Guid(&guid).to_string()]),
        SchemaId::GlobalId(id) => {
            Resource::apicurio(["ids", "globalIds", &id.to_string()]).with_query("dereference=true")
        }
        SchemaId::ContentId(id) => Resource::apicurio(["ids", "contentIds", &id.to_string()]),
    }
}

/// Returns whether the registry answers with the schema's text alone.
pub(super) const fn is_answered_with_text(id: SchemaId) -> bool {
    matches!(id, SchemaId::GlobalId(_) | SchemaId::ContentId(_))
}

/// Returns whether this is a page of a proxy, and not an XML Schema or a WSDL, which Apicurio keeps too.
fn is_page(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(1024).collect();
    let start = start.to_ascii_lowercase();
    start.starts_with("<!doctype html") || start.starts_with('<') && start.contains("<html")
}

#[cfg(test)]
mod tests {
    use schemas::OrderStatus;

    use super::*;

    #[test]
    fn the_language_of_a_schema_is_found_in_its_text() {
        let other = |name: &str| RegisteredSchema::Other(name.to_owned());
        for avro in [
            r#"{"type":"record","name":"A","fields":[]}"#,
            r#"["null",{"type":"record","name":"A","fields":[]}]"#,
            r#""string""#,
        ] {
            let found = RegisteredSchema::of_text(avro);
            assert_eq!(found, Ok(RegisteredSchema::avro(avro)));
        }
        for (text, expected) in [
            ("<?xml version=\"1.0\"?><xs:schema/>", other("XML")),
            (
                r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}"#,
                RegisteredSchema::Json,
            ),
            (r#"{"properties":{}}"#, RegisteredSchema::Json),
            ("{}", RegisteredSchema::Json),
            ("syntax = \"proto3\"; message A {}", other("Protobuf")),
            (r#"{"type":"struct","fields":[]}"#, other("KCONNECT")),
        ] {
            assert_eq!(RegisteredSchema::of_text(text), Ok(expected), "{text}");
        }
        assert!(RegisteredSchema::of_text("<html></html>").is_err());
    }

    #[test]
    fn a_schema_in_another_language_is_refused_with_the_serializers_that_can_be_read() {
        for (schema_type, named) in [
            ("PROTOBUF", "schema 7 is Protobuf"),
            ("KCONNECT", "schema 7 is KCONNECT"),
        ] {
            let malformed = RegisteredSchema::not_avro(schema_type)
                .compiled::<OrderStatus<'_>>(SchemaId::Id(7))
                .unwrap_err();
            assert_eq!(malformed.reason(), Reason::UnsupportedSchema);
            assert!(malformed.message().contains(named), "{malformed}");
            assert!(
                malformed.message().contains("KafkaAvroSerializer"),
                "{malformed}"
            );
        }
    }
}
