use apache_avro::Schema;

use super::*;

const NAMES: [&str; 2] = ["id", "total"];

fn compile(text: &str) -> Result<Plan, Malformed> {
    Plan::compile(text, &[], &NAMES)
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
    let indexes = plan
        .fields
        .iter()
        .map(|field| field.known.as_ref().map(|known| known.index));
    let indexes: Vec<_> = indexes.collect();
    assert_eq!(indexes, [None, Some(1), Some(0)]);
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
            "Bytes",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":5}"#,
            "Bytes",
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
fn faults_in_defaults_aliases_and_docs_do_no_harm() {
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

/// Java and registries accept these names, although the specification does not allow them.
#[test]
fn names_say_nothing_about_bytes() {
    for (namespace, name) in [
        ("com.my-company.shop", "OrderStatus"),
        ("com.shop.Orders$", "Status"),
        ("com.shop", "Orders$Status"),
        ("de.geschäft", "Bestellung"),
        ("магазин", "Заказ"),
        ("com.3m", "3Status"),
        ("com..shop", "A B"),
        ("", ""),
    ] {
        let text = serde_json::json!({
            "type": "record", "name": name, "namespace": namespace,
            "fields": [
                {"name": "größe", "type": {"type": "enum", "name": "Größe-$", "symbols": ["groß", "x-y", "3"]}},
                {"name": "total", "type": {"type": "fixed", "name": "Money$", "size": 8,
                                           "logicalType": "decimal", "precision": 18, "scale": 2}},
                {"name": "next-order", "type": ["null", name, "Money$"]},
                {"name": "id", "type": "string"},
            ],
        })
        .to_string();
        assert!(
            Schema::parse_str(&text).is_err(),
            "the library takes it now: is an own compiler still needed?"
        );
        let plan = compile(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let indexes = plan.fields.iter();
        let indexes: Vec<_> = indexes
            .map(|field| field.known.as_ref().map(|known| known.index))
            .collect();
        assert_eq!(indexes, [None, Some(1), None, Some(0)], "{text}");
    }
}

#[test]
fn names_are_found_in_their_namespace_first_and_then_in_none() {
    let fixed = |name: &str, size: usize| {
        format!(r#"{{"name":"x","type":{{"type":"fixed","name":"{name}","size":{size}}}}}"#)
    };
    let size_of = |defined: &[String], used: &str| {
        let used = format!(r#"{{"name":"id","type":"{used}"}}"#);
        let fields = [defined, &[used]].concat().join(",");
        let plan = compile(&record(&fields))?;
        match plan.nodes[plan.fields[defined.len()].node].shape {
            Shape::Fixed(size) => Ok::<usize, Malformed>(size),
            ref other => panic!("{other:?}"),
        }
    };
    let both = [fixed("F", 1), fixed(".F", 2), fixed("o.F", 3)];
    assert_eq!(size_of(&both, "F"), Ok(1));
    assert_eq!(size_of(&both, "n.s.F"), Ok(1));
    assert_eq!(size_of(&both, ".F"), Ok(2));
    assert_eq!(size_of(&both, "o.F"), Ok(3));
    assert_eq!(size_of(&both[1..2], "F"), Ok(2));
    assert!(size_of(&both[2..], "F").is_err());
}

#[test]
fn a_type_of_another_text_is_as_if_it_were_defined_here() {
    let currency = r#"{"type":"enum","name":"Currency","namespace":"m","symbols":["EUR"]}"#;
    let money = r#"{"type":"record","name":"Money","namespace":"m","fields":[
        {"name":"amount","type":"long"},{"name":"currency","type":"Currency"}]}"#;
    let amount = r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#;
    let references = [currency, money].map(str::to_owned);
    let text =
        record(r#"{"name":"price","type":["null","m.Money"]},{"name":"id","type":"m.Currency"}"#);
    let plan = Plan::compile(&text, &references, &NAMES).unwrap();
    let Shape::Union(branches) = &plan.nodes[plan.fields[0].node].shape else {
        panic!("{:?}", plan.nodes);
    };
    assert!(matches!(plan.nodes[branches[1]].shape, Shape::Record(_)));
    assert!(matches!(
        plan.nodes[plan.fields[1].node].meaning,
        Meaning::Symbol(_)
    ));

    // The record may come from a reference. A name must not be defined twice.
    for top in [r#""m.Money""#, r#"["null","m.Money"]"#] {
        let plan = Plan::compile(top, &references, &NAMES).unwrap();
        assert_eq!(plan.fields.len(), 2);
    }
    let twice = [currency, money, currency].map(str::to_owned);
    let error = Plan::compile(&text, &twice, &NAMES).unwrap_err();
    assert!(error.message().contains("m.Currency is defined twice"));
    let wrong_order = [money, currency].map(str::to_owned);
    let error = Plan::compile(&text, &wrong_order, &NAMES).unwrap_err();
    assert!(error.message().contains("Currency is used and not defined"));
    // A text without a name defines nothing, and all texts count.
    let nameless = [amount.to_owned()];
    let a_record = record(r#"{"name":"id","type":"int"}"#);
    assert!(Plan::compile(&a_record, &nameless, &NAMES).is_ok());
    let long = [" ".repeat(1 << 20)];
    let error = Plan::compile(&a_record, &long, &NAMES).unwrap_err();
    assert!(error.message().contains("longer than 1 MiB"));
}

#[test]
fn a_field_that_is_read_is_there_once() {
    refused(
        &record(r#"{"name":"total","type":"int"},{"name":"total","type":"long"}"#),
        "two fields total",
    );
    assert!(
        compile(&record(
            r#"{"name":"x","type":"int"},{"name":"x","type":"int"}"#
        ))
        .is_ok()
    );
}

#[test]
fn a_hostile_text_is_refused_before_it_is_parsed() {
    refused(&"[".repeat(1 << 20), "");
    refused(&" ".repeat((1 << 20) + 1), "longer than 1 MiB");
    // The JSON parser refuses brackets that nest deeper than 128 levels, before the compiler recurses.
    let arrays = |n: usize| {
        let open = r#"{"type":"array","items":"#.repeat(n);
        record(&format!(
            r#"{{"name":"x","type":{open}"int"{}}}"#,
            "}".repeat(n)
        ))
    };
    assert!(compile(&arrays(123)).is_ok());
    refused(&arrays(125), "recursion limit");
    refused(&arrays(5000), "");
}

#[test]
fn the_deepest_text_fits_a_small_stack() {
    let open = r#"{"type":"record","name":"NAME","fields":[{"name":"f","type":"#;
    let mut text = String::new();
    for level in 0..42 {
        text += &open.replace("NAME", &format!("R{level}"));
    }
    text += "\"int\"";
    text += &"}]}".repeat(42);
    std::thread::Builder::new()
        .stack_size(512 << 10)
        .spawn(move || compile(&text).map(drop))
        .unwrap()
        .join()
        .unwrap()
        .unwrap();
}
