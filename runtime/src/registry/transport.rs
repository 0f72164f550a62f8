//! Sends every request to the registry: authenticates it, limits its time and the size of its answer,
//! and tries the next address if one does not answer.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::access::{Access, Current, TIMEOUT};
use super::address::{Address, Resource};
use super::client::RegistryError;
use super::settings::RegistrySettings;
use super::{answer, shortened};
use crate::duration::human_duration;
use crate::lifecycle::Failure;

/// The media type of Confluent's API, which other registries understand too.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// The longest answer that is read, in bytes: far more than the longest schema with its escapes.
const MAX_ANSWER: usize = 8 << 20;

/// A connection to one registry, which has one address or several.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    addresses: Arc<[Address]>,
    access: Access,
    /// The index of the address that answered last. It is asked first.
    answered: Arc<AtomicUsize>,
}

/// A request to the registry.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) resource: Resource,
    pub(super) body: Option<Value>,
    /// The subject of the request in error messages, such as "schema 7".
    pub(super) what: &'a str,
    /// Whether the registry may lack this route: then a 404 in JSON is final.
    pub(super) is_optional: bool,
}

impl<'a> Request<'a> {
    pub(super) const fn get(resource: Resource, what: &'a str) -> Self {
        Self {
            method: Method::GET,
            resource,
            body: None,
            what,
            is_optional: false,
        }
    }
}

/// Parses an answer as JSON.
///
/// # Errors
/// Returns the parser's message, for an answer that is a proxy's page.
pub(super) fn json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl Transport {
    /// Checks the settings, without connecting.
    ///
    /// # Errors
    /// Exit code 2 for settings that contradict each other and files that cannot be used.
    pub(super) fn of(urls: &str, settings: &RegistrySettings) -> Result<Self, Failure> {
        let addresses = Address::list(urls).map_err(|how| bad(&format!(": {how}")))?;
        let access = Access::of(settings)?;
        let has_user = addresses
            .iter()
            .any(|address| address.authorization.is_some());
        if has_user && let Some(other) = access.in_use().authorization() {
            return Err(bad(&format!(
                " holds a user, and {} is set too: write the URL without the user",
                other.source
            )));
        }
        let tls = settings.others().into_iter().find(|name| {
            ["_CA_FILE", "_CERTIFICATE_FILE"]
                .iter()
                .any(|end| name.ends_with(end))
        });
        if let Some(name) = tls
            && !addresses.iter().any(Address::is_encrypted)
        {
            return Err(bad(&format!(
                ": {name} is for TLS: write https://host:port"
            )));
        }
        Ok(Self {
            addresses: addresses.into(),
            access,
            answered: Arc::default(),
        })
    }

    /// Returns the address that answered last, or the first one if none has answered yet.
    pub(super) fn answered(&self) -> &Address {
        &self.addresses[self.answered.load(Ordering::Relaxed)]
    }

    /// Returns a transport for each address alone.
    pub(super) fn each(&self) -> impl Iterator<Item = Self> {
        self.addresses.iter().map(|address| Self {
            addresses: [address.clone()].into(),
            access: self.access.clone(),
            answered: Arc::default(),
        })
    }

    /// Sends the request to one address after the other until an answer is final, and returns what
    /// `read` makes of it. See [`answer::refusal`] for the answers that are final.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub(super) async fn send<T>(
        &self,
        request: &Request<'_>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, RegistryError> {
        let current = self.access.current().await;
        let first = self.answered.load(Ordering::Relaxed);
        let mut faults = Vec::new();
        for nth in 0..self.addresses.len() {
            let at = (first + nth) % self.addresses.len();
            let address = &self.addresses[at];
            match ask(&current, address, request, &read).await {
                Err(RegistryError::Unavailable(why)) => faults.push(format!("{address}: {why}")),
                answer => {
                    self.answered.store(at, Ordering::Relaxed);
                    return answer;
                }
            }
        }
        Err(RegistryError::Unavailable(format!(
            "{}: {}",
            request.what,
            faults.join("; ")
        )))
    }
}

fn bad(what: &str) -> Failure {
    Failure::bad_setting(format!("SCHEMA_REGISTRY_URL{what}"))
}

async fn ask<T>(
    current: &Current,
    address: &Address,
    request: &Request<'_>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, RegistryError> {
    let authorization = address.authorization.as_ref().or(current.authorization());
    let said = |why: &str| match authorization {
        Some(authorization) => shortened(&authorization.redacted(why)),
        None => shortened(why),
    };
    let may_lack_certificate = address.is_encrypted() && !current.has_certificate();
    let unavailable =
        |error| RegistryError::Unavailable(said(&cause(&error, may_lack_certificate)));
    let url = address.url(&request.resource);
    let url = url.map_err(|why| RegistryError::Unsupported(format!("{}: {why}", request.what)))?;
    let mut asked = current
        .client
        .request(request.method.clone(), url)
        .header(ACCEPT, MEDIA_TYPE);
    if let Some(authorization) = authorization {
        asked = authorization.sign(asked);
    }
    if let Some(body) = &request.body {
        asked = asked
            .header(CONTENT_TYPE, MEDIA_TYPE)
            .body(body.to_string());
    }
    let mut answer = asked.send().await.map_err(unavailable)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(unavailable)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            let why = format!("{}: its answer is longer than 8 MiB", request.what);
            return Err(RegistryError::Unsupported(why));
        }
        body.extend_from_slice(&chunk);
    }
    if answer.status().is_success() {
        return read(&String::from_utf8_lossy(&body)).map_err(|why| {
            RegistryError::Unavailable(said(&format!(
                "the answer is not that of a schema registry ({why})"
            )))
        });
    }
    Err(
        match answer::refusal(answer.status(), &body, request.is_optional) {
            answer::AnswerRefusal::Final(why) => {
                RegistryError::NotFound(format!("{}: {}", request.what, said(&why)))
            }
            answer::AnswerRefusal::Passing(why) => {
                let advice = answer::advice(answer.status(), authorization);
                RegistryError::Unavailable(said(&format!("{why}{advice}")))
            }
        },
    )
}

/// Returns why a request failed and what to do about it. Takes the cause from the innermost error,
/// because the outer ones only say that sending has failed.
fn cause(error: &reqwest::Error, may_lack_certificate: bool) -> String {
    if error.is_timeout() {
        return format!("no answer in {}", human_duration(TIMEOUT));
    }
    let mut texts = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        texts.push(cause.to_string());
        source = cause.source();
    }
    let explained = explained(&texts);
    // The server's alert that asks for a certificate can be lost when the server closes the connection.
    let is_closed = ["reset by peer", "closed", "eof"]
        .iter()
        .any(|word| explained.contains(word));
    if may_lack_certificate && is_closed {
        return format!("{explained}: {CERTIFICATE}");
    }
    explained
}

const CERTIFICATE: &str = "if it asks for a client certificate, set SCHEMA_REGISTRY_CERTIFICATE_FILE and \
                           SCHEMA_REGISTRY_KEY_FILE";

/// Words of OpenSSL's messages, and the setting that each points to.
const TLS: &[(&str, &str)] = &[
    (
        "mismatch",
        "its certificate is another host's: write the host in SCHEMA_REGISTRY_URL as the certificate \
         has it",
    ),
    ("has expired", "its certificate has expired"),
    (
        "certificate verify failed",
        "its certificate is signed by no authority that is trusted here: set SCHEMA_REGISTRY_CA_FILE \
         to the authority's certificate",
    ),
    (
        "certificate required",
        "it asks for a client certificate: set SCHEMA_REGISTRY_CERTIFICATE_FILE and \
         SCHEMA_REGISTRY_KEY_FILE",
    ),
    (
        "alert",
        "it refuses the TLS connection; check SCHEMA_REGISTRY_CERTIFICATE_FILE, if it asks for \
         client certificates",
    ),
    (
        "wrong version number",
        "it does not speak TLS: write http://",
    ),
];

fn explained(texts: &[String]) -> String {
    let innermost = texts.last().map_or("no answer", String::as_str);
    let is_tls = |text: &&String| text.contains("SSL routines") || text.contains("certificate");
    // The outermost of these errors ends with the reason why the certificate is not trusted.
    let Some(tls) = texts.iter().find(is_tls) else {
        return innermost.to_owned();
    };
    let meaning = TLS.iter().find(|(word, _)| tls.contains(word));
    let said = tls.rsplit("SSL routines:").next().unwrap_or(tls);
    match meaning {
        Some((_, meaning)) => format!("{meaning} ({said})"),
        None => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_tls_says_what_to_set() {
        let explained =
            |text: &str| explained(&["client error (Connect)".to_owned(), text.to_owned()]);
        let verify = |verdict: &str| {
            explained(&format!(
                "error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify \
                 failed:../ssl/statem/statem_clnt.c:1890: ({verdict})"
            ))
        };
        let said = verify("unable to get local issuer certificate");
        assert!(
            said.contains("SCHEMA_REGISTRY_CA_FILE") && said.contains("local issuer"),
            "{said}"
        );
        assert!(verify("IP address mismatch").contains("another host's"));
        assert!(verify("certificate has expired").starts_with("its certificate has expired"));
        let said = explained(
            "error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:../ssl.c:1",
        );
        assert!(said.contains("SCHEMA_REGISTRY_CERTIFICATE_FILE"), "{said}");
        let said =
            explained("error:0A00010B:SSL routines:ssl3_get_record:wrong version number:a.c:1");
        assert!(said.contains("http://"), "{said}");
        assert_eq!(
            explained("Connection refused (os error 111)"),
            "Connection refused (os error 111)"
        );
    }
}
