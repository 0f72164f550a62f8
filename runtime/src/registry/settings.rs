//! The settings of the schema registry.

use std::path::PathBuf;

use clap::Args;

use crate::settings::Secret;

/// The addresses of the registry and how a service authenticates.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Schema registry")]
pub struct RegistrySettings {
    /// URLs of the registry, separated by commas. The next one is asked when one does not answer.
    /// Without a registry, JSON is written and Avro cannot be read.
    #[arg(long, env = "SCHEMA_REGISTRY_URL", hide_env_values = true)]
    pub schema_registry_url: Option<Secret>,

    /// User (or API key) for basic authentication.
    #[arg(long, env = "SCHEMA_REGISTRY_USERNAME")]
    pub schema_registry_username: Option<String>,

    /// Password (or API secret) of that user, without any encoding.
    #[arg(
        long,
        env = "SCHEMA_REGISTRY_PASSWORD",
        hide_env_values = true,
        conflicts_with = "schema_registry_password_file"
    )]
    pub schema_registry_password: Option<Secret>,

    /// File with the password. Read again when it changes, like all files of the registry.
    #[arg(long, env = "SCHEMA_REGISTRY_PASSWORD_FILE")]
    pub schema_registry_password_file: Option<PathBuf>,

    /// Bearer token, instead of a user and a password.
    #[arg(
        long,
        env = "SCHEMA_REGISTRY_TOKEN",
        hide_env_values = true,
        conflicts_with = "schema_registry_token_file"
    )]
    pub schema_registry_token: Option<Secret>,

    /// File with the bearer token.
    #[arg(long, env = "SCHEMA_REGISTRY_TOKEN_FILE")]
    pub schema_registry_token_file: Option<PathBuf>,

    /// PEM file of the certificate authorities that are trusted for the registry, instead of those
    /// of the system.
    #[arg(long, env = "SCHEMA_REGISTRY_CA_FILE")]
    pub schema_registry_ca_file: Option<PathBuf>,

    /// PEM file of the client's certificate, with the intermediate ones after it.
    #[arg(long, env = "SCHEMA_REGISTRY_CERTIFICATE_FILE")]
    pub schema_registry_certificate_file: Option<PathBuf>,

    /// PEM file of the client certificate's private key, without a passphrase.
    #[arg(long, env = "SCHEMA_REGISTRY_KEY_FILE")]
    pub schema_registry_key_file: Option<PathBuf>,
}

impl RegistrySettings {
    /// Returns the settings of a registry without authentication.
    pub fn at(urls: impl Into<String>) -> Self {
        Self {
            schema_registry_url: Some(Secret::new(urls)),
            ..Self::default()
        }
    }

    /// Returns the variables that are set, without the URL.
    pub(super) fn others(&self) -> Vec<&'static str> {
        let Self {
            schema_registry_url: _,
            schema_registry_username,
            schema_registry_password,
            schema_registry_password_file,
            schema_registry_token,
            schema_registry_token_file,
            schema_registry_ca_file,
            schema_registry_certificate_file,
            schema_registry_key_file,
        } = self;
        let is_set = [
            (
                "SCHEMA_REGISTRY_USERNAME",
                schema_registry_username.is_some(),
            ),
            (
                "SCHEMA_REGISTRY_PASSWORD",
                schema_registry_password.is_some(),
            ),
            (
                "SCHEMA_REGISTRY_PASSWORD_FILE",
                schema_registry_password_file.is_some(),
            ),
            ("SCHEMA_REGISTRY_TOKEN", schema_registry_token.is_some()),
            (
                "SCHEMA_REGISTRY_TOKEN_FILE",
                schema_registry_token_file.is_some(),
            ),
            ("SCHEMA_REGISTRY_CA_FILE", schema_registry_ca_file.is_some()),
            (
                "SCHEMA_REGISTRY_CERTIFICATE_FILE",
                schema_registry_certificate_file.is_some(),
            ),
            (
                "SCHEMA_REGISTRY_KEY_FILE",
                schema_registry_key_file.is_some(),
            ),
        ];
        is_set
            .iter()
            .filter_map(|(name, is_set)| is_set.then_some(*name))
            .collect()
    }
}
