//! An order that somebody wants to place.

use rust_decimal::Decimal;
use schemas::Currency;

/// The most products of an order.
pub const MAX_PRODUCTS: usize = 500;

/// The longest name of a product, in bytes.
pub const MAX_PRODUCT_NAME: usize = 500;

/// An order to be placed, valid in every field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// How the order is called.
    pub name: OrderName,
    /// What it costs: at most two decimals, 0 <= total < 10^15.
    pub total: Decimal,
    /// The total's currency.
    pub currency: Currency,
    /// What was ordered.
    pub products: Vec<NewProduct>,
}

/// Who names a new order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderName {
    /// The client; a valid [`OrderId`](schemas::OrderId).
    Given(String),
    /// We do, with a UUIDv7: ids that follow each other keep the index's end in memory.
    Uuid,
    /// We do, with the next integer that is free: the old system's clients. Their products get
    /// numbers too.
    Number,
}

/// One product of an order, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProduct {
    name: String,
    price: Decimal,
}

/// Why something is no product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProduct {
    /// The name is too long.
    #[error("a product's name is 1 to {MAX_PRODUCT_NAME} bytes")]
    NameLength,
    /// Such as a NUL, which Postgres does not hold.
    #[error("a product's name has no control characters")]
    ControlCharacter,
}

impl NewProduct {
    /// All that there is to it: a field that is added is added here, and so to whoever needs all.
    pub fn parts(&self) -> (&str, Decimal) {
        let Self { name, price } = self;
        (name, *price)
    }

    /// A product of this name and price.
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

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its price.
    pub const fn price(&self) -> Decimal {
        self.price
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
