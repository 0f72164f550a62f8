//! Services that end by themselves are reported and started again: whoever kills one sees it missing,
//! and then back.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{READY_DEADLINE, Service};
use crate::process::last_line;

/// How long a service is missing before it is started again: long enough to see that on the console,
/// which asks each service once a second.
pub(crate) const RESTART_PAUSE: Duration = Duration::from_secs(10);

/// A service that ends this often within [`WINDOW`] is not started again: it would end again.
const MAX_ENDS: usize = 3;
const WINDOW: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Restart,
    GiveUp,
}

/// Returns what to do about a service that ended at these times, the newest last.
fn decide(ends: &[Instant]) -> Decision {
    let Some(newest) = ends.last() else {
        return Decision::Restart;
    };
    let recent = ends
        .iter()
        .filter(|end| newest.duration_since(**end) < WINDOW);
    if recent.count() < MAX_ENDS {
        Decision::Restart
    } else {
        Decision::GiveUp
    }
}

/// Reports each end of `service` and starts it again after `pause`, with the same settings and address.
/// Returns once it ends too often or cannot be started. `meanwhile` says where it is seen that the
/// service is missing.
pub(super) async fn supervise(
    service: &mut Service,
    pause: Duration,
    meanwhile: &str,
    report: &dyn Fn(&str),
) {
    let mut ends = Vec::new();
    loop {
        let status = match service.wait_for_end().await {
            Ok(status) => status,
            Err(error) => {
                return report(&format!(
                    "The {} is no longer watched: {error:#}",
                    service.name()
                ));
            }
        };
        ends.push(Instant::now());
        let end = format!(
            "The {} (process {}) {}",
            service.name(),
            service.pid(),
            how(status, &last_line(service.log()))
        );
        if decide(&ends) == Decision::GiveUp {
            return report(&format!(
                "{end}. It has ended {MAX_ENDS} times within {} s, so it is not started again, and the \
                 others go on without it; its log: {}",
                WINDOW.as_secs(),
                service.log().display()
            ));
        }
        report(&format!(
            "{end} and is started again in {} s; {meanwhile}.",
            pause.as_secs()
        ));
        tokio::time::sleep(pause).await;
        if let Err(error) = service.restart().await {
            return report(&format!(
                "The {} cannot be started again, and the others go on without it: {error:#}",
                service.name()
            ));
        }
        match service.wait_ready(READY_DEADLINE).await {
            Ok(()) => report(&format!(
                "The {} is ready again (process {}).",
                service.name(),
                service.pid()
            )),
            // It has ended once more: the next round reports that.
            Err(_) if service.exit_status().is_some() => {}
            Err(error) => report(&format!("{error:#}")),
        }
    }
}

/// Returns how a service ended: by which signal, or with which exit code.
fn how(status: ExitStatus, last_line: &str) -> String {
    let signal = status.signal();
    let how = match signal {
        Some(number) => format!("was killed by signal {number}"),
        None => format!("ended with exit code {}", status.code().unwrap_or_default()),
    };
    // A service that gets SIGKILL can say nothing about it: its last line is about something else.
    if last_line.is_empty() || signal == Some(Signal::KILL.as_raw()) {
        return how;
    }
    format!("{how} (the last line of its log: {last_line})")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::Path;

    use super::*;
    use crate::services::ServiceCommand;

    #[test]
    fn the_third_end_within_a_minute_is_the_last() {
        let begun = Instant::now();
        let after = |seconds: &[u64]| {
            let ends: Vec<Instant> = seconds
                .iter()
                .map(|second| begun + Duration::from_secs(*second))
                .collect();
            decide(&ends)
        };
        assert_eq!(after(&[0]), Decision::Restart);
        assert_eq!(after(&[0, 10]), Decision::Restart);
        assert_eq!(after(&[0, 10, 59]), Decision::GiveUp);
        assert_eq!(after(&[0, 10, 60]), Decision::Restart);
        assert_eq!(
            after(&[0, 50, 100, 150, 200]),
            Decision::Restart,
            "kills by hand, now and then"
        );
        assert_eq!(after(&[0, 100, 110, 120]), Decision::GiveUp);
    }

    #[test]
    fn a_signal_is_named_and_an_exit_code_comes_with_the_last_line() {
        let killed = ExitStatus::from_raw(9);
        assert_eq!(how(killed, "one batch"), "was killed by signal 9");
        let aborted = ExitStatus::from_raw(6);
        assert_eq!(
            how(aborted, "stack overflow"),
            "was killed by signal 6 (the last line of its log: stack overflow)"
        );
        let failed = ExitStatus::from_raw(2 << 8);
        assert_eq!(how(failed, ""), "ended with exit code 2");
    }

    #[tokio::test]
    async fn a_service_that_keeps_ending_is_started_twice_more_and_then_given_up() {
        let logs = tempfile::tempdir().unwrap();
        let mut service = ServiceCommand::new("sink", Path::new("/bin/sh"), logs.path())
            .arguments(["-c", "echo no table; exit 3"])
            .start()
            .await
            .unwrap();
        let first = service.pid();
        let said = RefCell::new(Vec::new());
        let report = |line: &str| said.borrow_mut().push(line.to_owned());
        supervise(&mut service, Duration::ZERO, "look there", &report).await;

        let said = said.into_inner();
        let [one, two, three] = &said[..] else {
            panic!("three ends were expected: {said:#?}");
        };
        assert_eq!(
            *one,
            format!(
                "The sink (process {first}) ended with exit code 3 (the last line of its log: no \
                 table) and is started again in 0 s; look there."
            )
        );
        assert!(two.contains("is started again"), "{two}");
        assert!(!two.contains(&format!("(process {first})")), "{two}");
        assert!(three.contains("so it is not started again"), "{three}");
        assert!(
            three.ends_with(&service.log().display().to_string()),
            "{three}"
        );
        let log = std::fs::read_to_string(service.log()).unwrap();
        assert_eq!(log.lines().count(), 3, "it was started three times: {log}");
    }
}
