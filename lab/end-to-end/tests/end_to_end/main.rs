//! The product as its users see it: the real binaries on the real services.

#![allow(missing_docs)]

mod exactly_once;
mod instances;
mod load;
mod outages;
mod rebuild;
mod record;
mod relay;
mod rules;
mod table;
mod texts;
mod verdicts;
mod voucher;
