//! Records of the maximum size that the topic accepts.

use anyhow::Result;
use end_to_end::system::TestSystem;
use end_to_end::topic::NewRecord;
use rand::Rng;

/// `max.message.bytes` of the order status topic, which bounds a whole batch.
const LARGEST_BATCH: usize = 1_048_588;

/// Returns the number of bytes of a signed number: zigzag, seven bits in each byte.
const fn number(value: usize) -> usize {
    let bits = usize::BITS - (value << 1).leading_zeros();
    if bits == 0 {
        1
    } else {
        bits.div_ceil(7) as usize
    }
}

/// Returns the size of a batch of one uncompressed record (format 2 of Kafka's protocol guide).
fn batch(record: &NewRecord) -> usize {
    let field = |bytes: &[u8]| number(bytes.len()) + bytes.len();
    let headers: usize = record
        .headers
        .iter()
        .map(|(name, value)| field(name.as_bytes()) + field(value.as_deref().unwrap_or_default()))
        .sum();
    // Attributes, timestamp and offset (both relative to the batch's) are a byte each.
    let record = 3
        + field(record.key.as_deref().unwrap_or_default())
        + field(record.value.as_deref().unwrap_or_default())
        + number(record.headers.len())
        + headers;
    61 + number(record) + record
}

/// Returns `record` with its value filled up to the largest size that the topic accepts, and the same with
/// one byte more. The value ends with `end`.
fn largest(record: &NewRecord, filling: u8, end: &str) -> [NewRecord; 2] {
    [0, 1].map(|too_many| {
        let mut largest = record.clone();
        let value = largest.value.get_or_insert_default();
        // Near the final length, so that the encoded length has its final number of bytes.
        value.resize(LARGEST_BATCH - 200, filling);
        value.extend_from_slice(end.as_bytes());
        let missing = LARGEST_BATCH - batch(&largest) + too_many;
        let value = largest.value.get_or_insert_default();
        let at = value.len() - end.len();
        value.splice(at..at, std::iter::repeat_n(filling, missing));
        assert_eq!(batch(&largest), LARGEST_BATCH + too_many);
        largest
    })
}

#[tokio::test]
async fn a_record_at_the_topics_size_limit_is_a_dead_letter_as_a_whole() -> Result<()> {
    let system = TestSystem::open().await?;
    let _processor = system.processor().await?;
    let bad = NewRecord {
        headers: vec![
            ("note".to_owned(), Some(b"kept".to_vec())),
            ("null".to_owned(), None),
        ],
        ..NewRecord::new("17", "[")
    };
    let [mut bad, too_large] = largest(&bad, b'x', "");
    // Random bytes cannot be compressed, so the dead letter is as large as possible.
    if let Some(value) = &mut bad.value {
        value[1..].fill_with(|| rand::rng().random_range(1..=u8::MAX));
    }
    let good = r#"{"order_id":"18","status":"SENT","total":100,"note":""#;
    let [good, too_large_too] = largest(&NewRecord::new("18", good), b'n', "\"}");
    for refused in [too_large, too_large_too] {
        let error = system
            .write_orders(vec![refused])
            .await
            .expect_err("refused");
        assert!(error.to_string().contains("MessageSizeTooLarge"), "{error}");
    }

    system.write_orders(vec![bad.clone(), good]).await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    let vouchers = system.voucher_records().await?;
    assert_eq!(vouchers.len(), 1);
    assert_eq!(vouchers[0].key_text(), "18");
    let letters = system.dead_letters().await?;
    assert_eq!(letters.len(), 1);
    assert!(letters[0].value == bad.value, "not byte for byte");
    assert_eq!(letters[0].headers[..2], bad.headers);
    let reason = letters[0].header("dlq.reason");
    assert_eq!(reason.as_deref(), Some("invalid_json"));
    Ok(())
}
