//! The product as its users see it: the real binaries on the real services.

#![allow(missing_docs)]

mod access;
mod api_keys;
mod avro;
mod backfill;
mod campaigns;
mod check;
mod circuit_breaker;
mod console;
mod contention;
mod database_rights;
mod dead_letters;
mod exactly_once;
mod explain;
mod hostile_clients;
mod http;
mod ignored_rows;
mod instances;
mod kafka_model;
mod late_schemas;
mod limits;
mod load;
mod outages;
mod oversized;
mod ranges;
mod rebuild;
mod record;
mod redrive;
mod relay;
mod rules;
mod secrets;
mod settings;
mod sink_redrive;
mod sink_statements;
mod table;
mod takeover;
mod texts;
mod verdicts;
mod voucher;
