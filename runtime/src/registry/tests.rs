//! Tests against a registry with canned answers that a real one cannot be made to give.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use schemas::{SchemaId, ValueFormat};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::schema::RegisteredSchema;
use super::*;
use crate::settings::Secret;

type Answers = Arc<HashMap<String, (u16, String)>>;

/// Starts a registry that returns these answers by path, and a 404 without a registry's code for all
/// other paths. Returns its URL.
async fn canned(answers: impl IntoIterator<Item = (String, (u16, Value))>) -> String {
    let answers = answers
        .into_iter()
        .map(|(path, (status, body))| (path, (status, body.to_string())));
    let answers: Answers = Arc::new(answers.collect());
    let app = Router::new().fallback(answer).with_state(answers);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

/// Returns the answer for a path. `/echo` refuses, with the request's `authorization` as the message.
async fn answer(
    State(answers): State<Answers>,
    uri: Uri,
    headers: HeaderMap,
) -> (StatusCode, String) {
    if uri.path().starts_with("/echo") {
        let signed = headers.get("authorization").unwrap().to_str().unwrap();
        return (
            StatusCode::UNAUTHORIZED,
            json!({"error_code": 401, "message": signed}).to_string(),
        );
    }
    let (status, body) = answers
        .get(uri.path())
        .cloned()
        .unwrap_or((404, "<html>".to_owned()));
    (StatusCode::from_u16(status).unwrap(), body)
}

fn registry(urls: &str) -> Registry {
    Registry::of(&RegistrySettings::at(urls)).unwrap().unwrap()
}

fn reference(subject: &str, version: u32) -> Value {
    json!({"name": format!("n.{subject}"), "subject": subject, "version": version})
}

/// Returns the path of version `version` of `subject`, and its answer, which refers to these.
fn version(subject: &str, version: u32, references: Vec<Value>) -> (String, (u16, Value)) {
    let path = format!("/subjects/{subject}/versions/{version}");
    let body = json!({"schema": format!("{subject} {version}"), "references": references});
    (path, (200, body))
}

fn root(references: Vec<Value>) -> (String, (u16, Value)) {
    let body = json!({"schema": "root", "schemaType": "AVRO", "references": references});
    ("/schemas/ids/7".to_owned(), (200, body))
}

async fn schema(answers: Vec<(String, (u16, Value))>) -> Result<RegisteredSchema, RegistryError> {
    registry(&canned(answers).await)
        .schema(SchemaId::Id(7))
        .await
}

#[tokio::test]
async fn a_schema_comes_after_those_that_it_refers_to_and_each_comes_once() {
    let found = schema(vec![
        root(vec![reference("order", 1), reference("money", 2)]),
        version(
            "order",
            1,
            vec![reference("customer", 3), reference("money", 2)],
        ),
        version("customer", 3, vec![reference("money", 2)]),
        version("money", 2, vec![]),
    ]);
    let found = found.await.unwrap();
    let RegisteredSchema::Avro { text, references } = found else {
        panic!("{found:?}");
    };
    assert_eq!(text, "root");
    assert_eq!(references, ["money 2", "customer 3", "order 1"]);
}

#[tokio::test]
async fn references_are_bounded_and_no_type_stands_for_two() {
    let chain = |length: u32| {
        let versions = (1..=length).map(|at| version("s", at, vec![named(at + 1)]));
        let end = version("s", length + 1, vec![]);
        [vec![root(vec![named(1)]), end], versions.collect()].concat()
    };
    fn named(at: u32) -> Value {
        json!({"name": format!("n{at}"), "subject": "s", "version": at})
    }
    assert!(schema(chain(15)).await.is_ok());
    let wide = |count: u32| {
        let versions = (1..=count).map(|at| version("s", at, vec![]));
        [
            vec![root((1..=count).map(named).collect())],
            versions.collect(),
        ]
        .concat()
    };
    assert!(schema(wide(100)).await.is_ok());
    let long = json!({"schema": "x".repeat(1 << 20)});
    let cases = [
        (chain(16), "over more than 16 steps"),
        (wide(101), "to more than 100 others"),
        (
            vec![
                root(vec![reference("a", 1)]),
                version("a", 1, vec![reference("b", 1)]),
                version("b", 1, vec![reference("a", 1)]),
            ],
            "to itself",
        ),
        (
            vec![
                root(vec![reference("a", 1), reference("a", 2)]),
                version("a", 1, vec![]),
                version("a", 2, vec![]),
            ],
            "to two versions of n.a",
        ),
        (
            vec![
                root(vec![reference("a", 1)]),
                ("/subjects/a/versions/1".to_owned(), (200, long)),
            ],
            "to more than 1 MiB",
        ),
        (
            vec![
                root(vec![reference("a", 1)]),
                (
                    "/subjects/a/versions/1".to_owned(),
                    (200, json!({"schema": "{}", "schemaType": "JSON"})),
                ),
            ],
            "to n.a, which is JSON, not Avro",
        ),
    ];
    for (answers, why) in cases {
        match schema(answers).await {
            Err(RegistryError::Unsupported(said)) => assert!(said.contains(why), "{said}"),
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_missing_reference_is_final_and_one_that_is_not_answered_is_not() {
    let with = |status: u16, code: u32| {
        let refusal = (
            status,
            json!({"error_code": code, "message": "no such thing"}),
        );
        schema(vec![
            root(vec![reference("a", 1)]),
            ("/subjects/a/versions/1".to_owned(), refusal),
        ])
    };
    let Err(RegistryError::NotFound(why)) = with(404, 40402).await else {
        panic!("it is not final");
    };
    assert!(
        why.contains("schema 7, which refers to n.a (subject a, version 1)"),
        "{why}"
    );
    assert!(matches!(
        with(500, 50001).await,
        Err(RegistryError::Unavailable(_))
    ));
}

#[tokio::test]
async fn the_next_registry_is_asked_when_one_does_not_answer() {
    let good = canned([(
        "/schemas/ids/7".to_owned(),
        (200, json!({"schema": "good"})),
    )])
    .await;
    let none: [(String, (u16, Value)); 0] = [];
    let proxy = canned(none).await;
    let page = canned([("/schemas/ids/7".to_owned(), (200, json!("a page")))]).await;
    let failing = canned([(
        "/schemas/ids/7".to_owned(),
        (500, json!({"error_code": 50001, "message": "store"})),
    )])
    .await;
    let unknown = canned([(
        "/schemas/ids/7".to_owned(),
        (
            404,
            json!({"error_code": 40403, "message": "Schema 7 not found"}),
        ),
    )])
    .await;

    let away = "http://127.0.0.1:9";
    let all = registry(&format!("{away},{proxy},{page},{failing},{good},{unknown}"));
    assert!(matches!(
        all.schema(SchemaId::Id(7)).await,
        Ok(RegisteredSchema::Avro { text, .. }) if text == "good"
    ));
    assert_eq!(all.answered(), good, "and it is asked first from now on");
    assert_eq!(all.each().count(), 6);

    // After a final answer no other registry is asked.
    let found = registry(&format!("{away},{unknown},{good}"))
        .schema(SchemaId::Id(7))
        .await;
    assert!(
        matches!(found, Err(RegistryError::NotFound(_))),
        "{found:?}"
    );

    let Err(RegistryError::Unavailable(why)) = registry(&format!("{away},{failing}"))
        .schema(SchemaId::Id(7))
        .await
    else {
        panic!("no registry answered");
    };
    for part in [
        "schema 7: http://127.0.0.1:9: ",
        "refused",
        &format!("{failing}: store (HTTP 500"),
    ] {
        assert!(why.contains(part), "no {part} in {why}");
    }
}

/// The real registry of the tests has no GUIDs.
#[tokio::test]
async fn a_schema_is_found_by_its_guid_and_a_registry_without_them_says_so() {
    let known = *b"\xcc\x0e\x0e\x0e\x53\xc1\x4a\x1a\x8f\x1a\0\0\0\0\0\x01";
    let none = || {
        (
            404,
            json!({"error_code": 404, "message": "HTTP 404 Not Found"}),
        )
    };
    let guid = |guid: &str| format!("/schemas/guids/{guid}");
    let registry = registry(
        &canned([
            (
                guid("cc0e0e0e-53c1-4a1a-8f1a-000000000001"),
                (200, json!({"schema": "{}", "schemaType": "JSON"})),
            ),
            (guid("00000000-0000-0000-0000-000000000000"), none()),
            ("/schemas/ids/7".to_owned(), none()),
        ])
        .await,
    );
    let found = registry.schema(SchemaId::Guid(known)).await.unwrap();
    assert_eq!(found, RegisteredSchema::Json);
    let error = registry.schema(SchemaId::Guid([0; 16])).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotFound(_)), "{error}");
    // For a kind of id that every registry knows, the same answer means that the URL is wrong.
    let error = registry.schema(SchemaId::Id(7)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn no_secret_is_in_an_error_whatever_the_registry_says() {
    let none: [(String, (u16, Value)); 0] = [];
    let url = canned(none).await;
    let at = || RegistrySettings::at(format!("{url}/echo"));
    let secret = || Some(Secret::new("hunter2"));
    let by_token = RegistrySettings {
        schema_registry_token: secret(),
        ..at()
    };
    let by_user = RegistrySettings {
        schema_registry_username: Some("me".to_owned()),
        schema_registry_password: secret(),
        ..at()
    };
    for settings in [by_token, by_user] {
        let registry = Registry::of(&settings).unwrap().unwrap();
        let why = registry
            .schema(SchemaId::Id(7))
            .await
            .unwrap_err()
            .to_string();
        assert!(why.contains("(secret)"), "{why}");
        assert!(why.contains("it does not accept SCHEMA_REGISTRY_"), "{why}");
        for shown in [why, format!("{registry:?}")] {
            assert!(
                !shown.contains("hunter2") && !shown.contains("bWU6aHVudGVyMg"),
                "{shown}"
            );
        }
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused_with_what_to_write() {
    let file = Some("/nowhere/file".into());
    let secret = || Some(Secret::new("hunter2"));
    let at = || RegistrySettings::at("http://host");
    let me = || Some("me".to_owned());
    let cases = [
        (
            RegistrySettings {
                schema_registry_token: secret(),
                ..RegistrySettings::default()
            },
            "SCHEMA_REGISTRY_URL is not",
        ),
        (
            RegistrySettings {
                schema_registry_username: me(),
                ..at()
            },
            "needs SCHEMA_REGISTRY_PASSWORD_FILE",
        ),
        (
            RegistrySettings {
                schema_registry_password: secret(),
                ..at()
            },
            "needs SCHEMA_REGISTRY_USERNAME",
        ),
        (
            RegistrySettings {
                schema_registry_username: Some("me:hunter2".to_owned()),
                schema_registry_password: secret(),
                ..at()
            },
            "a user has no colon",
        ),
        (
            RegistrySettings {
                schema_registry_username: me(),
                schema_registry_password: secret(),
                schema_registry_token: secret(),
                ..at()
            },
            "with a token or with a user",
        ),
        (
            RegistrySettings {
                schema_registry_token: secret(),
                ..RegistrySettings::at("http://me:hunter2@host")
            },
            "holds a user, and SCHEMA_REGISTRY_TOKEN is set too",
        ),
        (
            RegistrySettings {
                schema_registry_token: Some(Secret::new("Bearer hunter2")),
                ..at()
            },
            "without \"Bearer\"",
        ),
        (
            RegistrySettings {
                schema_registry_token: Some(Secret::new(" ")),
                ..at()
            },
            "write the bearer token alone",
        ),
        (
            RegistrySettings {
                schema_registry_token_file: file.clone(),
                ..at()
            },
            "SCHEMA_REGISTRY_TOKEN_FILE: cannot read /nowhere/file",
        ),
        (
            RegistrySettings {
                schema_registry_ca_file: file.clone(),
                ..RegistrySettings::at("https://host")
            },
            "SCHEMA_REGISTRY_CA_FILE: cannot read /nowhere/file",
        ),
        (
            RegistrySettings {
                schema_registry_ca_file: Some("Cargo.toml".into()),
                ..RegistrySettings::at("https://host")
            },
            "SCHEMA_REGISTRY_CA_FILE: it holds no certificate",
        ),
        (
            RegistrySettings {
                schema_registry_certificate_file: Some("Cargo.toml".into()),
                ..RegistrySettings::at("https://host")
            },
            "needs SCHEMA_REGISTRY_KEY_FILE",
        ),
        (
            RegistrySettings {
                schema_registry_certificate_file: Some("Cargo.toml".into()),
                schema_registry_key_file: Some("Cargo.toml".into()),
                ..RegistrySettings::at("https://host")
            },
            "SCHEMA_REGISTRY_KEY_FILE: it holds no private key",
        ),
        (RegistrySettings::at("https://me:a/b@host"), "%2F"),
    ];
    for (settings, why) in cases {
        let failure = Registry::of(&settings).unwrap_err();
        let said = failure.to_string();
        assert!(said.contains(why), "no {why} in {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn values_are_avro_under_the_id_of_our_schema_and_json_without_a_registry() {
    let path = "/subjects/vouchers-value".to_owned();
    let registry = registry(&canned([(path, (200, json!({"id": 7})))]).await);
    for (registry, expected) in [
        (Some(&registry), ValueFormat::Avro(7)),
        (None, ValueFormat::Json),
    ] {
        let format = value_format_for_command(registry, "vouchers", "{}").await;
        assert_eq!(format.unwrap(), expected);
    }
}
