//! Processes that do not outlive this one, and the ports that they listen on.

mod backend;
mod child;
mod command;
mod port;
mod tree;
mod wait;

pub use backend::Backend;
pub(crate) use backend::Program;
pub(crate) use child::Child;
pub(crate) use command::{output, run, spawn_with_log};
pub use port::Port;
pub use tree::is_alive;
pub(crate) use wait::{last_line, pause, wait_until_ready};
