//! Each rule of "one record's verdict", good and bad, in JSON and in Avro.

use anyhow::Result;
use end_to_end::shop::Shop;
use end_to_end::topic::NewRecord;

#[tokio::test]
async fn a_sent_order_in_json_becomes_one_voucher_record() -> Result<()> {
    let shop = Shop::open().await?;
    let _processor = shop.processor().await?;
    shop.write_orders(vec![
        NewRecord::new("17", r#"{"order_id":"17","status":"SENT","total":100}"#),
        NewRecord::new(
            "18",
            r#"{"order_id":"18","status":"SENT","total":"99.995"}"#,
        ),
        NewRecord::new("19", "not json"),
    ])
    .await?;
    shop.caught_up(&shop.processor_group(), &shop.topics.order_status)
        .await;
    let vouchers = shop.voucher_records().await?;
    assert_eq!(vouchers.len(), 1);
    assert_eq!(vouchers[0].key_text(), "17");
    let letters = shop.dead_letters().await?;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value.as_deref(), Some(b"not json".as_slice()));
    assert_eq!(
        letters[0].header("dlq.reason").as_deref(),
        Some("invalid_json")
    );
    Ok(())
}
