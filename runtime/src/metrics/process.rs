//! The metrics of the process itself: CPU, memory, files, threads.
//!
//! They are read from the system when they are rendered, and written as text. The recorder does not keep
//! them, because its counters have no fractions: a service that needs 1 % of a core would look idle for
//! 100 s and then busy.

use std::fmt::Write;

use metrics_process::collector::{Metrics, collect};

use super::{
    ALL, Metric, PROCESS_CPU_SECONDS, PROCESS_MAX_FDS, PROCESS_OPEN_FDS, PROCESS_RESIDENT_MEMORY,
    PROCESS_START_TIME, PROCESS_THREADS, PROCESS_VIRTUAL_MEMORY, PROCESS_VIRTUAL_MEMORY_MAX,
};

/// Returns whether a metric is one of those that [`write()`] shows.
pub(super) fn is_of_process(metric: &Metric) -> bool {
    metric.name.starts_with("process_")
}

/// Appends the metrics of this process as they are now. Values that the system does not provide are left
/// out.
pub(super) fn write(text: &mut String) {
    let now = collect();
    for metric in ALL.iter().filter(|metric| is_of_process(metric)) {
        if let Some(value) = value(metric.name, &now) {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n",
                name = metric.name,
                help = metric.help,
                kind = metric.kind_in_prometheus(),
            );
        }
    }
}

fn value(name: &str, now: &Metrics) -> Option<String> {
    let count = match name {
        PROCESS_CPU_SECONDS => return now.cpu_seconds_total.map(|seconds| seconds.to_string()),
        PROCESS_OPEN_FDS => now.open_fds,
        PROCESS_MAX_FDS => now.max_fds,
        PROCESS_RESIDENT_MEMORY => now.resident_memory_bytes,
        PROCESS_VIRTUAL_MEMORY => now.virtual_memory_bytes,
        PROCESS_VIRTUAL_MEMORY_MAX => now.virtual_memory_max_bytes,
        PROCESS_START_TIME => now.start_time_seconds,
        PROCESS_THREADS => now.threads,
        _ => None,
    };
    count.map(|count| count.to_string())
}
