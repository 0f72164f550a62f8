//! Vouchers into Postgres: idempotent batches, then offsets.
//!
//! ```text
//! vouchers ──poll──▶ decide ──▶ batch ──▶ one statement: INSERT .. SELECT UNNEST(columns)
//! (read_committed)   │ decode (schemas)   │               ON CONFLICT (campaign, order_id) DO NOTHING
//!                    └ circuit breaker    │                        │ refused for its data
//!                                         │                        ▼ bisected, to the row alone
//!                                         ├──────▶ vouchers.dlq, acknowledged
//!                                         └──────▶ offsets, last
//! ```
//!
//! | module | what is in it |
//! |---|---|
//! | [`task`] | the loop: an explicit state machine over narrow [`ports`] |
//! | [`decide`] | one record in, its outcome into the batch: pure but for the look-up of the schema |
//! | [`batch`] | consecutive records: their rows, the dead letters among them, the offsets to commit |
//! | [`columns`], [`string_column`] | the rows of one statement, column by column |
//! | [`bisection`] | which part of a batch is written next, after a refusal |
//! | [`lone_failures`] | whether a row that fails alone is at fault, or the database |
//! | [`rejection`] | why a row that the database rejects is a dead letter, without its code |
//! | [`limits`] | every bound and interval of the loop and its statements, and the reason for each |
//! | [`tally`] | how many records had which outcome |
//! | [`kafka`] | the ports over librdkafka, thin |
//! | [`target`] | which database the vouchers are written to; [`postgres`](target::postgres): the port over sqlx |
//! | [`backfill`] | `sink backfill`: the rows of a part of the topic, beside the group |
//! | [`observer`] | metrics and readiness of a task |
//! | [`cli`] | the commands |
//! | [`settings`], [`service`] | `sink run` |
//! | [`redrive`], [`dead_letters`] | the dead letters: tried again, listed, shown, discarded |
//! | [`check`] | `sink check` |
//!
//! # When a batch is written
//! When the queue is empty, or at 2,000 records or 8 MiB; never on a timer. A record that comes alone
//! is written alone, at the cost of one statement. Each task has its own thread, group member and
//! connection; while a batch is written the next one is read. A batch takes one statement if its rows
//! are all new or all exist, as those of the last batches did, and two or three if both are mixed.
//!
//! # What an error does
//! | what went wrong | what is done |
//! |---|---|
//! | a record cannot be decoded, or its schema is unknown | dead letter |
//! | a null value | skipped: it deletes no voucher |
//! | the row exists | it is kept, and counted as `existing`, or as `different` if its code, amount or currency differs |
//! | a statement is refused for its data | bisected until the row is alone: dead letter `rejected_by_database` |
//! | a row's code exists | bisected; dead letter `code_taken` only if another identity has it, else the statement is repeated |
//! | a time-out, a lock, a trigger that raises an error, a row that is ignored without an error | bisected; the row alone is a dead letter if it fails three times while the table accepts others, else waited out |
//! | two transactions conflict (40001, 40P01) | the statement is repeated |
//! | Postgres is unavailable, full, read-only, slow; rights or schema are wrong | waited out: alive, not ready, polling without taking records |
//! | a dead letter is too large for its topic | written again without what does not fit |
//! | the broker refuses a dead letter for another reason | that one is sent again, every 30 s at most; not ready |
//! | the broker does not acknowledge dead letters or offsets | waited out, and repeated |
//! | more than `DEAD_LETTER_LIMIT` of the last 1,000 records are dead letters | the whole batch is undone; not ready until a person accepts, or the cause is fixed |
//! | a rebalance revokes partitions | the new owner commits their offsets and writes their dead letters; rows that were written stay, because the new owner writes the same ones |
//! | the process is killed at any point | offsets come last, so the batch is processed again; that is idempotent, because rows have an identity |
//!
//! # What the table is
//! For each partition, the table is as if the records were written one by one: the first usable record
//! of an identity is the row, and of two identities with the same code the earlier one has it. A
//! rebuild from the topic gives the same rows.
//!
//! What is deliberately absent: updates and deletes, a memory of what was written, and offsets in the
//! database. A dead letter may be written twice when the sink is killed between its acknowledgement
//! and the offsets; both name the same original by topic, partition and offset.

#![forbid(unsafe_code)]

pub mod backfill;
pub mod batch;
pub mod bisection;
pub mod check;
pub mod cli;
pub mod columns;
pub mod dead_letters;
pub mod decide;
pub mod kafka;
pub mod limits;
pub mod lone_failures;
pub mod observer;
pub mod ports;
pub mod redrive;
pub mod rejection;
pub mod service;
pub mod settings;
pub mod string_column;
pub mod tally;
pub mod target;
pub mod task;
