//! Looks up the format in which the values of a topic are written.

use schemas::ValueFormat;

use super::{COMMAND_WAIT, Registry};
use crate::backoff::Backoff;
use crate::lifecycle::Failure;
use crate::metrics::{Count, RetryClass};

/// Returns the subject of the schemas of a topic's values (Confluent's `TopicNameStrategy`).
pub fn subject_of(topic: &str) -> String {
    format!("{topic}-value")
}

/// Returns the format in which values are written to `topic`: Avro under the id that the registry has
/// for `schema`, or JSON without a registry.
///
/// Registers nothing. Waits until the id is known, because the registry may be away or not set up yet.
/// After each failed request `note` gets the sentence for a person.
pub async fn value_format(
    registry: Option<&Registry>,
    topic: &str,
    schema: &str,
    mut note: impl FnMut(&str),
) -> ValueFormat {
    let Some(registry) = registry else {
        return ValueFormat::Json;
    };
    let subject = subject_of(topic);
    let mut backoff = Backoff::outside();
    loop {
        match registry.id_of(&subject, schema).await {
            Ok(id) => return ValueFormat::Avro(id),
            Err(error) => note(&format!(
                "the schema of {subject} cannot be looked up: {error}"
            )),
        }
        Count::retry(RetryClass::Registry).record();
        tokio::time::sleep(backoff.next_pause()).await;
    }
}

/// Returns the same format as [`value_format`], and waits for no longer than [`COMMAND_WAIT`].
///
/// # Errors
/// Exit code 1 with the registry's last answer.
pub async fn value_format_for_command(
    registry: Option<&Registry>,
    topic: &str,
    schema: &str,
) -> Result<ValueFormat, Failure> {
    let mut why = format!(
        "the registry has not answered for the schema of {}",
        subject_of(topic)
    );
    let format = value_format(registry, topic, schema, |last| last.clone_into(&mut why));
    match tokio::time::timeout(COMMAND_WAIT, format).await {
        Ok(format) => Ok(format),
        Err(_) => Err(Failure::failed(format!(
            "{why}; run this command again when the registry answers"
        ))),
    }
}
