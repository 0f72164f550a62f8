//! How each kind of client is configured.
//!
//! | module | subject |
//! |---|---|
//! | `settings` | the `KAFKA_*` settings, and the configuration of consumers, producers and observers |
//! | `properties` | `KAFKA_PROPERTIES`: which of librdkafka's properties a user may set, and to what |

mod properties;
mod settings;

pub(super) use settings::session_timeout;
pub use settings::{KafkaSettings, TRANSACTION_TIMEOUT};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;

use crate::lifecycle::Failure;

/// Creates a client, which connects in the background. `kind` is its name in the error.
///
/// # Errors
/// Exit code 2 when librdkafka refuses the configuration.
pub fn create_client<C, T>(config: &ClientConfig, context: C, kind: &str) -> Result<T, Failure>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    config
        .create_with_context(context)
        .map_err(|error| Failure::bad_setting(format!("cannot create a Kafka {kind}: {error}")))
}
