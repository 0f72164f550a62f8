//! Each rule that decides what becomes of a record, with valid and invalid records, in JSON and in Avro.

use anyhow::Result;
use end_to_end::system::{TestSystem, ready};

use crate::table::check;
use crate::{rules, texts};

#[tokio::test]
async fn every_record_becomes_a_voucher_a_skip_or_a_dead_letter_by_the_rules() -> Result<()> {
    let system = TestSystem::open().await?;
    let processor = system.processor().await?;
    let cases = [rules::cases(), texts::cases()].concat();
    check(&system, &processor, cases).await
}

#[tokio::test]
async fn at_least_once_comes_to_the_same_outcomes() -> Result<()> {
    let system = TestSystem::open().await?;
    let command = system.processor_command("1").await?;
    let processor = ready(command.env("PROCESSING_GUARANTEE", "at_least_once")).await?;
    let cases = [rules::cases(), texts::cases()].concat();
    check(&system, &processor, cases).await
}

#[tokio::test]
async fn without_a_registry_vouchers_are_json_and_avro_is_a_dead_letter() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let processor = system.processor().await?;
    let cases = [rules::cases(), texts::cases()].concat();
    check(&system, &processor, cases).await
}
