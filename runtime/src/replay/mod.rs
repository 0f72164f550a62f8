//! What every replay of a range needs beside its reader: a pace that a live system can bear, and a
//! person who sees how far it is.

mod pace;
mod progress;

pub use pace::Pace;
pub use progress::{Share, Shown};
