//! A client that spreads requests over the ready instances of a service, as a load balancer does.
//!
//! It asks each instance for `/readyz`, and sends requests in turn to those that are ready. It repeats no
//! request, not even one whose connection was refused: every error here is one that a client behind a
//! balancer might see.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::wait;
use futures::future::join_all;
use reqwest::{Client, Method, Response};
use serde_json::Value;
use tokio::task::JoinHandle;

/// How often an instance is asked whether it is ready.
const PROBE_PERIOD: Duration = Duration::from_millis(200);

/// How long an instance may take to say whether it is ready. Without an answer in time nothing changes:
/// it may be the machine that is slow.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Longer than an instance on a loaded machine needs for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// An instance, and whether it was ready when it was asked last.
#[derive(Debug, Clone)]
struct Instance {
    url: String,
    is_ready: bool,
}

/// The instances that requests are sent to. Clones share them.
#[derive(Debug, Clone, Default)]
struct Instances(Arc<Mutex<Vec<Instance>>>);

impl Instances {
    fn lock(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> Vec<String> {
        let instances = self.lock();
        let ready = instances.iter().filter(|instance| instance.is_ready);
        ready.map(|instance| instance.url.clone()).collect()
    }

    fn set(&self, url: &str, is_ready: bool) {
        if let Some(known) = self.lock().iter_mut().find(|known| known.url == url) {
            known.is_ready = is_ready;
        }
    }

    /// Asks all instances again and again.
    async fn probe(self, http: Client) {
        let mut ticks = tokio::time::interval(PROBE_PERIOD);
        loop {
            ticks.tick().await;
            let urls: Vec<_> = self.lock().iter().map(|known| known.url.clone()).collect();
            let asked = urls.into_iter().map(|url| async {
                let answer = is_ready(&http, &url).await;
                (url, answer)
            });
            for (url, answer) in join_all(asked).await {
                if let Some(is_ready) = answer {
                    self.set(&url, is_ready);
                }
            }
        }
    }
}

/// Returns whether an instance says that it is ready, or `None` when it has not answered in time.
async fn is_ready(http: &Client, url: &str) -> Option<bool> {
    let request = http.get(format!("{url}/readyz")).timeout(PROBE_TIMEOUT);
    match request.send().await {
        Ok(answer) => Some(answer.status().is_success()),
        Err(error) if error.is_timeout() => None,
        Err(_) => Some(false),
    }
}

/// A balancer. Dropping it ends its probes.
#[derive(Debug)]
pub(crate) struct Balancer {
    http: Client,
    instances: Instances,
    next: AtomicUsize,
    probes: JoinHandle<()>,
}

impl Balancer {
    /// Returns a balancer without instances.
    pub(crate) fn new() -> Result<Self> {
        let http = Client::builder().timeout(REQUEST_TIMEOUT).build()?;
        let instances = Instances::default();
        let probes = tokio::spawn(instances.clone().probe(http.clone()));
        Ok(Self {
            http,
            instances,
            next: AtomicUsize::new(0),
            probes,
        })
    }

    /// Adds the instance at `url`, and waits until it gets requests.
    pub(crate) async fn add(&self, url: &str) {
        self.instances.lock().push(Instance {
            url: url.to_owned(),
            is_ready: false,
        });
        let ready = || async { self.instances.ready() };
        wait::until("the balancer to use the instance", ready, |ready| {
            ready.iter().any(|known| known == url)
        })
        .await;
    }

    /// Removes an instance, which has ended.
    pub(crate) fn remove(&self, url: &str) {
        self.instances.lock().retain(|known| known.url != url);
    }

    /// Sends a request to the next ready instance.
    ///
    /// # Errors
    /// When no instance is ready, or the request is not answered.
    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Response> {
        let ready = self.instances.ready();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let place = turn.checked_rem(ready.len());
        let url = place
            .and_then(|place| ready.get(place))
            .context("no instance is ready")?;
        let request = self.http.request(method, format!("{url}{path}")).json(body);
        request.send().await.with_context(|| format!("to {url}"))
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.probes.abort();
    }
}
