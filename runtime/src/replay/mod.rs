//! What every replay of a range needs beside its reader: a live loop's view of it, a pace that a live
//! system can bear, and a person who sees how far it is.

mod input;
mod pace;
mod progress;

pub use input::RangeInput;
pub use pace::Pace;
pub use progress::{Share, Shown};
