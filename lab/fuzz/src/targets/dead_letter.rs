//! What redrive reads back: letters, and their states.

use runtime::dead_letter::{
    ATTEMPTS, Cause, Extent, GROUP, MESSAGE, OFFSET, OutgoingDeadLetter, PARTITION, REASON,
    SERVICE, Shown, StateKey, States, TIMESTAMP, TOPIC,
};
use runtime::record::OwnedRecord;
use schemas::{Malformed, Reason};

use crate::script::Script;
use crate::sound;

/// A record as a script: headers that are letters' own names more often than not.
pub(crate) fn record(script: &mut Script<'_>) -> OwnedRecord {
    const OURS: [&str; 9] = [
        REASON, MESSAGE, TOPIC, PARTITION, OFFSET, TIMESTAMP, SERVICE, ATTEMPTS, GROUP,
    ];
    let mut record = OwnedRecord {
        partition: i32::from(script.byte()),
        // The last offset is nobody's: the next one would be none.
        offset: script.integer().clamp(0, i64::MAX - 1),
        timestamp_millis: (script.below(4) > 0).then(|| script.integer()),
        ..OwnedRecord::default()
    };
    for _ in 0..script.below(16) {
        let name = match script.below(3) {
            0 => script.text(),
            _ => script.choose(&OURS).to_owned(),
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

/// A record of the dead letter topic, whoever wrote it; buried once more; and its value as a state.
pub(crate) fn dead_letter(input: &[u8]) {
    let mut script = Script::new(input);
    let mut found = record(&mut script);
    let tail = script.rest();
    found.value = Some(tail.to_vec());

    if let Ok(letter) = DeadLetter::of(&found) {
        for text in [&letter.reason, &letter.message, &letter.service] {
            sound::one_line(text);
        }
        assert_eq!(letter.original.key, found.key);
        assert_eq!(letter.original.value, found.value);
        assert!(letter.original.headers.len() < found.headers.len());
    }
    buried(
        &found,
        &Malformed::new(Reason::InvalidJson, String::from_utf8_lossy(tail)),
    );

    for bytes in [found.key.as_deref(), found.value.as_deref()] {
        let shown = Shown::of(bytes).to_string();
        assert!(!shown.contains(|c| schemas::is_unprintable(c) && c != '\n' && c != '\t'));
    }
    state(found.key.as_deref(), tail);
}

/// A letter gives its original back byte for byte, or says what of it is left out.
pub(crate) fn buried(record: &OwnedRecord, cause: &Malformed) -> DeadLetter {
    for extent in [Extent::SmallParts, Extent::Nothing] {
        let letter = written(record, cause, extent);
        match &letter.omitted {
            None => assert_eq!(&letter.original, record),
            Some(omitted) => assert!(omitted.is_of(record.value.as_deref())),
        }
    }
    let letter = written(record, cause, Extent::Whole);
    assert_eq!(&letter.original, record);
    assert_eq!(letter.omitted, None);
    assert_eq!(letter.reason, cause.reason().as_str());
    sound::one_line(&letter.message);
    letter
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
    DeadLetter::of(&written).expect("what we bury is a letter")
}

/// A state is read whole or refused in one line, and written as it was read.
fn state(key: Option<&[u8]>, value: &[u8]) {
    const KEY: &str = "order-status/3/41@00112233445566ff/processor";
    let mut states = States::default();
    if let Err(why) = states.fold(key, Some(value)) {
        sound::one_line(&why);
    }
    let mut states = States::default();
    match states.fold(Some(KEY.as_bytes()), Some(value)) {
        Err(why) => sound::one_line(&why),
        Ok(()) => {
            let parsed: StateKey = KEY.parse().expect("a state's key");
            let state = states.get(&parsed).expect("it was folded in").clone();
            let mut again = States::default();
            again
                .fold(Some(KEY.as_bytes()), Some(&state.to_bytes()))
                .expect("what we write we read");
            assert_eq!(again.get(&parsed), Some(&state));
        }
    }
}
