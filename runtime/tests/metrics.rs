//! The memory of metrics that nobody reads.

#![allow(clippy::unwrap_used)]

use metrics::histogram;
use runtime::metrics::{SINK_BATCH_SECONDS, install};

#[test]
fn the_memory_of_a_histograms_samples_is_bounded() {
    let exposition = install("sink").unwrap();
    let seconds = histogram!(SINK_BATCH_SECONDS);
    let used = allocation_counter::measure(|| {
        for _ in 0..200 {
            for _ in 0..10_000 {
                seconds.record(0.002);
            }
            exposition.add_up_samples();
        }
    });
    // Each sample takes 16 bytes until it is added up.
    assert!(used.bytes_max < 8_000_000, "{used:?}");
    let all = "checkout_sink_batch_seconds_count 2000000\n";
    let shown = exposition.render();
    assert!(shown.contains(all), "{shown}");
}
