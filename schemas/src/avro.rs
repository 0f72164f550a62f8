//! Avro: a plan compiled from the writer's schema, the reader that follows it, and the writer.
//!
//! No generic value is ever built. What a schema may ask of the reader is bounded, because schema
//! and bytes may be anybody's: see the constants in `plan` and `skip`.

mod cursor;
mod plan;
mod read;
mod skip;
pub(crate) mod write;

pub(crate) use plan::Plan;
