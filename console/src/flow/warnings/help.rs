//! The sections of the documentation that warnings lead to.

pub(super) const DOWN: &str = "docs/troubleshooting.md#kafka-postgres-or-the-registry-is-down";
pub(super) const UNREADABLE_BATCH: &str = "docs/troubleshooting.md#a-batch-cannot-be-read";
pub(super) const OUT_OF_RANGE: &str = "docs/troubleshooting.md#a-groups-offset-is-out-of-range";
pub(super) const HANGING_TRANSACTION: &str =
    "docs/troubleshooting.md#a-hanging-transaction-blocks-a-partition";
pub(super) const REFUSED_RECORD: &str = "docs/troubleshooting.md#the-broker-refuses-a-record";
pub(super) const READ_RIGHTS: &str = "docs/access-rights.md#kafka";
pub(super) const REFUSED_WRITES: &str =
    "docs/troubleshooting.md#postgres-answers-and-refuses-writes";
pub(super) const LOCKED_ORDERS: &str = "docs/troubleshooting.md#another-session-has-locked-orders";
pub(super) const VACUUM: &str = "docs/troubleshooting.md#the-part-vacuum-is-degraded";
pub(super) const TWO_DATABASES: &str =
    "docs/troubleshooting.md#two-databases-publish-under-one-name";
pub(super) const DEAD_LETTERS: &str = "docs/troubleshooting.md#dead-letters-appear";
pub(super) const CIRCUIT: &str = "docs/troubleshooting.md#the-circuit-breaker-is-open";
pub(super) const TWO_INSTANCES: &str =
    "docs/troubleshooting.md#two-processors-have-one-instance-id";
pub(super) const RATE: &str = "docs/troubleshooting.md#a-client-sends-too-many-requests";
pub(super) const API_KEYS: &str = "docs/http.md#api-keys";
pub(super) const WATCH: &str = "docs/monitoring.md#what-to-watch";
pub(super) const READY: &str = "docs/monitoring.md#ready-and-alive";

/// Returns the section on what blocks a partition, by the metrics' reason. A reason without a section of
/// its own leads to what a part that is not ready means.
pub(super) fn of_blocked(reason: &str) -> &'static str {
    match reason {
        "out_of_range" => OUT_OF_RANGE,
        "unreadable" => UNREADABLE_BATCH,
        "refused" => READ_RIGHTS,
        "offset_unknown" | "no_progress" => HANGING_TRANSACTION,
        _ => READY,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Returns a heading's anchor, as GitHub makes it.
    fn anchor(heading: &str) -> String {
        let kept = heading.trim().to_lowercase();
        kept.chars()
            .filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_'))
            .map(|character| if character == ' ' { '-' } else { character })
            .collect()
    }

    #[test]
    fn every_section_is_in_the_documentation() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for help in [
            DOWN,
            UNREADABLE_BATCH,
            OUT_OF_RANGE,
            HANGING_TRANSACTION,
            REFUSED_RECORD,
            READ_RIGHTS,
            REFUSED_WRITES,
            LOCKED_ORDERS,
            VACUUM,
            TWO_DATABASES,
            DEAD_LETTERS,
            CIRCUIT,
            TWO_INSTANCES,
            RATE,
            API_KEYS,
            WATCH,
            READY,
        ] {
            let (file, section) = help.split_once('#').unwrap();
            let text = fs::read_to_string(root.join(file)).unwrap();
            let mut headings = text.lines().filter_map(|line| line.strip_prefix("##"));
            let is_there =
                headings.any(|heading| anchor(heading.trim_start_matches('#')) == section);
            assert!(is_there, "{help}");
        }
    }
}
