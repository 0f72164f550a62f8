//! The product as its users see it: the real binaries on the real services.

#![allow(missing_docs)]

mod verdicts;
