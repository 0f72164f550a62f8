//! One instance of a service: fetches its readiness and its metrics.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HOST;
use reqwest::{Client, Url};
use runtime::duration::human_duration;
use tokio::time::{Instant, timeout_at};

use super::metric::Service;
use super::readiness::Status;
use super::sample::{self, Details, Reading, Report};
use crate::settings::BaseUrl;

/// How long an instance may take to answer. Rounds begin each second and do not overlap.
pub(super) const TIMEOUT: Duration = Duration::from_millis(900);

/// Bounds the bytes of one answer. A producer with many routes and clients has about 100 KB of metrics.
const MAX_BODY: usize = 1024 * 1024;

/// One instance: a base URL, or one address of its host.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    service: Service,
    url: BaseUrl,
    /// `None` if the client chooses among the addresses of the host.
    ip: Option<IpAddr>,
    /// Host and port, as they are shown.
    address: Arc<str>,
}

/// Why an instance gave no usable answer.
#[derive(Debug)]
struct Unanswered {
    why: String,
    is_running: bool,
}

impl Instance {
    /// Returns the instance at a base URL, or at the address `ip` of its host.
    pub(super) fn new(service: Service, url: BaseUrl, ip: Option<IpAddr>) -> Self {
        let address = shown(&url, ip);
        Self {
            service,
            url,
            ip,
            address,
        }
    }

    /// Returns host and port, as they are shown.
    #[cfg(test)]
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Returns the report of an instance that cannot be asked.
    pub(super) fn unreachable(self, why: String) -> Report {
        Report {
            service: self.service,
            address: self.address,
            status: Status::unreachable(why),
            details: Details::default(),
            reading: Reading::Missing,
        }
    }

    /// Fetches readiness and metrics concurrently, until `deadline`.
    pub(super) async fn ask(self, client: &Client, deadline: Instant) -> Report {
        let (readyz, metrics) = tokio::join!(
            self.get(client, "readyz", deadline),
            self.get(client, "metrics", deadline),
        );
        let is_running = !matches!(
            &metrics,
            Err(Unanswered {
                is_running: false,
                ..
            })
        );
        let status = match readyz {
            Ok((code, body)) => Status::read(code, &body).unwrap_or_else(Status::unreachable),
            Err(Unanswered { why, .. }) => Status::unreachable(why),
        };
        let read = match metrics {
            Ok((200, text)) => sample::read(self.service, &text),
            Ok((code, _)) => Err(format!("/metrics answers HTTP status {code}")),
            Err(Unanswered { why, .. }) => Err(format!("/metrics: {why}")),
        };
        let (status, details, reading) = match read {
            Ok((numbers, details)) => (status, details, Reading::Numbers(Box::new(numbers))),
            Err(why) => (
                status.without_numbers(why),
                Details::default(),
                if is_running {
                    Reading::Missing
                } else {
                    Reading::NotRunning
                },
            ),
        };
        Report {
            service: self.service,
            address: self.address,
            status,
            details,
            reading,
        }
    }

    /// Returns the HTTP status and the body.
    async fn get(
        &self,
        client: &Client,
        resource: &str,
        deadline: Instant,
    ) -> Result<(u16, String), Unanswered> {
        match timeout_at(deadline, self.fetch(client, resource)).await {
            Ok(answer) => answer,
            Err(_) => Err(Unanswered::running(format!(
                "no answer within {}",
                human_duration(TIMEOUT)
            ))),
        }
    }

    async fn fetch(&self, client: &Client, resource: &str) -> Result<(u16, String), Unanswered> {
        let (url, host) = self.url_of(resource);
        let mut request = client.get(url);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let mut answer = request.send().await.map_err(Unanswered::from)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(Unanswered::from)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(Unanswered::running("its answer is longer than 1 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        Ok((answer.status().as_u16(), text))
    }

    /// Returns the URL to fetch, and the host name for the `Host` header if the URL has an IP address
    /// instead.
    fn url_of(&self, resource: &str) -> (Url, Option<String>) {
        let mut url = self.url.join([resource]);
        let name = shown(&self.url, None).to_string();
        match self.ip {
            Some(ip) if url.set_ip_host(ip).is_ok() => (url, Some(name)),
            _ => (url, None),
        }
    }
}

impl Unanswered {
    fn running(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            is_running: true,
        }
    }
}

impl From<reqwest::Error> for Unanswered {
    /// Takes the innermost error, because the outer ones only say that sending has failed.
    fn from(error: reqwest::Error) -> Self {
        let mut innermost: &(dyn Error + 'static) = &error;
        loop {
            let kind = innermost.downcast_ref::<io::Error>().map(io::Error::kind);
            if kind == Some(io::ErrorKind::ConnectionRefused) {
                return Self {
                    why: "connection refused".to_owned(),
                    is_running: false,
                };
            }
            match innermost.source() {
                Some(source) => innermost = source,
                None => break,
            }
        }
        // The innermost error has no URL in its text; pages show the address beside the sentence.
        Self::running(innermost.to_string())
    }
}

/// Returns host and port as they are shown.
fn shown(url: &BaseUrl, ip: Option<IpAddr>) -> Arc<str> {
    let url = url.url();
    let port = url.port_or_known_default().unwrap_or(80);
    match ip {
        Some(ip) => SocketAddr::new(ip, port).to_string().into(),
        None => format!("{}:{port}", url.host_str().unwrap_or_default()).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::super::examples::{PROCESSOR, READY};
    use super::super::metric::Counter;
    use super::super::target::{Scraper, Targets};
    use super::*;
    use crate::flow::State;

    fn processors(urls: &[String]) -> Targets {
        Targets {
            processor: urls.iter().map(|url| url.parse().unwrap()).collect(),
            ..Targets::default()
        }
    }

    fn client() -> Client {
        Client::builder().no_proxy().build().unwrap()
    }

    async fn scrape(urls: &[String]) -> Vec<Report> {
        Scraper::new(client(), &processors(urls)).scrape().await
    }

    /// Serves `router` for as long as the test runs, and returns its URL.
    async fn serve(router: Router) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn answering(code: StatusCode, readyz: &'static str, metrics: &'static str) -> Router {
        Router::new()
            .route("/readyz", get(move || async move { (code, readyz) }))
            .route("/metrics", get(move || async move { metrics }))
    }

    fn only(reports: &[Report]) -> &Report {
        assert_eq!(reports.len(), 1);
        &reports[0]
    }

    #[tokio::test]
    async fn an_instance_that_answers_has_a_status_and_numbers() {
        let url = serve(answering(StatusCode::OK, READY, PROCESSOR)).await;
        let reports = scrape(std::slice::from_ref(&url)).await;
        let report = only(&reports);
        assert_eq!(format!("http://{}", report.address), url);
        assert_eq!(report.status.state, State::Ready);
        assert_eq!(report.status.parts.len(), 3);
        let Reading::Numbers(numbers) = &report.reading else {
            panic!("{:?}", report.reading);
        };
        assert_eq!(numbers.counter(Counter::Vouchers), 553);
    }

    #[tokio::test]
    async fn an_instance_that_is_not_ready_says_why_and_has_numbers() {
        let readyz = r#"{"parts":{"task-0":"not ready: joining the group"},"status":"not ready"}"#;
        let router = answering(StatusCode::SERVICE_UNAVAILABLE, readyz, PROCESSOR);
        let reports = scrape(&[serve(router).await]).await;
        let report = only(&reports);
        assert_eq!(report.status.state, State::NotReady);
        assert!(matches!(report.reading, Reading::Numbers(_)));
    }

    #[tokio::test]
    async fn an_instance_that_does_not_listen_is_not_running() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", free.local_addr().unwrap());
        drop(free);
        let reports = scrape(&[url]).await;
        let report = only(&reports);
        assert_eq!(report.status.state, State::Unreachable);
        let sentence = report.status.sentence.as_deref();
        assert_eq!(sentence, Some("connection refused"));
        assert!(matches!(report.reading, Reading::NotRunning));
    }

    #[tokio::test]
    async fn an_instance_that_accepts_and_says_nothing_is_unreachable_and_delays_no_other() {
        // The kernel accepts connections for a listener that nobody reads.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let urls = [
            format!("http://{}", silent.local_addr().unwrap()),
            serve(answering(StatusCode::OK, READY, PROCESSOR)).await,
        ];
        let reports = scrape(&urls).await;
        assert_eq!(reports[0].status.state, State::Unreachable);
        let sentence = reports[0].status.sentence.as_deref();
        assert_eq!(sentence, Some("no answer within 900 ms"));
        assert!(matches!(reports[0].reading, Reading::Missing));
        assert_eq!(reports[1].status.state, State::Ready);
    }

    #[tokio::test]
    async fn an_address_that_is_no_service_is_unreachable_with_its_http_status() {
        let reports = scrape(&[serve(Router::new()).await]).await;
        let report = only(&reports);
        assert_eq!(report.status.state, State::Unreachable);
        let sentence = report.status.sentence.as_deref();
        assert_eq!(sentence, Some("/readyz answers HTTP status 404"));
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_or_anothers_leaves_the_instance_without_numbers() {
        let long = "#".repeat(MAX_BODY + 1);
        let router = Router::new()
            .route("/readyz", get(|| async { READY }))
            .route("/metrics", get(move || async move { long }));
        let sink = "checkout_sink_rows_total{outcome=\"inserted\"} 1\n";
        let urls = [
            serve(router).await,
            serve(answering(StatusCode::OK, READY, sink)).await,
        ];
        let reports = scrape(&urls).await;
        for (report, why) in reports
            .iter()
            .zip(["longer than 1 MiB", "metrics of a sink"])
        {
            assert_eq!(report.status.state, State::Degraded);
            let sentence = report.status.sentence.as_deref().unwrap_or_default();
            assert!(sentence.contains(why), "{sentence}");
            assert!(matches!(report.reading, Reading::Missing));
        }
    }

    #[tokio::test]
    async fn a_url_below_a_path_and_a_host_by_address_are_asked_under_their_names() {
        async fn metrics(headers: axum::http::HeaderMap) -> String {
            let host = headers.get(HOST).and_then(|host| host.to_str().ok());
            let is_right = host.is_some_and(|host| host.starts_with("processors.example:"));
            format!("checkout_processor_fenced_total {}\n", u8::from(is_right))
        }
        let router = Router::new()
            .route("/below/readyz", get(|| async { READY }))
            .route("/below/metrics", get(metrics));
        let served: Url = serve(router).await.parse().unwrap();
        let port = served.port().unwrap();
        let url = format!("http://processors.example:{port}/below");
        let ip = Some([127, 0, 0, 1].into());
        let instance = Instance::new(Service::Processor, url.parse().unwrap(), ip);
        let report = instance.ask(&client(), Instant::now() + TIMEOUT).await;
        let Reading::Numbers(numbers) = &report.reading else {
            panic!("{:?}", report.status);
        };
        assert_eq!(numbers.counter(Counter::Fenced), 1);
    }
}
