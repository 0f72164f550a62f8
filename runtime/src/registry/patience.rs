//! A command's look-ups: it has nothing else to do, and a person who waits for it.

use std::time::{Duration, Instant};

use schemas::SchemaId;

use super::{Compile, KnownSchemas, Registry, RegistryError, SchemaCache};
use crate::health::Health;
use crate::lifecycle::Failure;

/// A registry that has not answered for so long is told to the person, who waits for it better.
const DEADLINE: Duration = Duration::from_secs(15);

/// How long between two questions to the cache, which is filled beside.
const PAUSE: Duration = Duration::from_millis(20);

impl<P: Send + Sync + 'static> SchemaCache<P> {
    /// The cache of a command, which tells nobody of its health.
    pub fn of_command(registry: Option<Registry>, compile: Compile<P>) -> Self {
        let part = Health::new().ready_part("registry");
        Self::new(registry, compile, KnownSchemas::default(), part)
    }
}

/// Asks until the answer waits for no schema any more. Blocks its thread.
///
/// # Errors
/// Exit code 1 when the registry does not answer.
pub fn settled<T>(mut ask: impl FnMut() -> Result<T, WaitsFor>) -> Result<T, Failure> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(WaitsFor { schema_id }) if Instant::now() >= deadline => {
                return Err(Failure::failed(format!(
                    "the schema registry has not answered for {schema_id} in {DEADLINE:?}; \
                     run this again when it does"
                )));
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// A schema that is being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitsFor {
    /// The schema.
    pub schema_id: SchemaId,
}

impl Registry {
    /// As [`Registry::wait_for_id`], for as long as a person waits for a command.
    ///
    /// # Errors
    /// Exit code 1 with the registry's last answer.
    pub async fn id_within_patience(&self, subject: &str, schema: &str) -> Result<u32, Failure> {
        let mut last: Option<RegistryError> = None;
        let id = self.wait_for_id(subject, schema, |error| last = Some(error.clone()));
        match tokio::time::timeout(DEADLINE, id).await {
            Ok(id) => Ok(id),
            Err(_) => Err(Failure::failed(format!(
                "the schema of {subject} can't be looked up: {}; run this again when it can",
                last.map_or_else(|| "no answer".to_owned(), |error| error.to_string())
            ))),
        }
    }
}
