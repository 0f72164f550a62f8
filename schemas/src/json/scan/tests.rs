use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

static NAMES: Names<3> = Names::of(["a", "b", "total"]);

fn found(bytes: &[u8]) -> Result<Found<'_, 3>, Malformed> {
    let mut found = Found::none();
    read(bytes, &NAMES, &mut found)?;
    Ok(found)
}

fn fields(json: &str) -> Found<'_, 3> {
    found(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// The contents of the fields, none of which has escapes.
fn contents(json: &str) -> [RawField<'_>; 3] {
    let found = fields(json);
    assert!(!found.has_escapes(), "{json}");
    found.fields
}

fn reason(json: impl AsRef<[u8]>) -> Option<Reason> {
    found(json.as_ref()).err().map(|error| error.reason())
}

fn text(text: &str) -> RawField<'_> {
    RawField::Text(text.into())
}

fn number(text: &str) -> RawField<'_> {
    RawField::Number(text.into())
}

#[test]
fn known_fields_are_kept_and_unknown_ones_are_skipped() {
    let json =
        " {\"x\":[{\"a\":1},[],{},\"]\"],\"total\":1.50e+2,\t\"a\":\"é\",\r\n\"y\":{\"b\":null}} ";
    assert_eq!(
        contents(json),
        [text("é"), RawField::Absent, number("1.50e+2")]
    );
    assert_eq!(
        contents("{}"),
        [RawField::Absent, RawField::Absent, RawField::Absent]
    );
    assert_eq!(
        contents(r#"{"a":null,"b":-0}"#),
        [RawField::Null, number("-0"), RawField::Absent]
    );
    let kinds = |json| contents(json)[0].kind();
    assert_eq!(kinds(r#"{"a":true}"#), "a boolean");
    assert_eq!(kinds(r#"{"a":false}"#), "a boolean");
    assert_eq!(kinds(r#"{"a":[1]}"#), "an array");
    assert_eq!(kinds(r#"{"a":{"b":1}}"#), "an object");
}

#[test]
fn names_and_texts_are_compared_unescaped() {
    let json = r#"{"\u0061":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00","t\u006Ftal":1,"\\u0062":2}"#;
    let fields = fields(json);
    assert!(fields.has_escapes());
    assert_eq!(
        fields.with(&fields.unescaped()),
        [
            text("\"\\/\u{8}\u{c}\n\r\té😀"),
            RawField::Absent,
            number("1")
        ]
    );
}

#[test]
fn a_name_is_found_however_it_is_written_and_whatever_follows() {
    for json in [
        r#"{"total":1}"#,
        r#"{"total" :1}"#,
        r#"{ "total": 1 , "x":2}"#,
        r#"{"\u0074otal":1}"#,
        r#"{"tota":0,"total":1,"totals":0,"Total":0,"total ":0}"#,
        r#"{"x":"a name longer than two words","a name longer than two words":0,"total":1}"#,
    ] {
        assert_eq!(
            contents(json),
            [RawField::Absent, RawField::Absent, number("1")],
            "{json}"
        );
    }
    // In every order, also against that of the names.
    for json in [
        r#"{"a":1,"b":2,"total":3}"#,
        r#"{"total":3,"b":2,"a":1}"#,
        r#"{"b":2,"x":0,"a":1,"total":3}"#,
        r#"{"total":3,"a":1,"b":2}"#,
    ] {
        assert_eq!(
            contents(json),
            [number("1"), number("2"), number("3")],
            "{json}"
        );
    }
}

#[test]
fn a_string_ends_where_it_ends_at_every_length() {
    // Plain, with an escape at every place, and with a character that is not ASCII there.
    for length in 0..40 {
        let plain = "x".repeat(length);
        assert_eq!(contents(&format!("{{\"a\":\"{plain}\"}}"))[0], text(&plain));
        for at in 0..length {
            let (start, end) = plain.split_at(at);
            for (written, meant) in [("\\\"", "\""), ("\\\\", "\\"), ("\\u00e9", "é")] {
                let json = format!("{{\"a\":\"{start}{written}{end}\"}}");
                let fields = fields(&json);
                let texts = fields.unescaped();
                assert_eq!(texts[0].as_deref(), Some(&*format!("{start}{meant}{end}")));
            }
            let other = format!("{start}é{end}");
            assert_eq!(contents(&format!("{{\"a\":\"{other}\"}}"))[0], text(&other));
            let json = format!("{{\"a\":\"{start}\n{end}\"}}");
            assert_eq!(reason(&json), Some(Reason::InvalidJson));
            let mut json = format!("{{\"a\":\"{start}?{end}\"}}").into_bytes();
            json[6 + at] = 0xff;
            assert_eq!(reason(&json), Some(Reason::InvalidJson));
        }
    }
}

#[test]
fn a_field_that_is_read_must_not_be_repeated() {
    for json in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":null,"a":1}"#,
        r#"{"a":1,"x":2,"\u0061":3}"#,
        r#"{"b":1,"a":{},"b":1}"#,
    ] {
        assert_eq!(reason(json), Some(Reason::RepeatedField), "{json}");
    }
    // These are not read.
    assert_eq!(reason(r#"{"x":1,"x":2,"y":{"a":1,"a":2}}"#), None);
}

#[test]
fn faults_have_an_order_of_precedence_wherever_they_are() {
    let table = [
        (r#"{"a":1,"a":2,"b":}"#, Reason::InvalidJson),
        (r#"{"a":1,"a":2} x"#, Reason::TrailingBytes),
        (r"[1] x", Reason::TrailingBytes),
        (r"[1", Reason::InvalidJson),
    ];
    for (json, expected) in table {
        assert_eq!(reason(json), Some(expected), "{json}");
    }
    let message = |json: &str| found(json.as_bytes()).err().unwrap().to_string();
    assert_eq!(
        message(r#"{"b":1,"a":1,"b":1,"a":1}"#),
        message(r#"{"a":1,"a":1,"b":1,"b":1}"#),
    );
}

#[test]
fn another_top_level_than_an_object_is_no_broken_json() {
    for json in ["null", "true", "1", "\"x\"", "[]", " [{}] "] {
        assert_eq!(reason(json), Some(Reason::NotAnObject), "{json}");
    }
    assert_eq!(reason(""), Some(Reason::EmptyValue));
    for json in [" ", "nul", "\u{feff}{}", "undefined", "'a'"] {
        assert_eq!(reason(json), Some(Reason::InvalidJson), "{json}");
    }
}

#[test]
fn syntax_is_checked_to_the_last_byte_also_in_unknown_fields() {
    for value in [
        "",
        "nul",
        "nulll",
        "True",
        "01",
        "-",
        "+1",
        "1.",
        ".1",
        "1e",
        "1e+",
        "0x1",
        "--1",
        "NaN",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[",
        "]",
        "{",
        "{]",
        "{1:2}",
        "{\"b\"}",
        "{\"b\":}",
        "{\"b\":1,}",
        "{\"b\":1 \"c\":2}",
        "{,}",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\U0041\"",
        "\"a\nb\"",
        "\"\u{0}\"",
        "\"\u{1f}\"",
        "'x'",
        "1,",
        "/**/1",
        "\u{a0}1",
    ] {
        for name in ["a", "x"] {
            let json = format!("{{\"{name}\":{value}}}");
            assert_eq!(reason(&json), Some(Reason::InvalidJson), "{json}");
        }
    }
    for json in ["{}{}", "{},", "{}\0", "{} }", "{}null"] {
        assert_eq!(reason(json), Some(Reason::TrailingBytes), "{json}");
    }
}

#[test]
fn half_a_surrogate_pair_is_no_text() {
    for body in [
        r"\ud800",
        r"\udc00",
        r"\ud83dx",
        r"\ud83d\n",
        r"\ud83d\ud83d",
        r"\ude00\ud83d",
        r"\ud83d\u0041",
        r"\ud83d\u",
        r"\ud83d\u12",
    ] {
        for json in [
            format!("{{\"a\":\"{body}\"}}"),
            format!("{{\"x\":[\"{body}\"]}}"),
        ] {
            assert_eq!(reason(&json), Some(Reason::InvalidJson), "{json}");
        }
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_refused_wherever_they_are() {
    for json in [
        &b"{\"a\":\"\xff\"}"[..],
        b"{\"x\":\"\xc3\"}",
        b"{\"\xed\xa0\x80\":1}",
        b"\xfe{}",
        b"{}\x80",
    ] {
        assert_eq!(reason(json), Some(Reason::InvalidJson), "{json:?}");
    }
}

#[test]
fn nesting_ends_at_128_levels() {
    let nested = |arrays: usize| format!("{{\"x\":{}{}}}", "[".repeat(arrays), "]".repeat(arrays));
    assert_eq!(reason(nested(127)), None);
    assert_eq!(reason(nested(128)), Some(Reason::InvalidJson));
    let objects = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
    assert_eq!(reason(objects(128)), None);
    assert_eq!(reason(objects(129)), Some(Reason::InvalidJson));
    for hostile in ["[".repeat(1 << 20), "{\"a\":[".repeat(1 << 18)] {
        assert_eq!(reason(hostile), Some(Reason::InvalidJson));
    }
}

#[test]
fn every_prefix_of_an_object_is_broken() {
    let json = r#"{"a":"x\u00e9y","b":[1.5e-3,{"c":null}],"x":true}"#;
    assert_eq!(reason(json), None);
    for end in 1..json.len() {
        assert_eq!(
            reason(&json[..end]),
            Some(Reason::InvalidJson),
            "{}",
            &json[..end]
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_is_json_is_decided_as_serde_json_does(
        json in r#"(\{|\[|\}|\]|,|:|"|"a"|"b":|"x":|\{"a":|\[1|null|true|false|0|-|1\.5|e|E3| |\\|\\n|é){0,12}"#,
    ) {
        let expected = serde_json::from_str::<IgnoredAny>(&json).is_ok();
        let found = !matches!(reason(&json), Some(Reason::EmptyValue | Reason::InvalidJson | Reason::TrailingBytes));
        prop_assert_eq!(found, expected, "{}", json);
    }

    #[test]
    fn a_changed_byte_is_judged_as_serde_json_does(
        at: prop::sample::Index,
        byte in prop::sample::select(&b"{}[],:\"\\0123456789.eE+-nultrfas \n\x01\x7f"[..]),
    ) {
        let mut json = br#"{"a":"x y","b":[1.5e-3,{"c":null}],"x":true,"total":-0.25}"#.to_vec();
        let at = at.index(json.len());
        json[at] = byte;
        let json = String::from_utf8(json).unwrap();
        let expected = serde_json::from_str::<IgnoredAny>(&json).is_ok();
        let found = !matches!(reason(&json), Some(Reason::EmptyValue | Reason::InvalidJson | Reason::TrailingBytes));
        prop_assert_eq!(found, expected, "{}", json);
    }

    #[test]
    fn a_string_is_read_as_serde_json_does(
        body in r#"([a-zé😀 ]|\\["\\/bfnrtu]|\\u[0-9a-fA-F]{4}|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}){0,12}"#,
    ) {
        let json = format!("{{\"a\":\"{body}\"}}");
        let expected = serde_json::from_str::<String>(&format!("\"{body}\"")).ok();
        let found = found(json.as_bytes()).ok().map(|fields| {
            let texts = fields.unescaped();
            match fields.with(&texts)[0] {
                RawField::Text(text) => text.as_str().to_owned(),
                other => panic!("{other:?}"),
            }
        });
        prop_assert_eq!(found, expected, "{}", json);
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes: Vec<u8>, start in r#"\{?("a":)?(\[|")?"#) {
        let _ = reason(&bytes);
        let _ = reason([start.as_bytes(), &bytes].concat());
    }
}
