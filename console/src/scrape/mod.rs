//! Fetches the metrics and the readiness of the services, but only while a page watches.
//!
//! | module | what is in it |
//! |---|---|
//! | `target`, `instance` | the instances to scrape; the answers of one of them |
//! | `exposition`, `metric`, `sample`, `counts` | Prometheus's text format, and the numbers that are kept of a scrape |
//! | `readiness` | the answer of `/readyz` |
//! | `window` | the rounds of the last minute in full, from which [`flow`](crate::flow) is made |
//! | `ring` | a few numbers of the last 15 minutes, for the charts |

mod counts;
#[cfg(test)]
pub(crate) mod examples;
mod exposition;
mod instance;
mod metric;
mod readiness;
mod ring;
mod sample;
mod target;
mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use reqwest::Client;
use runtime::lifecycle::Shutdown;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval_at};

use crate::flow::{Flow, History, NodeId, OpenDeadLetters, State};
use ring::Ring;
use target::Scraper;

pub(crate) use counts::{Buckets, Labelled};
pub(crate) use metric::{Counter, Gauge, Histogram, Service};
pub(crate) use sample::Numbers;
pub use target::Targets;
pub(crate) use window::{Found, Step, Window};
#[cfg(test)]
pub(crate) use {
    readiness::Status,
    sample::{Reading, Report, read},
};

/// Time between two rounds.
const PERIOD: Duration = Duration::from_secs(1);

/// How old a flow may be before it is shown as stale.
const STALE: Duration = Duration::from_secs(5);

/// The live flow. It is only updated while a page watches it. Clones share one state.
#[derive(Debug, Clone)]
pub struct Live {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    targets: Targets,
    /// How many [`LiveWatch`]es there are.
    watchers: watch::Sender<usize>,
    flow: watch::Sender<Arc<Flow>>,
    ring: Mutex<Ring>,
    /// As the commands last counted them.
    open: Mutex<OpenDeadLetters>,
}

/// A page that shows the flow. The services are scraped as long as there is one.
#[derive(Debug)]
pub struct LiveWatch {
    shared: Arc<Shared>,
    flows: watch::Receiver<Arc<Flow>>,
}

impl Live {
    /// Scrapes nothing yet. `client` should neither use a proxy nor follow redirects, so that the
    /// services are scraped at the configured addresses.
    pub fn new(targets: Targets, client: Client) -> Self {
        let open = OpenDeadLetters::default();
        let nothing = Flow::of(&Window::default(), &targets.services(), open, Utc::now());
        Self {
            shared: Arc::new(Shared {
                client,
                targets,
                watchers: watch::Sender::new(0),
                flow: watch::Sender::new(Arc::new(nothing)),
                ring: Mutex::default(),
                open: Mutex::new(open),
            }),
        }
    }

    /// Begins to watch. The services are scraped until the guard is dropped.
    pub fn watch(&self) -> LiveWatch {
        let mut flows = self.shared.flow.subscribe();
        // A recent flow is shown at once; an old one is not shown.
        if !is_old(&flows.borrow_and_update()) {
            flows.mark_changed();
        }
        self.shared.watchers.send_modify(|watchers| *watchers += 1);
        LiveWatch {
            shared: Arc::clone(&self.shared),
            flows,
        }
    }

    /// Returns the last flow, which is stale if no page has been watching.
    pub fn snapshot(&self) -> Flow {
        let mut flow = Flow::clone(&self.shared.flow.borrow());
        flow.stale = is_old(&flow);
        flow
    }

    /// Returns the last 15 minutes of the charts' values.
    pub fn history(&self) -> History {
        self.shared.ring().history(Utc::now().timestamp())
    }

    /// Waits until a page watches.
    pub(crate) async fn watched(&self) {
        let mut watchers = self.shared.watchers.subscribe();
        // `shared` has the sender, so waiting does not fail.
        let _ = watchers.wait_for(|watchers| *watchers > 0).await;
    }

    /// Returns whether a service has written dead letters within the last minute.
    pub(crate) fn dead_letters_come(&self, service: Service) -> bool {
        let flow = self.shared.flow.borrow();
        let mut nodes = flow.nodes.iter();
        nodes.any(|node| {
            NodeId::of_dead_letters(service) == Some(node.id) && node.state == State::Degraded
        })
    }

    /// Takes how many dead letters of a service are open. The next flow says so.
    pub(crate) fn note_open_dead_letters(&self, service: Service, open: u64) {
        self.shared.open().set(service, open);
    }

    /// Returns how many dead letters are open, as far as they were counted.
    pub(crate) fn open_dead_letters(&self) -> OpenDeadLetters {
        *self.shared.open()
    }

    /// Scrapes the services each second while a page watches, until shutdown.
    pub async fn run(self, shutdown: Shutdown) {
        tokio::select! {
            () = self.scrape_while_watched() => {}
            () = shutdown.requested() => {}
        }
    }

    async fn scrape_while_watched(&self) {
        let shared = &*self.shared;
        let begin = Instant::now();
        let mut scraper = Scraper::new(shared.client.clone(), &shared.targets);
        let services = shared.targets.services();
        let mut window = Window::default();
        let mut watchers = shared.watchers.subscribe();
        let mut next = tokio::time::Instant::now();
        // The sender lives as long as this future, so waiting does not fail.
        while watchers.wait_for(|watchers| *watchers > 0).await.is_ok() {
            // A page that is opened repeatedly causes no more rounds than one that stays open.
            let mut ticks = interval_at(next.max(tokio::time::Instant::now()), PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            while *watchers.borrow() > 0 {
                next = ticks.tick().await + PERIOD;
                let at = Utc::now();
                let reports = scraper.scrape().await;
                window.push(begin.elapsed(), at, reports);
                let flow = Flow::of(&window, &services, self.open_dead_letters(), at);
                shared.ring().push(at.timestamp(), flow.chart_values());
                shared.flow.send_replace(Arc::new(flow));
            }
        }
    }
}

impl Shared {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, OpenDeadLetters> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveWatch {
    /// Waits for a flow that was not returned yet, and returns the newest one. A slow caller misses the
    /// flows in between.
    pub async fn next(&mut self) -> Arc<Flow> {
        if self.flows.changed().await.is_err() {
            // `shared` has the sender, so it lives as long as this watch.
            std::future::pending::<()>().await;
        }
        self.flows.borrow_and_update().clone()
    }
}

impl Drop for LiveWatch {
    fn drop(&mut self) {
        self.shared
            .watchers
            .send_modify(|watchers| *watchers = watchers.saturating_sub(1));
    }
}

fn is_old(flow: &Flow) -> bool {
    // A negative age means that the clock was set back, so the true age is unknown.
    let age = Utc::now().signed_duration_since(flow.at).to_std();
    flow.stale || age.is_ok_and(|age| age > STALE)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::routing::get;

    use super::examples::{READY, SINK};
    use super::*;

    /// Serves a sink, and counts how often its metrics were fetched.
    async fn sink() -> (Live, Arc<AtomicUsize>) {
        let scrapes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&scrapes);
        let metrics = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async { SINK }
        };
        let router = Router::new()
            .route("/readyz", get(|| async { READY }))
            .route("/metrics", get(metrics));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let targets = Targets {
            sink: vec![url.parse().unwrap()],
            ..Targets::default()
        };
        let client = Client::builder().no_proxy().build().unwrap();
        (Live::new(targets, client), scrapes)
    }

    fn state(flow: &Flow, id: NodeId) -> State {
        flow.nodes.iter().find(|node| node.id == id).unwrap().state
    }

    #[tokio::test]
    async fn a_watch_brings_flows_and_fills_the_history() {
        let (live, _) = sink().await;
        let shutdown = Shutdown::new();
        let running = tokio::spawn(live.clone().run(shutdown.clone()));
        let mut watch = live.watch();
        let flow = watch.next().await;
        assert!(!flow.stale);
        assert_eq!(state(&flow, NodeId::Sink), State::Ready);
        assert_eq!(state(&flow, NodeId::Processor), State::Unknown);
        assert!(live.snapshot().at >= flow.at);
        let history = live.history();
        let lag = &history.series["vouchers-sink.lag_records"];
        assert_eq!(lag.first(), Some(&Some(0.0)));
        shutdown.request();
        running.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_is_asked_before_somebody_watches_and_after_the_last_page_is_closed() {
        let (live, scrapes) = sink().await;
        assert!(live.snapshot().stale);
        assert_eq!(state(&live.snapshot(), NodeId::Sink), State::Unknown);
        let (first, second) = (live.watch(), live.watch());
        assert_eq!(*live.shared.watchers.borrow(), 2);
        drop((first, second));
        assert_eq!(*live.shared.watchers.borrow(), 0);
        let shutdown = Shutdown::new();
        let running = tokio::spawn(live.run(shutdown.clone()));
        shutdown.request();
        running.await.unwrap();
        assert_eq!(scrapes.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn all_pages_share_the_rounds() {
        let (live, scrapes) = sink().await;
        let shutdown = Shutdown::new();
        let running = tokio::spawn(live.clone().run(shutdown.clone()));
        let mut first = live.watch();
        let flow = first.next().await;
        let mut second = live.watch();
        assert!(second.next().await.at >= flow.at);
        let (of_first, of_second) = tokio::join!(first.next(), second.next());
        assert!(of_first.at > flow.at && of_second.at > flow.at);
        shutdown.request();
        running.await.unwrap();
        let rounds = live.history().series["vouchers-sink.lag_records"].len();
        assert!(scrapes.load(Ordering::SeqCst) <= rounds + 1);
    }
}
