//! A load of orders that are placed and sent over HTTP through a balancer.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use end_to_end::wait;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::balancer::Balancer;

/// Clients, each with one request at a time.
const CLIENTS: u32 = 4;

/// What the clients have seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The orders that are sent, and earn a voucher each, because the service said so.
    pub(crate) sent: BTreeSet<String>,
    /// Every answer that a client of a balancer should not see, and every request without an answer.
    pub(crate) wrong: Vec<String>,
    /// How long each request took.
    pub(crate) times: Vec<Duration>,
}

impl Seen {
    /// Returns the time within which 99 of 100 requests were answered.
    pub(crate) fn p99(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        let place = times.len() * 99 / 100;
        times.get(place).copied().unwrap_or_default()
    }
}

#[derive(Debug)]
struct Shared {
    balancer: Arc<Balancer>,
    seen: Mutex<Seen>,
    next: AtomicU64,
    stop: AtomicBool,
}

/// The running clients.
#[derive(Debug)]
pub(crate) struct HttpLoad {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

impl HttpLoad {
    /// Starts the clients. Together they place and send so many orders a second, if the service is quick
    /// enough: two requests for each.
    pub(crate) fn start(balancer: Arc<Balancer>, orders_a_second: u32) -> Self {
        let period = Duration::from_secs(1) * CLIENTS / orders_a_second;
        let shared = Arc::new(Shared {
            balancer,
            seen: Mutex::default(),
            next: AtomicU64::new(1),
            stop: AtomicBool::new(false),
        });
        let client = |_| tokio::spawn(client(Arc::clone(&shared), period));
        let clients = (0..CLIENTS).map(client).collect();
        Self { shared, clients }
    }

    /// Waits until `count` more orders are sent than now.
    pub(crate) async fn goes_on(&self, count: usize) {
        let sent = || self.shared.seen().sent.len();
        let enough = sent() + count;
        wait::until(
            "orders to be sent",
            || async { sent() },
            |sent| *sent >= enough,
        )
        .await;
    }

    /// Stops the clients and returns what they have seen.
    ///
    /// # Errors
    /// When a client has panicked.
    pub(crate) async fn stop(self) -> Result<Seen> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await?;
        }
        Ok(std::mem::take(&mut *self.shared.seen()))
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request; returns whether it was answered with `expected`.
    async fn request(&self, method: Method, path: &str, body: &Value, expected: u16) -> bool {
        let begun = Instant::now();
        let said = format!("{method} {path}");
        let wrong = match self.balancer.send(method, path, body).await {
            Ok(answer) if answer.status().as_u16() == expected => None,
            Ok(answer) => {
                let status = answer.status();
                let text = answer.text().await.unwrap_or_default();
                Some(format!("{said}: {status} {text}"))
            }
            Err(error) => Some(format!("{said}: {error:#}")),
        };
        let is_fine = wrong.is_none();
        let mut seen = self.seen();
        seen.times.push(begun.elapsed());
        seen.wrong.extend(wrong);
        is_fine
    }
}

async fn client(shared: Arc<Shared>, period: Duration) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !shared.stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let order_id = shared.next.fetch_add(1, Ordering::Relaxed).to_string();
        let order = json!({"order_id": order_id, "total": "120.00"});
        let sent = json!({"status": "SENT"});
        let path = format!("/orders/{order_id}");
        if shared.request(Method::POST, "/orders", &order, 201).await
            && shared.request(Method::PATCH, &path, &sent, 200).await
        {
            shared.seen().sent.insert(order_id);
        }
    }
}
