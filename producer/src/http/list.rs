//! `GET /orders`: all orders, in pages.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::LINK;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use schemas::{OrderId, Status};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::problem::{Problem, ProblemDetails};
use super::schema::StatusText;
use crate::ingress::StoredOrder;
use crate::orders::OrderView;

const DEFAULT_LIMIT: u16 = 100;
const MOST: u16 = 1000;

/// What to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only orders of this status.
    #[param(value_type = StatusText, inline, required = false)]
    status: Option<String>,
    /// The most orders of a page, 1 to 1000.
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

/// A page of orders, by their ids.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrderPage {
    /// The orders.
    #[schema(value_type = Vec<OrderView>)]
    orders: Vec<Box<RawValue>>,
    /// The ids of orders of this page that are left out because their rows can't be read: something
    /// else has written to them, and an operator has to mend them. Absent where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    unreadable: Vec<String>,
    /// The path of the next page; null on the last one.
    #[schema(example = "/orders?limit=100&after=MTc")]
    next: Option<String>,
}

/// List orders.
///
/// In the order of their ids, which for ids made here is the order of placing.
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
) -> Result<(HeaderMap, Json<OrderPage>), Problem> {
    let Query(query) = query.map_err(|error| Problem::BadRequest(error.body_text()))?;
    let page = query.page()?;
    let mut orders = read(&api, &page).await?;
    let more = orders.len() > usize::from(page.limit);
    orders.truncate(page.limit.into());
    let next = match orders.last() {
        Some(last) if more => Some(page.next(&last.order_id)),
        _ => None,
    };
    let mut headers = HeaderMap::new();
    if let Some(next) = &next
        && let Ok(link) = HeaderValue::from_str(&format!("<{next}>; rel=\"next\""))
    {
        headers.insert(LINK, link);
    }
    let mut page = OrderPage {
        orders: Vec::with_capacity(orders.len()),
        unreadable: Vec::new(),
        next,
    };
    for stored in orders {
        match stored.order {
            Ok(order) => {
                let view = serde_json::value::to_raw_value(&OrderView::from(&order));
                page.orders.push(view.map_err(|_| Problem::Internal)?);
            }
            Err(_) => page.unreadable.push(stored.order_id),
        }
    }
    Ok((headers, Json(page)))
}

/// One order more than fits on the page: then there is a next one.
async fn read(api: &Api, page: &Page) -> Result<Vec<StoredOrder>, Problem> {
    let limit = i64::from(page.limit) + 1;
    // No id is empty, so all come after it.
    let after = page.after.as_deref().unwrap_or_default();
    let rows = match page.status {
        None => {
            sqlx::query_as(
                "SELECT order_id, status, total, currency, products, version, sent_at, created_at, updated_at
                 FROM orders WHERE order_id > $1 ORDER BY order_id LIMIT $2",
            )
            .bind(after)
            .bind(limit)
            .fetch_all(&api.pool)
            .await?
        }
        Some(status) => {
            sqlx::query_as(
                "SELECT order_id, status, total, currency, products, version, sent_at, created_at, updated_at
                 FROM orders WHERE status = $3 AND order_id > $1 ORDER BY order_id LIMIT $2",
            )
            .bind(after)
            .bind(limit)
            .bind(status.as_str())
            .fetch_all(&api.pool)
            .await?
        }
    };
    Ok(rows)
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
                .filter(|limit| (1..=MOST).contains(limit))
                .ok_or_else(|| Problem::BadRequest(format!("limit must be 1 to {MOST}")))?,
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
    OrderId::new(&id).is_ok().then_some(id)
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
