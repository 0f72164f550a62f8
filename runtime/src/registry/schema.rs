//! A schema in a registry: where it is asked for, and what it makes of the values written with it.

use schemas::{Guid, Malformed, Reason, SchemaId, WriterSchema};
use serde_json::Value;

use super::{Compile, RegistryError, shortened};

/// Where Apicurio has Confluent's API, which is what the registry's URL names.
const CONFLUENT_API: &str = "/apis/ccompat";

/// Apicurio's own API of version 2, which its versions 2 and 3 have. Confluent's API there knows only
/// one kind of id, which one is a setting of the server.
const OWN_API: &str = "/apis/registry/v2";

/// A schema as a registry holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// What language it is written in, and with that what the values are.
    pub format: SchemaFormat,
    /// Its text.
    pub text: String,
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
            SchemaFormat::Avro => return compile(&self.text).map(WriterSchema::Avro),
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

/// The URL that a schema is asked for at.
///
/// # Errors
/// [`RegistryError::Unsupported`] for an id of Apicurio's when `registry` is another.
pub(super) fn url(registry: &str, id: SchemaId) -> Result<String, RegistryError> {
    let own_api = || match registry.find(CONFLUENT_API) {
        Some(at) => Ok(format!("{}{OWN_API}/ids", &registry[..at])),
        None => Err(RegistryError::Unsupported(format!(
            "{id} is one of Apicurio's, and SCHEMA_REGISTRY_URL is of another registry: set it to \
             that of Apicurio, such as http://registry:8080{CONFLUENT_API}/v7, or have the writer \
             use Confluent's ids (apicurio.registry.headers.enabled=false, \
             apicurio.registry.as-confluent=true, apicurio.registry.use-id=contentId)"
        ))),
    };
    Ok(match id {
        SchemaId::Id(id) => format!("{registry}/schemas/ids/{id}"),
        SchemaId::Guid(guid) => format!("{registry}/schemas/guids/{}", Guid(&guid)),
        SchemaId::GlobalId(id) => format!("{}/globalIds/{id}?dereference=true", own_api()?),
        SchemaId::ContentId(id) => format!("{}/contentIds/{id}", own_api()?),
    })
}

/// Whether the registry answers with the schema's text alone.
pub(super) const fn is_answered_with_text(id: SchemaId) -> bool {
    matches!(id, SchemaId::GlobalId(_) | SchemaId::ContentId(_))
}

/// The schema of an answer that is its text alone.
pub(super) fn of_text(text: String) -> RegisteredSchema {
    RegisteredSchema {
        format: SchemaFormat::of_text(&text),
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: [u8; 16] = *b"\xcc\x0e\x0e\x0e\x53\xc1\x4a\x1a\x8f\x1a\0\0\0\0\0\x01";

    #[test]
    fn confluents_ids_are_asked_for_at_the_registrys_url() {
        for registry in ["http://r:8081", "http://r/apis/ccompat/v7"] {
            assert_eq!(
                url(registry, SchemaId::Id(7)),
                Ok(format!("{registry}/schemas/ids/7"))
            );
            assert_eq!(
                url(registry, SchemaId::Guid(GUID)),
                Ok(format!(
                    "{registry}/schemas/guids/cc0e0e0e-53c1-4a1a-8f1a-000000000001"
                ))
            );
        }
    }

    #[test]
    fn apicurios_ids_are_asked_for_at_its_own_api() {
        let registry = "https://r/behind/apis/ccompat/v7";
        assert_eq!(
            url(registry, SchemaId::GlobalId(7)).unwrap(),
            "https://r/behind/apis/registry/v2/ids/globalIds/7?dereference=true"
        );
        assert_eq!(
            url(registry, SchemaId::ContentId(8)).unwrap(),
            "https://r/behind/apis/registry/v2/ids/contentIds/8"
        );
        let Err(RegistryError::Unsupported(why)) = url("http://r:8081", SchemaId::GlobalId(7))
        else {
            panic!("another registry was asked for an id of Apicurio's");
        };
        assert!(why.contains("schema with global id 7"), "{why}");
    }

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
            };
            let malformed = schema
                .compiled::<()>(SchemaId::Id(7), |_| Ok(()))
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
