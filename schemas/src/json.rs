//! JSON: a strict scanner that fills slots, and the strings that are written.

mod scan;
mod write;

pub(crate) use scan::read;
pub(crate) use write::write_string;
