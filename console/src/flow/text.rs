//! Numbers, durations and lists in sentences.

use crate::scrape::Service;

pub(super) use crate::digits::{counted, number};

/// Returns a duration that a person reads at a glance: `0.3 s`, `45 s`, `3 min 20 s`, `2 h 5 min`.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds > 0.0 && seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Returns a number of bytes in the greatest unit that keeps it above 1: `64 KiB`.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..0x400 => format!("{bytes} B"),
        0x400..0x10_0000 => format!("{} KiB", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", number(bytes >> 30)),
    }
}

/// Returns a list for a sentence: `a`, `a and b`, `a, b and c`.
pub(super) fn list<T: AsRef<str>>(items: &[T]) -> String {
    match items {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(|item| item.as_ref()).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// Returns label values and their counts, the largest first: `invalid_json 10, invalid_total 2`. Names
/// three at most.
pub(super) fn by_count(counts: &[(&str, u64)]) -> String {
    const NAMED: usize = 3;
    let named = counts.iter().take(NAMED);
    let mut texts: Vec<_> = named
        .map(|(value, count)| format!("{value} {}", number(*count)))
        .collect();
    if counts.len() > NAMED {
        texts.push("and others".to_owned());
    }
    texts.join(", ")
}

/// Returns a service in a sentence, by the name of its place in the path.
pub(super) const fn the(service: Service) -> &'static str {
    match service {
        Service::Producer => "the ingress",
        Service::Processor => "the processor",
        Service::Sink => "the sink",
    }
}

/// Returns a sentence with a capital letter.
pub(super) fn capitalized(sentence: &str) -> String {
    let mut characters = sentence.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// Removes the time that librdkafka's messages end with, which changes from second to second: `(after
/// 2ms in state CONNECT)`, `(after 0ms in state CONNECT, 5 identical error(s) suppressed)`.
pub(super) fn without_times(sentence: &str) -> String {
    let Some((before, rest)) = sentence.split_once(" (after ") else {
        return sentence.to_owned();
    };
    // The number of errors is in parentheses itself: `error(s)`.
    let rest = rest.replacen("error(s)", "errors", 1);
    let after = rest.split_once(')').map_or("", |(_, after)| after);
    format!("{before}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_bytes_are_read_at_a_glance() {
        for (duration, text) in [
            (0.0, "0 s"),
            (0.3, "0.3 s"),
            (45.9, "45 s"),
            (200.0, "3 min 20 s"),
            (7500.0, "2 h 5 min"),
        ] {
            assert_eq!(seconds(duration), text);
        }
        for (size, text) in [
            (1023, "1023 B"),
            (65_536, "64 KiB"),
            (5 << 20, "5 MiB"),
            (4 << 30, "4 GiB"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn lists_are_those_of_sentences() {
        assert_eq!(list::<&str>(&[]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b"]), "a and b");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        let reasons = [("a", 1000), ("b", 3), ("c", 2), ("d", 1)];
        assert_eq!(by_count(&reasons[..2]), "a 1,000, b 3");
        assert_eq!(by_count(&reasons), "a 1,000, b 3, c 2, and others");
    }

    #[test]
    fn a_sentence_does_not_change_with_the_time_that_an_attempt_took() {
        let sentence = "Kafka at k:9092 does not answer: k:9092/bootstrap: Connect to \
                        ipv4#10.0.0.1:9092 failed: Connection refused";
        let advice = "; start the brokers";
        for time in [
            "",
            " (after 2ms in state CONNECT)",
            " (after 0ms in state CONNECT, 5 identical error(s) suppressed)",
        ] {
            let said = without_times(&format!("{sentence}{time}{advice}"));
            assert_eq!(said, format!("{sentence}{advice}"));
        }
        assert_eq!(without_times("cut (after 2ms"), "cut");
    }

    #[test]
    fn a_sentence_begins_with_a_capital_letter() {
        assert_eq!(capitalized("the sink"), "The sink");
        assert_eq!(capitalized("ärger"), "Ärger");
        assert_eq!(capitalized(""), "");
    }
}
