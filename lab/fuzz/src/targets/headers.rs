//! Record headers that are read: the last `traceparent`.

use runtime::record::{InputRecord, OwnedRecord};
use runtime::trace_context::{TRACEPARENT, TraceParent};

use crate::script::Script;

/// Reads the input as a header's value, then as a record's headers.
pub(crate) fn headers(input: &[u8]) {
    if let Some(parsed) = TraceParent::parse(input) {
        let printed = parsed.to_string();
        assert_eq!(printed.len(), 55);
        assert!(
            printed
                .bytes()
                .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
        );
        // Only the version may differ, and what a later version appends.
        assert_eq!(printed.as_bytes()[2..], input[2..55]);
        assert_eq!(TraceParent::parse(printed.as_bytes()), Some(parsed));
        let child = parsed.child().to_string();
        assert_eq!(child[..36], printed[..36]);
        assert!(TraceParent::parse(child.as_bytes()).is_some());
    }

    let mut script = Script::new(input);
    let mut record = OwnedRecord::default();
    while !script.is_empty() {
        let name = match script.below(2) {
            0 => TRACEPARENT.to_owned(),
            _ => script.text(),
        };
        record
            .headers
            .push((name, script.maybe_bytes().map(<[u8]>::to_vec)));
    }
    let last = record
        .headers
        .iter()
        .rev()
        .find(|(name, _)| name == TRACEPARENT);
    assert_eq!(
        record.header(TRACEPARENT),
        last.and_then(|(_, value)| value.clone())
    );
    assert_eq!(OwnedRecord::of(&record), record);
}
