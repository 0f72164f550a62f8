//! What each part of a service says of itself, and what `/readyz` makes of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use crate::lifecycle::Shutdown;

/// The state of all parts of a service. Cheap to clone; every clone is the same state.
#[derive(Debug, Clone, Default)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<String, Condition>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Ready,
    NotReady(String),
    /// Worth telling, but the service can do its work all the same.
    Degraded(String),
}

/// One part's voice in [`Health`].
#[derive(Debug, Clone)]
pub struct Part {
    health: Health,
    name: String,
}

impl Health {
    /// No parts yet: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part, not ready until it says so: `reason` is what it waits for.
    pub fn part(&self, name: impl Into<String>, reason: impl Into<String>) -> Part {
        let part = Part {
            health: self.clone(),
            name: name.into(),
        };
        part.not_ready(reason);
        part
    }

    /// Adds a part that has nothing to wait for yet.
    pub fn ready_part(&self, name: impl Into<String>) -> Part {
        let part = Part {
            health: self.clone(),
            name: name.into(),
        };
        self.lock().insert(part.name.clone(), Condition::Ready);
        part
    }

    /// Whether every part can do its work.
    pub fn is_ready(&self) -> bool {
        self.lock()
            .values()
            .all(|condition| !matches!(condition, Condition::NotReady(_)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Condition>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, shutting_down: bool) -> (StatusCode, serde_json::Value) {
        let parts = self.lock();
        let ready = parts
            .values()
            .all(|condition| !matches!(condition, Condition::NotReady(_)));
        let listed: serde_json::Map<_, _> = parts
            .iter()
            .map(|(name, condition)| {
                let text = match condition {
                    Condition::Ready => "ready".to_owned(),
                    Condition::NotReady(reason) => format!("not ready: {reason}"),
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

impl Part {
    /// The part can do its work.
    pub fn ready(&self) {
        self.set(Condition::Ready);
    }

    /// The part can't do its work: `/readyz` answers 503 and says why.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(Condition::NotReady(reason.into()));
    }

    /// Something is amiss that does not keep the service from its work: said, but still 200.
    pub fn degraded(&self, reason: impl Into<String>) {
        self.set(Condition::Degraded(reason.into()));
    }

    /// Takes the part away, for one that ended as it should.
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

/// `/livez`: the process answers. `/readyz`: it can do its work, or 503 with the reasons, of which a
/// shutdown that was announced is one. `/metrics`: Prometheus text.
pub fn routes(health: Health, metrics: PrometheusHandle, shutdown: Shutdown) -> Router {
    Router::new()
        .route("/livez", get(|| async { "OK" }))
        .route("/readyz", get(readyz).with_state((health, shutdown)))
        .route("/metrics", get(move || async move { metrics.render() }))
}

async fn readyz(State((health, shutdown)): State<(Health, Shutdown)>) -> Response {
    let (code, body) = health.report(shutdown.is_announced());
    (code, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_ready_when_every_part_is_and_says_why_when_not() {
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
