//! The reader's work is bounded by the number of bytes, not by the counts that they announce. The tests
//! count values instead of measuring time.

use super::*;
use crate::avro::{Plan, write};
use crate::malformed::Reason;
use crate::raw_field::RawField;

/// Returns a plan with one field of this type, which is skipped.
fn plan(kind: &str) -> Plan {
    let text = format!(r#"{{"type":"record","name":"R","fields":[{{"name":"x","type":{kind}}}]}}"#);
    Plan::compile(&text, &[], &["total"]).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Returns how many values were visited, and the fault that stopped the reader.
fn visited(kind: &str, body: &[u8]) -> (usize, Option<&'static str>) {
    let plan = plan(kind);
    let granted = values_of(body);
    let mut skipper = Skipper {
        nodes: &plan.nodes,
        cursor: Cursor { rest: body },
        values_left: granted,
    };
    let fault = skipper.skip(plan.fields[0].node, 0).err();
    (granted - skipper.values_left, fault.map(|fault| fault.what))
}

fn longs(values: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        write::long(*value, &mut bytes);
    }
    bytes
}

/// Returns the type of a record that contains two records, and so on for `levels` levels, down to
/// 2^`levels` empty records.
fn tree(levels: usize) -> String {
    let mut tree = r#"{"type":"record","name":"T0","fields":[]}"#.to_owned();
    for level in 1..=levels {
        tree = format!(
            r#"{{"type":"record","name":"T{level}","fields":[{{"name":"l","type":{tree}}},{{"name":"r","type":"T{}"}}]}}"#,
            level - 1
        );
    }
    tree
}

const MANY: Option<&str> = Some("far more values than bytes");

#[test]
fn the_bound_on_values_grows_with_the_bytes() {
    assert_eq!(values_of(&[]), 65_536);
    assert_eq!(values_of(&[0; 1024]), 131_072);
}

#[test]
fn false_counts_of_values_without_bytes_end_at_the_bound() {
    let nothing = r#"{"type":"array","items":"null"}"#;
    let empty = r#"{"type":"array","items":{"type":"record","name":"E","fields":[]}}"#;
    let trees = format!(r#"{{"type":"array","items":{}}}"#, tree(13));
    for count in [1 << 31, (1 << 31) - 1, 1 << 62, i64::MAX] {
        for kind in [nothing, empty, &trees] {
            // As a block without its size, and as a block with its size.
            for body in [longs(&[count, 0]), longs(&[-count, 0, 0])] {
                let (values, fault) = visited(kind, &body);
                assert_eq!((values, fault), (values_of(&body), MANY));
            }
        }
    }
    let (values, fault) = visited(nothing, &longs(&[i64::MIN, 0, 0]));
    assert_eq!((values, fault), (values_of(&[0; 12]), MANY));
    // A record of records, without a byte.
    assert_eq!(visited(&tree(13), &[]).0, (1 << 14) - 1);
    let nested = format!(r#"{{"type":"array","items":{{"type":"array","items":{nothing}}}}}"#);
    assert_eq!(
        visited(&nested, &longs(&[1 << 31, 1 << 31, 1 << 31])).1,
        MANY
    );
}

#[test]
fn counts_of_things_with_bytes_end_with_the_bytes() {
    for (kind, fault) in [
        (r#"{"type":"array","items":"long"}"#, "within an integer"),
        (r#"{"type":"array","items":"boolean"}"#, "within a value"),
        (r#"{"type":"array","items":"string"}"#, "within an integer"),
        (r#"{"type":"map","values":"null"}"#, "within an integer"),
    ] {
        for count in [1 << 31, i64::MAX, -(1 << 31), i64::MIN] {
            let mut body = longs(&[count]);
            if count < 0 {
                body.extend(longs(&[4]));
            }
            body.extend([0; 4]);
            let (values, what) = visited(kind, &body);
            assert!(values <= 6, "{kind} {count}: {values}");
            assert!(
                what.is_some_and(|what| what.contains(fault)),
                "{kind} {what:?}"
            );
        }
    }
}

#[test]
fn sizes_of_blocks_are_within_the_bytes_and_true() {
    let array = r#"{"type":"array","items":"long"}"#;
    for size in [-1, i64::MIN, 4, 1 << 31, i64::MAX] {
        let (values, fault) = visited(array, &longs(&[-1, size, 7, 0]));
        assert_eq!(values, 1, "{size}");
        assert_eq!(
            fault,
            Some("a length that is negative or beyond the record's end")
        );
    }
    let (values, fault) = visited(array, &longs(&[-1, 2, 7, 0]));
    assert_eq!(
        (values, fault),
        (2, Some("a block of another size than it says"))
    );
}

#[test]
fn recursion_ends_after_64_levels() {
    let deep = Some("values that nest deeper than 64 levels");
    let list = r#"{"type":"record","name":"L","fields":[{"name":"n","type":["null","L"]}]}"#;
    assert_eq!(visited(list, &[2; 1 << 16]), (65, deep));
    let endless = r#"{"type":"record","name":"L","fields":[{"name":"n","type":"L"}]}"#;
    assert_eq!(visited(endless, &[]), (65, deep));
    let arrays = r#"{"type":"record","name":"L","fields":[{"name":"n","type":{"type":"array","items":"L"}}]}"#;
    assert_eq!(visited(arrays, &[2; 1 << 16]), (65, deep));
    // Each level branches twice: without the bound there would be 2^32 values.
    let twice = r#"{"type":"record","name":"L","fields":[{"name":"a","type":["null","L"]},{"name":"b","type":["null","L"]}]}"#;
    assert!(visited(twice, &[2; 1 << 16]).0 <= 66);
    let unions = r#"{"type":"array","items":["null",{"type":"map","values":["null","long"]}]}"#;
    let (values, fault) = visited(unions, &[2; 1 << 10]);
    assert!(fault.is_some() && values <= 1 << 11, "{values}");
}

#[test]
fn bytes_of_a_compressed_container_are_no_record() {
    // An object container file, gzip, zstd, snappy's frame, behind Confluent's framing.
    for magic in [
        &b"Obj\x01"[..],
        &[0x1f, 0x8b, 8],
        &[0x28, 0xb5, 0x2f, 0xfd],
        b"\xff\x06\0\0sNaPpY",
    ] {
        let body = [magic, &[0xff; 64]].concat();
        let plan = plan("\"string\"");
        let mut found = [RawField::Absent];
        let malformed = plan.read(&body, &mut found).expect_err("it was taken");
        let reason = malformed.reason();
        assert!(
            matches!(reason, Reason::InvalidAvro | Reason::TrailingBytes),
            "{malformed}"
        );
    }
}
