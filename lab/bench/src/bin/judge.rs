//! `judge avro|json COUNT`: evaluates COUNT skipped records, for a tool that counts instructions.

use anyhow::{Context, Result, bail};
use bench::legs::decode::Skipped;
use schemas::ValueFormat;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let format = match arguments.next().as_deref() {
        Some("avro") => ValueFormat::Avro(1),
        Some("json") => ValueFormat::Json,
        _ => bail!("judge avro|json COUNT"),
    };
    let count = arguments.next().context("judge avro|json COUNT")?.parse()?;
    Skipped::new(format)?.judge(count)
}
