//! `backfill` and `redrive` issue vouchers of a campaign only by the rule and the key of its earlier
//! vouchers.

use anyhow::Result;
use end_to_end::command::Answer;
use end_to_end::system::{SIGNING_KEY_ID, TestSystem};
use end_to_end::topic::NewRecord;
use serde_json::json;

use crate::campaigns::{NEXT_KEY, NEXT_KEY_ID};
use crate::dead_letters::{bury, letter, sent};
use crate::load;

async fn backfill(system: &TestSystem, name: &str, environment: &[(&str, &str)]) -> Result<Answer> {
    let arguments = ["backfill", "--json", "--name", name];
    system.run_processor(&arguments, environment).await
}

fn assert_refused(answer: &Answer, words: &[&str]) {
    assert_eq!(answer.code, 2, "{}{}", answer.stdout, answer.stderr);
    for word in words {
        assert!(answer.stderr.contains(word), "{word}: {}", answer.stderr);
    }
}

#[tokio::test]
async fn a_campaigns_rule_and_key_are_known_however_far_back_its_vouchers_lie() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let first = r#"{"order_id":"first","status":"SENT","total":"100"}"#;
    system
        .write_orders(vec![NewRecord::new("first", first)])
        .await?;
    let more = [("VOUCHER_AMOUNT", "7.50")];
    assert_eq!(
        backfill(&system, "first", &more).await?.json()?["voucher_records"],
        1
    );
    // In each partition, more vouchers of another campaign than the history check reads first.
    system.write_orders(load::orders(0..4000)).await?;
    let other = [("VOUCHER_CAMPAIGN", "other")];
    assert_eq!(
        backfill(&system, "other", &other).await?.json()?["voucher_records"],
        1601
    );

    let words = [
        "worth 7.50 EUR by another rule",
        "says 5.00 EUR",
        "VOUCHER_CAMPAIGN",
    ];
    assert_refused(&backfill(&system, "again", &[]).await?, &words);
    bury(&system, vec![letter(&system, 1, "x", sent(1, "100"))]).await?;
    let redrive = ["redrive", "--json"];
    assert_refused(&system.run_processor(&redrive, &[]).await?, &words);
    let redriven = system.run_processor(&redrive, &more).await?.json()?;
    assert_eq!(redriven["outcomes"], json!({"voucher": 1}));

    // A campaign without vouchers may begin.
    let new = [("VOUCHER_CAMPAIGN", "new"), ("VOUCHER_AMOUNT", "9")];
    assert_eq!(
        backfill(&system, "new", &new).await?.json()?["voucher_records"],
        1601
    );
    // Afterwards it continues only with the key that it began with.
    let another_key = [&new[..], &[("VOUCHER_SIGNING_KEY", NEXT_KEY)]].concat();
    let words = [SIGNING_KEY_ID, NEXT_KEY_ID, "VOUCHER_SIGNING_KEYS_FILE"];
    assert_refused(&backfill(&system, "keyed", &another_key).await?, &words);
    assert_refused(&system.run_processor(&redrive, &another_key).await?, &words);
    let anyway = ["redrive", "--json", "--skip-history-check"];
    let redriven = system.run_processor(&anyway, &another_key).await?.json()?;
    assert_eq!(redriven["outcomes"], json!({"voucher": 1}));
    Ok(())
}
