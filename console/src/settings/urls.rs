//! URLs in the settings of `console run`.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

/// The URL below which a service answers, without a slash at its end.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// Returns the URL itself.
    pub const fn url(&self) -> &Url {
        &self.0
    }

    /// Returns whether it has a user or a password, which is refused at the start.
    pub(super) fn has_credentials(&self) -> bool {
        has_credentials(&self.0)
    }

    /// Returns the URL with `segments` appended to its path, each escaped.
    pub fn join<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.0.clone();
        // Never fails: `from_str` accepts only http and https URLs, which have a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match has_credentials(&self.0) {
            true => f.write_str("(a URL with a user or password)"),
            false => write!(f, "{:?}", self.0.as_str()),
        }
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXAMPLE: &str = "write a URL such as http://127.0.0.1:54322";
        let url = Url::parse(text.trim()).map_err(|error| format!("{error}; {EXAMPLE}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(EXAMPLE.to_owned());
        }
        let is_refused_later = has_credentials(&url);
        if !is_refused_later && (url.query().is_some() || url.fragment().is_some()) {
            return Err(format!(
                "a query or fragment is not supported here; {EXAMPLE}"
            ));
        }
        Ok(Self(url))
    }
}

/// The URL of a trace in a viewer of traces, with a place for the id of the trace.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceUrl {
    template: String,
    /// The URL of some trace.
    example: Url,
}

impl TraceUrl {
    /// Stands where the id of the trace belongs.
    const PLACE: &str = "{trace_id}";

    /// Returns whether it has a user or a password, which is refused at the start.
    pub(super) fn has_credentials(&self) -> bool {
        has_credentials(&self.example)
    }

    /// Returns the URL with `{trace_id}` in it.
    pub fn template(&self) -> &str {
        &self.template
    }
}

impl fmt::Debug for TraceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match has_credentials(&self.example) {
            true => f.write_str("(a URL with a user or password)"),
            false => write!(f, "{:?}", self.template),
        }
    }
}

impl FromStr for TraceUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ADVICE: &str = "write a URL such as https://jaeger.example.com/trace/{trace_id}";
        const SOME_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
        let template = text.trim().to_owned();
        let example = template.replace(Self::PLACE, SOME_TRACE);
        let example = Url::parse(&example).map_err(|error| format!("{error}; {ADVICE}"))?;
        if !matches!(example.scheme(), "http" | "https") || !example.has_host() {
            return Err(ADVICE.to_owned());
        }
        let is_refused_later = has_credentials(&example);
        let behind_the_host = [Some(example.path()), example.query(), example.fragment()];
        let has_place = behind_the_host
            .into_iter()
            .flatten()
            .any(|part| part.contains(SOME_TRACE));
        if !is_refused_later && !has_place {
            return Err(format!("{{trace_id}} is missing behind the host; {ADVICE}"));
        }
        Ok(Self { template, example })
    }
}

/// Returns whether a URL has a user or a password. The settings' own check refuses such a URL, because
/// the error of the flag parser would show the password.
fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_has_a_url_with_a_place_for_its_id() {
        for right in [
            "https://jaeger.example.com/trace/{trace_id}",
            "http://localhost:3200/explore?trace={trace_id}&pane=1",
            "https://traces.example.com/#/{trace_id}",
        ] {
            let url: TraceUrl = right.parse().unwrap();
            assert_eq!(url.template(), right);
        }
        for wrong in [
            "",
            "https://jaeger.example.com/trace/",
            "https://{trace_id}.example.com/",
            "javascript:alert('{trace_id}')",
            "ftp://host/{trace_id}",
            "jaeger/{trace_id}",
        ] {
            let message = wrong.parse::<TraceUrl>().unwrap_err();
            assert!(message.contains("/trace/{trace_id}"), "{wrong}: {message}");
        }
    }
}
