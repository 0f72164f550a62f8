//! What clients ask for, from JSON to values that are valid in every field.

use schemas::{Currency, OrderId, Status, decimal};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::json;
use super::problem::Problem;
use crate::orders::{MAX_PRODUCTS, NewOrder, NewProduct, OrderName, money};

/// The body of a new order; of the old route's too.
#[derive(Debug, Deserialize)]
pub(super) struct PlaceBody<'a> {
    #[serde(borrow)]
    order_id: Option<&'a RawValue>,
    #[serde(borrow)]
    total: Option<&'a RawValue>,
    #[serde(borrow)]
    currency: Option<&'a RawValue>,
    #[serde(borrow)]
    products: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct ProductBody<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    price: Option<&'a RawValue>,
}

/// The body of a status change.
#[derive(Debug, Deserialize)]
pub(super) struct StatusBody<'a> {
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

impl<'a> PlaceBody<'a> {
    /// The order of the API: named by the client, or by us with a UUID.
    ///
    /// # Errors
    /// 422, naming the field.
    pub(super) fn new_order(&self, default_currency: Currency) -> Result<NewOrder, Problem> {
        let name = match self.order_id {
            Some(value) => OrderName::Given(order_id(value)?),
            None => OrderName::Uuid,
        };
        self.is_pending()?;
        let currency = match self.currency {
            Some(value) => json::text("currency", value)?
                .parse()
                .map_err(|error| Problem::Invalid(format!("currency: {error}")))?,
            None => default_currency,
        };
        self.order(name, currency)
    }

    /// The order of the old route: numbered by us.
    ///
    /// # Errors
    /// 422, naming the field.
    pub(super) fn numbered_order(&self, default_currency: Currency) -> Result<NewOrder, Problem> {
        self.order(OrderName::Number, default_currency)
    }

    /// A new order is PENDING. Whoever asks for more must not believe that it was done.
    fn is_pending(&self) -> Result<(), Problem> {
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

    /// The total as it was written, for the old route's answer.
    pub(super) const fn total_as_written(&self) -> Option<&'a RawValue> {
        self.total
    }

    /// The prices as they were written, for the old route's answer.
    ///
    /// # Errors
    /// 422 for products that are no list of objects.
    pub(super) fn prices_as_written(&self) -> Result<Vec<Option<&'a RawValue>>, Problem> {
        let bodies = product_bodies(self.products)?;
        Ok(bodies.into_iter().map(|body| body.price).collect())
    }

    fn order(&self, name: OrderName, currency: Currency) -> Result<NewOrder, Problem> {
        let total = self
            .total
            .ok_or_else(|| Problem::Invalid("total is missing".to_owned()))?;
        let total = money(total).map_err(|error| Problem::Invalid(format!("total {error}")))?;
        let products = product_bodies(self.products)?
            .into_iter()
            .enumerate()
            .map(|(at, body)| product(at, &body))
            .collect::<Result<_, _>>()?;
        Ok(NewOrder {
            name,
            total,
            currency,
            products,
        })
    }
}

fn product_bodies(products: Option<&RawValue>) -> Result<Vec<ProductBody<'_>>, Problem> {
    let Some(products) = products else {
        return Ok(Vec::new());
    };
    let products: Vec<&RawValue> = serde_json::from_str(products.get())
        .map_err(|_| Problem::Invalid("products must be a list".to_owned()))?;
    if products.len() > MAX_PRODUCTS {
        return Err(Problem::Invalid(format!(
            "products: {} are too many, at most {MAX_PRODUCTS} are taken",
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
    let missing = |field: &str| Problem::Invalid(format!("products[{at}].{field} is missing"));
    let name = body.name.ok_or_else(|| missing("name"))?;
    let name = json::text(&format!("products[{at}].name"), name)?;
    let price = body.price.ok_or_else(|| missing("price"))?;
    let price =
        money(price).map_err(|error| Problem::Invalid(format!("products[{at}].price {error}")))?;
    NewProduct::new(name, price)
        .map_err(|error| Problem::Invalid(format!("products[{at}]: {error}")))
}

impl StatusBody<'_> {
    /// The status that is wanted.
    ///
    /// # Errors
    /// 422 when it is missing, or none.
    pub(super) fn wanted(&self) -> Result<Status, Problem> {
        let value = self
            .status
            .ok_or_else(|| Problem::Invalid("status is missing".to_owned()))?;
        json::text("status", value)?
            .parse()
            .map_err(|error| Problem::Invalid(format!("status must be {error}")))
    }
}

/// An order id as a field holds it: a string, or an integer, which stands for its digits.
///
/// # Errors
/// 422 for what names no order.
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

/// Whether a JSON number is an integer as it stands: what the topic takes for an id too.
fn is_integer(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The digits of a number that is a whole one, however it is written (`17`, `17.0`).
pub(super) fn integer(number: &str) -> Option<String> {
    let value = decimal::parse(number).ok()?.normalize();
    (value.scale() == 0).then(|| value.to_string())
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
        assert_eq!(order.name, OrderName::Uuid);
        assert_eq!(order.currency, Currency::EUR);
        assert!(order.products.is_empty());
        let order = place(r#"{"order_id": 17, "total": "1e2", "currency": "usd"}"#).unwrap();
        assert_eq!(order.name, OrderName::Given("17".to_owned()));
        assert_eq!(order.currency.as_str(), "USD");
        assert!(place(r#"{"total": 1, "status": "pending"}"#).is_ok());
    }

    #[test]
    fn what_is_wrong_names_its_field() {
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
}
