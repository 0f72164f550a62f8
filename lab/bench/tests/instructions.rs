//! The instructions of a skipped record, counted by callgrind: the same number on a busy machine and on
//! an idle one, so that a slowdown of a few per cent is noticed.
//!
//! It needs valgrind, and runs only by name: `cargo test --test instructions -- --ignored`. The expected
//! numbers belong to the profile of the tests; a new compiler may change them.
#![allow(clippy::unwrap_used)]

use std::process::Command;

/// Two counts, whose difference excludes the start; both are multiples of the number of records.
const FEW: u64 = 2_000;
const MANY: u64 = 12_000;

fn instructions(format: &str, count: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env!("CARGO_BIN_EXE_judge"))
        .args([format, &count.to_string()])
        .output()
        .expect("valgrind is installed: sudo apt-get install -y valgrind");
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    printed
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, count)| count.trim().parse().ok())
        .unwrap_or_else(|| panic!("callgrind printed no count: {printed}"))
}

fn assert_per_record(format: &str, expected: u64) {
    let counted = (instructions(format, MANY) - instructions(format, FEW)) / (MANY - FEW);
    let bounds = expected * 95 / 100..=expected * 105 / 100;
    assert!(
        bounds.contains(&counted),
        "a skipped {format} record takes {counted} instructions, not about {expected}: \
         if it is slower, fix it; if it is faster, change the number here"
    );
}

#[test]
#[ignore = "needs valgrind"]
fn a_skipped_avro_record_takes_as_many_instructions_as_it_did() {
    assert_per_record("avro", 2_402);
}

#[test]
#[ignore = "needs valgrind"]
fn a_skipped_json_record_takes_as_many_instructions_as_it_did() {
    assert_per_record("json", 3_809);
}
