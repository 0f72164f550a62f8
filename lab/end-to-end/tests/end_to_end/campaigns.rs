//! Campaigns by their settings: codes, dates, currencies, validity, signing keys.

use std::collections::BTreeMap;

use anyhow::Result;
use end_to_end::http::metric;
use end_to_end::system::{SIGNING_KEY, SIGNING_KEY_ID, TestSystem, ready};
use end_to_end::topic::NewRecord;
use end_to_end::wait;

use crate::voucher::{self, Voucher};

/// Returns all vouchers with the ids of the keys that signed them, sorted by identity and time.
async fn vouchers(system: &TestSystem) -> Result<Vec<(Voucher, String)>> {
    let mut vouchers = Vec::new();
    for record in system.voucher_records().await? {
        let key_id = record.header("voucher.key-id").unwrap_or_default();
        vouchers.push((voucher::read(system, &record)?, key_id));
    }
    vouchers.sort_by_key(|(voucher, _)| {
        let Voucher {
            campaign,
            order_id,
            issued_at,
            ..
        } = voucher;
        (campaign.clone(), order_id.clone(), issued_at.clone())
    });
    Ok(vouchers)
}

fn sent(order_id: &str, more: &str) -> NewRecord {
    let value = format!(r#"{{"order_id":"{order_id}","status":"SENT"{more}}}"#);
    NewRecord::new(order_id, value)
}

#[tokio::test]
async fn codes_are_the_designs_and_the_same_for_every_record_of_an_order() -> Result<()> {
    let system = TestSystem::open().await?;
    let _processor = system.processor().await?;
    let uuid = "019a8f4e-7c1b-7000-8000-000000000001";
    let later = |status: &str| {
        let value = format!(
            r#"{{"order_id":"17","status":"{status}","total":100,"sent_at":"2026-05-02T00:00:00Z"}}"#
        );
        NewRecord::new("17", value)
    };
    system
        .write_orders(vec![
            sent("17", r#","total":100,"sent_at":"2026-05-01T00:00:00Z""#),
            sent(uuid, r#","total":1000"#),
            later("DELIVERED"),
            later("CANCELLED"),
        ])
        .await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    let codes: Vec<_> = vouchers(&system)
        .await?
        .into_iter()
        .map(|(voucher, key_id)| (voucher.order_id, voucher.code, key_id))
        .collect();
    let of_17 = ("17", "A527-R3XF-YDHK-X2AD");
    let expected = [(uuid, "BJGZ-KS6E-A4SQ-Q26Z"), of_17, of_17, of_17]
        .map(|(id, code)| (id.to_owned(), code.to_owned(), SIGNING_KEY_ID.to_owned()));
    assert_eq!(codes, expected);
    Ok(())
}

#[tokio::test]
async fn a_second_campaign_has_its_own_dates_money_and_group_on_the_same_orders() -> Result<()> {
    let system = TestSystem::open().await?;
    let _reward = system.processor().await?;
    let group = format!("spring-{}", system.name);
    let command = system.processor_command("spring").await?;
    let spring = ready(
        command
            .env("PROCESSOR_GROUP", &group)
            .env("VOUCHER_CAMPAIGN", "spring-2027")
            .env("VOUCHER_CURRENCY", "usd")
            .env("ORDER_DEFAULT_CURRENCY", "USD")
            .env("VOUCHER_MIN_TOTAL", "50.5")
            .env("VOUCHER_VALID_DAYS", "30")
            .env("VOUCHER_SENT_FROM", "2027-03-01T00:00:00+01:00")
            .arg("--voucher-sent-until=2027-04-01T00:00:00Z")
            .arg("--voucher-amount=7.25"),
    )
    .await?;
    let order = |id: &str, total: &str, currency: &str, sent_at: &str| {
        let currency = match currency {
            "" => String::new(),
            _ => format!(r#","currency":"{currency}""#),
        };
        sent(
            id,
            &format!(r#","total":{total},"sent_at":"{sent_at}"{currency}"#),
        )
    };
    let within = "2027-03-15T12:00:00Z";
    system
        .write_orders(vec![
            order("17", "100", "", within),
            order("first", "50.50", "USD", "2027-02-28T23:00:00Z"),
            order("too early", "100", "USD", "2027-02-28T22:59:59.999999Z"),
            order("last", "50.5", "usd", "2027-03-31T23:59:59.999999Z"),
            order("too late", "100", "USD", "2027-04-01T00:00:00Z"),
            order("too little", "50.49", "USD", within),
            order("euros", "100", "EUR", within),
        ])
        .await?;
    for group in [&system.processor_group(), &group] {
        system.caught_up(group, &system.topics.order_status).await;
    }

    let seen: Vec<_> = vouchers(&system)
        .await?
        .into_iter()
        .map(|(voucher, _)| {
            let Voucher {
                campaign,
                order_id,
                amount,
                currency,
                issued_at,
                expires_at,
                ..
            } = voucher;
            let amount = format!("{} {currency}", amount.normalize());
            let expires_at = expires_at.unwrap_or_default();
            [campaign, order_id, amount, issued_at, expires_at].join(" | ")
        })
        .collect();
    assert_eq!(
        seen,
        [
            "order-reward | 17 | 5 EUR | 2027-03-15T12:00:00Z | ",
            "order-reward | euros | 5 EUR | 2027-03-15T12:00:00Z | ",
            "spring-2027 | 17 | 7.25 USD | 2027-03-15T12:00:00Z | 2027-04-14T12:00:00Z",
            "spring-2027 | first | 7.25 USD | 2027-02-28T23:00:00Z | 2027-03-30T23:00:00Z",
            "spring-2027 | last | 7.25 USD | 2027-03-31T23:59:59.999999Z | 2027-04-30T23:59:59.999999Z",
        ]
    );
    let codes: BTreeMap<_, _> = vouchers(&system)
        .await?
        .into_iter()
        .map(|(voucher, _)| ((voucher.campaign, voucher.order_id), voucher.code))
        .collect();
    let of_17 = |campaign: &str| codes[&(campaign.to_owned(), "17".to_owned())].as_str();
    assert_eq!(of_17("order-reward"), "A527-R3XF-YDHK-X2AD");
    assert_eq!(of_17("spring-2027"), "303S-RTTP-7JWZ-DYES");
    assert!(system.dead_letters().await?.is_empty());

    let skips = || async {
        let mut skips = BTreeMap::new();
        for reason in ["currency", "threshold", "campaign_dates"] {
            let labels = format!("reason=\"{reason}\"");
            let count = metric(&spring, "checkout_processor_skipped_total", &labels).await;
            skips.insert(reason, count.unwrap_or_default());
        }
        skips
    };
    let expected = BTreeMap::from([("currency", 1), ("threshold", 1), ("campaign_dates", 2)]);
    wait::until("the campaign's skips to be counted", skips, |skips| {
        *skips == expected
    })
    .await;
    Ok(())
}

/// The bytes 01 02 .. 20. Its id and codes were computed by an independent implementation of the design.
pub(crate) const NEXT_KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
pub(crate) const NEXT_KEY_ID: &str = "9aadb289";

#[tokio::test]
async fn the_key_of_the_time_when_an_order_was_sent_signs_its_voucher() -> Result<()> {
    let system = TestSystem::open().await?;
    let file = system
        .backends
        .directory()
        .join(format!("keys-{}", system.name));
    let lines = format!("# rotated\n- {SIGNING_KEY}\n2026-06-01T02:00:00+02:00 {NEXT_KEY}\n");
    std::fs::write(&file, lines)?;
    let command = system.processor_command_without_key("1").await?;
    let path = file.display().to_string();
    let _processor = ready(command.env("VOUCHER_SIGNING_KEYS_FILE", path)).await?;
    let order =
        |id: &str, sent_at: &str| sent(id, &format!(r#","total":100,"sent_at":"{sent_at}""#));
    system
        .write_orders(vec![
            order("18", "2026-06-01T00:00:00Z"),
            order("17", "2026-05-31T23:59:59.999999Z"),
        ])
        .await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    let signed: Vec<_> = vouchers(&system)
        .await?
        .into_iter()
        .map(|(voucher, key_id)| (voucher.order_id, voucher.code, key_id))
        .collect();
    let expected = [
        ("17", "A527-R3XF-YDHK-X2AD", SIGNING_KEY_ID),
        ("18", "9GEK-TRPH-J7Z6-WAK9", NEXT_KEY_ID),
    ]
    .map(|(id, code, key)| (id.to_owned(), code.to_owned(), key.to_owned()));
    assert_eq!(signed, expected);
    Ok(())
}

/// A repeated record has a newer timestamp, by which it would earn a voucher of a later campaign.
#[tokio::test]
async fn a_campaign_with_dates_counts_no_order_that_does_not_say_when_it_was_sent() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let command = system.processor_command("1").await?;
    let from = ("VOUCHER_SENT_FROM", "2026-01-01T00:00:00Z");
    let _processor = ready(command.env(from.0, from.1)).await?;
    system
        .write_orders(vec![
            sent("17", r#","total":100"#),
            sent("18", r#","total":100,"occurred_at":"2026-02-01T00:00:00Z""#),
            sent("19", r#","total":99"#),
        ])
        .await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    let issued = vouchers(&system).await?;
    assert_eq!(issued.len(), 1);
    assert_eq!(issued[0].0.order_id, "18");
    let letters = system.dead_letters().await?;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].key_text(), "17");
    let reason = letters[0].header("dlq.reason");
    assert_eq!(reason.as_deref(), Some("missing_timestamp"));

    let explained = system.run_processor(&["explain", "17"], &[from]).await?;
    let words = "neither sent_at nor occurred_at says when";
    assert!(explained.stdout.contains(words), "{}", explained.stdout);
    let checked = system.run_processor(&["check"], &[from]).await?;
    let warned = "2 of the newest 3 sent orders have neither sent_at nor occurred_at";
    assert!(checked.stdout.contains(warned), "{}", checked.stdout);
    Ok(())
}
