//! Sent orders in, vouchers out, exactly once.
//!
//! ```text
//! order-status ──poll──▶ evaluate ──▶ outcomes of the batch ──▶ one transaction:
//!                        │ decode (schemas)                       vouchers
//!                        │ rule   (rule)                          order-status.dlq
//!                        │ code   (code)                          offsets of the group
//!                        └ circuit breaker                        commit
//! ```
//!
//! | module | what is in it |
//! |---|---|
//! | [`rule`] | which order earns which voucher: pure |
//! | [`code`] | the voucher's code, from campaign, order id and a signing key: pure |
//! | [`signing_keys`] | which key signs a voucher, by the time at which its order was sent |
//! | [`evaluate`] | one record in, its outcome out: pure but for the schema look-up |
//! | [`batch`] | outcomes of many records, ready to be written; positions to commit |
//! | [`task`] | the exactly-once loop: an explicit state machine over narrow [`ports`] |
//! | [`limits`] | every bound and interval of the loop, and the reason for each |
//! | [`kafka`] | the ports over librdkafka, thin |
//! | [`observer`] | metrics and readiness of a task |
//! | [`cli`] | the commands |
//! | [`settings`], [`service`] | `processor run` |
//! | [`backfill`] | `processor backfill`: a range of the topic again, or what that would give |
//! | [`redrive`], [`dead_letters`] | the dead letters: tried again, listed, shown, discarded |
//! | [`explain`] | what became of one order, and why |
//! | [`explainer`] | explains the decision about one record, by the same decoder and rule |
//! | [`check`], [`verify`] | `processor check`, `processor verify` |
//! | [`campaign_history`] | by which rule and keys a campaign's vouchers were issued |
//! | [`newest_records`] | the newest order statuses, judged for [`check`]: keys, values, times |
//!
//! What is deliberately absent: state, clocks and look-ups in the evaluation. A voucher is a pure
//! function of the record, the rule and the keys, so that a replay gives the same voucher.

#![forbid(unsafe_code)]

pub mod backfill;
pub mod batch;
pub mod campaign_history;
pub mod check;
pub mod cli;
pub mod code;
pub mod dead_letters;
pub mod evaluate;
pub mod explain;
pub mod explainer;
pub mod kafka;
pub mod limits;
pub mod newest_records;
pub mod observer;
pub mod ports;
pub mod redrive;
pub mod rule;
pub mod service;
pub mod settings;
pub mod signing_keys;
pub mod task;
pub mod verify;
