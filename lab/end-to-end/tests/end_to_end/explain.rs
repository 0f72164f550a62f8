//! What became of an order, and why.

use anyhow::Result;
use end_to_end::shop::Shop;
use end_to_end::topic::NewRecord;

fn order(id: &str, status: &str, total: &str) -> NewRecord {
    NewRecord::new(
        id,
        format!(r#"{{"order_id":"{id}","status":"{status}","total":{total}}}"#),
    )
}

#[tokio::test]
async fn an_orders_records_verdicts_voucher_row_and_letters_are_told() -> Result<()> {
    let shop = Shop::open().await?;
    let _processor = shop.processor().await?;
    let _sink = shop.sink().await?;
    let stray = (0..4).map(|partition| NewRecord {
        partition: Some(partition),
        ..order("stray", "PENDING", "100")
    });
    let records = [
        order("low", "SENT", "99.99"),
        order("good", "PENDING", "100"),
        order("good", "SENT", "100"),
        order("good", "SENT", "100"),
        order("dead", "LOST", "100"),
    ];
    shop.write_orders(records.into_iter().chain(stray).collect())
        .await?;
    shop.settled().await;
    let database = [("DATABASE_URL", shop.vouchers_url.as_str())];
    let explain = |id: &'static str| {
        let (shop, database) = (&shop, &database);
        async move {
            let answer = shop
                .run_processor(&["explain", id, "--json"], database)
                .await?;
            answer.json()
        }
    };

    let low = explain("low").await?;
    assert_eq!(low["records"][0]["reason"], "threshold");
    assert_eq!(
        low["records"][0]["words"],
        "total 99.99 EUR is below 100.00"
    );
    assert_eq!(low["vouchers"].as_array().map(Vec::len), Some(0));
    let here = shop.order_records().await?;
    let here = here.iter().find(|record| record.key_text() == "low");
    assert_eq!(
        low["partition"].as_i64(),
        here.map(|record| record.partition.into())
    );

    let good = explain("good").await?;
    let verdicts = (0..3).map(|at| good["records"][at]["verdict"].as_str());
    assert_eq!(
        verdicts.collect::<Vec<_>>(),
        [Some("skipped"), Some("eligible"), Some("eligible")]
    );
    assert_eq!(good["vouchers"][0]["role"], "voucher");
    assert_eq!(good["vouchers"][1]["role"], "echo");
    assert_eq!(good["rows"][0]["amount"], "5.00 EUR");
    let code = shop.vouchers_of("good").await?.remove(0).code;
    for (arguments, shown) in [
        (vec!["explain", "good"], false),
        (vec!["explain", "good", "--reveal"], true),
    ] {
        let answer = shop.run_processor(&arguments, &database).await?;
        assert_eq!(answer.stdout.contains(&code), shown, "{}", answer.stdout);
    }

    let dead = explain("dead").await?;
    assert_eq!(dead["records"][0]["reason"], "unknown_status");
    assert_eq!(dead["dead_letters"][0]["open"], true);

    assert_eq!(
        explain("stray").await?["records"].as_array().map(Vec::len),
        Some(1)
    );
    let everywhere = ["explain", "stray", "--all-partitions"];
    let told = shop.run_processor(&everywhere, &[]).await?;
    assert!(
        told.stdout
            .contains("3 of the records are in other partitions")
    );

    let unknown = shop
        .run_processor(&["explain", "unknown"], &database)
        .await?;
    assert_eq!(unknown.code, 1);
    assert!(
        unknown.stderr.contains("--all-partitions"),
        "{}",
        unknown.stderr
    );
    Ok(())
}
