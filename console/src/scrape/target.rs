//! Finds the instances of the services.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use reqwest::Client;
use runtime::duration::human_duration;
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

use super::instance::{Instance, TIMEOUT};
use super::metric::Service;
use super::sample::Report;
use crate::settings::{BaseUrl, InstanceSettings};

/// How long the addresses of a host name are used before it is looked up again. A new instance is found
/// at most this much later.
const LOOKUP_PERIOD: Duration = Duration::from_secs(10);

/// Bounds the instances that are scraped, and so the memory of the last minute. Beyond it an instance
/// is left out, and the log says so.
pub(super) const MAX_INSTANCES: usize = 64;

/// The base URLs of the instances of each service.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// The ingress and its relay.
    pub producer: Vec<BaseUrl>,
    /// The processor.
    pub processor: Vec<BaseUrl>,
    /// The sink.
    pub sink: Vec<BaseUrl>,
}

impl From<&InstanceSettings> for Targets {
    fn from(settings: &InstanceSettings) -> Self {
        Self {
            producer: settings.console_producer_urls.clone(),
            processor: settings.console_processor_urls.clone(),
            sink: settings.console_sink_urls.clone(),
        }
    }
}

impl Targets {
    fn of(&self, service: Service) -> &[BaseUrl] {
        match service {
            Service::Producer => &self.producer,
            Service::Processor => &self.processor,
            Service::Sink => &self.sink,
        }
    }

    /// Returns the services that have a URL.
    pub(crate) fn services(&self) -> Vec<Service> {
        let has_url = |service: &Service| !self.of(*service).is_empty();
        Service::ALL.into_iter().filter(has_url).collect()
    }
}

/// Scrapes all instances, round by round.
#[derive(Debug)]
pub(super) struct Scraper {
    client: Client,
    hosts: Vec<Host>,
    /// Whether the log already says that instances are left out.
    said_too_many: bool,
}

/// A base URL, and the addresses of its host when they were looked up last.
#[derive(Debug)]
struct Host {
    service: Service,
    url: BaseUrl,
    addresses: Vec<SocketAddr>,
    looked_up: Option<Instant>,
    /// Why the last lookup failed.
    failure: Option<String>,
}

impl Scraper {
    /// Scrapes nothing yet.
    pub(super) fn new(client: Client, targets: &Targets) -> Self {
        let hosts = Service::ALL.into_iter().flat_map(|service| {
            let urls = targets.of(service).iter();
            urls.map(move |url| Host {
                service,
                url: url.clone(),
                addresses: Vec::new(),
                looked_up: None,
                failure: None,
            })
        });
        Self {
            client,
            hosts: hosts.collect(),
            said_too_many: false,
        }
    }

    /// Scrapes all instances concurrently. Returns a report of each after at most [`TIMEOUT`].
    pub(super) async fn scrape(&mut self) -> Vec<Report> {
        let deadline = Instant::now() + TIMEOUT;
        let found = join_all(self.hosts.iter_mut().map(|host| host.instances(deadline))).await;
        let (mut instances, mut reports) = (Vec::new(), Vec::new());
        for found in found {
            match found {
                Ok(found) => instances.extend(found),
                Err(report) => reports.push(*report),
            }
        }
        if instances.len() > MAX_INSTANCES {
            if !std::mem::replace(&mut self.said_too_many, true) {
                tracing::warn!(
                    instances = instances.len(),
                    "the console shows {MAX_INSTANCES} instances at most; the others are left out"
                );
            }
            instances.truncate(MAX_INSTANCES);
        }
        let asked = instances
            .into_iter()
            .map(|instance| instance.ask(&self.client, deadline));
        reports.extend(join_all(asked).await);
        reports
    }
}

impl Host {
    /// Returns the instances at this host, or why there are none.
    async fn instances(&mut self, deadline: Instant) -> Result<Vec<Instance>, Box<Report>> {
        let Some(name) = self.name_to_look_up() else {
            return Ok(vec![self.instance(None)]);
        };
        let is_due = self
            .looked_up
            .is_none_or(|at| at.elapsed() >= LOOKUP_PERIOD);
        if is_due {
            // Also after a failure: the next round must not begin with another lookup that hangs.
            self.looked_up = Some(Instant::now());
            let port = self.url.url().port_or_known_default().unwrap_or(80);
            let looked_up = timeout_at(deadline, lookup_host((name.as_str(), port))).await;
            self.failure = match looked_up {
                Ok(Ok(addresses)) => {
                    self.addresses = of_one_family(addresses);
                    None
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {}", human_duration(TIMEOUT))),
            };
        }
        // After a failed lookup the earlier addresses are used: scraping them shows which instances are
        // reachable.
        match &*self.addresses {
            [] => {
                let why = self.failure.as_deref().unwrap_or("it has no address");
                let sentence = format!("cannot look up the host {name}: {why}");
                Err(Box::new(self.instance(None).unreachable(sentence)))
            }
            // The client looks the host up itself, and pages show the name, which says more than the
            // address.
            [_] => Ok(vec![self.instance(None)]),
            several => Ok(several
                .iter()
                .map(|address| self.instance(Some(address.ip())))
                .collect()),
        }
    }

    /// Returns the host's name if each of its addresses may be an instance. Not with https, which needs
    /// the name in the certificate, and not for localhost, whose addresses are one host.
    fn name_to_look_up(&self) -> Option<String> {
        let url = self.url.url();
        let name = url.domain().filter(|_| url.scheme() == "http")?;
        let is_local = name == "localhost" || name.ends_with(".localhost");
        (!is_local).then(|| name.to_owned())
    }

    fn instance(&self, ip: Option<IpAddr>) -> Instance {
        Instance::new(self.service, self.url.clone(), ip)
    }
}

/// Drops the IPv6 addresses of a host that also has IPv4 addresses, because an instance with both would
/// count twice.
fn of_one_family(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut all: Vec<_> = addresses.collect();
    if all.iter().any(SocketAddr::is_ipv4) {
        all.retain(SocketAddr::is_ipv4);
    }
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_both_families_is_counted_once() {
        let parse = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let both = parse(&["[::1]:80", "10.0.0.2:80", "10.0.0.1:80", "10.0.0.1:80"]);
        let one = parse(&["10.0.0.1:80", "10.0.0.2:80"]);
        assert_eq!(of_one_family(both.into_iter()), one);
        let six = parse(&["[fd00::1]:80", "[fd00::2]:80"]);
        assert_eq!(of_one_family(six.clone().into_iter()), six);
    }

    #[test]
    fn only_names_that_may_be_several_instances_are_looked_up() {
        for (url, name, address) in [
            ("http://processor:9464", Some("processor"), "processor:9464"),
            ("http://processor", Some("processor"), "processor:80"),
            ("https://processor", None, "processor:443"),
            ("http://localhost:9464", None, "localhost:9464"),
            ("http://127.0.0.1:9464", None, "127.0.0.1:9464"),
            ("http://[::1]:9464", None, "[::1]:9464"),
        ] {
            let host = Host {
                service: Service::Processor,
                url: url.parse().unwrap(),
                addresses: Vec::new(),
                looked_up: None,
                failure: None,
            };
            assert_eq!(host.name_to_look_up().as_deref(), name, "{url}");
            assert_eq!(host.instance(None).address(), address);
        }
    }
}
