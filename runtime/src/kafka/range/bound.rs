//! The bounds of a range, as a person writes them.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use schemas::Timestamp;

use super::TopicRange;
use crate::kafka::KafkaSettings;
use crate::lifecycle::{Failure, blocking};
use crate::record::{Offset, Partition, Positions};

/// One end of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// The first record that the topic holds.
    Earliest,
    /// The end of the topic when the range is resolved.
    Latest,
    /// A timestamp of records, in milliseconds since the epoch.
    Time(i64),
    /// A timestamp of records, in milliseconds before the time when the range is resolved.
    Ago(i64),
    /// An offset for each partition. Partitions that are not named are not read.
    Offsets(Positions),
}

/// Which part of a topic to read.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Range")]
pub struct RangeSettings {
    /// Start of the range, inclusive: earliest, a time (2026-05-01T00:00:00Z, or relative to now:
    /// -7d, -12h, -30m, -90s), or an offset for each partition (0:100,1:50; others are not read).
    #[arg(long, default_value = "earliest", value_parser = Bound::parse, allow_hyphen_values = true)]
    pub from: Bound,

    /// End of the range, exclusive: latest (the end of the topic when the command starts), or as
    /// for --from. For a time the topic is read to its end, because records need not be in the
    /// order of their times.
    #[arg(long, default_value = "latest", value_parser = Bound::parse, allow_hyphen_values = true)]
    pub to: Bound,

    /// Read only these partitions, such as 0,3.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(i32).range(0..))]
    pub partitions: Option<Vec<Partition>>,
}

impl RangeSettings {
    /// Returns the chosen partitions, if any were chosen.
    pub fn chosen(&self) -> Option<BTreeSet<Partition>> {
        self.partitions
            .as_ref()
            .map(|partitions| partitions.iter().copied().collect())
    }

    /// Describes the part of `topic` as the settings name it, for a person.
    pub fn describe(&self, topic: &str) -> String {
        let mut text = format!("{topic} from {} to {}", self.from, self.to);
        if let Some(chosen) = self.chosen() {
            let chosen: Vec<_> = chosen.iter().map(ToString::to_string).collect();
            text += &format!(", partitions {}", chosen.join(","));
        }
        text
    }

    /// Asks the broker which offsets of `topic` the settings stand for now.
    ///
    /// # Errors
    /// See [`TopicRange::resolve`].
    pub async fn resolve(&self, kafka: &KafkaSettings, topic: &str) -> Result<TopicRange, Failure> {
        let (range, kafka, topic) = (self.clone(), kafka.clone(), topic.to_owned());
        blocking("range", move || {
            let chosen = range.chosen();
            TopicRange::resolve(&kafka, &topic, &range.from, &range.to, chosen.as_ref())
        })
        .await
    }
}

impl Bound {
    /// Returns the partitions that a bound in offsets names.
    pub(super) fn partitions(&self) -> Option<BTreeSet<Partition>> {
        match self {
            Self::Offsets(offsets) => Some(offsets.keys().copied().collect()),
            Self::Earliest | Self::Latest | Self::Time(_) | Self::Ago(_) => None,
        }
    }

    /// Returns the time of a bound that is a time. [`at_this_moment`](Self::at_this_moment) turns an age
    /// into a time.
    pub(super) const fn time(&self) -> Option<i64> {
        match self {
            Self::Time(millis) => Some(*millis),
            Self::Ago(_) | Self::Earliest | Self::Latest | Self::Offsets(_) => None,
        }
    }

    /// Parses a bound.
    ///
    /// # Errors
    /// Says what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => return Ok(Self::Earliest),
            "latest" => return Ok(Self::Latest),
            _ => {}
        }
        if let Some(ago) = text.strip_prefix('-') {
            return millis_ago(ago)
                .map(Self::Ago)
                .ok_or_else(|| format!("-{ago}: write a number and d, h, m or s, such as -7d"));
        }
        if let Ok(time) = Timestamp::parse_rfc3339(text) {
            return Ok(Self::Time(time.as_millis()));
        }
        offsets(text).map(Self::Offsets).ok_or_else(|| {
            "write a time with its zone (2026-05-01T00:00:00Z), a time before now (-7d, -12h, -30m, \
             -90s), partitions with their offsets (0:100,1:50), earliest or latest"
                .to_owned()
        })
    }

    /// Replaces an age with the time that it stands for now.
    #[must_use]
    pub fn at_this_moment(&self) -> Self {
        let Self::Ago(ago) = self else {
            return self.clone();
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_millis()).ok())
            .unwrap_or_default();
        Self::Time(now.saturating_sub(*ago))
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Time(millis) => write!(f, "{}", Timestamp::from_millis(*millis)),
            Self::Ago(millis) => write!(f, "-{}s", millis / 1000),
            Self::Offsets(offsets) => {
                let pairs: Vec<_> = offsets
                    .iter()
                    .map(|(partition, offset)| format!("{partition}:{offset}"))
                    .collect();
                f.write_str(&pairs.join(","))
            }
        }
    }
}

fn millis_ago(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        'd' => 24 * 60 * 60,
        'h' => 60 * 60,
        'm' => 60,
        's' => 1,
        _ => return None,
    };
    let count = text.strip_suffix(unit)?;
    // A second sign would parse as a number.
    if !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    count.parse::<i64>().ok()?.checked_mul(seconds * 1000)
}

fn offsets(text: &str) -> Option<Positions> {
    let mut offsets = Positions::new();
    for pair in text.split(',') {
        let (partition, offset) = pair.trim().split_once(':')?;
        let partition: Partition = partition.parse().ok().filter(|number| *number >= 0)?;
        let offset: Offset = offset.parse().ok().filter(|number| *number >= 0)?;
        // A partition that is named twice is a mistake.
        if offsets.insert(partition, offset).is_some() {
            return None;
        }
    }
    Some(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_time_an_age_or_offsets() {
        for (text, expected) in [
            ("earliest", Bound::Earliest),
            ("latest", Bound::Latest),
            ("-7d", Bound::Ago(7 * 86_400_000)),
            ("-90s", Bound::Ago(90_000)),
            ("2026-05-01T00:00:00Z", Bound::Time(1_777_593_600_000)),
            (
                "0:100, 3:0",
                Bound::Offsets(Positions::from([(0, 100), (3, 0)])),
            ),
        ] {
            assert_eq!(Bound::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_printed_bound_can_be_parsed() {
        for text in [
            "earliest",
            "latest",
            "-90s",
            "-4000000000d",
            "2026-05-01T00:00:00Z",
            "0:100,3:0",
        ] {
            let bound = Bound::parse(text).unwrap();
            assert_eq!(Bound::parse(&bound.to_string()), Ok(bound), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "-",
            "-d",
            "--7d",
            "-+7d",
            "-99999999999999999d",
            "-7w",
            "yesterday",
            "1",
            "0:1,0:2",
            "-1:5",
            "0:-5",
            "2026-05-01",
        ] {
            assert!(Bound::parse(text).is_err(), "{text}");
        }
    }
}
