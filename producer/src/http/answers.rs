//! Turns the outcome of a change into a response.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::answer_memory::Reserved;
use super::etag::etag;
use super::idempotency::IDEMPOTENCY_REPLAYED;
use super::problem::Problem;
use crate::ingress::Outcome;
use crate::orders::Order;

/// Everything but RFC 3986's unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A success: an order's JSON, and the fields that the headers need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// 200 or 201.
    pub status: StatusCode,
    /// The order's JSON.
    pub body: Vec<u8>,
    /// Whether this is the stored answer to an earlier request.
    pub replayed: bool,
    order_id: String,
    version: i64,
}

/// The fields of a stored answer that the headers need.
#[derive(Debug, Deserialize)]
struct Stored {
    order_id: String,
    version: i64,
}

impl Answer {
    /// Returns the answer with this order.
    pub(super) fn order(status: StatusCode, order: &Order) -> Self {
        Self {
            status,
            body: order.to_json(),
            replayed: false,
            order_id: order.order_id.clone(),
            version: order.version,
        }
    }

    /// Returns the answer to a change.
    ///
    /// # Errors
    /// Why the change was refused.
    pub(super) fn of(outcome: Outcome) -> Result<Self, Problem> {
        match outcome {
            Outcome::Placed(order) => Ok(Self::order(StatusCode::CREATED, &order)),
            Outcome::Changed(order) | Outcome::Unchanged(order) => {
                Ok(Self::order(StatusCode::OK, &order))
            }
            Outcome::Replayed { status, body } => {
                let stored: Stored =
                    serde_json::from_slice(&body).map_err(|_| Problem::Internal)?;
                Ok(Self {
                    status: StatusCode::from_u16(status).map_err(|_| Problem::Internal)?,
                    body,
                    replayed: true,
                    order_id: stored.order_id,
                    version: stored.version,
                })
            }
            Outcome::Refused(why) => Err(why.into()),
        }
    }

    /// Returns the response; its body counts against `memory` until it is sent.
    pub(super) fn counted(mut self, memory: Reserved) -> Response {
        let body = memory.bytes(std::mem::take(&mut self.body));
        self.respond(Body::from(body))
    }

    fn respond(self, body: Body) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ETAG, etag(self.version));
        if self.status == StatusCode::CREATED
            && let Ok(location) = HeaderValue::from_str(&order_path(&self.order_id))
        {
            headers.insert(LOCATION, location);
        }
        if self.replayed {
            headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

impl IntoResponse for Answer {
    fn into_response(mut self) -> Response {
        let body = Body::from(std::mem::take(&mut self.body));
        self.respond(body)
    }
}

/// Returns the path of an order.
pub(super) fn order_path(order_id: &str) -> String {
    if order_id == "bulk" {
        // Unescaped, the path would be that of the bulk route.
        return "/orders/%62ulk".to_owned();
    }
    format!("/orders/{}", utf8_percent_encode(order_id, ESCAPED))
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;
    use schemas::{Currency, Status, Timestamp};

    use super::*;

    #[test]
    fn every_id_has_a_path() {
        assert_eq!(order_path("17"), "/orders/17");
        assert_eq!(order_path("a/b ?é"), "/orders/a%2Fb%20%3F%C3%A9");
        assert_eq!(order_path("bulk"), "/orders/%62ulk");
    }

    #[test]
    fn no_id_breaks_out_of_its_header() {
        let time = Timestamp::FIRST;
        let order = Order {
            // This id is not valid; the header must be well-formed all the same.
            order_id: "a\r\nx: y\0\u{85}\u{202e}".to_owned(),
            status: Status::Pending,
            total: Decimal::ONE,
            currency: Currency::EUR,
            products: Vec::new(),
            version: 1,
            sent_at: None,
            created_at: time,
            updated_at: time,
        };
        let response = Answer::order(StatusCode::CREATED, &order).into_response();
        let location = response.headers()[LOCATION].as_bytes();
        assert!(location.iter().all(u8::is_ascii_graphic), "{location:?}");
        assert_eq!(response.headers().len(), 3);
    }
}
