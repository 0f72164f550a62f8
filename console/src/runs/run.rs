//! One run of a command, as pages see it: pure.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use runtime::progress::Limit;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::command::Service;
use super::output::{Log, MAX_RESULT, Output, fitting};
use super::request::{Kind, RunRequest};
use super::sentence;

/// The exit codes of a command that a SIGINT or a SIGTERM stopped before its work was done.
const INTERRUPTED: [i32; 2] = [130, 143];

/// Identifies a run. No two runs have the same id, not even those of two processes of the console, so
/// that an old link never leads to another run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(Uuid);

impl RunId {
    pub(super) fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// The command runs.
    Running,
    /// It was asked to stop, and finishes its open work.
    Stopping,
    /// It did its work.
    Done,
    /// It ended with an error.
    Failed,
    /// It was stopped before its end.
    Stopped,
}

impl RunState {
    /// Returns whether the command has ended.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Stopped)
    }
}

/// How much of its work a command has done, in offsets or dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The number that is done.
    pub done: u64,
    /// The total, if it is known.
    pub total: Option<u64>,
    /// The present speed, if it is known.
    pub per_second: Option<u64>,
    /// What limits a backfill that gives way to the live flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
}

/// A line of `--progress json`.
#[derive(Debug, Deserialize)]
struct ProgressLine {
    progress: Progress,
}

impl Progress {
    /// Returns the progress that a line of the log reports, or `None` for any other line.
    fn of_line(line: &str) -> Option<Self> {
        if !line.starts_with("{\"progress\"") {
            return None;
        }
        let ProgressLine { progress } = serde_json::from_str(line).ok()?;
        Some(progress)
    }
}

/// What a list of runs shows.
#[derive(Debug, Clone, Serialize)]
pub struct RunSummary {
    /// Its id.
    pub id: RunId,
    /// What it does.
    pub kind: Kind,
    /// The service of the command.
    pub service: Service,
    /// Whether it writes nothing.
    pub dry_run: bool,
    /// Who started it.
    pub by: String,
    /// The reason that this person gave.
    pub why: Option<String>,
    /// Its state.
    pub state: RunState,
    /// The equivalent command line.
    pub command: String,
    /// When it was started.
    pub started: String,
    /// When it ended.
    pub ended: Option<String>,
    /// What it did, or why it failed, in a sentence; `None` while it runs.
    pub summary: Option<String>,
}

/// Everything about a run.
#[derive(Debug, Clone, Serialize)]
pub struct RunView {
    /// What lists show.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// The request.
    pub request: RunRequest,
    /// The JSON that the command printed when it ended. `cut` names the fields that were too large.
    pub result: Option<Value>,
    /// The last lines of its log.
    pub log: Vec<String>,
    /// How much is done, if the command says so.
    pub progress: Option<Progress>,
    /// Its exit code; `None` while it runs, and after a signal.
    pub exit_code: Option<i32>,
}

/// A run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) summary: RunSummary,
    pub(super) request: RunRequest,
    /// Asks the command to stop.
    pub(super) stop: CancellationToken,
    result: Option<Value>,
    log: Log,
    progress: Option<Progress>,
    exit_code: Option<i32>,
}

/// The kind of a line of the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// Progress, of which pages are notified at once.
    Progress,
    /// Any other line.
    Line,
}

impl Run {
    /// Returns a run that starts now.
    pub(super) fn new(
        request: RunRequest,
        by: &str,
        command: String,
        started: DateTime<Utc>,
    ) -> Self {
        Self {
            summary: RunSummary {
                id: RunId::new(),
                kind: request.kind(),
                service: request.service(),
                dry_run: request.is_dry_run(),
                by: by.to_owned(),
                why: request.why().map(str::to_owned),
                state: RunState::Running,
                command,
                started: rfc3339(started),
                ended: None,
                summary: None,
            },
            request,
            stop: CancellationToken::new(),
            result: None,
            log: Log::default(),
            progress: None,
            exit_code: None,
        }
    }

    /// Returns what pages show of it.
    pub(super) fn view(&self) -> RunView {
        RunView {
            summary: self.summary.clone(),
            request: self.request.clone(),
            result: self.result.clone(),
            log: self.log.lines(),
            progress: self.progress.clone(),
            exit_code: self.exit_code,
        }
    }

    /// Asks the command to stop. `note` is kept in the log.
    pub(super) fn stop(&mut self, note: String) {
        self.summary.state = RunState::Stopping;
        self.log.push(note);
        self.stop.cancel();
    }

    /// Notes a line that the command wrote to standard error.
    pub(super) fn note(&mut self, line: String) -> Noted {
        if let Some(progress) = Progress::of_line(&line) {
            self.progress = Some(progress);
            return Noted::Progress;
        }
        self.log.push(line);
        Noted::Line
    }

    /// Notes how the command ended.
    pub(super) fn end(&mut self, status: ExitStatus, output: &Output, at: DateTime<Utc>) {
        let stopping = self.summary.state == RunState::Stopping;
        let result = output.result();
        self.exit_code = status.code();
        let state = match status.code() {
            Some(0) => RunState::Done,
            Some(code) if stopping || INTERRUPTED.contains(&code) => RunState::Stopped,
            None if stopping => RunState::Stopped,
            _ => RunState::Failed,
        };
        let sentence = match state {
            RunState::Done => {
                let outcome = result.as_ref();
                outcome.and_then(|result| sentence::outcome(&self.request, result))
            }
            _ => Some(self.log.error().unwrap_or_else(|| ended(state, status))),
        };
        if output.is_too_long() {
            self.log
                .push("The result is too long to be shown; the command line prints it.".to_owned());
        }
        self.result = result.map(|result| fitting(result, MAX_RESULT));
        self.close(state, sentence, at);
    }

    /// Notes that the command could not be started or awaited.
    pub(super) fn fail(&mut self, why: String, at: DateTime<Utc>) {
        self.close(RunState::Failed, Some(why), at);
    }

    fn close(&mut self, state: RunState, sentence: Option<String>, at: DateTime<Utc>) {
        self.summary.state = state;
        self.summary.summary = sentence;
        self.summary.ended = Some(rfc3339(at));
    }
}

/// Returns a sentence about the end of a command that reported no error.
fn ended(state: RunState, status: ExitStatus) -> String {
    match (state, status.code(), status.signal()) {
        (RunState::Stopped, _, _) => "stopped before its end".to_owned(),
        (_, Some(code), _) => format!("ended with exit code {code} and did not say why"),
        (_, None, Some(signal)) => format!("signal {signal} ended the command"),
        (_, None, None) => "ended, and the operating system does not say how".to_owned(),
    }
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_795_426_200_000).unwrap()
    }

    fn run() -> Run {
        let request = json!({"kind": "redrive", "service": "sink", "dry_run": true, "why": " w "});
        let request: RunRequest = serde_json::from_value(request).unwrap();
        Run::new(request, "ann", "sink redrive --dry-run".to_owned(), now())
    }

    fn ended(mut run: Run, raw_status: i32, result: &str) -> RunView {
        let mut output = Output::default();
        output.push(result.as_bytes());
        run.end(ExitStatus::from_raw(raw_status), &output, now());
        run.view()
    }

    /// Returns the wait status of an exit code, as in waitpid(2).
    const fn exit(code: i32) -> i32 {
        code << 8
    }

    #[test]
    fn a_view_is_the_summary_and_more() {
        let mut run = run();
        run.note("a line".to_owned());
        let view =
            serde_json::to_value(ended(run, exit(0), r#"{"closed":2,"still_open":0}"#)).unwrap();
        let id: RunId = view["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(view["id"], id.to_string());
        for (field, value) in [
            ("kind", json!("redrive")),
            ("service", json!("sink")),
            ("dry_run", json!(true)),
            ("by", json!("ann")),
            ("why", json!("w")),
            ("state", json!("done")),
            ("command", json!("sink redrive --dry-run")),
            ("started", json!("2026-11-23T09:30:00.000Z")),
            ("ended", json!("2026-11-23T09:30:00.000Z")),
            ("summary", json!("would close 2 dead letters, still open 0")),
            ("log", json!(["a line"])),
            ("progress", json!(null)),
            ("exit_code", json!(0)),
        ] {
            assert_eq!(view[field], value, "{field}");
        }
        assert_eq!(view["request"]["kind"], "redrive");
        assert_eq!(view["result"]["closed"], 2);
    }

    #[test]
    fn the_state_says_how_the_command_ended() {
        let stopped = || {
            let mut run = run();
            run.stop("stopped by ann".to_owned());
            run
        };
        for (run, status, state) in [
            (run(), exit(0), RunState::Done),
            (run(), exit(1), RunState::Failed),
            (run(), exit(143), RunState::Stopped),
            (run(), 9, RunState::Failed),
            (stopped(), exit(0), RunState::Done),
            (stopped(), exit(1), RunState::Stopped),
            (stopped(), exit(143), RunState::Stopped),
            (stopped(), 15, RunState::Stopped),
            (stopped(), 9, RunState::Stopped),
        ] {
            let view = ended(run, status, "");
            assert_eq!(view.summary.state, state, "{status}");
            assert!(view.summary.summary.is_some() || state == RunState::Done);
        }
    }

    #[test]
    fn a_failure_is_told_in_the_commands_own_words() {
        let mut run = run();
        run.note("error: there is no topic order-status.dlq.state".to_owned());
        let view = ended(run, exit(1), "");
        let sentence = view.summary.summary.unwrap();
        assert_eq!(sentence, "there is no topic order-status.dlq.state");
        let silent = ended(self::run(), 9, "").summary.summary.unwrap();
        assert_eq!(silent, "signal 9 ended the command");
    }

    #[test]
    fn progress_is_no_line_of_the_log() {
        let mut run = run();
        let line = r#"{"progress":{"done":7,"total":10,"per_second":null}}"#;
        assert_eq!(run.note(line.to_owned()), Noted::Progress);
        assert_eq!(run.note(r#"{"progress":"x"}"#.to_owned()), Noted::Line);
        let view = run.view();
        let progress = Progress {
            done: 7,
            total: Some(10),
            per_second: None,
            limit: None,
        };
        assert_eq!(view.progress, Some(progress));
        assert_eq!(view.log, [r#"{"progress":"x"}"#]);

        let limited = r#"{"progress":{"done":8,"total":10,"per_second":1,"limit":{"per_second":500,"group":"sink","lag_ms":83}}}"#;
        assert_eq!(run.note(limited.to_owned()), Noted::Progress);
        let limit = run.view().progress.unwrap().limit.unwrap();
        assert_eq!((limit.per_second, limit.lag_ms), (500, Some(83)));
    }
}
