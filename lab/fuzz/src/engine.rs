//! libFuzzer around the target that `FUZZ_TARGET` names; see `run`.
#![no_main]
#![allow(unsafe_code, reason = "the engine's macro exports its entry points")]

use std::sync::LazyLock;

use fuzz::{TARGETS, target};

static CHOSEN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let Some(target) = target(&name) else {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        panic!("FUZZ_TARGET is one of {}", names.join(", "));
    };
    target.run
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| CHOSEN(data));
