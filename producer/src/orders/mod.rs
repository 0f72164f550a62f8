//! Orders, their status transitions and their money. Values in, values out: no I/O.

mod money;
mod new_order;
mod order;
mod transition;

pub use money::{InvalidMoney, money, money_text};
pub use new_order::{InvalidProduct, NewOrder, NewProduct, OrderIdSource};
pub use order::{Order, Product};
pub use transition::{Transition, transition};
