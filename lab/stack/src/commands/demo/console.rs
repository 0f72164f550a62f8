//! The records that the demo writes with Kafka's own console producer.

use anyhow::{Result, bail};

use crate::backends::{Backends, Topics};

/// One typed line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The order's id; `None` for a malformed line.
    pub(super) id: Option<String>,
    pub(super) key: &'static str,
    pub(super) value: &'static str,
    pub(super) sent: bool,
    pub(super) eligible: bool,
}

/// Returns the old system's form, forms that people type, and a malformed one.
pub(super) fn lines() -> Vec<Line> {
    let order = |key: &'static str, value, eligible| Line {
        id: Some(key.to_owned()),
        key,
        value,
        sent: true,
        eligible,
    };
    vec![
        order("17", r#"{"id":17,"status":"SENT","total":150}"#, true),
        order(
            "typed-1",
            r#"{"order_id":"typed-1","status":"sent","total":"120.50","currency":"eur"}"#,
            true,
        ),
        order(
            "typed-2",
            r#"{"order_id":"typed-2","status":"SENT","total":1e2}"#,
            true,
        ),
        order(
            "typed-3",
            r#"{"order_id":"typed-3","status":"SENT","total":99.995}"#,
            false,
        ),
        Line {
            id: None,
            key: "typed-4",
            value: r#"{"order_id":"typed-4","status":"SENT","total":"12O.00"}"#,
            sent: false,
            eligible: false,
        },
    ]
}

/// Writes the lines.
pub(super) async fn type_lines(backends: &Backends, topics: &Topics, lines: &[Line]) -> Result<()> {
    let text: String = lines
        .iter()
        .map(|line| format!("{}\t{}\n", line.key, line.value))
        .collect();
    let output = backends
        .run_tool(
            "kafka-console-producer",
            [
                "--topic",
                &topics.order_status,
                "--reader-property",
                "parse.key=true",
            ],
            text.as_bytes(),
        )
        .await?;
    if !output.status.success() {
        bail!(
            "Kafka's console producer failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
