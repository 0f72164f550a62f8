//! The Avro schemas over time: every released version and today's can read each other.
#![allow(clippy::unwrap_used)]

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use schemas::{ORDER_STATUS_AVSC, OrderStatusPlan, VOUCHER_AVSC, VoucherPlan};

/// The released versions of a schema, the oldest first.
fn released(name: &str) -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/released");
    let version =
        |number: usize| std::fs::read_to_string(format!("{folder}/{name}.{number}.avsc")).ok();
    let versions: Vec<_> = (1..).map_while(version).collect();
    let prefix = format!("{name}.");
    let files = std::fs::read_dir(folder).unwrap();
    let files = files.filter(|file| {
        file.as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(&prefix)
    });
    assert_eq!(
        files.count(),
        versions.len(),
        "the versions of {name} are numbered from 1 without gaps"
    );
    versions
}

#[test]
fn todays_schemas_and_all_released_ones_read_each_other() {
    for (name, today) in [
        ("order_status", ORDER_STATUS_AVSC),
        ("voucher", VOUCHER_AVSC),
    ] {
        let today = Schema::parse_str(today).unwrap();
        for (at, version) in released(name).iter().enumerate() {
            let version = Schema::parse_str(version).unwrap();
            let compatibility = SchemaCompatibility::mutual_read(&today, &version);
            assert_eq!(
                compatibility.unwrap(),
                Compatibility::Full,
                "{name} and its version {}",
                at + 1
            );
        }
    }
}

#[test]
fn every_released_schema_compiles() {
    for schema in released("order_status") {
        OrderStatusPlan::compile(&schema).unwrap();
    }
    for schema in released("voucher") {
        VoucherPlan::compile(&schema).unwrap();
    }
}

#[test]
fn the_newest_released_schema_is_todays() {
    for (name, today) in [
        ("order_status", ORDER_STATUS_AVSC),
        ("voucher", VOUCHER_AVSC),
    ] {
        let versions = released(name);
        assert_eq!(
            versions.last().unwrap(),
            today,
            "schemas/{name}.avsc has changed: copy it to schemas/released/{name}.{}.avsc",
            versions.len() + 1
        );
    }
}
