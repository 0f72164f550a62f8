//! Hostile input costs no more than its size. Allocations are counted, not seconds. Every refusal has a
//! reason in words.
#![allow(clippy::unwrap_used)]

use allocation_counter::{AllocationInfo, measure};
use schemas::{
    Currency, Malformed, OrderStatus, OrderStatusPlan, Payload, Reason, SchemaHeaders, ValueFormat,
    decimal, foreign_framing,
};

const KEY: Option<&[u8]> = Some(b"17");
const MIB: usize = 1 << 20;

/// Returns what reading costs, and the fault.
fn measured<T>(read: impl FnOnce() -> Result<T, Malformed>) -> (AllocationInfo, Option<Malformed>) {
    let mut fault = None;
    let cost = measure(|| fault = read().err());
    (cost, fault)
}

/// Asserts that a value is refused for this reason, in words, with memory for the words alone.
#[track_caller]
fn refused_cheaply(json: &[u8], reason: Reason, words: &str) {
    let (cost, fault) = measured(|| OrderStatus::read(KEY, json, ValueFormat::Json, Currency::EUR));
    let malformed = fault.expect("it was taken");
    assert_eq!(malformed.reason(), reason, "{malformed}");
    assert!(malformed.message().contains(words), "{malformed}");
    assert!(malformed.message().len() <= 1024);
    assert!(
        cost.count_total <= 16 && cost.bytes_total <= 8192,
        "{cost:?}"
    );
}

fn with_total(total: &str) -> Vec<u8> {
    format!(r#"{{"order_id":"17","status":"SENT","total":{total}}}"#).into_bytes()
}

#[test]
fn numbers_of_any_length_and_exponent_cost_nothing() {
    let digits = "9".repeat(MIB);
    for (total, reason) in [
        ("1e999999999".to_owned(), Reason::TotalOutOfRange),
        (
            "1e999999999999999999999999".to_owned(),
            Reason::TotalOutOfRange,
        ),
        ("1e-999999999".to_owned(), Reason::TotalTooPrecise),
        (
            "1E-99999999999999999999999".to_owned(),
            Reason::TotalTooPrecise,
        ),
        (digits.clone(), Reason::TotalOutOfRange),
        (format!("0.{digits}"), Reason::TotalTooPrecise),
        (format!("1e{digits}"), Reason::TotalOutOfRange),
        (format!("-{digits}"), Reason::TotalOutOfRange),
        (format!("\"{digits}\""), Reason::TotalOutOfRange),
        (format!("\"{digits}x\""), Reason::InvalidTotal),
    ] {
        refused_cheaply(&with_total(&total), reason, "total: expected a");
    }
    // Long, and yet a number within the bounds.
    let zeros = "0".repeat(MIB);
    for (total, value) in [
        (format!("0e{digits}"), "0"),
        (format!("100.{zeros}"), "100"),
        (format!("100{zeros}e-{MIB}"), "100"),
        (format!("0.{zeros}1e{}", MIB + 1), "1"),
    ] {
        let mut read = None;
        let cost = measure(|| read = decimal::parse(&total).ok());
        assert_eq!(read, Some(value.parse().unwrap()));
        assert_eq!(cost.count_total, 0);
    }
}

#[test]
fn deep_json_is_refused_beyond_128_levels() {
    let nested = |open: &str, close: &str, levels: usize| {
        format!(r#"{{"x":{}{}}}"#, open.repeat(levels), close.repeat(levels)).into_bytes()
    };
    for levels in [128, 100_000, MIB / 2] {
        for (open, close) in [("[", "]"), ("{\"x\":[", "]}"), ("[[", "]]")] {
            let levels = levels.div_ceil(open.matches(['[', '{']).count());
            refused_cheaply(
                &nested(open, close, levels),
                Reason::InvalidJson,
                "128 levels",
            );
        }
    }
    // This is not deeper than allowed, but no order.
    refused_cheaply(
        &nested("[", "]", 127),
        Reason::InvalidOrderId,
        "order_id: expected",
    );
    refused_cheaply(
        "[".repeat(MIB).as_bytes(),
        Reason::InvalidJson,
        "128 levels",
    );
}

#[test]
fn huge_texts_and_many_fields_cost_no_more_than_their_bytes() {
    let long = "x".repeat(MIB);
    let json = |field: &str, text: &str| {
        format!(r#"{{"order_id":"17","status":"SENT","total":1,"{field}":"{text}"}}"#).into_bytes()
    };
    refused_cheaply(
        &json("currency", &long),
        Reason::InvalidCurrency,
        "three letters",
    );
    refused_cheaply(
        &json("sent_at", &long),
        Reason::InvalidTimestamp,
        "RFC 3339",
    );
    refused_cheaply(&json("id", &long), Reason::InvalidOrderId, "1 to 128 bytes");
    // Only escapes take memory: as much as the text has, once.
    let escaped = "\\u0000".repeat(MIB / 6);
    let bytes = json("currency", &escaped);
    let (cost, fault) =
        measured(|| OrderStatus::read(KEY, &bytes, ValueFormat::Json, Currency::EUR));
    assert_eq!(fault.unwrap().reason(), Reason::InvalidCurrency);
    assert!(
        cost.count_total <= 24 && cost.bytes_total <= 2 * MIB as u64,
        "{cost:?}"
    );

    let fields: Vec<_> = (0..100_000).map(|at| format!("\"f{at}\":{at}")).collect();
    let many = format!("{{{}}}", fields.join(","));
    refused_cheaply(
        many.as_bytes(),
        Reason::InvalidOrderId,
        "order_id: expected",
    );
}

#[test]
fn a_compressed_value_is_no_json_and_no_record_of_ours() {
    for magic in [
        &b"Obj\x01\x02\x16avro.schema"[..],
        &[0x1f, 0x8b, 8, 0, 0, 0],
        &[0x28, 0xb5, 0x2f, 0xfd, 4],
        &[0x78, 0x9c, 0x4b],
    ] {
        let value = [magic, &[0xa5; 64]].concat();
        let Ok(Payload::Unframed(json)) = Payload::of(Some(&value)) else {
            panic!("{magic:?} is not framed");
        };
        let (cost, fault) =
            measured(|| OrderStatus::read(KEY, json, ValueFormat::Json, Currency::EUR));
        assert_eq!(fault.unwrap().reason(), Reason::InvalidJson);
        assert!(cost.count_total <= 16, "{cost:?}");
    }
}

#[test]
fn json_behind_a_schemas_id_has_the_limits_of_json() {
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(MIB), "]".repeat(MIB));
    let digits = with_total(&"9".repeat(MIB));
    for (json, reason) in [
        (deep.as_bytes(), Reason::InvalidJson),
        (&digits, Reason::TotalOutOfRange),
    ] {
        let value = [b"\0\0\0\0\x07", json].concat();
        let Ok(Payload::Framed { body, .. }) = Payload::of(Some(&value)) else {
            panic!("it is framed");
        };
        let (cost, fault) =
            measured(|| OrderStatus::read(KEY, body, ValueFormat::Json, Currency::EUR));
        assert_eq!(fault.unwrap().reason(), reason);
        assert!(
            cost.count_total <= 16 && cost.bytes_total <= 8192,
            "{cost:?}"
        );
    }
}

#[test]
fn hostile_headers_and_first_bytes_cost_the_words_alone() {
    let long = vec![0xff; MIB];
    for name in [
        "__value_schema_id",
        "apicurio.value.globalId",
        "apicurio.value.encoding",
    ] {
        let (cost, fault) = measured(|| {
            let mut headers = SchemaHeaders::default();
            for _ in 0..1000 {
                headers.see("traceparent", Some(&long));
            }
            headers.see(name, Some(&long));
            headers.schema()
        });
        let malformed = fault.expect("it was taken");
        assert_eq!(malformed.reason(), Reason::InvalidFraming);
        assert!(malformed.message().len() <= 1024, "{name}");
        assert!(cost.count_total <= 16, "{name}: {cost:?}");
    }
    assert!(foreign_framing(&long).is_some());
}

#[test]
fn reading_hostile_avro_allocates_for_the_words_alone() {
    let kinds = [
        r#"{"type":"array","items":"null"}"#,
        r#"{"type":"map","values":["null","R"]}"#,
        r#"["null","R",{"type":"array","items":["null","R"]}]"#,
        "\"string\"",
        r#"{"type":"fixed","name":"F","size":9223372036854775807}"#,
    ];
    // 2^31 and 2^62 of something, negative counts with sizes, a length of 2^40.
    let bodies: [&[u8]; 5] = [
        &[0x80, 0x80, 0x80, 0x80, 0x10],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x40, b'x'],
        &[4; 4096],
    ];
    for kind in kinds {
        let schema =
            format!(r#"{{"type":"record","name":"R","fields":[{{"name":"x","type":{kind}}}]}}"#);
        let plan = OrderStatusPlan::compile(&schema).unwrap();
        for body in bodies {
            let (cost, fault) =
                measured(|| OrderStatus::read(KEY, body, ValueFormat::Avro(&plan), Currency::EUR));
            let malformed = fault.expect("it was taken");
            assert!(malformed.message().contains(' '), "{malformed}");
            assert!(
                cost.count_total <= 16 && cost.bytes_total <= 8192,
                "{kind}: {cost:?}"
            );
        }
    }
}

/// Asserts that a schema takes memory in proportion to its text's length.
#[track_caller]
fn compiled_in_proportion(text: &str) -> Option<Malformed> {
    let (cost, fault) = measured(|| OrderStatusPlan::compile(text));
    let most = 512 * text.len() as u64 + 65_536;
    assert!(
        cost.bytes_total <= most,
        "{} bytes of schema took {cost:?}",
        text.len()
    );
    fault
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

#[test]
fn schemas_take_memory_in_proportion_to_their_text() {
    let fields = |count: usize, kind: &dyn Fn(usize) -> String| {
        let fields: Vec<_> = (0..count)
            .map(|at| format!(r#"{{"name":"f{at}","type":{}}}"#, kind(at)))
            .collect();
        record(&fields.join(","))
    };
    let long_name = "n".repeat(1000);
    let symbols: Vec<_> = (0..10_000).map(|at| format!("\"S{at}\"")).collect();
    for text in [
        fields(10_000, &|_| "\"int\"".to_owned()),
        fields(1000, &|at| {
            format!(r#"{{"type":"fixed","name":"F{at}","size":1}}"#)
        }),
        fields(1000, &|at| {
            format!(r#"["null",{{"type":"record","name":"N{at}","fields":[]}}]"#)
        }),
        fields(1000, &|_| "\"R\"".to_owned()),
        fields(300, &|at| {
            format!(r#"{{"type":"enum","name":"{long_name}{at}","symbols":[]}}"#)
        }),
        record(&format!(
            r#"{{"name":"e","type":{{"type":"enum","name":"E","symbols":[{}]}}}}"#,
            symbols.join(",")
        )),
        record(&format!(
            r#"{{"name":"u","type":[{}]}}"#,
            (0..2000)
                .map(|at| format!(r#"{{"type":"fixed","name":"F{at}","size":1}}"#))
                .collect::<Vec<_>>()
                .join(",")
        )),
    ] {
        assert_eq!(compiled_in_proportion(&text), None);
    }
}

#[test]
fn hostile_schemas_are_refused_in_words() {
    let nested_unions = format!("{}\"int\"{}", "[".repeat(60), "]".repeat(60));
    for (text, words) in [
        ("[".repeat(MIB), ""),
        ("{\"type\":".repeat(100_000), ""),
        (format!("\"{}\"", "x".repeat(MIB)), "longer than 1 MiB"),
        (
            record(&format!(r#"{{"name":"x","type":{nested_unions}}}"#)),
            "",
        ),
        (record(r#"{"name":"x","type":["null",["null","int"]]}"#), ""),
        (record(r#"{"name":"x","type":["int","int"]}"#), ""),
        (record(r#"{"name":"x","type":"Missing"}"#), ""),
        (
            record(r#"{"name":"x","type":{"type":"fixed","name":"F","size":-1}}"#),
            "",
        ),
        (
            record(r#"{"name":"x","type":{"type":"fixed","name":"F","size":1e999999999}}"#),
            "",
        ),
        (record(r#"{"name":"x\n","type":"int"}"#), ""),
    ] {
        let malformed = compiled_in_proportion(&text).expect("it was taken");
        assert_eq!(malformed.reason(), Reason::UnsupportedSchema);
        assert!(
            malformed
                .message()
                .starts_with("the writer's Avro schema: ")
        );
        assert!(malformed.message().contains(words), "{malformed}");
        assert!(!malformed.message().contains(schemas::is_unprintable));
    }
}
