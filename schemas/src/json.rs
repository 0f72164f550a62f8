//! JSON: a strict scanner that finds known fields, and the strings that are written.

mod fields;
mod scan;
mod string;
mod write;

pub(crate) use fields::{Found, Names};
pub(crate) use scan::read;
pub(crate) use string::string_alone;
pub(crate) use write::write_string;
