//! What a redrive reads: dead letters and their states.

use runtime::dead_letter::{
    ATTEMPTS, Cause, DeadLetter, DeadLetterStates, Extent, GROUP, MESSAGE, OFFSET,
    OutgoingDeadLetter, PARTITION, REASON, SERVICE, ShownBytes, StateKey, TIMESTAMP, TOPIC,
};
use runtime::record::OwnedRecord;
use schemas::{Malformed, Reason};

use crate::script::Script;
use crate::sound;

/// Makes a record. Most of its headers have the names that a dead letter adds.
pub(crate) fn record(script: &mut Script<'_>) -> OwnedRecord {
    const ADDED: [&str; 9] = [
        REASON, MESSAGE, TOPIC, PARTITION, OFFSET, TIMESTAMP, SERVICE, ATTEMPTS, GROUP,
    ];
    let mut record = OwnedRecord {
        partition: i32::from(script.byte()),
        // No record has the largest offset, because there would be no next one.
        offset: script.integer().clamp(0, i64::MAX - 1),
        timestamp_millis: (script.below(4) > 0).then(|| script.integer()),
        ..OwnedRecord::default()
    };
    for _ in 0..script.below(16) {
        let name = match script.below(3) {
            0 => script.text(),
            _ => script.choose(&ADDED).to_owned(),
        };
        let value = match script.below(3) {
            0 => Some(script.integer().to_string().into_bytes()),
            _ => script.maybe_bytes().map(<[u8]>::to_vec),
        };
        record.headers.push((name, value));
    }
    record.key = script.maybe_bytes().map(<[u8]>::to_vec);
    record
}

/// Reads any record of the dead letter topic, writes its dead letter, and reads its value as a
/// state.
pub(crate) fn dead_letter(input: &[u8]) {
    let mut script = Script::new(input);
    let mut found = record(&mut script);
    let tail = script.rest();
    found.value = Some(tail.to_vec());

    if let Ok(dead_letter) = DeadLetter::parse(&found) {
        for text in [
            &dead_letter.reason,
            &dead_letter.message,
            &dead_letter.service,
        ] {
            sound::one_line(text);
        }
        assert_eq!(dead_letter.original.key, found.key);
        assert_eq!(dead_letter.original.value, found.value);
        assert!(dead_letter.original.headers.len() < found.headers.len());
    }
    round_trip(
        &found,
        &Malformed::new(Reason::InvalidJson, String::from_utf8_lossy(tail)),
    );

    for bytes in [found.key.as_deref(), found.value.as_deref()] {
        let shown = ShownBytes::of(bytes).to_string();
        assert!(!shown.contains(|c| schemas::is_unprintable(c) && c != '\n' && c != '\t'));
    }
    state(found.key.as_deref(), tail);
}

/// Writes the dead letter of a record and reads it back: it gives the original back byte for byte,
/// or names the omitted parts.
pub(crate) fn round_trip(record: &OwnedRecord, cause: &Malformed) -> DeadLetter {
    for extent in [Extent::SmallParts, Extent::Nothing] {
        let dead_letter = written(record, cause, extent);
        match &dead_letter.omitted {
            None => assert_eq!(&dead_letter.original, record),
            Some(omitted) => assert!(omitted.is_of(record.value.as_deref())),
        }
    }
    let dead_letter = written(record, cause, Extent::Whole);
    assert_eq!(&dead_letter.original, record);
    assert_eq!(dead_letter.omitted, None);
    assert_eq!(dead_letter.reason, cause.reason().as_str());
    sound::one_line(&dead_letter.message);
    dead_letter
}

fn written(record: &OwnedRecord, malformed: &Malformed, extent: Extent) -> DeadLetter {
    let cause = Cause {
        topic: "order-status",
        service: "processor",
        malformed,
        attempts: 1,
    };
    let dead_letter = OutgoingDeadLetter::of(record, &cause, extent);
    let written = OwnedRecord {
        key: dead_letter.key.map(<[u8]>::to_vec),
        value: dead_letter.value.map(<[u8]>::to_vec),
        headers: dead_letter.headers,
        ..record.clone()
    };
    DeadLetter::parse(&written).expect("a written dead letter can be read")
}

/// Reads a state: it is refused in one line, or formatted as it was read.
fn state(key: Option<&[u8]>, value: &[u8]) {
    const KEY: &str = "order-status/3/41@00112233445566ff/processor";
    let mut states = DeadLetterStates::default();
    if let Err(why) = states.apply(key, Some(value)) {
        sound::one_line(&why);
    }
    let mut states = DeadLetterStates::default();
    match states.apply(Some(KEY.as_bytes()), Some(value)) {
        Err(why) => sound::one_line(&why),
        Ok(()) => {
            let parsed: StateKey = KEY.parse().expect("a state's key");
            let state = states.get(&parsed).expect("it was applied").clone();
            let mut again = DeadLetterStates::default();
            again
                .apply(Some(KEY.as_bytes()), Some(&state.to_bytes()))
                .expect("a written state can be read");
            assert_eq!(again.get(&parsed), Some(&state));
        }
    }
}
