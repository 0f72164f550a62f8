//! Schemas by their GUIDs, of a canned registry: the real one of the tests has none.

use axum::http::{StatusCode, Uri};
use axum::{Json, Router};
use schemas::SchemaId;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::settings::Secret;

const KNOWN: [u8; 16] = *b"\xcc\x0e\x0e\x0e\x53\xc1\x4a\x1a\x8f\x1a\0\0\0\0\0\x01";

/// As Confluent's registry answers: without an id, since a GUID is the same in every registry.
async fn answer(uri: Uri) -> (StatusCode, Json<Value>) {
    match uri.path() {
        "/schemas/guids/cc0e0e0e-53c1-4a1a-8f1a-000000000001" => (
            StatusCode::OK,
            Json(json!({"schema": "{}", "schemaType": "JSON"})),
        ),
        _ => (
            StatusCode::NOT_FOUND,
            Json(json!({"error_code": 404, "message": "HTTP 404 Not Found"})),
        ),
    }
}

#[tokio::test]
async fn a_schema_is_found_by_its_guid_and_a_registry_without_them_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let settings = RegistrySettings {
        schema_registry_url: Some(Secret::new(&url)),
    };
    let registry = Registry::of(&settings).unwrap().unwrap();

    let found = registry.schema(SchemaId::Guid(KNOWN)).await.unwrap();
    assert_eq!(found.format, SchemaFormat::Json);
    for id in [SchemaId::Guid([7; 16]), SchemaId::Guid([0; 16])] {
        let error = registry.schema(id).await.unwrap_err();
        assert!(matches!(error, RegistryError::NotFound(_)), "{error}");
    }
    // Of an id that every registry knows, the same answer is the URL's fault.
    let error = registry.schema(SchemaId::Id(7)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unavailable(_)), "{error}");
}
