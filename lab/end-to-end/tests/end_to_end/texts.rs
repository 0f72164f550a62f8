//! Rules about the bytes of a record: JSON's syntax, framing, headers.

use crate::table::{Case, Expected, VOUCHER, dead};

use Expected::Dead;

/// Returns all cases.
pub(crate) fn cases() -> Vec<Case> {
    [json(), not_json(), framing(), headers()].concat()
}

/// Returns the JSON of a valid record with further members at its end.
fn good(more: &str) -> String {
    format!(r#"{{"order_id":"ID","status":"SENT","total":100{more}}}"#)
}

fn json() -> Vec<Case> {
    let nested = |depth: usize| {
        good(&format!(
            ",\"a\":{}{}",
            "[".repeat(depth),
            "]".repeat(depth)
        ))
    };
    let repeated = |member: &str| {
        Case::text(
            format!("json: repeated {member}"),
            &good(&format!(",{member}")),
            Dead("repeated_field", "more than once"),
        )
    };
    vec![
        Case::text("json: one line", &good(""), VOUCHER),
        Case::text(
            "json: the old system's",
            r#"{"id":ID,"status":"SENT","total":150}"#,
            VOUCHER,
        ),
        Case::text(
            "json: the old system's with a string",
            r#"{"id":ID,"status":"SENT","total":"150.00"}"#,
            VOUCHER,
        ),
        Case::text(
            "json: white space everywhere",
            "\n {\t\"order_id\" : \"ID\",\r\n \"status\":\"SENT\" , \"total\": 100 } \n",
            VOUCHER,
        ),
        Case::text(
            "json: escaped names and texts",
            r#"{"\u006frder_id":"ID","status":"\u0053ENT","tot\u0061l":"1\u00300"}"#,
            VOUCHER,
        ),
        Case::text(
            "json: unknown fields",
            &good(r#","note":null,"products":[{"id":3,"total":1e999}],"x":{"status":"PENDING"}"#),
            VOUCHER,
        ),
        Case::text(
            "json: an unknown field twice",
            &good(r#","note":1,"note":2"#),
            VOUCHER,
        ),
        Case::text(
            "json: names are known in one case only",
            &good(r#","Status":"PENDING","TOTAL":1"#),
            VOUCHER,
        ),
        repeated(r#""order_id":"ID""#),
        repeated(r#""status":"SENT""#),
        repeated(r#""total":100"#),
        repeated(r#""st\u0061tus":"SENT""#),
        Case::text("json: nested", &nested(100), VOUCHER),
        Case::text("json: nested too deep", &nested(200), dead("invalid_json")),
        Case::text(
            "json: an empty object",
            "{}",
            Dead("invalid_order_id", "order_id: expected"),
        ),
    ]
}

fn not_json() -> Vec<Case> {
    let text = |text: &str, reason| Case::text(format!("json: {text}"), text, dead(reason));
    let invalid = |text: &str| Case::text(format!("json: {text}"), text, dead("invalid_json"));
    let not_utf8 = b"{\"order_id\":\"17\",\"status\":\"SENT\",\"total\":100,\"a\":\"\xff\"}";
    let with_mark = format!("\u{feff}{}", good(""));
    vec![
        text("null", "not_an_object"),
        text("true", "not_an_object"),
        text("17", "not_an_object"),
        text("\"SENT\"", "not_an_object"),
        text(&format!("[{}]", good("")), "not_an_object"),
        text(&format!("{} x", good("")), "trailing_bytes"),
        text(&format!("{0}\n{0}", good("")), "trailing_bytes"),
        text(&format!("{}\0", good("")), "trailing_bytes"),
        invalid("not json"),
        invalid("{"),
        invalid(r#"{"order_id":"ID","status":"SENT","total":100"#),
        invalid(r#"{"order_id":"ID","status":"SENT","total":100,}"#),
        invalid(r#"{"order_id":"ID","status":"SENT","total":}"#),
        invalid(r#"{"order_id":"ID","status":"SENT","total":NaN}"#),
        invalid(r#"{"order_id":"ID","status":"SENT","total":0100}"#),
        invalid(r#"{"order_id":"ID","status":"SENT","total":+100}"#),
        invalid(r#"{"order_id":"ID","status":"SENT","total":100.}"#),
        invalid("{'order_id':'ID','status':'SENT','total':100}"),
        invalid("{\"order_id\":\"ID\",\"status\":\"SENT\",\"total\":100,\"a\":\"\n\"}"),
        invalid(r#"{"order_id":"ID","status":"SENT","total":100,"a":"\ud800"}"#),
        invalid(&good("/* sent */")),
        Case::text("json: a byte order mark", &with_mark, dead("invalid_json")),
        Case::bytes("json: not UTF-8", not_utf8, dead("invalid_json")).key("17"),
        Case::bytes("json: spaces only", " ", dead("invalid_json")),
    ]
}

fn framing() -> Vec<Case> {
    let cut = |length: usize| {
        Case::bytes(
            format!("framing: {length} bytes of five"),
            vec![0; length],
            Dead("invalid_framing", "ends within its schema's id"),
        )
    };
    vec![
        Case::tombstone("tombstone"),
        Case::tombstone("tombstone of an empty key").key(""),
        Case::tombstone("tombstone of a key that is no order id").key(b"\0\xff"),
        Case::bytes(
            "framing: no bytes",
            "",
            Dead("empty_value", "a deletion is a null value"),
        ),
        cut(1),
        cut(4),
        Case::bytes(
            "framing: another first byte",
            [1, 0, 0, 0, 1],
            dead("invalid_json"),
        ),
    ]
}

fn headers() -> Vec<Case> {
    let trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let with_headers = |case: Case| {
        case.header("source.offset", Some(b"41"))
            .header("null", None)
            .header("empty", Some(b""))
            .header("twice", Some(b"1"))
            .header("twice", Some(&[0, 255]))
            .header("", Some(b"no name"))
    };
    vec![
        with_headers(Case::text("headers: of a good record", &good(""), VOUCHER)),
        with_headers(Case::text(
            "headers: of a bad record",
            "bad",
            dead("invalid_json"),
        )),
        with_headers(Case::tombstone("headers: of a tombstone")),
        Case::text(
            "headers: a dead letter that was written again",
            "bad again",
            dead("invalid_json"),
        )
        .header("dlq.reason", Some(b"unknown_status"))
        .header("dlq.offset", Some(b"7")),
        Case::text("headers: a trace", &good(""), VOUCHER).header("traceparent", Some(trace)),
        Case::text("headers: a bad record's trace", "bad", dead("invalid_json"))
            .header("traceparent", Some(trace)),
    ]
}
