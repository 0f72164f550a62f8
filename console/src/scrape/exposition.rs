//! Reads the part of Prometheus's text format that the services write.
//!
//! The crate prometheus-parse cannot be used: it drops every series that has a `}` or a comma in a
//! label (ccakes/prometheus-parse-rs 0.2.5), and the ingress's labels have both. This reader also
//! copies only what is asked for: a scrape has hundreds of lines, of which few are shown.

use std::borrow::Cow;

/// One line: a name, labels and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Series<'a> {
    /// The name, with `_bucket`, `_sum` or `_count` for a histogram.
    pub(super) name: &'a str,
    /// The text between the braces.
    labels: &'a str,
    value: &'a str,
}

/// Returns the series of an exposition in its order. Skips comments, empty lines and malformed lines.
pub(super) fn series(text: &str) -> impl Iterator<Item = Series<'_>> {
    text.lines().filter_map(Series::parse)
}

impl<'a> Series<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        let (name, rest) = line.split_at(line.find(['{', ' ', '\t'])?);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(inside) => {
                let (labels, rest) = inside.split_at(end_of_labels(inside)?);
                (labels, rest.strip_prefix('}')?)
            }
            None => ("", rest),
        };
        // A timestamp may follow.
        let value = rest.split_whitespace().next()?;
        Some(Self {
            name,
            labels,
            value,
        })
    }

    /// Returns the value of a label.
    pub(super) fn label(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut rest = self.labels;
        loop {
            let (found, after) = rest.split_once("=\"")?;
            let (value, after) = after.split_at(end_of_value(after)?);
            if found.trim_matches([',', ' ']) == name {
                return Some(unescaped(value));
            }
            rest = after.strip_prefix('"')?;
        }
    }

    /// Returns the value of a counter or of a bucket, or `None` if it is not a count.
    pub(super) fn count(&self) -> Option<u64> {
        if let Ok(count) = self.value.parse() {
            return Some(count);
        }
        // Other exporters write counters as floats. Rounds down, and is exact to 2^53.
        self.number().map(|value| value as u64)
    }

    /// Returns the value of a gauge; `None` for one that is negative, infinite or not a number, because
    /// no gauge of the services has a meaning then.
    pub(super) fn number(&self) -> Option<f64> {
        let value: f64 = self.value.parse().ok()?;
        (value.is_finite() && value >= 0.0).then_some(value)
    }

    /// Returns the upper bound of a bucket.
    pub(super) fn bound(&self) -> Option<f64> {
        let bound: f64 = self.label("le")?.parse().ok()?;
        (!bound.is_nan()).then_some(bound)
    }
}

/// Returns the position of the brace that closes the labels: the first one outside of quotes.
fn end_of_labels(text: &str) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b'}' if !is_quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Returns the position of the quote that closes a label's value.
fn end_of_value(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => {}
            },
            other => plain.push(other),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Series<'_> {
        let mut all = series(text);
        let first = all.next().unwrap();
        assert_eq!(all.next(), None);
        first
    }

    #[test]
    fn a_name_labels_and_a_value_are_read() {
        let text = "# HELP checkout_sink_rows_total Vouchers whose outcome was committed.\n\
                    # TYPE checkout_sink_rows_total counter\n\
                    checkout_sink_rows_total{outcome=\"inserted\"} 553\n\n";
        let series = only(text);
        assert_eq!(series.name, "checkout_sink_rows_total");
        assert_eq!(series.label("outcome").as_deref(), Some("inserted"));
        assert_eq!(series.label("out"), None);
        assert_eq!(series.count(), Some(553));
    }

    #[test]
    fn a_route_with_braces_and_a_label_with_a_comma_are_read() {
        let line = r#"checkout_producer_http_request_seconds_bucket{route="/orders/{order_id}",method="PATCH",le="0.0025"} 7"#;
        let series = only(line);
        assert_eq!(series.label("route").as_deref(), Some("/orders/{order_id}"));
        assert_eq!(series.label("method").as_deref(), Some("PATCH"));
        assert_eq!(series.bound(), Some(0.0025));
        let series = only(r#"a{api_key_id="shop, a=\"b\" \\ c\nd", task="0"} 1"#);
        assert_eq!(
            series.label("api_key_id").as_deref(),
            Some("shop, a=\"b\" \\ c\nd")
        );
        assert_eq!(series.label("task").as_deref(), Some("0"));
    }

    #[test]
    fn a_series_without_labels_and_an_infinite_bound_are_read() {
        assert_eq!(only("checkout_http_connections 3").number(), Some(3.0));
        assert_eq!(
            only("checkout_http_connections{} 3 1789000000000").count(),
            Some(3)
        );
        let last = only(r#"checkout_sink_batch_seconds_bucket{le="+Inf"} 12"#);
        assert_eq!(last.bound(), Some(f64::INFINITY));
    }

    #[test]
    fn numbers_that_mean_nothing_are_left_out() {
        for value in ["NaN", "-1", "+Inf", "many"] {
            let line = format!("checkout_producer_outbox_rows {value}");
            assert_eq!(only(&line).number(), None, "{value}");
            assert_eq!(only(&line).count(), None, "{value}");
        }
        assert_eq!(only("a 1e3").count(), Some(1000));
    }

    #[test]
    fn lines_that_are_no_series_are_left_out() {
        for text in [
            "",
            "<html>",
            "name",
            "name{label=\"value\" 1",
            "name{label=\"value\"}",
            "{} ",
            "\u{fffd}",
        ] {
            assert_eq!(series(text).count(), 0, "{text}");
        }
        assert_eq!(only("a{b=c} 1").label("b"), None);
    }
}
