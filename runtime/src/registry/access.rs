//! Authentication at the registry: a user or a token, the trusted authorities, a client certificate.
//!
//! Tokens and certificates are replaced while services run, so the files are read before each request.
//! That costs little, because each schema is requested once. If a file cannot be used, the service logs
//! it and goes on with what it has.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use openssl::pkey::PKey;
use reqwest::header::AUTHORIZATION;
use reqwest::{Certificate, Client, Identity, RequestBuilder};

use super::settings::RegistrySettings;
use crate::lifecycle::Failure;
use crate::settings::{Secret, read_secret_file};

/// The longest time that a request takes, from the connection to the end of the answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);

/// Shorter than [`TIMEOUT`], so that the next address is tried soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The value of the header `authorization`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authorization {
    /// The header's value.
    header: Secret,
    /// The password or the token.
    secret: Secret,
    /// The setting that it comes from, for messages.
    pub(super) source: &'static str,
}

impl Authorization {
    pub(super) fn basic(username: &str, password: &str, source: &'static str) -> Self {
        let encoded = BASE64_STANDARD.encode(format!("{username}:{password}"));
        Self {
            header: Secret::new(format!("Basic {encoded}")),
            secret: Secret::new(password),
            source,
        }
    }

    fn bearer(token: &str, source: &'static str) -> Self {
        Self {
            header: Secret::new(format!("Bearer {token}")),
            secret: Secret::new(token),
            source,
        }
    }

    pub(super) fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        request.header(AUTHORIZATION, self.header.reveal())
    }

    /// Removes the secret from `text`: a registry's error message may repeat the request's header.
    pub(super) fn redacted(&self, text: &str) -> String {
        let mut text = text.replace(self.header.reveal(), "(secret)");
        if !self.secret.reveal().is_empty() {
            text = text.replace(self.secret.reveal(), "(secret)");
        }
        text
    }
}

/// The content of the settings and of their files at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Texts {
    authorization: Option<Authorization>,
    authorities: Option<Secret>,
    /// The certificate and its key.
    identity: Option<(Secret, Secret)>,
}

/// An HTTP client that was made from these texts.
#[derive(Debug, Clone)]
pub(super) struct Current {
    texts: Arc<Texts>,
    pub(super) client: Client,
}

impl Current {
    fn of(texts: Texts) -> Result<Self, Failure> {
        Ok(Self {
            client: client(&texts)?,
            texts: Arc::new(texts),
        })
    }

    pub(super) fn has_certificate(&self) -> bool {
        self.texts.identity.is_some()
    }

    pub(super) fn authorization(&self) -> Option<&Authorization> {
        self.texts.authorization.as_ref()
    }
}

/// Holds the current client. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Access(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: RegistrySettings,
    has_files: bool,
    current: Mutex<Current>,
}

impl Access {
    /// Reads the files.
    ///
    /// # Errors
    /// Exit code 2 for settings that contradict each other and files that cannot be used.
    pub(super) fn of(settings: &RegistrySettings) -> Result<Self, Failure> {
        let current = Current::of(read(settings)?)?;
        Ok(Self(Arc::new(Shared {
            settings: settings.clone(),
            has_files: settings.others().iter().any(|name| name.ends_with("_FILE")),
            current: Mutex::new(current),
        })))
    }

    /// Reads the files again and returns the client, a new one if they have changed.
    pub(super) async fn current(&self) -> Current {
        if !self.0.has_files {
            return self.in_use();
        }
        let access = self.clone();
        let renewed = tokio::task::spawn_blocking(move || access.renewed()).await;
        renewed.unwrap_or_else(|_| self.in_use())
    }

    pub(super) fn in_use(&self) -> Current {
        let current = self.0.current.lock();
        current.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn renewed(&self) -> Current {
        let in_use = self.in_use();
        let new = match read(&self.0.settings) {
            Ok(texts) if texts == *in_use.texts => return in_use,
            Ok(texts) => Current::of(texts),
            Err(failure) => Err(failure),
        };
        match new {
            Ok(new) => {
                tracing::info!("the files of the schema registry's settings were read again");
                let mut current = self
                    .0
                    .current
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                *current = new.clone();
                new
            }
            Err(failure) => {
                tracing::warn!("{failure}; the schema registry is asked as before");
                in_use
            }
        }
    }
}

fn read(settings: &RegistrySettings) -> Result<Texts, Failure> {
    let text = |variable: &str, path: &Option<PathBuf>| match path {
        Some(path) => read_secret_file(variable, path).map(|text| Some(Secret::new(text))),
        None => Ok(None),
    };
    let certificate = text(
        "SCHEMA_REGISTRY_CERTIFICATE_FILE",
        &settings.schema_registry_certificate_file,
    )?;
    let key = text(
        "SCHEMA_REGISTRY_KEY_FILE",
        &settings.schema_registry_key_file,
    )?;
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            return Err(Failure::bad_setting(
                "SCHEMA_REGISTRY_CERTIFICATE_FILE needs SCHEMA_REGISTRY_KEY_FILE, the file of its \
                 private key",
            ));
        }
        (None, Some(_)) => {
            return Err(Failure::bad_setting(
                "SCHEMA_REGISTRY_KEY_FILE needs SCHEMA_REGISTRY_CERTIFICATE_FILE, the file of its \
                 certificate",
            ));
        }
    };
    Ok(Texts {
        authorization: authorization(settings)?,
        authorities: text("SCHEMA_REGISTRY_CA_FILE", &settings.schema_registry_ca_file)?,
        identity,
    })
}

fn authorization(settings: &RegistrySettings) -> Result<Option<Authorization>, Failure> {
    let password = either(
        &settings.schema_registry_password,
        "SCHEMA_REGISTRY_PASSWORD_FILE",
        settings.schema_registry_password_file.as_deref(),
    )?;
    let token = either(
        &settings.schema_registry_token,
        "SCHEMA_REGISTRY_TOKEN_FILE",
        settings.schema_registry_token_file.as_deref(),
    )?;
    match (&settings.schema_registry_username, password, token) {
        (None, None, None) => Ok(None),
        (Some(username), Some(password), None) if !username.contains(':') => {
            let source = "SCHEMA_REGISTRY_USERNAME and its password";
            let basic = Authorization::basic(username, password.reveal(), source);
            Ok(Some(basic))
        }
        (Some(_), Some(_), None) => Err(Failure::bad_setting(
            "SCHEMA_REGISTRY_USERNAME: a user has no colon; the password is \
             SCHEMA_REGISTRY_PASSWORD_FILE's",
        )),
        (None, None, Some(token)) => {
            bearer(token, settings.schema_registry_token.is_none()).map(Some)
        }
        (Some(_), None, None) => Err(Failure::bad_setting(
            "SCHEMA_REGISTRY_USERNAME needs SCHEMA_REGISTRY_PASSWORD_FILE (or \
             SCHEMA_REGISTRY_PASSWORD)",
        )),
        (None, Some(_), None) => Err(Failure::bad_setting(
            "a password of the schema registry needs SCHEMA_REGISTRY_USERNAME",
        )),
        (_, _, Some(_)) => Err(Failure::bad_setting(
            "the schema registry is asked with a token or with a user and password: set \
             SCHEMA_REGISTRY_TOKEN_FILE, or SCHEMA_REGISTRY_USERNAME and \
             SCHEMA_REGISTRY_PASSWORD_FILE",
        )),
    }
}

fn bearer(token: Secret, is_of_file: bool) -> Result<Authorization, Failure> {
    let source = if is_of_file {
        "SCHEMA_REGISTRY_TOKEN_FILE"
    } else {
        "SCHEMA_REGISTRY_TOKEN"
    };
    let trimmed = token.reveal().trim();
    if trimmed.is_empty() || !trimmed.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::bad_setting(format!(
            "{source}: write the bearer token alone, one word without quotes and without \"Bearer\""
        )));
    }
    Ok(Authorization::bearer(trimmed, source))
}

/// Returns the secret of a variable or of a file, without the line feed that editors add.
fn either(
    text: &Option<Secret>,
    variable: &str,
    path: Option<&Path>,
) -> Result<Option<Secret>, Failure> {
    match (text, path) {
        (Some(text), _) => Ok(Some(text.clone())),
        (None, Some(path)) => {
            let text = read_secret_file(variable, path)?;
            Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
        }
        (None, None) => Ok(None),
    }
}

fn client(texts: &Texts) -> Result<Client, Failure> {
    let mut builder = Client::builder()
        .timeout(TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT);
    if let Some(authorities) = &texts.authorities {
        let authorities = Certificate::from_pem_bundle(authorities.reveal().as_bytes());
        let authorities = authorities.unwrap_or_default();
        if authorities.is_empty() {
            return Err(Failure::bad_setting(
                "SCHEMA_REGISTRY_CA_FILE: it holds no certificate that can be read; write PEM \
                 (-----BEGIN CERTIFICATE-----)",
            ));
        }
        builder = builder.tls_certs_only(authorities);
    }
    if let Some((certificate, key)) = &texts.identity {
        builder = builder.identity(identity(certificate, key)?);
    }
    builder.build().map_err(|_| match texts.identity {
        Some(_) => Failure::bad_setting(
            "SCHEMA_REGISTRY_KEY_FILE: it is not the key of the first certificate of \
             SCHEMA_REGISTRY_CERTIFICATE_FILE",
        ),
        None => Failure::failed("the HTTP client of the schema registry cannot be made"),
    })
}

fn identity(certificate: &Secret, key: &Secret) -> Result<Identity, Failure> {
    // The TLS library takes only PKCS #8; other tools write PKCS #1 and SEC 1 as well.
    let pkcs8 = pkcs8(key.reveal()).ok_or_else(|| {
        Failure::bad_setting(
            "SCHEMA_REGISTRY_KEY_FILE: it holds no private key that can be read; write PEM without a \
             passphrase (openssl pkey -in KEY -out KEY.pem takes one away)",
        )
    })?;
    Identity::from_pkcs8_pem(certificate.reveal().as_bytes(), &pkcs8).map_err(|_| {
        Failure::bad_setting(
            "SCHEMA_REGISTRY_CERTIFICATE_FILE: it holds no certificate that can be read; write PEM \
             (-----BEGIN CERTIFICATE-----)",
        )
    })
}

fn pkcs8(key: &str) -> Option<Vec<u8>> {
    // Without this callback OpenSSL would ask for a passphrase on the terminal.
    let key = PKey::private_key_from_pem_callback(key.as_bytes(), |_| Ok(0)).ok()?;
    key.private_key_to_pem_pkcs8().ok()
}
