use chrono::{SecondsFormat, TimeZone};
use proptest::prelude::*;

use super::*;

fn micros(text: &str) -> Option<i64> {
    Timestamp::parse_rfc3339(text)
        .ok()
        .map(Timestamp::as_micros)
}

#[test]
fn ways_to_write_a_time_are_the_same_time() {
    let time = Some(1_700_000_000_123_000);
    for text in [
        "2023-11-14T22:13:20.123Z",
        "2023-11-14t22:13:20.123z",
        "2023-11-14 22:13:20.123Z",
        "2023-11-14T22:13:20.123000Z",
        "2023-11-14T22:13:20.123000999999999999999Z",
        "2023-11-14T22:13:20.123+00:00",
        "2023-11-14T22:13:20.123-00:00",
        "2023-11-14T23:13:20.123+01:00",
        "2023-11-15T08:58:20.123+10:45",
        "2023-11-13T22:14:20.123-23:59",
    ] {
        assert_eq!(micros(text), time, "{text}");
    }
    assert_eq!(micros("1969-12-31T23:59:59.999999Z"), Some(-1));
    assert_eq!(
        micros("0000-01-01T00:00:00Z"),
        Some(-62_167_219_200_000_000)
    );
}

#[test]
fn what_is_not_rfc_3339_with_a_zone_is_no_time() {
    for text in [
        "",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-11-14T22:13Z",
        "2023-11-14T22:13:20.Z",
        "2023-11-14T22:13:20,5Z",
        "2023-11-14T22:13:20+0100",
        "2023-11-14T22:13:20+01",
        "2023-11-14T22:13:20+24:00",
        "2023-11-14T22:13:20+01:60",
        "2023-11-14T22:13:20 Z",
        "2023-11-14T22:13:20ZZ",
        "2023-11-14_22:13:20Z",
        " 2023-11-14T22:13:20Z",
        "2023-11-14T22:13:20Z ",
        "2023-11-14T24:00:00Z",
        "2023-11-14T22:60:00Z",
        "2023-11-14T22:13:61Z",
        "2023-00-14T22:13:20Z",
        "2023-13-14T22:13:20Z",
        "2023-11-00T22:13:20Z",
        "2023-11-31T22:13:20Z",
        "2023-02-29T22:13:20Z",
        "1900-02-29T22:13:20Z",
        "23-11-14T22:13:20Z",
        "+2023-11-14T22:13:20Z",
        "2023-11-1４T22:13:20Z",
        "1700000000000",
        "Tue, 14 Nov 2023 22:13:20 GMT",
    ] {
        assert_eq!(micros(text), None, "{text:?}");
    }
    assert!(micros("2000-02-29T00:00:00Z").is_some());
    assert!(micros("2024-02-29T00:00:00Z").is_some());
}

#[test]
fn a_leap_second_is_the_second_after_it() {
    let new_year = micros("2017-01-01T00:00:00Z");
    for text in [
        "2016-12-31T23:59:60Z",
        "2016-12-31T23:59:60.999Z",
        "2016-12-31T15:59:60-08:00",
        "2017-01-01T05:29:60+05:30",
    ] {
        assert_eq!(micros(text), new_year, "{text}");
    }
    for text in [
        "2016-12-31T23:58:60Z",
        "2016-12-31T23:59:60+01:00",
        "2016-12-31T12:00:60Z",
    ] {
        assert_eq!(micros(text), None, "{text}");
    }
}

#[test]
fn a_time_is_shown_with_as_many_digits_as_it_needs() {
    for text in [
        "2023-11-14T22:13:20Z",
        "2023-11-14T22:13:20.100Z",
        "2023-11-14T22:13:20.000001Z",
        "1969-12-31T23:59:59.999Z",
        "0000-03-01T00:00:00Z",
    ] {
        assert_eq!(Timestamp::parse_rfc3339(text).unwrap().to_string(), text);
    }
}

#[test]
fn a_zone_does_not_lead_out_of_the_years_that_can_be_shown() {
    for (edge, beyond) in [
        ("0000-01-01T00:00:00+00:00", "0000-01-01T00:00:00+00:01"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-00:01"),
    ] {
        let time = Timestamp::parse_rfc3339(edge).unwrap();
        assert_eq!(time.to_string().parse(), Ok(time));
        assert_eq!(Timestamp::parse_rfc3339(beyond), Err(InvalidTimestamp));
    }
}

#[test]
fn records_carry_the_years_2000_to_2099() {
    assert_eq!(Timestamp::FIRST.to_string(), "2000-01-01T00:00:00Z");
    assert_eq!(Timestamp::END.to_string(), "2100-01-01T00:00:00Z");
    assert!(Timestamp::FIRST.is_in_range());
    assert!(!Timestamp::from_micros(Timestamp::FIRST.as_micros() - 1).is_in_range());
    assert!(Timestamp::from_micros(Timestamp::END.as_micros() - 1).is_in_range());
    assert!(!Timestamp::END.is_in_range());
}

#[test]
fn the_ends_of_the_type_neither_panic_nor_come_into_range() {
    for micros in [i64::MIN, i64::MAX] {
        let time = Timestamp::from_micros(micros);
        assert!(!time.is_in_range());
        assert!(!time.to_string().is_empty());
        let _ = DateTime::<Utc>::from(time);
    }
    assert_eq!(
        Timestamp::from_millis(i64::MAX),
        Timestamp::from_micros(i64::MAX)
    );
    assert_eq!(
        Timestamp::from_millis(i64::MIN),
        Timestamp::from_micros(i64::MIN)
    );
    assert_eq!(Timestamp::from_micros(-1).as_millis(), -1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn times_are_shown_and_read_as_chrono_does(
        micros in -62_167_219_200_000_000..253_402_300_800_000_000_i64,
        offset in -1439..1440_i32,
        digits in 0..3_usize,
    ) {
        let digits = [SecondsFormat::Nanos, SecondsFormat::Micros, SecondsFormat::Millis][digits];
        let time = Timestamp::from_micros(micros);
        let date_time = Utc.timestamp_micros(micros).unwrap();
        prop_assert_eq!(DateTime::<Utc>::from(time), date_time);
        prop_assert_eq!(Timestamp::from(date_time), time);
        prop_assert_eq!(DateTime::parse_from_rfc3339(&time.to_string()).unwrap(), date_time);
        prop_assert_eq!(time.to_string().parse(), Ok(time));

        let zone = chrono::FixedOffset::east_opt(offset * 60).unwrap();
        let text = date_time.with_timezone(&zone).to_rfc3339_opts(digits, false);
        // Beyond the years 0 to 9999 of the zone, RFC 3339 has no way to write it.
        prop_assume!(text.as_bytes()[4] == b'-');
        let expected = DateTime::parse_from_rfc3339(&text).unwrap().timestamp_micros();
        prop_assert_eq!(Timestamp::parse_rfc3339(&text).unwrap().as_micros(), expected);
    }

    #[test]
    fn numbers_out_of_the_calendar_are_refused_as_chrono_does(
        year in 1990..2110_u32, month in 0..14_u32, day in 0..33_u32,
        hour in 0..26_u32, minute in 0..62_u32, second in 0..60_u32,
    ) {
        let text = format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
        let expected = DateTime::parse_from_rfc3339(&text).ok().map(|time| time.timestamp_micros());
        prop_assert_eq!(micros(&text), expected);
    }

    #[test]
    fn any_text_is_judged_without_a_panic(text in "[-+:.0-9TZ ]{0,30}|.*") {
        let _ = Timestamp::parse_rfc3339(&text);
    }
}
