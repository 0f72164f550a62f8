//! Counts the open dead letters while somebody watches, with the command that lists them.
//!
//! No metric has their number: the services write dead letters and never read them again, and what became
//! of one is in a topic that only the commands read. So a count reads two topics. It is made when the first
//! page is opened, again soon while dead letters come and after a redrive or a discard, and seldom
//! otherwise, because somebody may have redriven them from a shell.

use std::time::Duration;

use runtime::lifecycle::Shutdown;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::runs::request::Kind;
use crate::runs::{self, CommandFailed, DeadLetterList, Query, RunId, Runs};
use crate::scrape::{self, Live};

const SERVICES: [runs::Service; 2] = [runs::Service::Processor, runs::Service::Sink];

/// How long a count is good for while nothing is known to have changed it.
const PERIOD: Duration = Duration::from_secs(5 * 60);

/// How long it is while dead letters come, and after a count that failed.
const SHORT_PERIOD: Duration = Duration::from_secs(60);

/// A count of many dead letters takes long. The next one begins after this many times as long, so that counting
/// takes less than 1 % of a core. The longest rest is 100 minutes, because no count takes more than a minute.
const REST: u32 = 100;

/// The time between two looks at what may have changed.
const LOOK: Duration = Duration::from_secs(2);

/// When the dead letters of a service are counted.
#[derive(Debug, Default)]
struct Schedule {
    last: Option<Count>,
    /// Whether a redrive or a discard has ended since.
    has_changed: bool,
}

/// A count that has ended.
#[derive(Debug)]
struct Count {
    ended: Instant,
    took: Duration,
    /// Whether it is out of date soon.
    is_short_lived: bool,
}

impl Schedule {
    fn is_due(&self, now: Instant, come: bool) -> bool {
        let Some(last) = &self.last else {
            return true;
        };
        let period = match self.has_changed {
            true => Duration::ZERO,
            false if come || last.is_short_lived => SHORT_PERIOD,
            false => PERIOD,
        };
        now.saturating_duration_since(last.ended) >= period.max(last.took.saturating_mul(REST))
    }
}

/// Counts while somebody watches, until shutdown.
pub(crate) async fn count_while_watched(live: Live, runs: Runs, shutdown: Shutdown) {
    tokio::select! {
        () = count_again_and_again(&live, &runs) => {}
        () = shutdown.requested() => {}
    }
}

async fn count_again_and_again(live: &Live, runs: &Runs) {
    let mut schedules = SERVICES.map(|service| (service, Schedule::default()));
    let mut changes = runs.changes();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        live.watched().await;
        // One after the other: pages need the turns of the queries more.
        for (service, schedule) in &mut schedules {
            let come = live.dead_letters_come((*service).into());
            let began = Instant::now();
            if !schedule.is_due(began, come) {
                continue;
            }
            schedule.has_changed = false;
            let counted = count(runs, *service).await;
            if let Ok(open) = counted {
                live.note_open_dead_letters((*service).into(), open);
            }
            schedule.last = Some(Count {
                ended: Instant::now(),
                took: worked(&counted, began.elapsed()),
                is_short_lived: come || counted.is_err(),
            });
        }
        tokio::select! {
            _ = looks.tick() => {}
            changed = changes.recv() => {
                for (service, schedule) in &mut schedules {
                    schedule.has_changed |= may_close(runs, &changed, *service);
                }
            }
        }
    }
}

/// Returns how many dead letters of a service are open.
///
/// # Errors
/// Why they cannot be counted, which the view of the dead letters explains.
async fn count(runs: &Runs, service: runs::Service) -> Result<u64, CommandFailed> {
    let all = DeadLetterList {
        service,
        reason: None,
        limit: 0,
        all: false,
    };
    let counted = match Query::dead_letters(all) {
        Ok(query) => runs.query(&query).await,
        Err(why) => Err(CommandFailed::Failed(why.to_string())),
    };
    counted
        .map(|found| found["open"].as_u64().unwrap_or_default())
        .inspect_err(|why| {
            tracing::debug!(service = service.as_str(), %why, "open dead letters are not counted");
        })
}

/// Returns how long a count has read, of the time that it `took`. One that was ended after a time limit has
/// read all the while, and one that failed has waited.
fn worked(counted: &Result<u64, CommandFailed>, took: Duration) -> Duration {
    match counted {
        Ok(_) | Err(CommandFailed::TimedOut(_)) => took,
        Err(_) => Duration::ZERO,
    }
}

/// Returns whether a run has ended that may have closed dead letters of a service.
fn may_close(runs: &Runs, changed: &Result<RunId, RecvError>, service: runs::Service) -> bool {
    match changed {
        Ok(id) => runs.summary(*id).is_some_and(|run| {
            run.service == service
                && run.state.has_ended()
                && !run.dry_run
                && matches!(run.kind, Kind::Redrive | Kind::Discard)
        }),
        // Some changes were missed.
        Err(_) => true,
    }
}

impl From<runs::Service> for scrape::Service {
    fn from(service: runs::Service) -> Self {
        match service {
            runs::Service::Processor => Self::Processor,
            runs::Service::Sink => Self::Sink,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::flow::{NodeId, Severity};
    use crate::runs::Launcher;
    use crate::scrape::Targets;

    #[tokio::test]
    async fn open_dead_letters_are_counted_for_whoever_watches() {
        let script = r#"case "$1" in processor) echo '{"open":3}';; *) echo '{"open":0}';; esac"#;
        let runs = Runs::with_launcher(1, Launcher::new("/bin/sh", ["-c", script, "sh"]));
        let live = Live::new(Targets::default(), reqwest::Client::new());
        let shutdown = Shutdown::new();
        let scraping = tokio::spawn(live.clone().run(shutdown.clone()));
        let counting = count_while_watched(live.clone(), runs, shutdown.clone());
        let counting = tokio::spawn(counting);
        let mut watch = live.watch();
        let said = async {
            loop {
                let flow = watch.next().await;
                let last = flow.warnings.last();
                if let Some(last) = last.filter(|last| last.node == NodeId::OrderStatusDeadLetters)
                {
                    return last.clone();
                }
            }
        };
        let warning = timeout(Duration::from_secs(30), said).await.unwrap();
        assert_eq!(warning.text, "3 dead letters of the processor are open.");
        assert_eq!(warning.severity, Severity::Info);
        shutdown.request();
        scraping.await.unwrap();
        counting.await.unwrap();
    }

    #[test]
    fn a_count_that_does_not_end_is_seldom_repeated() {
        let minute = Duration::from_secs(60);
        let timed_out = Err(CommandFailed::TimedOut(minute));
        assert_eq!(worked(&timed_out, minute), minute);
        assert_eq!(worked(&Ok(3), minute), minute);
        let refused = Err(CommandFailed::Failed("no broker answers".to_owned()));
        assert_eq!(worked(&refused, minute), Duration::ZERO);
    }

    #[test]
    fn a_count_is_repeated_when_it_may_have_changed() {
        let now = Instant::now() + PERIOD;
        let mut schedule = Schedule::default();
        assert!(schedule.is_due(now, false), "the first one");
        let counted = |ago: u64, took_millis: u64, is_short_lived| {
            Some(Count {
                ended: now - Duration::from_secs(ago),
                took: Duration::from_millis(took_millis),
                is_short_lived,
            })
        };
        schedule.last = counted(120, 200, false);
        assert!(!schedule.is_due(now, false));
        assert!(schedule.is_due(now, true), "dead letters come");
        schedule.last = counted(120, 200, true);
        assert!(schedule.is_due(now, false), "they came until then");
        schedule.last = counted(300, 200, false);
        assert!(schedule.is_due(now, false), "it is old");
        schedule.last = counted(30, 200, false);
        schedule.has_changed = true;
        assert!(schedule.is_due(now, false), "after a redrive");
        schedule.last = counted(199, 2_000, false);
        assert!(!schedule.is_due(now, true), "counting takes its time");
        schedule.last = counted(200, 2_000, false);
        assert!(schedule.is_due(now, true), "1 % of the time");
    }
}
