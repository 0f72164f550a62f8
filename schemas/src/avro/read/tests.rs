use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;

use super::*;
use crate::avro::write;

const NAMES: [&str; 3] = ["a", "b", "total"];

/// A record's schema of fields given as (name, type's JSON).
fn schema<'f>(fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> String {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, kind)| format!(r#"{{"name":"{name}","type":{kind}}}"#))
        .collect();
    format!(
        r#"{{"type":"record","name":"R","fields":[{}]}}"#,
        fields.join(",")
    )
}

fn plan(text: &str) -> Plan {
    Plan::compile(text, &[], &NAMES).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn read<'a>(plan: &'a Plan, bytes: &'a [u8]) -> Result<[RawField<'a>; 3], Malformed> {
    let mut found = [RawField::Absent; 3];
    plan.read(bytes, &mut found)?;
    Ok(found)
}

/// Returns the content of a field `a` of this type, from its bytes.
fn one(kind: &str, bytes: &[u8]) -> Result<RawField<'static>, Reason> {
    let plan = Box::leak(Box::new(plan(&schema([("a", kind)]))));
    let [content, ..] = read(plan, bytes.to_vec().leak()).map_err(|error| error.reason())?;
    Ok(content)
}

/// Skips an unknown field.
fn skips(kind: &str, bytes: &[u8]) -> Result<(), Reason> {
    read(&plan(&schema([("x", kind)])), bytes)
        .map(drop)
        .map_err(|error| error.reason())
}

const INVALID: Result<(), Reason> = Err(Reason::InvalidAvro);

#[test]
fn a_known_field_of_each_type_is_read() {
    let text = |text: &'static str| Ok(RawField::Text(text.into()));
    let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#;
    let fixed =
        r#"{"type":"fixed","name":"F","size":2,"logicalType":"decimal","precision":4,"scale":3}"#;
    let symbols = r#"{"type":"enum","name":"E","symbols":["X","Y"]}"#;
    let hundred = |scale| {
        Ok(RawField::Decimal {
            unscaled: &[0x27, 0x10],
            scale,
        })
    };
    assert_eq!(one("\"null\"", &[]), Ok(RawField::Null));
    assert_eq!(one("\"int\"", &[3]), Ok(RawField::Integer(-2)));
    assert_eq!(one("\"long\"", &[0x80, 1]), Ok(RawField::Integer(64)));
    assert_eq!(one("\"string\"", &[4, b'h', b'i']), text("hi"));
    assert_eq!(one(symbols, &[2]), text("Y"));
    assert_eq!(one(decimal, &[4, 0x27, 0x10]), hundred(2));
    assert_eq!(one(fixed, &[0x27, 0x10]), hundred(3));
    assert_eq!(one(r#"["null","string"]"#, &[0]), Ok(RawField::Null));
    assert_eq!(one(r#"["string","null"]"#, &[0, 2, b'x']), text("x"));
    assert_eq!(
        one(r#"["null","double","long"]"#, &[4, 2]),
        Ok(RawField::Integer(1))
    );
    let millis = r#"["null",{"type":"long","logicalType":"timestamp-millis"}]"#;
    assert_eq!(one(millis, &[2, 2]), Ok(RawField::TimestampMillis(1)));
    assert_eq!(one("\"double\"", &[0; 8]), Ok(RawField::Other("a double")));
    assert_eq!(one("\"float\"", &[0; 4]), Ok(RawField::Other("a float")));
    assert_eq!(one("\"bytes\"", &[2, 0xff]), Ok(RawField::Other("bytes")));
    assert_eq!(
        one(r#"{"type":"array","items":"int"}"#, &[2, 2, 0]),
        Ok(RawField::Other("an array"))
    );
}

#[test]
fn integers_beyond_their_width_are_malformed() {
    let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    assert_eq!(one("\"long\"", &longest), Ok(RawField::Integer(i64::MIN)));
    let mut beyond = longest;
    beyond[9] = 2;
    assert_eq!(skips("\"long\"", &beyond), INVALID);
    assert_eq!(skips("\"long\"", &[0x80; 11]), INVALID);
    assert_eq!(skips("\"long\"", &[0x80]), INVALID);
    let mut int = Vec::new();
    write::long(i64::from(i32::MAX) + 1, &mut int);
    assert_eq!(skips("\"int\"", &int), INVALID);
    assert_eq!(skips("\"long\"", &int), Ok(()));
}

#[test]
fn lengths_and_indexes_stay_within_what_is_there() {
    for kind in ["\"string\"", "\"bytes\""] {
        assert_eq!(skips(kind, &[1]), INVALID, "a negative length");
        assert_eq!(skips(kind, &[4, b'x']), INVALID, "a length beyond the end");
        let mut huge = Vec::new();
        write::long(i64::MAX, &mut huge);
        assert_eq!(skips(kind, &huge), INVALID);
    }
    let symbols = r#"{"type":"enum","name":"E","symbols":["X","Y"]}"#;
    for kind in [symbols, r#"["null","null_not"]"#] {
        let kind = kind.replace("\"null_not\"", "\"boolean\"");
        for index in [4, 1, 0x7e] {
            assert_eq!(skips(&kind, &[index, 0]), INVALID, "{kind} {index}");
        }
    }
    assert_eq!(skips("\"boolean\"", &[1]), Ok(()));
    assert_eq!(skips("\"boolean\"", &[2]), INVALID);
    let vast = r#"{"type":"fixed","name":"F","size":9223372036854775807}"#;
    assert_eq!(skips(vast, &[0; 9]), INVALID);
}

#[test]
fn only_texts_that_are_read_must_be_utf_8() {
    assert_eq!(one("\"string\"", &[2, 0xff]), Err(Reason::InvalidAvro));
    assert_eq!(skips("\"string\"", &[2, 0xff]), Ok(()));
}

#[test]
fn blocks_may_give_their_size_and_then_it_must_be_true() {
    let array = r#"{"type":"array","items":"int"}"#;
    assert_eq!(skips(array, &[0]), Ok(()));
    assert_eq!(skips(array, &[4, 2, 2, 2, 2, 0]), Ok(()));
    assert_eq!(skips(array, &[3, 4, 2, 2, 2, 2, 0]), Ok(()));
    assert_eq!(
        skips(array, &[3, 2, 2, 2, 0]),
        INVALID,
        "two items of two bytes, said to be one"
    );
    assert_eq!(skips(array, &[3, 6, 2, 2, 0]), INVALID);
    assert_eq!(skips(array, &[3, 1, 2, 2, 0]), INVALID, "a negative size");
    assert_eq!(skips(array, &[3, 40, 2, 2, 0]), INVALID);
    assert_eq!(skips(array, &[4, 2]), INVALID);
    let map = r#"{"type":"map","values":"int"}"#;
    assert_eq!(skips(map, &[2, 2, b'k', 2, 0]), Ok(()));
    assert_eq!(skips(map, &[2, 4, b'k', 2]), INVALID);
}

#[test]
fn false_counts_of_values_without_bytes_end_soon() {
    let nothing = r#"{"type":"array","items":"null"}"#;
    let empty = r#"{"type":"array","items":{"type":"record","name":"E","fields":[]}}"#;
    // The tests in `limits` show after how many values.
    for count in [i64::MAX, 1 << 31, i64::MIN, i64::MIN + 1] {
        let mut bytes = Vec::new();
        write::long(count, &mut bytes);
        if count < 0 {
            write::long(0, &mut bytes);
        }
        bytes.push(0);
        for kind in [nothing, empty] {
            assert_eq!(skips(kind, &bytes), INVALID);
            assert_eq!(one(kind, &bytes), Err(Reason::InvalidAvro));
        }
    }
    // An honest count passes.
    let mut bytes = Vec::new();
    write::long(10_000, &mut bytes);
    bytes.push(0);
    assert_eq!(skips(nothing, &bytes), Ok(()));
}

#[test]
fn recursion_ends_at_its_limit() {
    let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    // Each link is a union and a record, and the last holds a union and a null.
    assert_eq!(skips(list, &[&[2; 31][..], &[0]].concat()), Ok(()));
    assert_eq!(skips(list, &[&[2; 32][..], &[0]].concat()), INVALID);
    assert_eq!(skips(list, &[2; 1 << 20]), INVALID);
    let endless = r#"{"type":"record","name":"L","fields":[{"name":"next","type":"L"}]}"#;
    assert_eq!(skips(endless, &[]), INVALID);
}

#[test]
fn a_record_of_a_union_is_read_and_another_branch_is_no_record() {
    let record = schema([("a", "\"int\"")]);
    let plan = plan(&format!(r#"["null",{record}]"#));
    assert_eq!(read(&plan, &[2, 2]).unwrap()[0], RawField::Integer(1));
    let reason = |bytes: &[u8]| read(&plan, bytes).unwrap_err().reason();
    assert_eq!(reason(&[0]), Reason::NotAnObject);
    assert_eq!(reason(&[4]), Reason::InvalidAvro);
    assert_eq!(reason(&[]), Reason::InvalidAvro);
}

#[test]
fn bytes_after_the_record_are_refused() {
    let plan = plan(&schema([("a", "\"int\"")]));
    assert_eq!(
        read(&plan, &[2, 0]).unwrap_err().reason(),
        Reason::TrailingBytes
    );
    assert_eq!(read(&plan, &[]).unwrap_err().reason(), Reason::InvalidAvro);
}

/// A type's JSON, with `#` where a unique name goes, and a value of it.
#[derive(Debug, Clone)]
struct Typed {
    kind: String,
    value: Value,
    content: Expected,
}

/// The content of a known field, owned.
#[derive(Debug, Clone, PartialEq)]
enum Expected {
    Null,
    Text(String),
    Integer(i64),
    Millis(i64),
    Micros(i64),
    Decimal(Vec<u8>, u32),
    Other,
}

impl Expected {
    fn of(content: &RawField<'_>) -> Option<Self> {
        Some(match content {
            RawField::Absent | RawField::Number(_) => return None,
            RawField::Null => Self::Null,
            RawField::Text(text) => Self::Text(text.as_str().to_owned()),
            RawField::Integer(value) => Self::Integer(*value),
            RawField::TimestampMillis(value) => Self::Millis(*value),
            RawField::TimestampMicros(value) => Self::Micros(*value),
            RawField::Decimal { unscaled, scale } => Self::Decimal(unscaled.to_vec(), *scale),
            RawField::Other(_) => Self::Other,
        })
    }
}

fn typed(kind: &str, value: Value, content: Expected) -> Typed {
    Typed {
        kind: kind.to_owned(),
        value,
        content,
    }
}

fn leaf() -> impl Strategy<Value = Typed> {
    let logical = |base: &str, name: &str| format!(r#"{{"type":"{base}","logicalType":"{name}"}}"#);
    prop_oneof![
        Just(typed("\"null\"", Value::Null, Expected::Null)),
        any::<bool>().prop_map(|v| typed("\"boolean\"", Value::Boolean(v), Expected::Other)),
        any::<i32>().prop_map(|v| typed("\"int\"", Value::Int(v), Expected::Integer(v.into()))),
        any::<i64>().prop_map(|v| typed("\"long\"", Value::Long(v), Expected::Integer(v))),
        any::<f32>().prop_map(|v| typed("\"float\"", Value::Float(v), Expected::Other)),
        any::<f64>().prop_map(|v| typed("\"double\"", Value::Double(v), Expected::Other)),
        any::<Vec<u8>>().prop_map(|v| typed("\"bytes\"", Value::Bytes(v), Expected::Other)),
        ".{0,200}".prop_map(|v| typed("\"string\"", Value::String(v.clone()), Expected::Text(v))),
        any::<i64>().prop_map(move |v| typed(
            &logical("long", "timestamp-millis"),
            Value::TimestampMillis(v),
            Expected::Millis(v)
        )),
        any::<i64>().prop_map(move |v| typed(
            &logical("long", "timestamp-micros"),
            Value::TimestampMicros(v),
            Expected::Micros(v)
        )),
        any::<i32>().prop_map(move |v| typed(
            &logical("int", "date"),
            Value::Date(v),
            Expected::Other
        )),
        (any::<i64>(), 0..10_u32).prop_map(|(v, scale)| {
            let unscaled = v.to_be_bytes().to_vec();
            typed(
                &format!(
                    r#"{{"type":"bytes","logicalType":"decimal","precision":30,"scale":{scale}}}"#
                ),
                Value::Decimal(unscaled.clone().into()),
                Expected::Decimal(num_bigint::BigInt::from(v).to_signed_bytes_be(), scale),
            )
        }),
        (0..3_usize).prop_map(|at| {
            let symbol = ["X", "Y", "Z"][at];
            typed(
                r##"{"type":"enum","name":"#","symbols":["X","Y","Z"]}"##,
                Value::Enum(at as u32, symbol.to_owned()),
                Expected::Text(symbol.to_owned()),
            )
        }),
        prop::collection::vec(any::<u8>(), 3).prop_map(|v| typed(
            r##"{"type":"fixed","name":"#","size":3}"##,
            Value::Fixed(3, v),
            Expected::Other
        )),
    ]
}

/// A type and a value of it; a list repeats one value, for all must be of one type.
fn any_typed() -> impl Strategy<Value = Typed> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            (inner.clone(), 0..4_usize).prop_map(|(item, count)| typed(
                &format!(r#"{{"type":"array","items":{}}}"#, item.kind),
                Value::Array(vec![item.value; count]),
                Expected::Other,
            )),
            (inner.clone(), 0..4_usize).prop_map(|(item, count)| typed(
                &format!(r#"{{"type":"map","values":{}}}"#, item.kind),
                Value::Map(
                    (0..count)
                        .map(|at| (format!("key {at}"), item.value.clone()))
                        .collect()
                ),
                Expected::Other,
            )),
            prop::collection::vec(inner.clone(), 0..4).prop_map(|fields| {
                let kinds: Vec<_> = fields
                    .iter()
                    .enumerate()
                    .map(|(at, field)| format!(r#"{{"name":"f{at}","type":{}}}"#, field.kind))
                    .collect();
                let values = fields.into_iter().enumerate();
                typed(
                    &format!(
                        r##"{{"type":"record","name":"#","fields":[{}]}}"##,
                        kinds.join(",")
                    ),
                    Value::Record(
                        values
                            .map(|(at, field)| (format!("f{at}"), field.value))
                            .collect(),
                    ),
                    Expected::Other,
                )
            }),
            (inner, any::<bool>(), any::<bool>()).prop_filter_map(
                "unions have no unions in them, and null once",
                |(item, null_first, is_null)| {
                    if item.kind.starts_with('[') || item.kind == "\"null\"" {
                        return None;
                    }
                    let (kind, null, branch) = if null_first {
                        (format!(r#"["null",{}]"#, item.kind), 0, 1)
                    } else {
                        (format!(r#"[{},"null"]"#, item.kind), 1, 0)
                    };
                    Some(if is_null {
                        typed(
                            &kind,
                            Value::Union(null, Box::new(Value::Null)),
                            Expected::Null,
                        )
                    } else {
                        typed(
                            &kind,
                            Value::Union(branch, Box::new(item.value)),
                            item.content,
                        )
                    })
                }
            ),
        ]
    })
}

/// Gives every named type its own name.
fn with_names(text: &str) -> String {
    let mut parts = text.split('#');
    let mut named = parts.next().unwrap_or_default().to_owned();
    for (at, part) in parts.enumerate() {
        named += &format!("N{at}{part}");
    }
    named
}

/// A schema, the bytes of a record of it, and what its fields hold, in the schema's order.
#[derive(Debug, Clone)]
struct Written {
    schema: String,
    body: Vec<u8>,
    fields: Vec<(String, Expected)>,
}

prop_compose! {
    fn written()(
        names in prop::sample::subsequence(vec!["a", "b", "total", "w", "x", "y", "z"], 0..=7).prop_shuffle(),
        fields in prop::collection::vec(any_typed(), 7),
    ) -> Written {
        let fields: Vec<_> = names.into_iter().zip(fields).collect();
        let kinds = fields.iter().map(|(name, field)| (*name, field.kind.as_str()));
        let schema = with_names(&schema(kinds));
        let values = fields.iter().map(|(name, field)| ((*name).to_owned(), field.value.clone()));
        let parsed = Schema::parse_str(&schema).unwrap();
        let body = GenericDatumWriter::builder(&parsed)
            .build()
            .unwrap()
            .write_value_to_vec(Value::Record(values.collect()))
            .unwrap();
        let fields = fields.into_iter().map(|(name, field)| (name.to_owned(), field.content));
        Written { schema, body, fields: fields.collect() }
    }
}

/// Removes the padding bytes of two's complement: the library writes a decimal's bytes as they are given.
fn minimal(expected: Expected) -> Expected {
    match expected {
        Expected::Decimal(bytes, scale) => {
            let value = num_bigint::BigInt::from_signed_bytes_be(&bytes);
            Expected::Decimal(value.to_signed_bytes_be(), scale)
        }
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn known_fields_of_any_schema_are_read_and_the_rest_is_passed(written in written()) {
        let plan = plan(&written.schema);
        let found = read(&plan, &written.body).map_err(|e| TestCaseError::fail(e.to_string()))?;
        for (name, content) in NAMES.iter().zip(&found) {
            let expected = written.fields.iter().find(|(field, _)| field == name);
            prop_assert_eq!(Expected::of(content).map(minimal), expected.map(|(_, content)| content.clone()));
        }
    }

    #[test]
    fn a_cut_or_prolonged_record_is_malformed(written in written(), cut: prop::sample::Index, more: u8) {
        let plan = plan(&written.schema);
        let reason = |body: &[u8]| read(&plan, body).err().map(|error| error.reason());
        if !written.body.is_empty() {
            let cut = cut.index(written.body.len());
            prop_assert_eq!(reason(&written.body[..cut]), Some(Reason::InvalidAvro));
        }
        let longer = [&written.body[..], &[more]].concat();
        prop_assert_eq!(reason(&longer), Some(Reason::TrailingBytes));
    }

    #[test]
    fn changed_bytes_are_judged_without_a_panic(
        written in written(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut body = written.body;
        for (at, byte) in changes {
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
            }
        }
        let _ = read(&plan(&written.schema), &body);
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(written in written(), body: Vec<u8>) {
        let _ = read(&plan(&written.schema), &body);
    }

    #[test]
    fn a_written_long_is_read_back(value: i64, shift in 0..64) {
        let value = value >> shift;
        let mut bytes = Vec::new();
        write::long(value, &mut bytes);
        prop_assert_eq!(one("\"long\"", &bytes), Ok(RawField::Integer(value)));
    }
}
