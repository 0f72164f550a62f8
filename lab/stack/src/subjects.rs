//! The schemas of the contract, registered under `<topic>-value`.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::registry;
use crate::topics::Topics;

/// Old readers must read new records and new readers old ones, over the whole history: topics are
/// replayed, and services are not all replaced at once.
const LEVEL: &str = "FULL_TRANSITIVE";

/// Registers both schemas. The level is set after the first version (Apicurio knows no subject
/// without one) and read back, because the registry checks nothing by default.
pub(crate) async fn register(registry: &str, topics: &Topics) -> Result<()> {
    register_one(
        registry,
        &format!("{}-value", topics.order_status),
        schemas::ORDER_STATUS_AVSC,
    )
    .await?;
    register_one(
        registry,
        &format!("{}-value", topics.vouchers),
        schemas::VOUCHER_AVSC,
    )
    .await?;
    Ok(())
}

/// Registers one schema; its id.
pub(crate) async fn register_one(registry: &str, subject: &str, schema: &str) -> Result<i64> {
    let client = registry::client()?;
    let answer: Value = call(
        client
            .post(format!("{registry}/subjects/{subject}/versions"))
            .json(&json!({ "schema": schema })),
        &format!("the schema of {subject} could not be registered"),
    )
    .await?;
    let level = format!("{registry}/config/{subject}");
    let failed = format!("the compatibility level of {subject} could not be set");
    call(
        client.put(&level).json(&json!({ "compatibility": LEVEL })),
        &failed,
    )
    .await?;
    let set = call(client.get(&level), &failed).await?;
    if set["compatibilityLevel"] != LEVEL {
        bail!(
            "the compatibility level of {subject} was set to {LEVEL}, but the registry says {set}"
        );
    }
    answer["id"]
        .as_i64()
        .with_context(|| format!("the registry gave no id for {subject}: {answer}"))
}

async fn call(request: reqwest::RequestBuilder, failed: &str) -> Result<Value> {
    let answer = request.send().await.with_context(|| failed.to_owned())?;
    let status = answer.status();
    let text = answer.text().await.with_context(|| failed.to_owned())?;
    if !status.is_success() {
        bail!("{failed}: {status} {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("{failed}: {text}"))
}
