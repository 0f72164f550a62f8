//! A schema in a registry: where it is asked for, and what it makes of the values written with it.

use schemas::{Guid, Malformed, Reason, SchemaId, WriterSchema};
use serde_json::Value;

use super::address::Resource;
use super::{Compile, shortened};

/// A schema as a registry holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// What language it is written in, and with that what the values are.
    pub format: SchemaFormat,
    /// Its text.
    pub text: String,
    /// The texts of all Avro schemas that it refers to, each after those that it refers to itself.
    pub references: Vec<String>,
}

/// The languages of schemas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaFormat {
    /// Values are Avro.
    Avro,
    /// JSON Schema: values are JSON.
    Json,
    /// Values are Protobuf, which is not read.
    Protobuf,
    /// What else a registry may hold, by its name.
    Other(String),
}

impl SchemaFormat {
    /// Of a registry's `schemaType`; absent means Avro (Confluent's API).
    pub(super) fn of_type(name: Option<&str>) -> Self {
        match name {
            None | Some("AVRO") => Self::Avro,
            Some("JSON") => Self::Json,
            Some("PROTOBUF") => Self::Protobuf,
            Some(other) => Self::Other(shortened(other)),
        }
    }

    /// Of a schema's text, where a registry says nothing else: Apicurio's own API.
    fn of_text(text: &str) -> Self {
        if text.trim_start().starts_with('<') {
            return Self::Other("XML".to_owned());
        }
        let Ok(schema) = serde_json::from_str::<Value>(text) else {
            return Self::Protobuf;
        };
        match (&schema, schema["type"].as_str()) {
            (_, Some("record" | "enum" | "fixed")) => Self::Avro,
            (_, Some("struct")) => Self::Other("KCONNECT".to_owned()),
            (Value::Object(_), _) => Self::Json,
            _ => Self::Avro,
        }
    }
}

impl RegisteredSchema {
    /// How values that were written with it are read.
    ///
    /// # Errors
    /// [`Reason::UnsupportedSchema`] with what the writer may do.
    pub fn compiled<P>(
        &self,
        id: SchemaId,
        compile: Compile<P>,
    ) -> Result<WriterSchema<P>, Malformed> {
        let name = match &self.format {
            SchemaFormat::Avro => {
                return compile(&self.text, &self.references).map(WriterSchema::Avro);
            }
            SchemaFormat::Json => return Ok(WriterSchema::Json),
            SchemaFormat::Protobuf => "Protobuf",
            SchemaFormat::Other(name) => name,
        };
        Err(Malformed::new(
            Reason::UnsupportedSchema,
            format!(
                "{id} is {name}, and values are read as Avro or JSON: use the serializer of one of \
                 the two (of Confluent: KafkaAvroSerializer or KafkaJsonSchemaSerializer; of \
                 Apicurio: AvroKafkaSerializer or JsonSchemaKafkaSerializer)"
            ),
        ))
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

/// Whether the registry answers with the schema's text alone.
pub(super) const fn is_answered_with_text(id: SchemaId) -> bool {
    matches!(id, SchemaId::GlobalId(_) | SchemaId::ContentId(_))
}

/// Returns the schema of an answer that is its text alone.
///
/// # Errors
/// Returns what is wrong, for an answer that is a proxy's page.
pub(super) fn of_text(text: &str) -> Result<RegisteredSchema, String> {
    if is_page(text) {
        return Err("it is HTML".to_owned());
    }
    Ok(RegisteredSchema {
        format: SchemaFormat::of_text(text),
        text: text.to_owned(),
        references: Vec::new(),
    })
}

/// Whether this is a page of a proxy, and not an XML Schema or a WSDL, which Apicurio keeps too.
fn is_page(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(1024).collect();
    let start = start.to_ascii_lowercase();
    start.starts_with("<!doctype html") || start.starts_with('<') && start.contains("<html")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_tells_its_format() {
        for (text, format) in [
            (
                r#"{"type":"record","name":"A","fields":[]}"#,
                SchemaFormat::Avro,
            ),
            (
                r#"["null",{"type":"record","name":"A","fields":[]}]"#,
                SchemaFormat::Avro,
            ),
            (r#""string""#, SchemaFormat::Avro),
            (
                "<?xml version=\"1.0\"?><xs:schema/>",
                SchemaFormat::Other("XML".to_owned()),
            ),
            (
                r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}"#,
                SchemaFormat::Json,
            ),
            (r#"{"properties":{}}"#, SchemaFormat::Json),
            ("{}", SchemaFormat::Json),
            ("syntax = \"proto3\"; message A {}", SchemaFormat::Protobuf),
            (
                r#"{"type":"struct","fields":[]}"#,
                SchemaFormat::Other("KCONNECT".to_owned()),
            ),
        ] {
            assert_eq!(SchemaFormat::of_text(text), format, "{text}");
        }
    }

    #[test]
    fn a_schema_of_another_format_is_refused_with_the_serializers_that_can_be_read() {
        for (format, named) in [
            (SchemaFormat::Protobuf, "schema 7 is Protobuf"),
            (
                SchemaFormat::Other("KCONNECT".to_owned()),
                "schema 7 is KCONNECT",
            ),
        ] {
            let schema = RegisteredSchema {
                format,
                text: String::new(),
                references: Vec::new(),
            };
            let malformed = schema
                .compiled::<()>(SchemaId::Id(7), |_, _| Ok(()))
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
