//! The health of the parts of a service, the routes that report it, and the command that asks them.

pub mod command;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

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

/// The state of all parts of a service. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<String, Condition>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Ready,
    NotReady(String),
    /// Worth reporting, but the service can do its work.
    Degraded(String),
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
        Self::default()
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
        self.lock().insert(part.name.clone(), Condition::Ready);
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

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Condition>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, shutting_down: bool) -> (StatusCode, serde_json::Value) {
        let parts = self.lock();
        let ready = all_ready(&parts);
        let listed: serde_json::Map<_, _> = parts
            .iter()
            .map(|(name, condition)| {
                let text = match condition {
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

fn all_ready(parts: &BTreeMap<String, Condition>) -> bool {
    parts
        .values()
        .all(|condition| !matches!(condition, Condition::NotReady(_)))
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
        if parts.get(&self.name) == Some(&condition) {
            return;
        }
        match &condition {
            Condition::Ready => tracing::info!(part = %self.name, "ready"),
            Condition::NotReady(reason) => {
                tracing::warn!(part = %self.name, reason, "not ready");
            }
            Condition::Degraded(reason) => tracing::warn!(part = %self.name, reason, "degraded"),
        }
        parts.insert(self.name.clone(), condition);
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
    use super::*;

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
