//! Instructions of a skipped record, counted by callgrind: the same on a busy machine and on an idle
//! one, so that a slow-down of a few per cent can't land unseen.
//!
//! Asked for by name (`cargo test -p bench --test instructions -- --ignored`): it needs valgrind. The
//! bounds are of the profile that tests are built with; a new compiler may move them.
#![allow(clippy::unwrap_used)]

use std::process::Command;

/// Few and many, so that the start is subtracted; whole rounds of the records.
const FEW: u64 = 2_000;
const MANY: u64 = 12_000;

fn instructions(format: &str, count: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env!("CARGO_BIN_EXE_judge"))
        .args([format, &count.to_string()])
        .output()
        .expect("valgrind can be started: it is a package of that name");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    told.lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, count)| count.trim().parse().ok())
        .unwrap_or_else(|| panic!("callgrind told no count: {told}"))
}

fn assert_per_record(format: &str, expected: u64) {
    let counted = (instructions(format, MANY) - instructions(format, FEW)) / (MANY - FEW);
    let bounds = expected * 95 / 100..=expected * 105 / 100;
    assert!(
        bounds.contains(&counted),
        "a skipped {format} record takes {counted} instructions, not about {expected}: \
         slower is to be mended, quicker to be written down here"
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
