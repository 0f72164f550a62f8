//! Counts requests and measures how long they take, by route, method and status.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use metrics::{Counter, Histogram, counter, histogram};
use runtime::metrics::{HTTP_REQUEST_SECONDS, HTTP_REQUESTS};

/// The metrics of all routes.
#[derive(Debug, Default)]
pub(super) struct Meters {
    routes: Known<String, Arc<RouteMeters>>,
}

/// The metrics of one route.
#[derive(Debug)]
struct RouteMeters {
    route: String,
    seconds: Known<&'static str, Histogram>,
    requests: Known<(&'static str, u16), Counter>,
}

/// The metrics of one request.
#[derive(Debug)]
pub(super) struct Meter {
    of_route: Arc<RouteMeters>,
    method: &'static str,
}

impl Meters {
    /// Returns the metrics of a request, by the template of its route. A path without a route is
    /// counted as `other`, so that clients cannot create labels.
    pub(super) fn of(&self, request: &Request) -> Meter {
        let route = request
            .extensions()
            .get::<MatchedPath>()
            .map_or("other", MatchedPath::as_str);
        Meter {
            of_route: self.of_route(route),
            method: method_label(request.method()),
        }
    }

    /// Registers the metrics of a route and method at 0, so that the first answer with each of these
    /// statuses is an increase.
    pub(super) fn register(&self, route: &str, method: &Method, statuses: &[StatusCode]) {
        let (of_route, method) = (self.of_route(route), method_label(method));
        drop(of_route.seconds(method));
        for status in statuses {
            of_route.requests(method, *status).increment(0);
        }
    }

    fn of_route(&self, route: &str) -> Arc<RouteMeters> {
        self.routes.get(route, || {
            Arc::new(RouteMeters {
                route: route.to_owned(),
                seconds: Known::default(),
                requests: Known::default(),
            })
        })
    }
}

impl Meter {
    /// Counts the request once it is answered.
    pub(super) fn count(self, status: StatusCode, took: Duration) {
        self.of_route.seconds(self.method).record(took);
        self.of_route.requests(self.method, status).increment(1);
    }
}

impl RouteMeters {
    fn seconds(&self, method: &'static str) -> Histogram {
        self.seconds.get(
            &method,
            || histogram!(HTTP_REQUEST_SECONDS, "route" => self.route.clone(), "method" => method),
        )
    }

    fn requests(&self, method: &'static str, status: StatusCode) -> Counter {
        self.requests.get(&(method, status.as_u16()), || {
            counter!(
                HTTP_REQUESTS,
                "route" => self.route.clone(),
                "method" => method,
                "status" => status.as_str().to_owned()
            )
        })
    }
}

/// Returns the method's value in labels and spans. Unknown methods are `other`, so that clients cannot
/// create labels.
pub(super) fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Values that are created once and then looked up: creating a metric's labels for every request would
/// cost more than routing the request.
#[derive(Debug)]
struct Known<K, V>(RwLock<HashMap<K, V>>);

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Hash + Eq, V: Clone> Known<K, V> {
    fn get<Q>(&self, key: &Q, make: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.get(key) {
            return value.clone();
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(key.to_owned()).or_insert_with(make).clone()
    }
}
