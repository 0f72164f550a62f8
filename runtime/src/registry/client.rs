//! The requests that are made of the registry.

use std::fmt;

use reqwest::Method;
use schemas::SchemaId;
use serde_json::{Value, json};

use super::address::Resource;
use super::answer::{Config, Found, Registered};
use super::schema::{self, RegisteredSchema};
use super::settings::RegistrySettings;
use super::transport::{Request, Transport, json};
use super::{references, shortened};
use crate::lifecycle::Failure;

/// The compatibility level of our subjects. Old readers must read new records and new readers old
/// ones, over the whole history: topics are replayed, and services are not all replaced at once.
pub const LEVEL: &str = "FULL_TRANSITIVE";

/// A client of the registry. It has no cache: see [`SchemaCache`](super::SchemaCache).
#[derive(Debug, Clone)]
pub struct Registry {
    transport: Transport,
}

/// Why the registry gave no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryError {
    /// There is no such schema or subject, or there cannot be one.
    NotFound(String),
    /// The schema is one that is not read, or this registry cannot resolve such an id.
    Unsupported(String),
    /// There was no answer, or none of a registry. The request can be made again.
    Unavailable(String),
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(why) | Self::Unsupported(why) | Self::Unavailable(why) => {
                f.write_str(why)
            }
        }
    }
}

impl Registry {
    /// Returns the registry of the settings, `None` if none is set. Does not connect.
    ///
    /// # Errors
    /// Exit code 2 for settings that cannot work, and files that cannot be used.
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

    /// Returns the schema with this id, with all that it refers to if it is Avro.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub(super) async fn schema(&self, id: SchemaId) -> Result<RegisteredSchema, RegistryError> {
        let what = id.to_string();
        let request = Request {
            // A registry without such ids has no route for them.
            is_optional: !matches!(id, SchemaId::Id(_)),
            ..Request::get(schema::resource(id), &what)
        };
        if schema::is_answered_with_text(id) {
            return self
                .transport
                .send(&request, RegisteredSchema::of_text)
                .await;
        }
        let found: Found = self.transport.send(&request, json).await?;
        match found.schema_type.as_deref() {
            Some(other) if !schema::is_avro(Some(other)) => Ok(RegisteredSchema::not_avro(other)),
            _ => Ok(RegisteredSchema::Avro {
                references: references::texts(&self.transport, &found, &what).await?,
                text: found.schema,
            }),
        }
    }

    /// Returns the id under which `schema` is registered for `subject`. Registers nothing.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn id_of(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let resource = Resource::confluent(["subjects", subject]);
        self.post(resource, subject, schema).await
    }

    /// Registers `schema` for `subject` and returns its id, the same one if it is registered already.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let resource = Resource::confluent(["subjects", subject, "versions"]);
        self.post(resource, subject, schema).await
    }

    /// Sets the compatibility level of `subject` to [`LEVEL`] and reads it back. Without a level,
    /// Apicurio checks nothing.
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

    /// Returns the compatibility level of `subject`, `None` if none was set for it.
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
