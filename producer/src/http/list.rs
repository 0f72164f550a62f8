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
use schemas::Status;
use serde::Deserialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer_memory::Reserved;
use super::problem::{Problem, ProblemDetails};
use super::schema::StatusText;
use crate::ingress::StoredOrder;
use crate::orders::{Order, OrderView, render};

const DEFAULT_LIMIT: u16 = 100;
const MAX_LIMIT: u16 = 1000;

/// A page ends before the order that would make it longer than this many bytes. An order of 500
/// products has up to 300 KB, so a page of 1,000 orders would be of any size.
pub(super) const PAGE_BYTES: usize = 4 * 1024 * 1024;

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
    /// The most orders of a page, 1 to 1000. A page may have fewer and not be the last one: it ends
    /// at 4 MiB too.
    #[param(value_type = u16, required = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// Where the page before ended: as it is in `next`.
    #[param(value_type = String, required = false, pattern = "^[A-Za-z0-9_-]{2,171}$")]
    after: Option<String>,
}

/// A query that was understood.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    status: Option<Status>,
    limit: u16,
    after: Option<String>,
}

/// A page of orders, by their ids. What is answered is written by [`Text`].
#[derive(Debug, ToSchema)]
#[allow(dead_code)]
pub(super) struct OrderPage {
    /// The orders.
    #[schema(value_type = Vec<OrderView>)]
    orders: Vec<Order>,
    /// The ids of orders of this page that are left out because their rows can't be read: something
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
        (status = 400, description = "The query is malformed", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "No key", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "The rate of the key is used up", body = ProblemDetails, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds until there is room for one more"))),
        (status = 500, description = "Broken", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "Try again later", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_orders(
    State(api): State<Api>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::BadRequest(error.body_text()))?;
    let page = query.page()?;
    // Counted before it is read: what is too much is not read at all.
    let memory = api.answers.reserve(PAGE_BYTES).await?;
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

/// The statement of a page, with one more condition; a macro, because statements are literals.
///
/// It steps from order to order and ends at the one that does not fit any more, so that neither
/// Postgres nor the connection touches more than a page. That one is the last row: it only shows
/// that there is a next page. The first order is always on the page, and so there is a second row.
macro_rules! page_of_orders {
    ($condition:literal) => {
        concat!(
            "WITH RECURSIVE page AS (
               (SELECT orders.*, 1 AS number, octet_length(products::text)::bigint AS bytes
                FROM orders WHERE order_id > $1 ",
            $condition,
            " ORDER BY order_id LIMIT 1)
               UNION ALL
               SELECT next.*, page.number + 1, page.bytes + octet_length(next.products::text)
               FROM page CROSS JOIN LATERAL
                 (SELECT * FROM orders WHERE order_id > page.order_id ",
            $condition,
            " ORDER BY order_id LIMIT 1) AS next
               WHERE page.number <= $2 AND (page.bytes <= $3 OR page.number = 1))
             SELECT order_id, status, total, currency, products, version, sent_at, created_at,
                    updated_at, number <= $2 AND (bytes <= $3 OR number = 1) AS fits
             FROM page ORDER BY number"
        )
    };
}

/// An order, and whether it is on the page or only shows that there is a next one.
struct PageRow {
    stored: StoredOrder,
    fits: bool,
}

impl FromRow<'_, PgRow> for PageRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            stored: StoredOrder::from_row(row)?,
            fits: row.try_get("fits")?,
        })
    }
}

/// Reads a page and writes its text order by order. Returns the path of the next page too.
async fn read(api: &Api, page: &Page) -> Result<(Text, Option<String>), Problem> {
    // No id is empty, so all come after it.
    let after = page.after.as_deref().unwrap_or_default();
    let query = match page.status {
        None => sqlx::query_as(page_of_orders!("")),
        Some(_) => sqlx::query_as(page_of_orders!("AND status = $4")),
    };
    let query = query
        .bind(after)
        .bind(i32::from(page.limit))
        .bind(PAGE_BYTES as i64);
    let mut rows = match page.status {
        None => query,
        Some(status) => query.bind(status.as_str()),
    }
    .fetch(&api.pool);
    let mut text = Text::new();
    let mut last = String::new();
    while let Some(PageRow { stored, fits }) = rows.try_next().await? {
        let StoredOrder { order_id, order } = stored;
        let is_on_page = fits
            && match order {
                Ok(order) => text.push(&render(&order)),
                Err(_) => text.leave_out(&order_id),
            };
        if !is_on_page {
            return Ok((text, Some(page.next(&last))));
        }
        last = order_id;
    }
    Ok((text, None))
}

/// The JSON of an [`OrderPage`], as it grows.
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

    /// Adds an order, or returns false when it does not fit any more.
    fn push(&mut self, order: &[u8]) -> bool {
        let is_first = self.json.ends_with(b"[");
        if !is_first {
            if self.json.len() + order.len() > PAGE_BYTES {
                return false;
            }
            self.json.push(b',');
        }
        self.json.extend_from_slice(order);
        true
    }

    /// Names an order whose row can't be read. There is always room for a page's ids.
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

/// Adds a member of strings to an object that has some already.
fn add_member(json: &mut Vec<u8>, name: &str, value: &impl serde::Serialize) {
    // Strings can't fail to serialise.
    let value = serde_json::to_vec(value).unwrap_or_default();
    json.extend_from_slice(format!(",\"{name}\":").as_bytes());
    json.extend_from_slice(&value);
}

/// The path of the page that follows the one asked for, if that ended with the order `after` names.
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
    Ok(page.next(page.after.as_deref().unwrap_or_default()))
}

impl ListQuery {
    fn page(&self) -> Result<Page, Problem> {
        let status = match &self.status {
            None => None,
            Some(status) => Some(
                status
                    .parse()
                    .map_err(|error| Problem::BadRequest(format!("status must be {error}")))?,
            ),
        };
        let limit = match &self.limit {
            None => DEFAULT_LIMIT,
            Some(limit) => limit
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or_else(|| Problem::BadRequest(format!("limit must be 1 to {MAX_LIMIT}")))?,
        };
        let after = match &self.after {
            None => None,
            Some(cursor) => Some(order_id_of(cursor).ok_or_else(|| {
                Problem::BadRequest("after must be as it is in the page before".to_owned())
            })?),
        };
        Ok(Page {
            status,
            limit,
            after,
        })
    }
}

impl Page {
    fn next(&self, last: &str) -> String {
        let status = self
            .status
            .map(|status| format!("status={status}&"))
            .unwrap_or_default();
        format!(
            "/orders?{status}limit={}&after={}",
            self.limit,
            cursor_of(last)
        )
    }
}

fn cursor_of(order_id: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(order_id)
}

fn order_id_of(cursor: &str) -> Option<String> {
    let id = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    // Whatever the table can hold: something else may have written an id that is none of ours.
    ((1..=128).contains(&id.len()) && !id.contains('\0')).then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(status: Option<&str>, limit: Option<&str>, after: Option<&str>) -> ListQuery {
        ListQuery {
            status: status.map(str::to_owned),
            limit: limit.map(str::to_owned),
            after: after.map(str::to_owned),
        }
    }

    #[test]
    fn the_query_is_understood_or_refused() {
        let page = query(Some("sent"), None, Some("MTc")).page().unwrap();
        assert_eq!(page.status, Some(Status::Sent));
        assert_eq!(page.limit, 100);
        assert_eq!(page.after.as_deref(), Some("17"));
        assert_eq!(page.next("18"), "/orders?status=SENT&limit=100&after=MTg");
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
