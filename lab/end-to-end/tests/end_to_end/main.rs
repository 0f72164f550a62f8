//! The product as its users see it: the real binaries on the real services.

#![allow(missing_docs)]

mod exactly_once;
mod instances;
mod load;
mod verdicts;
