//! Rules about the fields of a record, which are the same in JSON and in Avro.

use crate::record::{Field, ID, sent, sent_without};
use crate::table::{Case, Expected, VOUCHER, WRITTEN_AT, dead};

use Expected::{Dead, Skip, Voucher};

/// Returns all cases.
pub(crate) fn cases() -> Vec<Case> {
    [
        ids(),
        keys(),
        statuses(),
        totals(),
        currencies(),
        versions(),
        times(),
        orders_of_reasons(),
    ]
    .concat()
}

fn ids() -> Vec<Case> {
    let without_id = |changes: Vec<Field>| sent_without(&["order_id"], changes);
    let long = |length: usize| "x".repeat(length);
    let two = |first, second| sent([first, second]);
    let bad = |name: &str, field: Field| {
        Case::fields(
            format!("id: {name}"),
            sent([field]),
            dead("invalid_order_id"),
        )
    };
    vec![
        Case::fields("id: a string", sent([]), VOUCHER),
        Case::fields(
            "id: an integer",
            sent([Field::numeric_id("order_id")]),
            VOUCHER,
        ),
        Case::fields(
            "id: the old name",
            without_id(vec![Field::text("id", ID)]),
            VOUCHER,
        ),
        Case::fields(
            "id: the old name, an integer",
            without_id(vec![Field::numeric_id("id")]),
            VOUCHER,
        ),
        Case::fields(
            "id: both names agree",
            two(Field::text("order_id", ID), Field::numeric_id("id")),
            VOUCHER,
        ),
        Case::fields(
            "id: one of both names is null",
            two(Field::null("order_id"), Field::text("id", ID)),
            VOUCHER,
        ),
        Case::fields(
            "id: both names disagree",
            two(Field::text("order_id", ID), Field::text("id", "other")),
            Dead("conflicting_order_ids", "id: expected the same as order_id"),
        ),
        Case::fields(
            "id: neither name",
            sent_without(&["order_id"], []),
            Dead("invalid_order_id", "order_id: expected"),
        ),
        Case::fields("id: 128 bytes", sent([]), VOUCHER).key(long(128)),
        Case::fields("id: 128 bytes of UTF-8", sent([]), VOUCHER).key("é".repeat(64)),
        Case::fields("id: 129 bytes", sent([]), dead("invalid_order_id")).key(long(129)),
        Case::fields("id: letters of any script", sent([]), VOUCHER).key("Größe 17 😀"),
        Case::fields("id: empty", sent([]), dead("invalid_order_id")).key(""),
        Case::fields(
            "id: a control character",
            sent([Field::text("order_id", "1\u{7}7")]),
            dead("invalid_order_id"),
        )
        .key("1\u{7}7"),
        Case::fields(
            "id: a control character beyond ASCII",
            sent([Field::text("order_id", "17\u{85}")]),
            dead("invalid_order_id"),
        )
        .key("17\u{85}"),
        bad("null", Field::null("order_id")),
        bad("a boolean", Field::boolean("order_id")),
        bad("a fraction", Field::json("order_id", "1000.0")),
        bad("an exponent", Field::json("order_id", "1e3")),
        bad("an object", Field::json("order_id", "{}")),
        Case::fields(
            "id: beyond 64 bits",
            sent([Field::json("order_id", ID)]),
            VOUCHER,
        )
        .key("123456789012345678901234567890"),
    ]
}

fn keys() -> Vec<Case> {
    let mismatch = |name: &str, key: &str| {
        let fields = sent([Field::text("order_id", "17")]);
        Case::fields(format!("key: {name}"), fields, dead("key_mismatch")).key(key)
    };
    vec![
        mismatch("another id", "18"),
        mismatch("a space too many", "17 "),
        mismatch("a leading zero", "017"),
        mismatch("another id in quotes", "\"18\""),
        mismatch("empty", ""),
        Case::fields(
            "key: not UTF-8",
            sent([Field::text("order_id", "17")]),
            dead("key_mismatch"),
        )
        .key(b"17\xff"),
    ]
}

fn statuses() -> Vec<Case> {
    let status = |text: &str, expected| {
        let fields = sent([Field::text("status", text)]);
        Case::fields(format!("status: {text:?}"), fields, expected)
    };
    let later = |text: &str| {
        let times = [
            Field::text("status", text),
            Field::text("occurred_at", "2026-04-02T00:00:00Z"),
            Field::text("sent_at", "2026-04-01T00:00:00Z"),
        ];
        Case::fields(
            format!("status: {text:?} after it was sent"),
            sent(times),
            Voucher("2026-04-01T00:00:00Z"),
        )
    };
    let never_sent = |text: &str| {
        let times = [
            Field::text("status", text),
            Field::text("occurred_at", "2026-04-02T00:00:00Z"),
            Field::null("sent_at"),
        ];
        Case::fields(
            format!("status: {text:?} and never sent"),
            sent(times),
            Skip("status"),
        )
    };
    let unknown = Dead(
        "unknown_status",
        "one of PENDING, SENT, DELIVERED and CANCELLED",
    );
    vec![
        status("sent", VOUCHER),
        status("sEnT", VOUCHER),
        status("PENDING", Skip("status")),
        status("pending", Skip("status")),
        status("DELIVERED", Skip("status")),
        status("Cancelled", Skip("status")),
        later("DELIVERED"),
        later("cancelled"),
        never_sent("DELIVERED"),
        never_sent("CANCELLED"),
        Case::fields(
            "status: pending, with a sent_at that means nothing",
            sent([
                Field::text("status", "PENDING"),
                Field::text("sent_at", "2026-04-01T00:00:00Z"),
            ]),
            Skip("status"),
        ),
        status("SHIPPED", unknown),
        status(" SENT", unknown),
        status("ſent", unknown),
        status("", unknown),
        Case::fields(
            "status: null",
            sent([Field::null("status")]),
            dead("invalid_status"),
        ),
        Case::fields(
            "status: a number",
            sent([Field::integer("status", 1)]),
            dead("invalid_status"),
        ),
        Case::fields(
            "status: absent",
            sent_without(&["status"], []),
            dead("invalid_status"),
        ),
    ]
}

fn totals() -> Vec<Case> {
    // As a JSON number, as a JSON string, and as an Avro string.
    let total = |text: &str, expected| {
        [
            Case::fields(
                format!("total: the number {text}"),
                sent([Field::json("total", text)]),
                expected,
            ),
            Case::fields(
                format!("total: the string {text:?}"),
                sent([Field::text("total", text)]),
                expected,
            ),
        ]
    };
    let string = |text: &str| {
        let fields = sent([Field::text("total", text)]);
        let name = format!("total: the string {text:?}");
        Case::fields(name, fields, Dead("invalid_total", "total: expected"))
    };
    let range = Dead("total_out_of_range", "total: expected");
    let precise = Dead("total_too_precise", "28 significant digits");
    let mut cases = [
        total("100", VOUCHER),
        total("100.0", VOUCHER),
        total("1e2", VOUCHER),
        total("1E+2", VOUCHER),
        total("10000e-2", VOUCHER),
        total("100.0000000000000000000000001", VOUCHER),
        total("999999999999999.9999999999999", VOUCHER),
        total("100.0000000000000000000000000000000000", VOUCHER),
        total("99.995", Skip("threshold")),
        total("99.99", Skip("threshold")),
        total("99.99999999999999999999999999", Skip("threshold")),
        total("0", Skip("threshold")),
        total("-0", Skip("threshold")),
        total("1e-28", Skip("threshold")),
        total("1000000000000000", range),
        total("-1", range),
        total("-0.01", range),
        total("1e400", range),
        total("1234567890123456789012345678901234567890", range),
        total("1e-29", precise),
        total("100.00000000000000000000000001", precise),
    ]
    .concat();
    cases.extend(
        [
            "", "abc", "100,00", " 100", "100 ", "+100", "0100", "1_000", "NaN", "Infinity", "0x64",
        ]
        .map(string),
    );
    let other =
        |name: &str, fields| Case::fields(format!("total: {name}"), fields, dead("invalid_total"));
    cases.extend([
        Case::fields(
            "total: an integer",
            sent([Field::integer("total", 100)]),
            VOUCHER,
        ),
        Case::fields(
            "total: an integer below",
            sent([Field::integer("total", 99)]),
            Skip("threshold"),
        ),
        Case::fields(
            "total: a negative integer",
            sent([Field::integer("total", -100)]),
            range,
        ),
        other("null", sent([Field::null("total")])),
        other("true", sent([Field::boolean("total")])),
        other("an array", sent([Field::json("total", "[100]")])),
        other(
            "an object",
            sent([Field::json("total", r#"{"value":100}"#)]),
        ),
        other("absent", sent_without(&["total"], [])),
    ]);
    cases
}

fn currencies() -> Vec<Case> {
    let currency = |field: Field, name: &str, expected| {
        Case::fields(format!("currency: {name}"), sent([field]), expected)
    };
    let text = |text: &str, expected| currency(Field::text("currency", text), text, expected);
    let wrong = Dead("invalid_currency", "three letters such as EUR");
    vec![
        text("EUR", VOUCHER),
        text("eur", VOUCHER),
        currency(Field::null("currency"), "null", VOUCHER),
        text("USD", Skip("currency")),
        text("usd", Skip("currency")),
        text("EURO", wrong),
        text("EU", wrong),
        text("E1R", wrong),
        text("€", wrong),
        text("", wrong),
        currency(Field::integer("currency", 978), "a number", wrong),
        currency(Field::boolean("currency"), "true", wrong),
    ]
}

fn versions() -> Vec<Case> {
    let version = |field: Field, name: &str, expected| {
        Case::fields(format!("version: {name}"), sent([field]), expected)
    };
    vec![
        version(Field::integer("version", 3), "3", VOUCHER),
        version(Field::null("version"), "null", VOUCHER),
        version(
            Field::text("version", "3"),
            "a string",
            dead("invalid_version"),
        ),
        version(
            Field::json("version", "3.0"),
            "a fraction",
            dead("invalid_version"),
        ),
    ]
}

fn times() -> Vec<Case> {
    let mut cases = Vec::new();
    for name in ["sent_at", "occurred_at"] {
        let time = |what: &str, field: Field, expected| {
            Case::fields(format!("{name}: {what}"), sent([field]), expected)
        };
        let text = |text: &str, expected| time(text, Field::text(name, text), expected);
        let millis = |millis: i64, expected| {
            time(
                &format!("{millis} ms"),
                Field::integer(name, millis),
                expected,
            )
        };
        let range = Dead("timestamp_out_of_range", "2000 to 2099");
        let unreadable = Dead("invalid_timestamp", name);
        cases.extend([
            text("2026-04-01T00:00:00Z", Voucher("2026-04-01T00:00:00Z")),
            text(
                "2026-04-01T01:30:00.123456+02:00",
                Voucher("2026-03-31T23:30:00.123456Z"),
            ),
            text(
                "2026-04-01t00:00:00.5z",
                Voucher("2026-04-01T00:00:00.500Z"),
            ),
            millis(1_700_000_000_123, Voucher("2023-11-14T22:13:20.123Z")),
            text("2000-01-01T00:00:00Z", Voucher("2000-01-01T00:00:00Z")),
            text(
                "2099-12-31T23:59:59.999999Z",
                Voucher("2099-12-31T23:59:59.999999Z"),
            ),
            time("null", Field::null(name), VOUCHER),
            text("1999-12-31T23:59:59.999999Z", range),
            text("2100-01-01T00:00:00Z", range),
            millis(1_700_000_000, range),
            millis(i64::MAX, range),
            text("2026-04-01T00:00:00", unreadable),
            text("2026-02-30T00:00:00Z", unreadable),
            text("01.04.2026", unreadable),
            text("1700000000123", unreadable),
            text("", unreadable),
            time("true", Field::boolean(name), unreadable),
            time(
                "a fraction",
                Field::json(name, "1700000000123.0"),
                unreadable,
            ),
        ]);
    }
    let [sent_at, occurred_at] = [
        Field::text("sent_at", "2026-04-01T00:00:00Z"),
        Field::text("occurred_at", "2026-04-02T00:00:00Z"),
    ];
    let at_the_epoch = 1;
    cases.extend([
        Case::fields(
            "times: sent_at is better than occurred_at",
            sent([sent_at.clone(), occurred_at.clone()]),
            Voucher("2026-04-01T00:00:00Z"),
        ),
        Case::fields(
            "times: occurred_at is better than the record's own",
            sent([Field::null("sent_at"), occurred_at]),
            Voucher("2026-04-02T00:00:00Z"),
        ),
        Case::fields("times: the record's own", sent([]), VOUCHER),
        Case::fields(
            "times: the record's own, to the millisecond",
            sent([]),
            Voucher("2026-05-01T12:00:00.007Z"),
        )
        .written_at(WRITTEN_AT.0 + 7),
        Case::fields(
            "times: the record's own is out of range",
            sent([]),
            Dead("timestamp_out_of_range", "the record's own timestamp"),
        )
        .written_at(at_the_epoch),
        Case::fields(
            "times: the record's own is out of range and not needed",
            sent([sent_at]),
            Voucher("2026-04-01T00:00:00Z"),
        )
        .written_at(at_the_epoch),
        Case::fields(
            "times: the record's own does not matter to what was not sent",
            sent([Field::text("status", "PENDING")]),
            Skip("status"),
        )
        .written_at(at_the_epoch),
    ]);
    cases
}

/// Returns cases of the order of reasons: a malformed record is a dead letter whatever the rule would say,
/// and of several reasons the first one is reported.
fn orders_of_reasons() -> Vec<Case> {
    let pending = || Field::text("status", "PENDING");
    let dollars = || Field::text("currency", "USD");
    let little = || Field::text("total", "1");
    let case = |name: &str, fields: Vec<Field>, expected| {
        Case::fields(format!("order: {name}"), sent(fields), expected)
    };
    vec![
        case(
            "status, then currency and threshold",
            vec![pending(), dollars(), little()],
            Skip("status"),
        ),
        case(
            "currency, then threshold",
            vec![dollars(), little()],
            Skip("currency"),
        ),
        case(
            "an unsent order's total must be one",
            vec![pending(), Field::text("total", "much")],
            dead("invalid_total"),
        ),
        case(
            "an unsent order's sent_at must be one",
            vec![pending(), Field::text("sent_at", "yesterday")],
            dead("invalid_timestamp"),
        ),
        case(
            "a small order's currency must be one",
            vec![little(), Field::text("currency", "EURO")],
            dead("invalid_currency"),
        ),
        case(
            "an occurred_at that is not needed must be a time",
            vec![
                Field::text("sent_at", "2026-04-01T00:00:00Z"),
                Field::text("occurred_at", "later"),
            ],
            dead("invalid_timestamp"),
        ),
        case("an unsent order's key", vec![pending()], Skip("status")).key("17"),
        case(
            "an unsent order's wrong key",
            vec![pending(), Field::text("order_id", "17")],
            dead("key_mismatch"),
        )
        .key("18"),
    ]
}
