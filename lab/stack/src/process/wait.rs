//! Waiting for a process to become ready.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Waits until `check` succeeds.
///
/// # Errors
/// When `has_ended` or `deadline` passes first; the error says what `check` said last, and names
/// the log.
pub(crate) async fn wait_until_ready(
    name: &str,
    log: Option<&Path>,
    deadline: Duration,
    has_ended: impl Fn() -> bool,
    check: impl AsyncFn() -> Result<()>,
) -> Result<()> {
    let begun = Instant::now();
    loop {
        let why_not = match check().await {
            Ok(()) => return Ok(()),
            Err(why_not) => why_not,
        };
        let (seconds, log_file) = (deadline.as_secs(), log.unwrap_or(Path::new("")));
        if has_ended() {
            bail!(
                "{name} ended while it was starting; the end of {}:\n{}",
                log_file.display(),
                last_lines(log_file, 12)
            );
        }
        if begun.elapsed() > deadline {
            match log {
                Some(log) => bail!(
                    "{name} was not ready within {seconds} s: {why_not:#}; its log: {}",
                    log.display()
                ),
                None => bail!("{name} was not ready within {seconds} s: {why_not:#}"),
            }
        }
        pause().await;
    }
}

/// Returns the last line of a log that is not blank, or nothing where there is none.
pub(crate) fn last_line(log: &Path) -> String {
    last_lines(log, 1)
}

fn last_lines(log: &Path, count: usize) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let first = lines.len().saturating_sub(count);
    lines.get(first..).unwrap_or_default().join("\n")
}

/// Waits between two checks of a condition.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}
