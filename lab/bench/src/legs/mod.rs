//! One module for each leg.

pub mod backfill;
pub mod beside_a_backfill;
pub mod beside_streams;
pub mod console;
pub mod curves;
pub mod decode;
pub mod end_to_end;
pub mod explain;
pub mod idle;
pub mod ingress;
pub mod memory;
pub mod processor;
pub mod relay;
pub mod sink;
pub mod traces;
