//! The schema registry (Confluent's API): schemas by id, ids of our own schemas.

mod answer;
mod cache;
mod patience;
mod schema;

#[cfg(test)]
mod guids_tests;

use std::time::Duration;

use clap::Args;
use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, perform_sr_call, post_schema,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{
    RawError, SchemaType, SrCall, SuppliedSchema,
};

pub use cache::{Compile, KnownSchemas, Lookup, SchemaCache, SchemaSource};
pub use patience::{WaitsFor, settled};
pub use schema::{RegisteredSchema, SchemaFormat};

use schemas::SchemaId;

use crate::lifecycle::Failure;
use crate::settings::Secret;

/// A registry that hangs must not hang us: a request that takes longer is asked again.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Old readers must read new records and new readers old ones, over the whole history: topics are
/// replayed, and services are not all replaced at once.
pub const LEVEL: &str = "FULL_TRANSITIVE";

/// Where the registry is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Schema registry")]
pub struct RegistrySettings {
    /// Its URL (user:password@ for basic authentication); unset: JSON is written, and values with a
    /// schema are not read.
    #[arg(long, env = "SCHEMA_REGISTRY_URL", hide_env_values = true)]
    pub schema_registry_url: Option<Secret>,
}

/// A client of the registry. Holds no cache: see [`SchemaCache`].
#[derive(Debug, Clone)]
pub struct Registry {
    settings: SrSettings,
    http: reqwest::Client,
    url: Secret,
}

/// Why the registry gave no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryError {
    /// It says that there is no such schema or subject, or that there can't be one.
    NotFound(String),
    /// It answered with something that is no self-contained schema, or can't have such an id.
    Unsupported(String),
    /// It did not answer, or not sensibly: ask again.
    Unavailable(String),
}

impl std::fmt::Display for RegistryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFound(why) | Self::Unsupported(why) | Self::Unavailable(why) => {
                f.write_str(why)
            }
        }
    }
}

impl Registry {
    /// The registry of the settings, or `None` when none is set.
    ///
    /// # Errors
    /// Exit code 2 for a URL that is none.
    pub fn of(settings: &RegistrySettings) -> Result<Option<Self>, Failure> {
        let Some(url) = &settings.schema_registry_url else {
            return Ok(None);
        };
        let trimmed = url.reveal().trim_end_matches('/');
        if !(trimmed.starts_with("http://") || trimmed.starts_with("https://")) {
            return Err(Failure::bad_setting(
                "SCHEMA_REGISTRY_URL: write http://host:port or https://host:port (and the path, if it has one)",
            ));
        }
        let settings = SrSettings::new_builder(trimmed.to_owned())
            .set_timeout(TIMEOUT)
            .build()
            .map_err(|error| {
                Failure::bad_setting(format!("SCHEMA_REGISTRY_URL: {}", error.error))
            })?;
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| Failure::failed(format!("HTTP client: {error}")))?;
        Ok(Some(Self {
            settings,
            http,
            url: Secret::new(trimmed),
        }))
    }

    /// The schema with this id.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn schema(&self, id: SchemaId) -> Result<RegisteredSchema, RegistryError> {
        let what = id.to_string();
        let failed = |error| unavailable(&what, error);
        let url = schema::url(self.url.reveal(), id)?;
        let answer = self.http.get(url).send().await.map_err(failed)?;
        let status = answer.status();
        if !status.is_success() {
            let body = answer.text().await.map_err(failed)?;
            return Err(answer::refusal(id, status, &body));
        }
        if schema::is_answered_with_text(id) {
            return answer.text().await.map(schema::of_text).map_err(failed);
        }
        let found: answer::Found = answer.json().await.map_err(failed)?;
        found.registered(&what)
    }

    /// The id under which `schema` is registered for `subject`; registers nothing.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn id_of(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let body = serde_json::json!({ "schema": schema, "schemaType": "AVRO" }).to_string();
        perform_sr_call(&self.settings, SrCall::PostForVersion(subject, &body))
            .await
            .map_err(|error| self.error(&error, &format!("subject {subject}")))?
            .id
            .ok_or_else(|| {
                RegistryError::Unavailable(format!("the registry gave no id for {subject}"))
            })
    }

    /// Registers `schema` for `subject` and gives its id; the same text again gives the same id.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let supplied = SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned());
        post_schema(&self.settings, subject.to_owned(), supplied)
            .await
            .map(|registered| registered.id)
            .map_err(|error| self.error(&error, &format!("subject {subject}")))
    }

    /// Makes the registry refuse versions of `subject` that are not compatible both ways with all
    /// others ([`LEVEL`]), and reads the level back: Apicurio checks nothing unless told so.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn hold_compatible(&self, subject: &str) -> Result<(), RegistryError> {
        let level = serde_json::json!({ "compatibility": LEVEL });
        let set = self
            .http
            .put(self.config_of(subject))
            .json(&level)
            .send()
            .await;
        set.and_then(reqwest::Response::error_for_status)
            .map_err(|error| unavailable(subject, error))?;
        match self.compatibility(subject).await? {
            Some(level) if level == LEVEL => Ok(()),
            other => Err(RegistryError::Unavailable(format!(
                "{subject} was set to {LEVEL}, and the registry says {}",
                shortened(&other.unwrap_or_default())
            ))),
        }
    }

    /// What later versions of `subject` are held to; `None` when nothing was set for it.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn compatibility(&self, subject: &str) -> Result<Option<String>, RegistryError> {
        let failed = |error| unavailable(subject, error);
        let answer = self.http.get(self.config_of(subject)).send().await;
        let answer = answer.map_err(failed)?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let config: serde_json::Value = answer
            .error_for_status()
            .map_err(failed)?
            .json()
            .await
            .map_err(failed)?;
        Ok(config["compatibilityLevel"].as_str().map(str::to_owned))
    }

    fn config_of(&self, subject: &str) -> String {
        let subject = subject.replace('/', "%2F");
        format!("{}/config/{subject}", self.url.reveal())
    }

    /// Waits until the id of `schema` is known: the registry may be away, or not set up yet.
    ///
    /// `note` hears why it is still waiting, once per try.
    pub async fn wait_for_id(
        &self,
        subject: &str,
        schema: &str,
        mut note: impl FnMut(&RegistryError),
    ) -> u32 {
        let mut backoff = crate::backoff::Backoff::outside();
        loop {
            match self.id_of(subject, schema).await {
                Ok(id) => return id,
                Err(error) => note(&error),
            }
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }

    /// Only the registry's own "no such thing" is final; every other failure (5xx, 401, a proxy's
    /// page) is the registry's or the network's fault, never the record's.
    fn error(&self, error: &SRCError, what: &str) -> RegistryError {
        let source =
            std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<RawError>());
        match source {
            // 40401 subject, 40402 version, 40403 schema not found (Confluent's API).
            Some(raw) if matches!(raw.error_code, 40401..=40403) => {
                RegistryError::NotFound(format!("{what}: {}", shortened(&raw.message)))
            }
            _ => {
                let cause = error.cause.as_deref().unwrap_or("no cause given");
                let text = format!("{what}: {} ({cause})", error.error);
                RegistryError::Unavailable(shortened(
                    &text.replace(self.url.reveal(), "the registry"),
                ))
            }
        }
    }
}

fn unavailable(subject: &str, error: reqwest::Error) -> RegistryError {
    RegistryError::Unavailable(format!(
        "{subject}: {}",
        shortened(&error.without_url().to_string())
    ))
}

fn shortened(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .take(300)
        .collect()
}
