//! The Avro schemas over time: every version and the newest one can read each other.
#![allow(clippy::unwrap_used)]

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use schemas::{ORDER_STATUS_AVSC, OrderStatusPlan, VOUCHER_AVSC, VoucherPlan};

const NEWEST: [(&str, &str); 2] = [
    ("order_status", ORDER_STATUS_AVSC),
    ("voucher", VOUCHER_AVSC),
];

/// The fingerprints of released versions, which are registered somewhere: their text never changes. A
/// release adds its new versions here.
const RELEASED: [(&str, usize, u64); 2] = [
    ("order_status", 1, 0xc94f_8b0b_9589_0a87),
    ("voucher", 1, 0xe491_c3ae_c9e6_a6c3),
];

/// Returns the FNV-1a hash of a text.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The versions of a schema, the oldest first.
fn versions(name: &str) -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/versions");
    let version =
        |number: usize| std::fs::read_to_string(format!("{folder}/{name}.{number}.avsc")).ok();
    let versions: Vec<_> = (1..).map_while(version).collect();
    let prefix = format!("{name}.");
    let files = std::fs::read_dir(folder).unwrap();
    let files = files.filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(&prefix)
    });
    assert_eq!(
        files.count(),
        versions.len(),
        "the versions of {name} are numbered from 1 without gaps"
    );
    versions
}

#[test]
fn the_newest_schema_and_all_earlier_ones_read_each_other() {
    for (name, newest) in NEWEST {
        let newest = Schema::parse_str(newest).unwrap();
        for (at, version) in versions(name).iter().enumerate() {
            let version = Schema::parse_str(version).unwrap();
            let compatibility = SchemaCompatibility::mutual_read(&newest, &version);
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
fn the_schema_in_use_is_the_newest_version() {
    for (name, newest) in NEWEST {
        assert_eq!(versions(name).last().unwrap(), newest, "{name}");
    }
}

#[test]
fn a_released_version_does_not_change() {
    for (name, number, expected) in RELEASED {
        assert_eq!(
            fingerprint(&versions(name)[number - 1]),
            expected,
            "versions/{name}.{number}.avsc has changed: write another version instead"
        );
    }
}

#[test]
fn every_version_compiles() {
    for schema in versions("order_status") {
        OrderStatusPlan::compile(&schema).unwrap();
    }
    for schema in versions("voucher") {
        VoucherPlan::compile(&schema).unwrap();
    }
}
