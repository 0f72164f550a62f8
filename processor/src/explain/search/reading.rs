//! Reads parts of a topic.

use std::ops::ControlFlow;

use runtime::kafka::{FetchedRecord, KafkaSettings, Span};
use runtime::lifecycle::Failure;
use runtime::record::InputRecord as _;
use runtime::scan_progress::ScanProgress;

use crate::explain::searched::SearchedTopic;
use crate::explain::spans::{Parts, passes};

/// Calls `each` with every record of these parts and the number of partitions of the topic, until it
/// breaks. Notes in `topic` what was read.
pub(super) fn read(
    kafka: &KafkaSettings,
    group: &str,
    topic: &mut SearchedTopic,
    parts: &Parts,
    mut each: impl FnMut(&FetchedRecord<'_>, i32) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    topic.note_searched(parts.keys().copied());
    let partitions = topic.partitions;
    for spans in passes(parts) {
        let range = topic.range(spans);
        let mut progress = ScanProgress::of(&range);
        let (mut records, mut flow) = (0, ControlFlow::Continue(()));
        let reached = range.read_while(kafka, group, |record| {
            records += 1;
            progress.note(record.partition(), record.offset());
            flow = each(record, partitions)?;
            Ok(flow)
        });
        topic.records_read += records;
        let reached = reached?;
        for (partition, span) in &range.spans {
            if let Some(to) = reached.get(partition) {
                let read = Span {
                    from: span.from,
                    to: span.to.min(*to),
                };
                topic.note_read(*partition, read);
            }
        }
        if flow.is_break() {
            break;
        }
    }
    Ok(())
}
