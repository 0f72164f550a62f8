//! Orders whose records' keys are not the order id's own bytes, as bridges, converters and
//! serializers write them.

use anyhow::Result;
use end_to_end::system::TestSystem;
use end_to_end::topic::NewRecord;
use serde_json::Value;

use crate::voucher;

fn sent(order_id: &str) -> String {
    format!(r#"{{"order_id":"{order_id}","status":"SENT","total":100}}"#)
}

/// Returns the name of each form, an order's id, and the key that represents the id in this form.
fn forms() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let framed = |id: &[u8], body: &[u8]| [&[0], id, body].concat();
    vec![
        ("plain", "1001", b"1001".to_vec()),
        ("quoted", "1002", b"\"1002\"".to_vec()),
        ("quoted", "A/1", br#""A\/1""#.to_vec()),
        ("framed", "1003", framed(b"\0\0\0\x07", b"\x081003")),
        ("framed", "1004", framed(b"\0\0\0\x07", b"\"1004\"")),
        ("framed", "1005", framed(b"\0\0\0\0\0\0\0\x07", b"\x081005")),
        ("avro", "1006", b"\x081006".to_vec()),
        ("int", "1007", 1007_i32.to_be_bytes().to_vec()),
        ("long", "1008", 1008_i64.to_be_bytes().to_vec()),
    ]
}

#[tokio::test]
async fn a_key_in_any_form_earns_the_values_order_one_voucher_under_the_plain_id() -> Result<()> {
    let system = TestSystem::open().await?;
    let _processor = system.processor().await?;
    let _sink = system.sink().await?;
    let mut records: Vec<_> = forms()
        .into_iter()
        .map(|(_, id, key)| NewRecord::new(key, sent(id)))
        .collect();
    // A second writer of the same order.
    records.push(NewRecord::new("1002", sent("1002")));
    system.write_orders(records).await?;
    system.settled().await;

    assert!(system.dead_letters().await?.is_empty());
    let rows = system.vouchers().await?;
    let rows: Vec<_> = rows.iter().map(|row| row.order_id.as_str()).collect();
    let mut expected: Vec<_> = forms().into_iter().map(|(_, id, _)| id).collect();
    expected.sort_unstable();
    assert_eq!(rows, expected, "one row for each order");
    for record in system.voucher_records().await? {
        assert_eq!(
            record.key_text(),
            voucher::read(&system, &record)?.order_id,
            "a voucher's key is the id, whatever its source's key was"
        );
    }

    for (form, id, _) in forms() {
        let told = system
            .run_processor(&["explain", id, "--json"], &[])
            .await?;
        let told = told.json()?;
        let records = told["records"].as_array().into_iter().flatten();
        let found: Vec<_> = records
            .filter_map(|record| record["key_form"].as_str())
            .collect();
        assert!(found.contains(&form), "{id}: {told:#}");
        assert_eq!(found.len(), if id == "1002" { 2 } else { 1 }, "{told:#}");
    }
    let told = system.run_processor(&["explain", "1002"], &[]).await?;
    assert!(
        told.stdout.contains("a JSON string, in quotes")
            && told.stdout.contains("StringSerializer"),
        "{}",
        told.stdout
    );
    Ok(())
}

#[tokio::test]
async fn a_key_that_says_another_id_is_a_dead_letter_that_shows_its_form_and_bytes() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let _processor = system.processor().await?;
    system
        .write_orders(vec![
            NewRecord::new("\"95\"", sent("94")),
            NewRecord::new(95_i64.to_be_bytes(), sent("94")),
            NewRecord::new("\"96\"", sent("96")),
        ])
        .await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    let list = ["dead-letters", "--json", "--key", "95"];
    let listed = system.run_processor(&list, &[]).await?.json()?;
    assert_eq!(listed["reasons"]["key_mismatch"]["open"], 2, "{listed:#}");
    let letters = listed["letters"].as_array().into_iter().flatten();
    let messages: Vec<_> = letters
        .filter_map(|letter| letter["message"].as_str())
        .collect();
    for words in [
        "the key is a JSON string, in quotes, \"95\" (0x22393522)",
        "the key is an integer of 8 bytes, \"95\" (0x000000000000005f)",
    ] {
        let told = messages.iter().any(|message| message.contains(words));
        assert!(told, "no {words} in {messages:?}");
    }

    let told = system
        .run_processor(&["explain", "95", "--json"], &[])
        .await?;
    let told = told.json()?;
    assert_eq!(
        told["records"].as_array().map(Vec::len),
        Some(2),
        "{told:#}"
    );
    assert_eq!(told["dead_letters"].as_array().map(Vec::len), Some(2));

    let checked = system.run_processor(&["check", "--json"], &[]).await?;
    let checked: Value = serde_json::from_str(&checked.stdout)?;
    let verdict = |subject: &str| {
        let subject = format!("{subject} of {}", system.topics.order_status);
        let mut verdicts = checked["verdicts"].as_array().into_iter().flatten();
        let verdict = verdicts.find(|verdict| verdict["subject"] == subject.as_str());
        verdict.map(|verdict| format!("{} {}", verdict["level"], verdict["finding"]))
    };
    let keys = verdict("keys").unwrap_or_default();
    assert!(
        keys.contains("warn") && keys.contains("in quotes"),
        "{keys}"
    );
    let values = verdict("values").unwrap_or_default();
    assert!(
        values.contains("2 of the newest 3") && values.contains("key_mismatch"),
        "{values}"
    );
    Ok(())
}
