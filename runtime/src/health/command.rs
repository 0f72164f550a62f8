//! `health`: asks the service that runs in the same container or on the same machine, and says by the
//! exit code whether it is ready. An image without a shell and without curl has no other way.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use reqwest::StatusCode;
use reqwest::redirect::Policy;
use serde_json::Value;

use super::NOT_READY;
use crate::duration::human_duration;
use crate::lifecycle::Failure;
use crate::output;
use crate::settings::HttpSettings;

/// How long the service may take to answer. Shorter than the limit of whoever runs the command, so that
/// its sentence is the one that is seen.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Settings of `health` of a service that listens on `HTTP_ADDR`.
#[derive(Debug, Clone, Args)]
pub struct HealthSettings {
    /// Where the service listens.
    #[command(flatten)]
    pub http: HttpSettings,
    /// What it is asked.
    #[command(flatten)]
    pub question: HealthQuestion,
}

/// What `health` asks.
#[derive(Debug, Clone, Args)]
pub struct HealthQuestion {
    /// Ask /livez (does the process answer?) instead of /readyz (can it do its work?).
    #[arg(long)]
    pub live: bool,
}

impl HealthSettings {
    /// Asks the service, which listens on `default_port` unless `HTTP_ADDR` is set.
    ///
    /// # Errors
    /// As [`HealthQuestion::ask`].
    pub async fn run(self, default_port: u16) -> Result<(), Failure> {
        let address = self.http.address(default_port);
        self.question.ask(address, "HTTP_ADDR").await
    }
}

impl HealthQuestion {
    /// Asks the service that listens on `address`, which `variable` sets, and prints its answer.
    ///
    /// # Errors
    /// Exit code 1 when it does not answer, or answers that it is not ready, with its reasons.
    pub async fn ask(&self, address: SocketAddr, variable: &str) -> Result<(), Failure> {
        let (path, answer) = match self.live {
            true => ("/livez", "alive"),
            false => ("/readyz", "ready"),
        };
        let url = format!("http://{}{path}", reachable(address));
        // A proxy of the environment is for what is outside.
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| Failure::failed(format!("cannot create the HTTP client: {error}")))?;
        let no_answer = |error: reqwest::Error| {
            Failure::failed(format!(
                "{url} does not answer: {}; is the service running, and is {variable} the one that it \
                 was started with?",
                cause(&error)
            ))
        };
        let response = client.get(&url).send().await.map_err(no_answer)?;
        let status = response.status();
        let body = response.text().await.map_err(no_answer)?;
        match status.is_success() {
            true => output::print_line(answer),
            false => Err(Failure::failed(reason(status, &body))),
        }
    }
}

/// Returns the address under which this machine reaches a service that listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Returns why a request failed. The outer errors only say that sending has failed.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer in {}", human_duration(TIMEOUT));
    }
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Returns what an answer of `/readyz` says of the parts that are not ready.
fn reason(status: StatusCode, body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let Some(state) = body["status"].as_str() else {
        return format!("{status} is no answer of this service: another program listens there");
    };
    let parts = body["parts"].as_object().into_iter().flatten();
    let reasons: Vec<String> = parts
        .filter_map(|(name, text)| {
            let reason = text.as_str()?.strip_prefix(NOT_READY)?;
            Some(format!("{name}: {reason}"))
        })
        .collect();
    match reasons.is_empty() {
        true => state.to_owned(),
        false => format!("{state}: {}", reasons.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Health;

    #[test]
    fn a_service_that_listens_everywhere_is_asked_on_loopback() {
        for (listens, asked) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("192.0.2.1:9464", "192.0.2.1:9464"),
        ] {
            let address = reachable(listens.parse().unwrap());
            assert_eq!(address.to_string(), asked);
        }
    }

    #[test]
    fn an_answer_of_readyz_becomes_one_sentence() {
        let health = Health::new();
        let _kafka = health.part("kafka", "connecting");
        let _registry = health.part("registry", "no answer");
        health.ready_part("postgres");
        let said = |shutting_down| {
            let (status, body) = health.report(shutting_down);
            reason(status, &body.to_string())
        };
        assert_eq!(
            said(false),
            "not ready: kafka: connecting; registry: no answer"
        );
        assert!(said(true).starts_with("shutting down: kafka"));
        let of_another = reason(StatusCode::NOT_FOUND, "<html>");
        assert!(of_another.contains("404"), "{of_another}");
    }
}
