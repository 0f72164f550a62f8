//! Orders: what they are, how their status may change, what an amount is. Values in, values out.

mod money;
mod new_order;
mod order;
mod transition;

pub use money::{InvalidMoney, money};
pub use new_order::{
    InvalidProduct, MAX_PRODUCT_NAME, MAX_PRODUCTS, NewOrder, NewProduct, OrderName,
};
pub use order::{Order, OrderView, Product, money_text, render, rendered};
pub use transition::{Transition, transition};
