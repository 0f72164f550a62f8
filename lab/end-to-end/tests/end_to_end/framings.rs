//! Values in every framing that the serializers of Confluent, Apicurio and Debezium write, with
//! schemas of a real registry.

use anyhow::{Context, Result};
use apache_avro::types::Value;
use end_to_end::system::TestSystem;
use schema_registry_converter::async_impl::avro::AvroEncoder;
use schema_registry_converter::async_impl::schema_registry::SrSettings;
use schema_registry_converter::schema_registry_common::{
    SchemaType, SubjectNameStrategy, SuppliedSchema,
};
use serde_json::{Value as Json, json};

use crate::record::{encode, framed};
use crate::table::{Case, Expected::Dead, VOUCHER, check, dead};

const AVRO: &str = r#"{"type":"record","name":"OrderStatus","fields":[
    {"name":"order_id","type":"string"},
    {"name":"status","type":"string"},
    {"name":"total","type":"string"}]}"#;

const JSON_SCHEMA: &str =
    r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}"#;

const PROTOBUF: &str = "syntax = \"proto3\"; message OrderStatus { string order_id = 1; }";

/// The ids of one schema.
struct Ids {
    id: u32,
    global_id: u64,
    content_id: u64,
}

/// Registers schemas of any type, and asks Apicurio for its own ids of them.
struct Registry<'s> {
    system: &'s TestSystem,
    http: reqwest::Client,
}

impl Registry<'_> {
    async fn register(&self, name: &str, kind: &str, schema: &str) -> Result<Ids> {
        let registry = self.system.backends.schema_registry_url();
        let subject = format!("{name}-{}", self.system.name);
        let url = format!("{registry}/subjects/{subject}/versions");
        let body = json!({"schemaType": kind, "schema": schema});
        let answer = self.http.post(url).json(&body).send().await?;
        let registered: Json = answer.error_for_status()?.json().await?;
        let (own, _) = registry.split_once("/apis/").context("it is Apicurio")?;
        let url = format!("{own}/apis/registry/v2/groups/default/artifacts/{subject}/meta");
        let answer = self.http.get(url).send().await?.error_for_status()?;
        let meta: Json = answer.json().await?;
        let number = |json: &Json, name: &str| json[name].as_u64().context("an id");
        Ok(Ids {
            id: number(&registered, "id")?.try_into()?,
            global_id: number(&meta, "globalId")?,
            content_id: number(&meta, "contentId")?,
        })
    }
}

fn long_framed(global_id: u64, body: &[u8]) -> Vec<u8> {
    [&[0], global_id.to_be_bytes().as_slice(), body].concat()
}

/// Returns the fields of a sent order of 100.00.
fn fields(key: &str) -> Vec<(&'static str, Value)> {
    [("order_id", key), ("status", "SENT"), ("total", "100.00")]
        .map(|(name, text)| (name, Value::String(text.to_owned())))
        .into()
}

fn avro(key: &str) -> Result<Vec<u8>> {
    let fields = fields(key).into_iter();
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    encode(AVRO, Value::Record(fields.collect()))
}

fn json(key: &str) -> Vec<u8> {
    format!(r#"{{"order_id":"{key}","status":"SENT","total":100}}"#).into_bytes()
}

/// Adds a header that names a schema.
fn named(case: Case, header: &str, id: &[u8]) -> Case {
    case.header(header, Some(id))
}

#[tokio::test]
async fn values_are_read_in_every_framing_and_what_is_not_read_is_named() -> Result<()> {
    let system = TestSystem::open().await?;
    let processor = system.processor().await?;
    let registry = Registry {
        system: &system,
        http: reqwest::Client::new(),
    };
    // The same content is registered twice: it keeps its content id, and gets a second global id.
    registry.register("avro", "AVRO", AVRO).await?;
    let avro_ids = registry.register("again", "AVRO", AVRO).await?;
    let json_ids = registry.register("json", "JSON", JSON_SCHEMA).await?;
    let protobuf = registry.register("protobuf", "PROTOBUF", PROTOBUF).await?;
    assert_ne!(avro_ids.global_id, avro_ids.content_id);

    let cases = [
        behind_an_id(&avro_ids, &json_ids, &protobuf)?,
        in_headers(&avro_ids, &json_ids)?,
        refused(&avro_ids)?,
        wrapped(),
        vec![by_schema_registry_converter(&system).await?],
    ]
    .concat();
    check(&system, &processor, cases).await
}

/// Registers a schema and writes a value by `schema_registry_converter`, the usual client in Rust. This
/// is its only use: the services make requests of their own, for the reasons in ADR 0026.
async fn by_schema_registry_converter(system: &TestSystem) -> Result<Case> {
    let registry = SrSettings::new(system.backends.schema_registry_url().to_owned());
    let subject = format!("rust.OrderStatus-{}", system.name);
    let schema = SuppliedSchema::new(Some(subject), SchemaType::Avro, AVRO.to_owned());
    let strategy = SubjectNameStrategy::RecordNameStrategyWithSchema(schema);
    let key = "schema-registry-converter";
    let encoder = AvroEncoder::new(registry);
    let value = encoder.encode(fields(key), strategy).await?;
    Ok(Case::bytes(key, value, VOUCHER).key(key))
}

fn behind_an_id(avro_ids: &Ids, json_ids: &Ids, protobuf: &Ids) -> Result<Vec<Case>> {
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let case = |key: &str, value, expected| Case::bytes(key, value, expected).key(key);
    Ok(vec![
        case(
            "json-schema",
            framed(json_ids.id, &json("json-schema")),
            VOUCHER,
        ),
        case(
            "json-schema-of-a-global-id",
            long_framed(json_ids.global_id, &json("json-schema-of-a-global-id")),
            VOUCHER,
        ),
        case(
            "json-schema-deep",
            framed(json_ids.id, deep.as_bytes()),
            Dead("invalid_json", "128 levels"),
        ),
        case(
            "json-schema-no-json",
            framed(json_ids.id, b"\x04"),
            dead("invalid_json"),
        ),
        case(
            "protobuf",
            framed(protobuf.id, b"\0\x0a\x0217"),
            Dead("unsupported_schema", "Protobuf"),
        ),
        case(
            "avro-of-a-global-id",
            long_framed(avro_ids.global_id, &avro("avro-of-a-global-id")?),
            VOUCHER,
        ),
    ])
}

fn in_headers(avro_ids: &Ids, json_ids: &Ids) -> Result<Vec<Case>> {
    let short = |ids: &Ids| [&[0], ids.id.to_be_bytes().as_slice()].concat();
    let avro = |key: &str| -> Result<Case> { Ok(Case::bytes(key, avro(key)?, VOUCHER).key(key)) };
    let json = |key: &str| Case::bytes(key, json(key), VOUCHER).key(key);
    let encoding = Some(b"BINARY".as_slice());
    Ok(vec![
        named(avro("header-id")?, "__value_schema_id", &short(avro_ids)),
        named(
            avro("header-global-id")?,
            "apicurio.value.globalId",
            &avro_ids.global_id.to_be_bytes(),
        )
        .header("apicurio.value.encoding", encoding),
        named(
            avro("header-content-id")?,
            "apicurio.value.contentId",
            &avro_ids.content_id.to_be_bytes(),
        ),
        named(json("header-json"), "__value_schema_id", &short(json_ids)),
        // A header that an application copied to a value with another framing.
        named(
            Case::bytes(
                "header-passed-on",
                framed(avro_ids.id, &self::avro("header-passed-on")?),
                VOUCHER,
            )
            .key("header-passed-on"),
            "apicurio.value.globalId",
            &json_ids.global_id.to_be_bytes(),
        ),
    ])
}

fn refused(avro_ids: &Ids) -> Result<Vec<Case>> {
    let global_id = avro_ids.global_id.to_be_bytes();
    let body = avro("refused")?;
    let bare = |name: &str, expected| Case::bytes(name, body.clone(), expected).key("refused");
    Ok(vec![
        bare(
            "no id anywhere",
            Dead("invalid_json", "no header names its schema"),
        ),
        named(
            bare("a GUID", Dead("unknown_schema", "07070707-0707")),
            "__value_schema_id",
            &[&[1], [7; 16].as_slice()].concat(),
        ),
        named(
            bare("a cut id", Dead("invalid_framing", "has 3 bytes")),
            "__value_schema_id",
            &[0; 3],
        ),
        named(
            bare(
                "an id that nobody gave",
                Dead("unknown_schema", "global id 4611686018427387904"),
            ),
            "apicurio.value.globalId",
            &(1_u64 << 62).to_be_bytes(),
        ),
        named(
            Case::bytes(
                "Avro's JSON encoding",
                r#"["refused"]"#,
                Dead("invalid_framing", "apicurio.registry.avro.encoding=BINARY"),
            )
            .key("refused"),
            "apicurio.value.globalId",
            &global_id,
        )
        .header("apicurio.value.encoding", Some(b"JSON")),
        bare(
            "an artifact's name",
            Dead("invalid_framing", "apicurio.registry.use-id"),
        )
        .header("apicurio.value.artifactId", Some(b"order-status")),
    ])
}

/// Returns values as Debezium writes them through Kafka Connect's own converter.
fn wrapped() -> Vec<Case> {
    let setting = |setting| Dead("wrapped_record", setting);
    vec![
        Case::text(
            "JsonConverter with its schema",
            r#"{"schema":{"type":"struct"},"payload":{"order_id":"ID","status":"SENT","total":100}}"#,
            setting("value.converter.schemas.enable=false"),
        ),
        Case::text(
            "a change event",
            r#"{"before":null,"after":{"order_id":"ID","status":"SENT","total":100},"op":"c"}"#,
            setting("ExtractNewRecordState"),
        ),
    ]
}
