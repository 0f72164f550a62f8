//! An order that a client wants to place.

use rust_decimal::Decimal;
use schemas::{Currency, Status, Timestamp};

use super::{Order, Product, money_text};
use crate::limits::MAX_PRODUCT_NAME;

/// An order to be placed, valid in every field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// Where its id comes from.
    pub id: OrderIdSource,
    /// The order's total: at most two decimals, 0 <= total < 10^15.
    pub total: Decimal,
    /// The total's currency.
    pub currency: Currency,
    /// The ordered products.
    pub products: Vec<NewProduct>,
}

/// Where the id of a new order comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderIdSource {
    /// The client chose it; a valid [`OrderId`](schemas::OrderId).
    Client(String),
    /// A UUIDv7 is generated: inserts with consecutive ids touch only the end of the index.
    Uuid,
    /// The next integer that is free, for clients of the old system. Their products get numbers too.
    Sequence,
}

/// One product of a new order, valid in every field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProduct {
    name: String,
    price: Decimal,
}

/// Why something is not a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProduct {
    /// The name is empty or too long.
    #[error("a product's name is 1 to {MAX_PRODUCT_NAME} bytes")]
    NameLength,
    /// The name has a control character, such as a NUL, which Postgres cannot store.
    #[error("a product's name has no control characters")]
    ControlCharacter,
}

impl NewOrder {
    /// Passes everything that distinguishes this request from others to `part`. The order of the parts
    /// must never change, because digests of them are stored. All fields are destructured, so that a
    /// further one cannot be forgotten.
    pub fn for_each_part(&self, mut part: impl FnMut(&str)) {
        let Self {
            id,
            total,
            currency,
            products,
        } = self;
        match id {
            OrderIdSource::Client(order_id) => {
                part("given");
                part(order_id);
            }
            OrderIdSource::Uuid => part("uuid"),
            OrderIdSource::Sequence => part("number"),
        }
        part(&money_text(*total));
        part(currency.as_str());
        part(&products.len().to_string());
        for product in products {
            let NewProduct { name, price } = product;
            part(name);
            part(&money_text(*price));
        }
    }

    /// Returns the order as it is placed: with its id, its products, and the time. All fields are
    /// destructured, so that a further one cannot be forgotten.
    pub fn placed(&self, order_id: String, products: Vec<Product>, at: Timestamp) -> Order {
        let Self {
            id: _,
            mut total,
            currency,
            products: _,
        } = *self;
        // Two decimals, because a numeric column without a scale (the outbox's) keeps the scale that it
        // is given.
        total.rescale(2);
        Order {
            order_id,
            status: Status::Pending,
            total,
            currency,
            products,
            version: 1,
            sent_at: None,
            created_at: at,
            updated_at: at,
        }
    }
}

impl NewProduct {
    /// Returns a product of this name and price.
    ///
    /// # Errors
    /// A name that is empty, too long, or holds control characters.
    pub fn new(name: String, price: Decimal) -> Result<Self, InvalidProduct> {
        if !(1..=MAX_PRODUCT_NAME).contains(&name.len()) {
            return Err(InvalidProduct::NameLength);
        }
        if name.contains(char::is_control) {
            return Err(InvalidProduct::ControlCharacter);
        }
        Ok(Self { name, price })
    }

    /// Returns the product as it is stored, with its number if it has one.
    pub fn placed(&self, id: Option<i64>) -> Product {
        let Self { name, price } = self;
        Product {
            id,
            name: name.clone(),
            price: money_text(*price),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_products_name_can_be_stored() {
        let product = |name: &str| NewProduct::new(name.to_owned(), Decimal::ONE).map(|_| ());
        assert_eq!(product("'; DROP TABLE orders; --"), Ok(()));
        assert_eq!(product("茶碗 🍵"), Ok(()));
        assert_eq!(product(""), Err(InvalidProduct::NameLength));
        assert_eq!(product(&"x".repeat(501)), Err(InvalidProduct::NameLength));
        assert_eq!(product("a\0b"), Err(InvalidProduct::ControlCharacter));
    }
}
