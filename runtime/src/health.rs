//! The health of the parts of a service, the routes that report it, and the command that asks them.

pub mod command;
pub mod starting;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::lifecycle::Shutdown;

/// What the text of a part begins with that is not ready; the reason follows.
const NOT_READY: &str = "not ready: ";

/// How long a start may take before it is worth a warning. Until then, a part that waits is normal.
pub(crate) const NORMAL_START: Duration = Duration::from_secs(10);

/// The state of all parts of a service. Clones share one state.
#[derive(Debug, Clone)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<String, PartState>>>,
    started: Instant,
}

#[derive(Debug)]
struct PartState {
    condition: Condition,
    has_been_ready: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Ready,
    NotReady(String),
    /// Worth reporting, but the service can do its work.
    Degraded(String),
}

impl Condition {
    /// Logs a change of a part. What a part waits for while it `is_starting` is no warning.
    fn log(&self, part: &str, is_starting: bool) {
        match self {
            Self::Ready => tracing::info!(%part, "ready"),
            Self::NotReady(reason) if is_starting => {
                tracing::info!(%part, reason, "not ready yet");
            }
            Self::Degraded(reason) if is_starting => tracing::info!(%part, reason, "degraded"),
            Self::NotReady(reason) => tracing::warn!(%part, reason, "not ready"),
            Self::Degraded(reason) => tracing::warn!(%part, reason, "degraded"),
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

/// One part of a service, which reports its state to [`Health`].
#[derive(Debug, Clone)]
pub struct Part {
    health: Health,
    name: String,
}

impl Health {
    /// Returns the health of a service without parts, which is ready.
    pub fn new() -> Self {
        Self {
            parts: Arc::default(),
            started: Instant::now(),
        }
    }

    /// Adds a part that is not ready until it reports so; `reason` is what it waits for.
    pub fn part(&self, name: impl Into<String>, reason: impl Into<String>) -> Part {
        let part = self.new_part(name);
        part.not_ready(reason);
        part
    }

    /// Adds a part that is ready from the start.
    pub fn ready_part(&self, name: impl Into<String>) -> Part {
        let part = self.new_part(name);
        let ready = PartState {
            condition: Condition::Ready,
            has_been_ready: true,
        };
        self.lock().insert(part.name.clone(), ready);
        part
    }

    fn new_part(&self, name: impl Into<String>) -> Part {
        Part {
            health: self.clone(),
            name: name.into(),
        }
    }

    /// Returns whether every part can do its work.
    pub fn is_ready(&self) -> bool {
        all_ready(&self.lock())
    }

    /// Warns of every part that has not been ready since the start. Called once, after [`NORMAL_START`].
    pub(crate) fn warn_of_slow_start(&self) {
        for (part, state) in self.lock().iter() {
            if !state.has_been_ready {
                state.condition.log(part, false);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, PartState>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, shutting_down: bool) -> (StatusCode, serde_json::Value) {
        let parts = self.lock();
        let ready = all_ready(&parts);
        let listed: serde_json::Map<_, _> = parts
            .iter()
            .map(|(name, state)| {
                let text = match &state.condition {
                    Condition::Ready => "ready".to_owned(),
                    Condition::NotReady(reason) => format!("{NOT_READY}{reason}"),
                    Condition::Degraded(reason) => format!("degraded: {reason}"),
                };
                (name.clone(), text.into())
            })
            .collect();
        let (code, status) = if shutting_down {
            (StatusCode::SERVICE_UNAVAILABLE, "shutting down")
        } else if ready {
            (StatusCode::OK, "ready")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready")
        };
        (code, json!({ "status": status, "parts": listed }))
    }
}

fn all_ready(parts: &BTreeMap<String, PartState>) -> bool {
    parts
        .values()
        .all(|state| !matches!(state.condition, Condition::NotReady(_)))
}

impl Part {
    /// Reports that the part can do its work.
    pub fn ready(&self) {
        self.set(Condition::Ready);
    }

    /// Reports that the part cannot do its work: `/readyz` answers 503 with the reason.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(Condition::NotReady(reason.into()));
    }

    /// Reports a problem that does not keep the service from its work: `/readyz` shows it and answers
    /// 200.
    pub fn degraded(&self, reason: impl Into<String>) {
        self.set(Condition::Degraded(reason.into()));
    }

    /// Removes a part that has done its work.
    pub fn remove(&self) {
        self.health.lock().remove(&self.name);
    }

    fn set(&self, condition: Condition) {
        let mut parts = self.health.lock();
        let state = parts.get(&self.name);
        if state.is_some_and(|state| state.condition == condition) {
            return;
        }
        let has_been_ready = state.is_some_and(|state| state.has_been_ready);
        let is_starting = !has_been_ready && self.health.started.elapsed() < NORMAL_START;
        condition.log(&self.name, is_starting);
        let state = PartState {
            has_been_ready: has_been_ready || condition == Condition::Ready,
            condition,
        };
        parts.insert(self.name.clone(), state);
    }
}

/// Returns the routes of health and metrics: `/livez` answers as long as the process does, `/readyz`
/// answers 503 with the reasons while the service cannot do its work or a shutdown is announced, and
/// `/metrics` is the Prometheus text that `metrics` returns.
pub fn routes(
    health: Health,
    metrics: impl Fn() -> String + Clone + Send + Sync + 'static,
    shutdown: Shutdown,
) -> Router {
    Router::new()
        .route("/livez", get(|| async { "OK" }))
        .route("/readyz", get(readyz).with_state((health, shutdown)))
        .route("/metrics", get(move || async move { metrics() }))
}

async fn readyz(State((health, shutdown)): State<(Health, Shutdown)>) -> Response {
    let (code, body) = health.report(shutdown.is_announced());
    (code, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use tracing::{Event, Level, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    /// Collects the levels of events.
    #[derive(Clone, Default)]
    struct Levels(Arc<Mutex<Vec<Level>>>);

    impl<S: Subscriber> Layer<S> for Levels {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }
    }

    /// Returns the levels of what is logged meanwhile.
    fn logged(work: impl FnOnce()) -> Vec<Level> {
        let levels = Levels::default();
        let subscriber = tracing_subscriber::registry().with(levels.clone());
        tracing::subscriber::with_default(subscriber, work);
        levels.0.lock().unwrap().clone()
    }

    #[test]
    fn what_a_part_waits_for_at_a_start_is_no_warning_but_a_loss_is_one() {
        let levels = logged(|| {
            let health = Health::new();
            let task = health.part("task-0", "waiting for topics");
            let relay = health.part("relay", "starting");
            relay.degraded("waiting for Kafka");
            // The part is made anew where its task starts.
            let _ = health.part("task-0", "joining the group");
            task.ready();
            relay.ready();
            health.warn_of_slow_start();
            task.not_ready("Kafka does not answer");
        });
        let [starts @ .., loss] = levels.as_slice() else {
            panic!("nothing was logged");
        };
        assert_eq!(*loss, Level::WARN);
        assert_eq!(starts, [Level::INFO; 6]);
    }

    #[test]
    fn a_start_that_lasts_long_is_a_warning() {
        let levels = logged(|| {
            let mut health = Health::new();
            let _kafka = health.part("kafka", "connecting");
            health.warn_of_slow_start();
            health.started = Instant::now().checked_sub(NORMAL_START).unwrap();
            health.part("postgres", "connecting");
        });
        assert_eq!(levels, [Level::INFO, Level::WARN, Level::WARN]);
    }

    #[test]
    fn a_service_is_ready_when_every_part_is_and_otherwise_says_why() {
        let health = Health::new();
        let kafka = health.part("kafka", "connecting");
        let registry = health.part("registry", "connecting");
        kafka.ready();
        assert!(!health.is_ready());
        let (code, body) = health.report(false);
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["parts"]["registry"], "not ready: connecting");
        registry.degraded("slow");
        assert!(health.is_ready(), "degraded still works");
        registry.remove();
        assert_eq!(health.report(false).0, StatusCode::OK);
        let (code, body) = health.report(true);
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["status"], "shutting down");
    }
}
