//! What to paste to break something while the stack runs.

use crate::services::{RESTART_PAUSE, Services};

/// Returns lines to paste into another shell that break something, and the services' process ids.
pub(super) fn invitation(services: &Services) -> String {
    let Services {
        producer,
        processor,
        sink,
        console,
        ..
    } = services;
    format!(
        "\n  to break something, in another shell; {flow} shows it\n\
         \x20   kill -9 {sink}\n\
         \x20   printf 'broken-1\\tnot an order\\n' | cargo stack tool kafka-console-producer -- --topic order-status --reader-property parse.key=true\n\
         \x20 The first line kills the sink, which is started again after {pause} s. The second line sends\n\
         \x20 a record that is no order and becomes a dead letter.\n\
         \n  processes    producer {producer}, processor {processor}, sink {sink}, console {console}\n",
        flow = console.url("/flow"),
        pause = RESTART_PAUSE.as_secs(),
        producer = producer.pid(),
        processor = processor.pid(),
        sink = sink.pid(),
        console = console.pid(),
    )
}
