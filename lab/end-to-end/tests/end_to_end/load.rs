//! A load whose outcomes are known in advance.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use anyhow::Result;
use end_to_end::system::TestSystem;
use end_to_end::topic::{self, NewRecord};

/// Returns one record for each order. Of five orders two are sent and eligible, one is below the threshold,
/// one pending and one deleted.
pub(crate) fn orders(ids: Range<u32>) -> Vec<NewRecord> {
    ids.map(|id| {
        let value = match id % 5 {
            0 | 1 => format!(
                r#"{{"order_id":"{id}","status":"SENT","total":"{}.00"}}"#,
                100 + id % 50
            ),
            2 => format!(r#"{{"order_id":"{id}","status":"SENT","total":99.99}}"#),
            3 => format!(r#"{{"order_id":"{id}","status":"PENDING","total":500}}"#),
            _ => {
                return NewRecord {
                    key: Some(id.to_string().into_bytes()),
                    ..NewRecord::default()
                };
            }
        };
        NewRecord::new(id.to_string(), value)
    })
    .collect()
}

/// Returns whether an order of [`orders`] earns a voucher.
pub(crate) const fn is_eligible(id: u32) -> bool {
    id % 5 < 2
}

/// Asserts that every eligible order of [`orders`] has exactly one row, and no other order has any.
pub(crate) async fn assert_each_eligible_order_has_one_row(
    system: &TestSystem,
    ids: Range<u32>,
) -> Result<()> {
    let rows = system.vouchers().await?;
    let with_row: BTreeSet<u32> = rows
        .iter()
        .map(|row| row.order_id.parse())
        .collect::<Result<_, _>>()?;
    let eligible: BTreeSet<u32> = ids.filter(|id| is_eligible(*id)).collect();
    assert_eq!(with_row, eligible);
    assert_eq!(rows.len(), eligible.len(), "one row each");
    Ok(())
}

/// Asserts that every eligible record has exactly one committed voucher record, by its `source.*` headers.
pub(crate) async fn assert_each_eligible_record_has_one_voucher_record(
    system: &TestSystem,
) -> Result<()> {
    let inputs = topic::read(system.brokers(), &system.topics.order_status).await?;
    let eligible: BTreeMap<(String, String), String> = inputs
        .iter()
        .filter(|record| record.key_text().parse().is_ok_and(is_eligible))
        .map(|record| {
            (
                (record.partition.to_string(), record.offset.to_string()),
                record.key_text(),
            )
        })
        .collect();
    let mut seen = BTreeMap::new();
    for voucher in system.voucher_records().await? {
        let header = |name: &str| voucher.header(name).unwrap_or_default();
        assert_eq!(header("source.topic"), system.topics.order_status);
        let source = (header("source.partition"), header("source.offset"));
        assert_eq!(
            eligible.get(&source),
            Some(&voucher.key_text()),
            "{source:?}"
        );
        let earlier = seen.insert(source.clone(), voucher.offset);
        assert_eq!(
            earlier, None,
            "two voucher records of one input record {source:?}"
        );
    }
    assert_eq!(
        seen.len(),
        eligible.len(),
        "an eligible record has no voucher record"
    );
    Ok(())
}
