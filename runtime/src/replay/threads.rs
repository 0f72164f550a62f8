//! Replays a range on several threads, each with a share of the partitions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::live_flow::{Beside, LiveFlow};
use super::progress::ProgressDisplay;
use super::{Pace, Pacing, Rate, ReplaySettings, ShareProgress};
use crate::kafka::TopicRange;
use crate::lifecycle::{Failure, Shutdown};

/// What one thread reads. The same number has the same partitions whenever a range is replayed with the
/// same number of threads.
#[derive(Debug, Clone)]
pub struct Share {
    /// The number of the thread, from 0.
    pub number: usize,
    /// The partitions that the thread reads.
    pub range: TopicRange,
    /// The pace of all threads together.
    pub pace: Arc<Pace>,
    /// How far the thread is.
    pub progress: Arc<ShareProgress>,
}

/// How the threads of a replay ended.
#[derive(Debug)]
pub struct Replayed<R> {
    /// The results of the threads that did not fail.
    pub results: Vec<R>,
    /// The failure of the thread that failed first.
    pub failure: Option<Failure>,
    /// Whether every record of the range is committed.
    pub is_complete: bool,
    /// Records that were read and left out because of their timestamps.
    pub left_out: u64,
    /// How long the replay took.
    pub took: Duration,
    /// How it was paced.
    pub pacing: Pacing,
}

/// Runs a thread for each share of `range` and waits until all have ended, showing their progress.
/// `start` builds what a thread runs. The first failure of a thread requests the shutdown of the
/// others. Without a rate in the settings the replay gives way to the live flow `beside` it. Must be
/// called within a Tokio runtime.
///
/// # Errors
/// The first error of `start`; no thread runs then.
pub async fn replay<R, W>(
    range: &TopicRange,
    settings: &ReplaySettings,
    beside: &Beside,
    shutdown: &Shutdown,
    start: impl FnMut(Share) -> Result<W, Failure>,
) -> Result<Replayed<R>, Failure>
where
    R: Send + 'static,
    W: FnOnce() -> Result<R, Failure> + Send + 'static,
{
    let pace = Arc::new(match settings.rate {
        Some(Rate::PerSecond(rate)) => Pace::new(Some(rate)),
        Some(Rate::Max) => Pace::new(None),
        None => Pace::in_small_bursts(),
    });
    let live_flow = match settings.rate {
        None if range.offsets() > 0 => Some(LiveFlow::watch(beside, &pace, shutdown).await?),
        _ => None,
    };
    let started = Instant::now();
    let shares: Vec<_> = range
        .split(usize::from(settings.threads))
        .into_iter()
        .enumerate()
        .map(|(number, range)| Share {
            number,
            range,
            pace: Arc::clone(&pace),
            progress: Arc::default(),
        })
        .collect();
    let progress: Vec<_> = shares
        .iter()
        .map(|share| Arc::clone(&share.progress))
        .collect();
    let work: Vec<_> = shares.into_iter().map(start).collect::<Result<_, _>>()?;
    let mut threads: JoinSet<_> = JoinSet::new();
    for work in work {
        threads.spawn_blocking(work);
    }
    let display = ProgressDisplay::start(
        range.offsets(),
        progress.clone(),
        settings.progress.progress,
        live_flow
            .as_ref()
            .map(|live_flow| live_flow.state().clone()),
    );
    let (mut results, mut failure) = (Vec::new(), None);
    while let Some(ended) = threads.join_next().await {
        let ended = ended.map_err(|error| Failure::failed(format!("backfill: {error}")));
        match ended.and_then(|result| result) {
            Ok(result) => results.push(result),
            Err(error) => {
                failure.get_or_insert(error);
                shutdown.request();
            }
        }
    }
    drop(display);
    Ok(Replayed {
        results,
        failure,
        is_complete: progress.iter().all(|progress| progress.is_done()),
        left_out: progress.iter().map(|progress| progress.left_out()).sum(),
        took: started.elapsed(),
        pacing: match settings.rate {
            Some(Rate::PerSecond(rate)) => Pacing::Rate(rate),
            Some(Rate::Max) => Pacing::Max,
            None => Pacing::GivesWay(
                live_flow
                    .map(|live_flow| live_flow.state().get())
                    .unwrap_or_default(),
            ),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::GivingWay;
    use super::*;
    use crate::kafka::{KafkaSettings, Span, Times};
    use crate::progress::{ProgressFormat, ProgressSettings};

    fn range() -> TopicRange {
        TopicRange {
            topic: "t".to_owned(),
            spans: (0..4).map(|at| (at, Span { from: 0, to: 5 })).collect(),
            times: Times::default(),
        }
    }

    const SETTINGS: ReplaySettings = ReplaySettings {
        dead_letters: false,
        rate: Some(Rate::Max),
        threads: 2,
        progress: ProgressSettings {
            progress: ProgressFormat::Text,
        },
    };

    fn beside() -> Beside {
        Beside {
            kafka: KafkaSettings {
                kafka_bootstrap_servers: "localhost:9092".to_owned(),
                kafka_properties: None,
                kafka_properties_file: None,
            },
            groups: Vec::new(),
        }
    }

    fn commit_all(share: &Share) {
        let spans = share.range.spans.iter();
        let ends: BTreeMap<_, _> = spans.map(|(at, span)| (*at, span.to)).collect();
        share.progress.committed(&share.range, &ends);
    }

    #[tokio::test]
    async fn a_range_is_complete_when_every_share_is() {
        let (range, beside, shutdown) = (range(), beside(), Shutdown::new());
        let replayed = replay(&range, &SETTINGS, &beside, &shutdown, |share| {
            Ok(move || {
                commit_all(&share);
                Ok(share.range.spans.len())
            })
        });
        let replayed = replayed.await.unwrap();
        assert_eq!(replayed.results, [2, 2]);
        assert!(replayed.is_complete && replayed.failure.is_none());
        assert_eq!(replayed.pacing, Pacing::Max);
    }

    #[tokio::test]
    async fn without_a_rate_and_a_live_group_nothing_limits_a_replay() {
        let (range, beside, shutdown) = (range(), beside(), Shutdown::new());
        let settings = ReplaySettings {
            rate: None,
            ..SETTINGS
        };
        let replayed = replay(&range, &settings, &beside, &shutdown, |share| {
            Ok(move || {
                assert!((0..100_000).all(|_| share.pace.take().is_ok()));
                commit_all(&share);
                Ok(())
            })
        });
        let replayed = replayed.await.unwrap();
        assert!(replayed.is_complete);
        assert_eq!(replayed.pacing, Pacing::GivesWay(GivingWay::default()));
    }

    #[tokio::test]
    async fn a_thread_that_fails_stops_the_others_and_is_reported() {
        let (range, beside, shutdown) = (range(), beside(), Shutdown::new());
        let replayed = replay(&range, &SETTINGS, &beside, &shutdown, |share| {
            let shutdown = shutdown.clone();
            Ok(move || match share.number {
                0 => Err(Failure::failed("thread 0")),
                number => {
                    while !shutdown.is_requested() {
                        std::thread::yield_now();
                    }
                    Ok(number)
                }
            })
        });
        let replayed = replayed.await.unwrap();
        assert_eq!(replayed.results, [1]);
        assert_eq!(replayed.failure.unwrap().to_string(), "thread 0");
        assert!(!replayed.is_complete);
    }
}
