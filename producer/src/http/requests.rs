//! The bodies of requests: from JSON to values that are valid in every field, and the API's description
//! of them. The comments of bodies and fields are a part of that description.

use axum::http::HeaderMap;
use runtime::trace_context::{TRACEPARENT, TraceParent};
use rust_decimal::Decimal;
use schemas::{Currency, OrderId, Status, decimal};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::json;
use super::problem::Problem;
use super::schema::{Money, OldId, OrderIdField, Products, StatusText};
use crate::ingress::ChangeRefused;
use crate::limits::MAX_PRODUCTS;
use crate::orders::{NewOrder, NewProduct, OrderIdSource, money};

/// A new order.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct PlaceBody<'a> {
    /// Its id; a UUID when there is none.
    #[serde(borrow)]
    #[schema(value_type = Option<OrderIdField>, inline)]
    order_id: Option<&'a RawValue>,
    #[serde(borrow)]
    #[schema(value_type = Money, inline)]
    total: Option<&'a RawValue>,
    /// Three letters of any case; the service's default when there is none.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z]{3}$", example = "EUR")]
    currency: Option<&'a RawValue>,
    #[serde(borrow)]
    #[schema(value_type = Option<Products>, inline)]
    products: Option<&'a RawValue>,
    /// PENDING, if it is there: a new order has no other status.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, pattern = "^[Pp][Ee][Nn][Dd][Ii][Nn][Gg]$", example = "PENDING")]
    status: Option<&'a RawValue>,
}

/// A status change.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct StatusBody<'a> {
    #[serde(borrow)]
    #[schema(value_type = StatusText, inline)]
    status: Option<&'a RawValue>,
}

/// A new order of the old system's clients.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct OldPlaceBody<'a> {
    #[serde(borrow)]
    #[schema(value_type = Money, inline)]
    total: Option<&'a RawValue>,
    #[serde(borrow)]
    #[schema(value_type = Option<Products>, inline)]
    products: Option<&'a RawValue>,
}

/// A status change of the old system's clients.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct OldStatusBody<'a> {
    #[serde(borrow)]
    #[schema(value_type = OldId, inline)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    #[schema(value_type = StatusText, inline)]
    status: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct ProductBody<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    price: Option<&'a RawValue>,
}

impl PlaceBody<'_> {
    /// Returns the new order. Its id comes from the client, or is a UUID.
    ///
    /// # Errors
    /// 422, naming the field.
    pub(super) fn new_order(&self, default_currency: Currency) -> Result<NewOrder, Problem> {
        let id = match self.order_id {
            Some(value) => OrderIdSource::Client(order_id(value)?),
            None => OrderIdSource::Uuid,
        };
        self.check_status()?;
        let currency = match self.currency {
            Some(value) => json::text("currency", value)?
                .parse()
                .map_err(|error| Problem::Invalid(format!("currency: {error}")))?,
            None => default_currency,
        };
        Ok(NewOrder {
            id,
            total: total(self.total)?,
            currency,
            products: products(self.products)?,
        })
    }

    /// Refuses any status but PENDING, so that a client that asks for another one does not believe that
    /// the order has it.
    fn check_status(&self) -> Result<(), Problem> {
        let Some(status) = self.status else {
            return Ok(());
        };
        match json::text("status", status)?.parse() {
            Ok(Status::Pending) => Ok(()),
            _ => Err(Problem::Invalid(
                "status: a new order is PENDING; change it afterwards (PATCH /orders/{order_id})"
                    .to_owned(),
            )),
        }
    }
}

impl<'a> OldPlaceBody<'a> {
    /// Returns the new order. Its id is the next free integer.
    ///
    /// # Errors
    /// 422, naming the field.
    pub(super) fn new_order(&self, default_currency: Currency) -> Result<NewOrder, Problem> {
        Ok(NewOrder {
            id: OrderIdSource::Sequence,
            total: total(self.total)?,
            currency: default_currency,
            products: products(self.products)?,
        })
    }

    /// Returns the total as it was written, which the answer repeats.
    pub(super) const fn total_as_written(&self) -> Option<&'a RawValue> {
        self.total
    }

    /// Returns the prices as they were written, which the answer repeats.
    ///
    /// # Errors
    /// 422 for products that are not a list of objects.
    pub(super) fn prices_as_written(&self) -> Result<Vec<Option<&'a RawValue>>, Problem> {
        let bodies = product_bodies(self.products)?;
        Ok(bodies.into_iter().map(|body| body.price).collect())
    }
}

impl StatusBody<'_> {
    /// Returns the requested status.
    ///
    /// # Errors
    /// 422 when it is missing or unknown.
    pub(super) fn wanted(&self) -> Result<Status, Problem> {
        wanted_status(self.status)
    }
}

impl OldStatusBody<'_> {
    /// Returns the order's id and the requested status.
    ///
    /// # Errors
    /// 400 for a missing id, 404 for one that no old order has, 422 for a missing or unknown status.
    pub(super) fn wanted(&self) -> Result<(String, Status), Problem> {
        let id = self
            .id
            .ok_or_else(|| Problem::BadRequest("id is missing".to_owned()))?;
        let order_id = old_order_id(id).ok_or(ChangeRefused::OrderNotFound)?;
        Ok((order_id, wanted_status(self.status)?))
    }
}

fn missing(field: &str) -> Problem {
    Problem::Invalid(format!("{field} is missing"))
}

fn total(value: Option<&RawValue>) -> Result<Decimal, Problem> {
    let total = value.ok_or_else(|| missing("total"))?;
    money(total).map_err(|error| Problem::Invalid(format!("total {error}")))
}

fn products(value: Option<&RawValue>) -> Result<Vec<NewProduct>, Problem> {
    product_bodies(value)?
        .into_iter()
        .enumerate()
        .map(|(at, body)| product(at, &body))
        .collect()
}

fn product_bodies(products: Option<&RawValue>) -> Result<Vec<ProductBody<'_>>, Problem> {
    let Some(products) = products else {
        return Ok(Vec::new());
    };
    let products: Vec<&RawValue> = serde_json::from_str(products.get())
        .map_err(|_| Problem::Invalid("products must be a list".to_owned()))?;
    if products.len() > MAX_PRODUCTS {
        return Err(Problem::Invalid(format!(
            "products: {} are too many, at most {MAX_PRODUCTS} are accepted",
            products.len()
        )));
    }
    products
        .into_iter()
        .enumerate()
        .map(|(at, product)| {
            json::object(product.get().as_bytes()).map_err(|_| {
                Problem::Invalid(format!(
                    "products[{at}] must be an object with one name and one price"
                ))
            })
        })
        .collect()
}

fn product(at: usize, body: &ProductBody<'_>) -> Result<NewProduct, Problem> {
    let name = body
        .name
        .ok_or_else(|| missing(&format!("products[{at}].name")))?;
    let name = json::text(&format!("products[{at}].name"), name)?;
    let price = body
        .price
        .ok_or_else(|| missing(&format!("products[{at}].price")))?;
    let price =
        money(price).map_err(|error| Problem::Invalid(format!("products[{at}].price {error}")))?;
    NewProduct::new(name, price)
        .map_err(|error| Problem::Invalid(format!("products[{at}]: {error}")))
}

fn wanted_status(value: Option<&RawValue>) -> Result<Status, Problem> {
    let value = value.ok_or_else(|| missing("status"))?;
    json::text("status", value)?
        .parse()
        .map_err(|error| Problem::Invalid(format!("status must be {error}")))
}

/// Returns the order id that a field holds: a string, or an integer, which stands for its digits.
///
/// # Errors
/// 422 for anything else, and for an id that no order can have.
pub(super) fn order_id(value: &RawValue) -> Result<String, Problem> {
    let id = match value.get().as_bytes().first() {
        Some(b'"') => json::text("order_id", value)?,
        _ if is_integer(value.get()) => value.get().to_owned(),
        _ => {
            return Err(Problem::Invalid(
                "order_id must be a string or an integer".to_owned(),
            ));
        }
    };
    OrderId::new(&id).map_err(|error| Problem::Invalid(format!("order_id: {error}")))?;
    Ok(id)
}

/// Returns whether a JSON number is written as an integer. Readers of the topic accept the same
/// notation as an id.
fn is_integer(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the order id of a client of the old system: the digits of an integer, sent as a number or a
/// string.
fn old_order_id(value: &RawValue) -> Option<String> {
    let number = match value.get().as_bytes().first()? {
        b'"' => {
            let text = json::text("id", value).ok()?;
            let digits = text.trim_start_matches('0');
            let digits = if digits.is_empty() && !text.is_empty() {
                "0"
            } else {
                digits
            };
            digits.to_owned()
        }
        // A whole number in any notation, such as 17.0.
        _ => {
            let number = decimal::parse(value.get()).ok()?.normalize();
            (number.scale() == 0).then(|| number.to_string())?
        }
    };
    let id: i64 = number.parse().ok()?;
    (id >= 0 && id.to_string() == number).then_some(number)
}

/// Returns the trace in the request's header, or a new one. If spans are recorded, `traced` has put the
/// span of the request itself into the header.
pub(super) fn trace(headers: &HeaderMap) -> TraceParent {
    trace_of(headers).unwrap_or_else(TraceParent::random)
}

/// Returns the trace in the request's header.
pub(super) fn trace_of(headers: &HeaderMap) -> Option<TraceParent> {
    let header = headers.get(TRACEPARENT)?;
    TraceParent::parse(header.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(body: &str) -> Result<NewOrder, Problem> {
        json::object::<PlaceBody<'_>>(body.as_bytes())?.new_order(Currency::EUR)
    }

    fn detail(body: &str) -> String {
        match place(body) {
            Err(Problem::Invalid(detail)) => detail,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn an_order_needs_no_more_than_a_total() {
        let order = place(r#"{"total": 100}"#).unwrap();
        assert_eq!(order.id, OrderIdSource::Uuid);
        assert_eq!(order.currency, Currency::EUR);
        assert!(order.products.is_empty());
        let order = place(r#"{"order_id": 17, "total": "1e2", "currency": "usd"}"#).unwrap();
        assert_eq!(order.id, OrderIdSource::Client("17".to_owned()));
        assert_eq!(order.currency.as_str(), "USD");
        assert!(place(r#"{"total": 1, "status": "pending"}"#).is_ok());
    }

    #[test]
    fn an_error_names_its_field() {
        for (body, field) in [
            (r#"{}"#, "total"),
            (r#"{"total": null}"#, "total"),
            (r#"{"total": -1}"#, "total"),
            (r#"{"total": 99.995}"#, "total"),
            (r#"{"total": 1, "currency": 5}"#, "currency"),
            (r#"{"total": 1, "currency": "EURO"}"#, "currency"),
            (r#"{"total": 1, "order_id": ""}"#, "order_id"),
            (r#"{"total": 1, "order_id": "a\u0000"}"#, "order_id"),
            (r#"{"total": 1, "order_id": 1.5}"#, "order_id"),
            (r#"{"total": 1, "order_id": 17.0}"#, "order_id"),
            (r#"{"total": 1, "order_id": [1]}"#, "order_id"),
            (r#"{"total": 1, "status": "SENT"}"#, "status"),
            (r#"{"total": 1, "status": 1}"#, "status"),
            (r#"{"total": 1, "products": {}}"#, "products"),
            (r#"{"total": 1, "products": [["shirt", 1]]}"#, "products[0]"),
            (
                r#"{"total": 1, "products": [{"name": "a"}]}"#,
                "products[0].price",
            ),
            (
                r#"{"total": 1, "products": [{"price": 1}]}"#,
                "products[0].name",
            ),
            (
                r#"{"total": 1, "products": [{"name": "a\u0000", "price": 1}]}"#,
                "products[0]",
            ),
        ] {
            let detail = detail(body);
            assert!(detail.starts_with(field), "{body}: {detail}");
        }
    }

    #[test]
    fn a_thousand_products_are_too_many() {
        let products = vec![r#"{"name":"a","price":1}"#; 1000].join(",");
        let body = format!(r#"{{"total":1,"products":[{products}]}}"#);
        assert!(detail(&body).contains("at most 500"));
    }

    #[test]
    fn an_old_id_is_an_integer_as_number_or_string() {
        let id = |json: &str| {
            let value = RawValue::from_string(json.to_owned()).unwrap();
            old_order_id(&value)
        };
        for json in ["17", "\"17\"", "17.0", "\"017\""] {
            assert_eq!(id(json).as_deref(), Some("17"), "{json}");
        }
        for json in [
            "1.5",
            "-1",
            "\"-1\"",
            "\"\"",
            "\"1.0\"",
            "\"abc\"",
            "\"17; DROP TABLE orders\"",
            "true",
            "[17]",
            "{}",
            "1e400",
            "99999999999999999999",
            "\" 17\"",
            "\"+17\"",
        ] {
            assert_eq!(id(json), None, "{json}");
        }
    }
}
