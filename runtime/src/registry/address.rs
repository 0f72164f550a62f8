//! `SCHEMA_REGISTRY_URL`: a list of addresses, each with or without a user and a password.

use std::fmt;

use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::access::Authorization;

/// Where an address's user and password are written.
const SOURCE: &str = "the user and password of SCHEMA_REGISTRY_URL";

const HOW: &str = "write http://host:port or https://host:port (and the path, if it has one), \
                   several of them with commas between";

const HOW_WITH_USER: &str = "write http://user:password@host:port, and in the user and password %2F \
                             for /, %3F for ?, %23 for #, %40 for @, %25 for % and %2C for a \
                             comma; or set SCHEMA_REGISTRY_USERNAME and \
                             SCHEMA_REGISTRY_PASSWORD_FILE, where nothing is encoded";

/// Where Apicurio has Confluent's API, which is what the registry's URL names.
const CONFLUENT_API: &str = "/apis/ccompat";

/// Apicurio's own API of version 2, which its versions 2 and 3 have. Confluent's API there knows only one
/// kind of id; a setting of the server says which one.
const APICURIO_API: &str = "/apis/registry/v2";

const NO_APICURIO: &str = "it is one of Apicurio's, and SCHEMA_REGISTRY_URL is of another registry: set \
                           it to that of Apicurio, such as http://registry:8080/apis/ccompat/v7, or \
                           have the writer use Confluent's ids \
                           (apicurio.registry.headers.enabled=false, \
                           apicurio.registry.as-confluent=true, apicurio.registry.use-id=contentId)";

/// The part of a request's URL that is the same at every address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    is_of_apicurio: bool,
    /// Its segments, not encoded.
    path: Vec<String>,
    query: Option<&'static str>,
}

impl Resource {
    /// Returns a resource of Confluent's API.
    pub(super) fn confluent<'a>(path: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            is_of_apicurio: false,
            path: path.into_iter().map(str::to_owned).collect(),
            query: None,
        }
    }

    /// Returns a resource of Apicurio's own API.
    pub(super) fn apicurio<'a>(path: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            is_of_apicurio: true,
            ..Self::confluent(path)
        }
    }

    /// Adds a query.
    pub(super) fn with_query(self, query: &'static str) -> Self {
        Self {
            query: Some(query),
            ..self
        }
    }
}

/// One registry.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// Without the user.
    base: Url,
    /// The URL's user and password.
    pub(super) authorization: Option<Authorization>,
}

/// Shows the URL without the user and the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.as_str().trim_end_matches('/'))
    }
}

impl Address {
    /// Parses a comma-separated list of at least one address.
    ///
    /// # Errors
    /// Returns what to write instead. It repeats no part of the text, which may hold a password.
    pub(super) fn list(text: &str) -> Result<Vec<Self>, &'static str> {
        let texts = text
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty());
        let addresses: Option<Vec<_>> = texts.map(Self::parse).collect();
        match addresses {
            Some(addresses) if !addresses.is_empty() => Ok(addresses),
            // This includes a password with a comma, at which the text was split.
            _ if text.contains('@') => Err(HOW_WITH_USER),
            _ => Err(HOW),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        if !matches!(scheme, "http" | "https") {
            return None;
        }
        // By the standard the first slash ends the user. A person who pasted a password with a slash
        // meant the last @.
        let (authorization, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(authorization(user)?), rest),
            None => (None, rest),
        };
        let base = Url::parse(&format!("{scheme}://{rest}")).ok()?;
        let is_plain = base.has_host() && base.query().is_none() && base.fragment().is_none();
        is_plain.then_some(Self {
            base,
            authorization,
        })
    }

    /// Returns the URL of a resource.
    ///
    /// # Errors
    /// Returns what to do if the resource is one of Apicurio's and this is another registry.
    pub(super) fn url(&self, resource: &Resource) -> Result<Url, String> {
        let mut url = self.base.clone();
        if resource.is_of_apicurio {
            let path = url.path();
            let above = path.find(CONFLUENT_API).ok_or(NO_APICURIO)?;
            let path = format!("{}{APICURIO_API}", &path[..above]);
            url.set_path(&path);
        }
        // http and https always have segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(&resource.path);
        }
        url.set_query(resource.query);
        Ok(url)
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.base.scheme() == "https"
    }
}

fn authorization(user: &str) -> Option<Authorization> {
    let (username, password) = user.split_once(':').unwrap_or((user, ""));
    Some(Authorization::basic(
        &decoded(username)?,
        &decoded(password)?,
        SOURCE,
    ))
}

/// Decodes percent-encoded text. Characters that have to be encoded are refused, because a guess may be
/// another password.
fn decoded(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(at) = rest.find(['/', '?', '#', '@', '%']) {
        let is_encoded = rest
            .get(at..at + 3)
            .and_then(|escape| escape.strip_prefix('%'))
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if !is_encoded {
            return None;
        }
        rest = &rest[at + 3..];
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn has_user(text: &str, username: &str, password: &str) {
        let addresses = Address::list(text).unwrap();
        let expected = Authorization::basic(username, password, SOURCE);
        assert_eq!(addresses[0].authorization, Some(expected), "{text}");
    }

    #[test]
    fn a_list_has_one_address_or_several() {
        let shown = |text: &str| {
            let addresses = Address::list(text).unwrap();
            addresses.iter().map(Address::to_string).collect::<Vec<_>>()
        };
        assert_eq!(shown("http://a:8081/"), ["http://a:8081"]);
        assert_eq!(
            shown("http://a:8081, https://b/apis/ccompat/v7/,"),
            ["http://a:8081", "https://b/apis/ccompat/v7"]
        );
        assert_eq!(shown("http://[::1]:8081"), ["http://[::1]:8081"]);
        for wrong in [
            "",
            ",",
            "a:8081",
            "http://a,b:8081",
            "ftp://a",
            "http://",
            "http://a?b=c",
        ] {
            assert_eq!(Address::list(wrong).unwrap_err(), HOW, "{wrong}");
        }
    }

    fn url(address: &str, resource: &Resource) -> Result<String, String> {
        let addresses = Address::list(address).unwrap();
        addresses[0].url(resource).map(String::from)
    }

    #[test]
    fn segments_are_encoded_below_the_path() {
        let subject = Resource::confluent(["subjects", "a/b c%d"]);
        for (address, expected) in [
            ("http://a", "http://a/subjects/a%2Fb%20c%25d"),
            (
                "http://a/apis/ccompat/v7/",
                "http://a/apis/ccompat/v7/subjects/a%2Fb%20c%25d",
            ),
        ] {
            assert_eq!(url(address, &subject).unwrap(), expected);
        }
    }

    #[test]
    fn apicurios_own_api_is_beside_confluents() {
        let id = Resource::apicurio(["ids", "globalIds", "7"]).with_query("dereference=true");
        assert_eq!(
            url("https://r/behind/apis/ccompat/v7", &id).unwrap(),
            "https://r/behind/apis/registry/v2/ids/globalIds/7?dereference=true"
        );
        let why = url("http://r:8081", &id).unwrap_err();
        assert!(
            why.contains("http://registry:8080/apis/ccompat/v7"),
            "{why}"
        );
    }

    #[test]
    fn a_secret_of_any_characters_is_written_percent_encoded() {
        has_user("https://me:a%2Fb%2B%40%25%2C@host", "me", "a/b+@%,");
        // What a URL may hold as it is.
        has_user("https://me:a+b:c=d!@host", "me", "a+b:c=d!");
        has_user("https://key@host", "key", "");
        let addresses = Address::list("https://me:hunter2@host:8081/x").unwrap();
        assert_eq!(addresses[0].to_string(), "https://host:8081/x");
        assert!(!format!("{addresses:?}").contains("hunter2"));
        let url = addresses[0].url(&Resource::confluent(["y"])).unwrap();
        assert_eq!(url.as_str(), "https://host:8081/x/y");
    }

    #[test]
    fn a_raw_secret_is_refused_with_what_to_write() {
        for raw in [
            "a/b", "a@b", "a%b", "a%", "a%2", "a#b", "a?b", "%ff", "/", "a%é",
        ] {
            let text = format!("https://me:{raw}@host:8081");
            assert_eq!(Address::list(&text).unwrap_err(), HOW_WITH_USER, "{raw}");
        }
        // A comma ends a URL.
        let comma = Address::list("https://me:a,b@host");
        assert_eq!(comma.unwrap_err(), HOW_WITH_USER);
    }
}
