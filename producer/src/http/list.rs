//! `GET /orders`: all orders, in pages.

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::TryStreamExt;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer_memory::Reserved;
use super::description::RouteErrors;
use super::problem::Problem;
use super::schema::StatusText;
use crate::limits::{DEFAULT_PAGE_ORDERS, MAX_PAGE_BYTES, MAX_PAGE_ORDERS};
use crate::orders::Order;
use crate::store;
use crate::store::orders::{PageBounds, PageRow};

/// What to list.
///
/// A parameter that is not known is refused: misspelt, it would list everything.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only orders of this status.
    #[param(value_type = StatusText, inline, required = false)]
    status: Option<String>,
    /// The maximum number of orders of a page, 1 to 1000. A page may have fewer and not be the last one: it ends
    /// at 4 MiB too.
    #[param(value_type = u16, required = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// Where the page before ended: as it is in `next`.
    #[param(value_type = String, required = false, pattern = "^[A-Za-z0-9_-]{2,171}$")]
    after: Option<String>,
}

// Only a schema: [`Text`] writes the answer. The comments are the API's description.
/// A page of orders, by their ids.
#[derive(Debug, ToSchema)]
#[allow(dead_code)]
pub(super) struct OrderPage {
    /// The orders.
    orders: Vec<Order>,
    /// The ids of orders of this page that are left out because their rows cannot be read: something
    /// else has written to them, and an operator has to mend them. Absent where there are none.
    #[schema(required = false)]
    unreadable: Vec<String>,
    /// The path of the next page; null on the last one.
    #[schema(example = "/orders?limit=100&after=MTc")]
    next: Option<String>,
}

/// List orders.
///
/// In the order of their ids, which for ids made here is the order of placing. A page ends at `limit`
/// orders or at 4 MiB; `next` is null on the last page only.
#[utoipa::path(
    get,
    path = "/orders",
    tag = "orders",
    params(ListQuery),
    responses(
        (status = 200, description = "A page", body = OrderPage,
            headers(("Link" = Option<String>, description = "The next page, rel=\"next\""))),
        RouteErrors,
        (status = 400, description = "The query is malformed"),
    )
)]
pub(super) async fn list_orders(
    State(api): State<Api>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::BadRequest(error.body_text()))?;
    let page = query.page()?;
    // Reserved before the read, so that a page without memory for it is not read at all.
    let memory = api.answers.reserve(MAX_PAGE_BYTES).await?;
    let (text, next) = read(&api, &page).await?;
    Ok(respond(text, next.as_deref(), memory))
}

fn respond(text: Text, next: Option<&str>, memory: Reserved) -> Response {
    let mut response = Response::new(Body::from(memory.bytes(text.end(next))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(next) = next
        && let Ok(link) = HeaderValue::from_str(&format!("<{next}>; rel=\"next\""))
    {
        headers.insert(LINK, link);
    }
    response
}

/// Reads a page and writes its text order by order. Also returns the path of the next page.
async fn read(api: &Api, page: &PageBounds) -> Result<(Text, Option<String>), Problem> {
    let mut rows = store::orders::page(&api.pool, page);
    let mut text = Text::new();
    let mut last = String::new();
    while let Some(PageRow { stored, fits }) = rows.try_next().await? {
        let is_on_page = fits
            && match stored.order {
                Ok(order) => text.push(&order.to_json()),
                Err(_) => text.leave_out(&stored.order_id),
            };
        if !is_on_page {
            return Ok((text, Some(path_of_next(page, &last))));
        }
        last = stored.order_id;
    }
    Ok((text, None))
}

/// The JSON of an [`OrderPage`] while it is being written.
#[derive(Debug)]
struct Text {
    json: Vec<u8>,
    unreadable: Vec<String>,
}

impl Text {
    fn new() -> Self {
        Self {
            json: b"{\"orders\":[".to_vec(),
            unreadable: Vec::new(),
        }
    }

    /// Adds an order. Returns false if the order does not fit on the page.
    fn push(&mut self, order: &[u8]) -> bool {
        let is_first = self.json.ends_with(b"[");
        if !is_first {
            if self.json.len() + order.len() > MAX_PAGE_BYTES {
                return false;
            }
            self.json.push(b',');
        }
        self.json.extend_from_slice(order);
        true
    }

    /// Lists an order whose row cannot be read. Always fits, because ids are short.
    fn leave_out(&mut self, order_id: &str) -> bool {
        self.unreadable.push(order_id.to_owned());
        true
    }

    fn end(mut self, next: Option<&str>) -> Vec<u8> {
        self.json.push(b']');
        if !self.unreadable.is_empty() {
            let unreadable = self.unreadable.as_slice();
            add_member(&mut self.json, "unreadable", &unreadable);
        }
        add_member(&mut self.json, "next", &next);
        self.json.push(b'}');
        self.json
    }
}

/// Adds a member of strings to an object that already has members.
fn add_member(json: &mut Vec<u8>, name: &str, value: &impl serde::Serialize) {
    // Strings cannot fail to serialise.
    let value = serde_json::to_vec(value).unwrap_or_default();
    json.extend_from_slice(format!(",\"{name}\":").as_bytes());
    json.extend_from_slice(&value);
}

/// Returns the path of the page that would follow the requested one if that ended with the order
/// `after`.
///
/// # Errors
/// 400, naming the parameter.
pub(super) fn next_of(
    status: Option<&str>,
    limit: Option<&str>,
    after: Option<&str>,
) -> Result<String, Problem> {
    let query = ListQuery {
        status: status.map(str::to_owned),
        limit: limit.map(str::to_owned),
        after: after.map(str::to_owned),
    };
    let page = query.page()?;
    Ok(path_of_next(&page, &page.after))
}

impl ListQuery {
    fn page(&self) -> Result<PageBounds, Problem> {
        let status = match &self.status {
            None => None,
            Some(status) => Some(
                status
                    .parse()
                    .map_err(|error| Problem::BadRequest(format!("status must be {error}")))?,
            ),
        };
        let orders = match &self.limit {
            None => DEFAULT_PAGE_ORDERS,
            Some(limit) => limit
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_PAGE_ORDERS).contains(limit))
                .ok_or_else(|| {
                    Problem::BadRequest(format!("limit must be 1 to {MAX_PAGE_ORDERS}"))
                })?,
        };
        let after = match &self.after {
            None => String::new(),
            Some(cursor) => order_id_of(cursor).ok_or_else(|| {
                Problem::BadRequest("after must be as it is in the page before".to_owned())
            })?,
        };
        Ok(PageBounds {
            status,
            after,
            orders,
            bytes: MAX_PAGE_BYTES,
        })
    }
}

fn path_of_next(page: &PageBounds, last: &str) -> String {
    let status = page
        .status
        .map(|status| format!("status={status}&"))
        .unwrap_or_default();
    format!(
        "/orders?{status}limit={}&after={}",
        page.orders,
        cursor_of(last)
    )
}

fn cursor_of(order_id: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(order_id)
}

fn order_id_of(cursor: &str) -> Option<String> {
    let id = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    // Accepts every id that the table can hold: another program may have written an id that is not
    // valid here.
    ((1..=128).contains(&id.len()) && !id.contains('\0')).then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::Status;

    use super::*;

    fn query(status: Option<&str>, limit: Option<&str>, after: Option<&str>) -> ListQuery {
        ListQuery {
            status: status.map(str::to_owned),
            limit: limit.map(str::to_owned),
            after: after.map(str::to_owned),
        }
    }

    #[test]
    fn a_query_is_understood_or_refused() {
        let page = query(Some("sent"), None, Some("MTc")).page().unwrap();
        assert_eq!(page.status, Some(Status::Sent));
        assert_eq!(page.orders, 100);
        assert_eq!(page.after, "17");
        assert_eq!(
            path_of_next(&page, "18"),
            "/orders?status=SENT&limit=100&after=MTg"
        );
        for bad in ["0", "1001", "-1", "ten", "1e2", "99999999999"] {
            assert!(query(None, Some(bad), None).page().is_err(), "{bad}");
        }
        for (bad, good) in [("stats=SENT", "status=SENT"), ("Limit=1", "limit=1")] {
            let parsed = |text: &str| {
                let uri = format!("/orders?{text}").parse().unwrap();
                Query::<ListQuery>::try_from_uri(&uri).is_ok()
            };
            assert!(!parsed(bad) && parsed(good), "{bad}");
        }
        for bad in ["", "=", "AA", "/w", "MTc=", "a'b"] {
            assert!(query(None, None, Some(bad)).page().is_err(), "{bad}");
        }
        assert!(query(Some("LOST"), None, None).page().is_err());
    }

    proptest! {
        #[test]
        fn every_id_is_a_cursor(id in "[^\\p{Cc}]{1,30}") {
            prop_assert_eq!(order_id_of(&cursor_of(&id)), Some(id));
        }
    }
}
