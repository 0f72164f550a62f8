//! The schema registry (Confluent's API): schemas by id, ids of our own schemas.
//!
//! | module | subject |
//! |---|---|
//! | `settings` | the variables |
//! | `address`, `access` | the URLs; authentication and TLS |
//! | `transport` | sends every request, to the next address if one does not answer |
//! | `answer` | what it answers |
//! | `schema`, `references` | a schema, by each kind of id; the schemas that it refers to |
//! | `cache`, `patience` | compiled schemas for a loop, and for a command |

mod access;
mod address;
mod answer;
mod cache;
mod patience;
mod references;
mod schema;
mod settings;
mod transport;

#[cfg(test)]
mod tests;

use reqwest::Method;
use serde_json::{Value, json};

pub use cache::{Compile, KnownSchemas, Lookup, SchemaCache, SchemaSource};
pub use patience::{WaitsFor, settled};
pub use schema::{RegisteredSchema, SchemaFormat};
pub use settings::RegistrySettings;

use crate::lifecycle::Failure;
use address::Resource;
use answer::{Config, Found, Registered};
use schemas::SchemaId;
use transport::{Request, Transport, json};

/// Old readers must read new records and new readers old ones, over the whole history: topics are
/// replayed, and services are not all replaced at once.
pub const LEVEL: &str = "FULL_TRANSITIVE";

/// A client of the registry. Holds no cache: see [`SchemaCache`].
#[derive(Debug, Clone)]
pub struct Registry {
    transport: Transport,
}

/// Why the registry gave no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryError {
    /// It says that there is no such schema or subject, or that there can't be one.
    NotFound(String),
    /// It answered with a schema that is not read, or can't have such an id.
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
    /// Exit code 2 for settings that can't work, and files that can't be used.
    pub fn of(settings: &RegistrySettings) -> Result<Option<Self>, Failure> {
        match (&settings.schema_registry_url, settings.others().first()) {
            (Some(urls), _) => Ok(Some(Self {
                transport: Transport::of(urls.reveal(), settings)?,
            })),
            (None, None) => Ok(None),
            (None, Some(other)) => Err(Failure::bad_setting(format!(
                "{other} is set and SCHEMA_REGISTRY_URL is not: write http://host:port or \
                 https://host:port"
            ))),
        }
    }

    /// Returns the URL of the registry that answered last, without a user.
    pub fn answered(&self) -> String {
        self.transport.answered().to_string()
    }

    /// Returns a client for each URL of the list.
    pub fn each(&self) -> impl Iterator<Item = Self> {
        self.transport.each().map(|transport| Self { transport })
    }

    /// Returns the schema with this id, and of an Avro schema all that it refers to.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn schema(&self, id: SchemaId) -> Result<RegisteredSchema, RegistryError> {
        let what = id.to_string();
        let request = Request {
            // A registry without such ids has no route for them.
            is_optional: !matches!(id, SchemaId::Id(_)),
            ..Request::get(schema::resource(id), &what)
        };
        if schema::is_answered_with_text(id) {
            return self.transport.send(&request, schema::of_text).await;
        }
        let found: Found = self.transport.send(&request, json).await?;
        let format = SchemaFormat::of_type(found.schema_type.as_deref());
        let references = match format {
            SchemaFormat::Avro => references::texts(&self.transport, &found, &what).await?,
            // What a JSON Schema refers to says nothing about how its values are read.
            _ => Vec::new(),
        };
        Ok(RegisteredSchema {
            format,
            text: found.schema,
            references,
        })
    }

    /// The id under which `schema` is registered for `subject`; registers nothing.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn id_of(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let resource = Resource::confluent(["subjects", subject]);
        self.post(resource, subject, schema).await
    }

    /// Registers `schema` for `subject` and gives its id; the same text again gives the same id.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let resource = Resource::confluent(["subjects", subject, "versions"]);
        self.post(resource, subject, schema).await
    }

    /// Makes the registry refuse versions of `subject` that are not compatible both ways with all
    /// others ([`LEVEL`]), and reads the level back: Apicurio checks nothing unless told so.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn hold_compatible(&self, subject: &str) -> Result<(), RegistryError> {
        let request = Request {
            method: Method::PUT,
            body: Some(json!({ "compatibility": LEVEL })),
            ..Request::get(Resource::confluent(["config", subject]), subject)
        };
        let _: Value = self.transport.send(&request, json).await?;
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
        let request = Request {
            is_optional: true,
            ..Request::get(Resource::confluent(["config", subject]), subject)
        };
        match self.transport.send(&request, json::<Config>).await {
            Ok(config) => Ok(config.level),
            Err(RegistryError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
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

    async fn post(
        &self,
        resource: Resource,
        subject: &str,
        schema: &str,
    ) -> Result<u32, RegistryError> {
        let what = format!("subject {subject}");
        let request = Request {
            method: Method::POST,
            body: Some(json!({ "schema": schema, "schemaType": "AVRO" })),
            ..Request::get(resource, &what)
        };
        let registered: Registered = self.transport.send(&request, json).await?;
        Ok(registered.id)
    }
}

/// One line, no longer than a person reads.
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
