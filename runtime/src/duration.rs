//! Durations in sentences.

use std::time::Duration;

/// Returns a duration as people say it, rounded: `500 ms`, `1.5 s`, `2 min`, `6 d 3 h`.
pub fn human_duration(duration: Duration) -> String {
    let millis = duration
        .saturating_add(Duration::from_micros(500))
        .as_millis();
    let tenths = (millis + 50) / 100;
    match (millis, tenths) {
        (0, _) => "0 s".to_owned(),
        (1..1000, _) => format!("{millis} ms"),
        (_, ..600) if !tenths.is_multiple_of(10) => format!("{}.{} s", tenths / 10, tenths % 10),
        _ => two_largest_units((millis + 500) / 1000),
    }
}

fn two_largest_units(seconds: u128) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    parts[first..]
        .iter()
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_rounded_and_shown_in_its_two_largest_units() {
        for (micros, text) in [
            (0, "0 s"),
            (499, "0 s"),
            (900, "1 ms"),
            (500_098, "500 ms"),
            (999_499, "999 ms"),
            (999_500, "1 s"),
            (1_449_000, "1.4 s"),
            (1_500_000, "1.5 s"),
            (10_000_000, "10 s"),
            (59_949_000, "59.9 s"),
            (59_950_000, "1 min"),
            (120_000_000, "2 min"),
            (3_661_000_000, "1 h 1 min"),
            (86_460_000_000, "1 d"),
            (604_800_000_000, "7 d"),
            (608_400_000_000, "7 d 1 h"),
        ] {
            assert_eq!(human_duration(Duration::from_micros(micros)), text);
        }
    }
}
