use super::*;

const NAMES: [&str; 2] = ["id", "total"];

fn compile(text: &str) -> Result<Plan<2>, Malformed> {
    Plan::compile(text, &NAMES)
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","namespace":"n.s","fields":[{fields}]}}"#)
}

#[track_caller]
fn refused(text: &str, why: &str) {
    let error = compile(text).expect_err("the schema was taken");
    assert_eq!(error.reason(), Reason::UnsupportedSchema);
    assert!(error.message().contains(why), "{error}");
}

#[test]
fn fields_are_found_by_name_wherever_they_are() {
    let text = record(
        r#"{"name":"x","type":"int"},{"name":"total","type":"string"},{"name":"id","type":"long"}"#,
    );
    let plan = compile(&text).unwrap();
    let slots = plan
        .fields
        .iter()
        .map(|field| field.known.as_ref().map(|known| known.slot));
    let slots: Vec<_> = slots.collect();
    assert_eq!(slots, [None, Some(1), Some(0)]);
}

#[test]
fn the_top_level_is_a_record_or_a_union_with_one() {
    let a_record = record(r#"{"name":"id","type":"int"}"#);
    assert!(compile(&a_record).is_ok());
    assert!(compile(&format!(r#"["null",{a_record}]"#)).is_ok());
    assert!(compile(&format!(r#"[{a_record},"string"]"#)).is_ok());
    for other in [
        r#""string""#.to_owned(),
        r#"{"type":"array","items":"int"}"#.to_owned(),
        r#"["null","int"]"#.to_owned(),
        format!(r#"[{a_record},{{"type":"record","name":"S","fields":[]}}]"#),
        format!(r#"{{"type":"map","values":{a_record}}}"#),
    ] {
        refused(&other, "top level");
    }
}

#[test]
fn a_text_that_is_no_schema_is_refused() {
    for text in [
        "",
        "{",
        "null",
        "{}",
        "[]",
        r#"{"type":"record"}"#,
        r#""bool""#,
    ] {
        refused(text, "the writer's Avro schema: ");
    }
    refused(&record(r#"{"name":"id","type":"Unheard"}"#), "");
    refused(
        &record(
            r#"{"name":"id","type":{"type":"fixed","name":"F","size":1}},
               {"name":"x","type":{"type":"fixed","name":"F","size":2}}"#,
        ),
        "defined twice",
    );
}

#[test]
fn named_types_are_found_again_with_their_meaning() {
    let text = record(
        r#"{"name":"x","type":{"type":"fixed","name":"Money","size":8,"logicalType":"decimal","precision":18,"scale":4}},
           {"name":"total","type":["null","Money"]},
           {"name":"id","type":"n.s.Money"}"#,
    );
    let plan = compile(&text).unwrap();
    let Meaning::Decimal { scale: 4 } = plan.nodes[plan.fields[2].node].meaning else {
        panic!("{:?}", plan.nodes);
    };
    let Shape::Union(branches) = &plan.nodes[plan.fields[1].node].shape else {
        panic!("{:?}", plan.nodes);
    };
    assert_eq!(branches[1], plan.fields[2].node);
}

#[test]
fn logical_types_that_are_unknown_or_unfit_are_their_underlying_types() {
    for (text, expected) in [
        (r#"{"type":"long","logicalType":"moon-phase"}"#, "Integer"),
        (
            r#"{"type":"string","logicalType":"timestamp-millis"}"#,
            "Text",
        ),
        (
            r#"{"type":"int","logicalType":"timestamp-millis"}"#,
            "Integer",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":0}"#,
            "Other(\"bytes\")",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":5}"#,
            "Other(\"bytes\")",
        ),
        (r#"{"type":"string","logicalType":"uuid"}"#, "Text"),
        (
            r#"{"type":"long","logicalType":"timestamp-millis"}"#,
            "TimestampMillis",
        ),
        (
            r#"{"type":"long","logicalType":"timestamp-micros"}"#,
            "TimestampMicros",
        ),
        (
            r#"{"type":"long","logicalType":"local-timestamp-micros"}"#,
            "Other(\"a local timestamp\")",
        ),
        (
            r#"{"type":"int","logicalType":"date"}"#,
            "Other(\"a date\")",
        ),
    ] {
        let plan = compile(&record(&format!(r#"{{"name":"id","type":{text}}}"#))).unwrap();
        let meaning = &plan.nodes[plan.fields[0].node].meaning;
        assert_eq!(format!("{meaning:?}"), expected, "{text}");
    }
}

#[test]
fn a_fault_in_what_says_nothing_about_bytes_does_no_harm() {
    let text = record(
        r#"{"name":"total","type":"long","default":"none"},
           {"name":"id","type":["null","string"],"default":7,"aliases":"?","doc":7}"#,
    );
    assert!(
        Schema::parse_str(&text).is_err(),
        "the library takes it now: is this still needed?"
    );
    assert!(compile(&text).is_ok());
}

#[test]
fn a_hostile_text_is_refused_before_it_is_parsed() {
    refused(&"[".repeat(1 << 20), "");
    refused(&" ".repeat((1 << 20) + 1), "longer than 1 MiB");
    let arrays = |n: usize| {
        let open = r#"{"type":"array","items":"#.repeat(n);
        record(&format!(
            r#"{{"name":"x","type":{open}"int"{}}}"#,
            "}".repeat(n)
        ))
    };
    assert!(compile(&arrays(61)).is_ok());
    refused(&arrays(62), "nests deeper than 64");
    refused(&arrays(5000), "");
}

#[test]
fn the_deepest_text_fits_a_small_stack() {
    let open = r#"{"type":"record","name":"NAME","fields":[{"name":"f","type":"#;
    let mut text = String::new();
    for level in 0..20 {
        text += &open.replace("NAME", &format!("R{level}"));
    }
    text += "\"int\"";
    text += &"}]}".repeat(20);
    std::thread::Builder::new()
        .stack_size(512 << 10)
        .spawn(move || compile(&text).map(drop))
        .unwrap()
        .join()
        .unwrap()
        .unwrap();
}
