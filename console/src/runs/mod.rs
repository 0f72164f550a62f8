//! Runs the product's own commands on the server. A page starts and watches them; closing the page does
//! not stop them.
//!
//! ```text
//! RunRequest ──check──▶ CommandLine ──▶ console exec SERVICE ... ──stdout──▶ result
//! (values by type,      (words, never       (child process)      ──stderr──▶ log, progress
//!  then clap)            a shell)
//! ```
//!
//! | module | contents |
//! |---|---|
//! | here | [`Runs`]: starts, stops and awaits commands |
//! | [`request`] | the bodies of `POST /api/runs`, and the command that each asks for: pure |
//! | [`query`] | the short, read-only commands that answer a request: pure |
//! | `previewed` | whether a backfill was previewed before it runs: pure |
//! | `values` | checks values by their type: pure |
//! | [`command`] | a command line as words, and as a person types it: pure |
//! | `child` | a command as a child process |
//! | `output` | what a command writes, in bounded memory: pure |
//! | [`run`] | one run as pages see it: pure |
//! | [`registry`] | all runs, bounded: pure |
//! | `sentence` | how a command ended, in one sentence: pure |
//!
//! Only the process that started a run knows it. The commands themselves persist what they did: in the
//! audit topic, in the states of dead letters, in the offsets of a backfill.

mod child;
pub mod command;
mod output;
mod previewed;
pub mod query;
pub mod registry;
pub mod request;
pub mod run;
mod sentence;
mod values;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use runtime::duration::human_duration;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::stepping::DRAIN;
use serde_json::Value;
use tokio::sync::{Semaphore, broadcast};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::child::{Ended, Life, STOP_GRACE, attend};
use self::command::{CommandLine, Fault};
use self::output::Log;
use self::query::answer;
use self::registry::{Entered, Key, Registry};
use self::request::Backfill;
use self::run::{Noted, Run, RunState};
use crate::http::session::Identity;
use crate::settings::Role;

pub use child::Launcher;
pub use command::Service;
pub use query::{CommandFailed, DeadLetterList, Query, Reach, Reason};
pub use registry::{Refusal, StopRefused};
pub use request::RunRequest;
pub use run::{RunId, RunSummary, RunView};

/// The maximum number of concurrent commands of runs. Each is a process with its own clients of Kafka
/// and Postgres.
pub const MAX_RUNNING: usize = 4;

/// How long a read-only command may take, including its wait for a permit.
const QUERY_TIMEOUT: Duration = Duration::from_secs(60);

/// The maximum number of concurrent read-only commands. Each is a process with its own Kafka client.
const MAX_QUERIES: usize = 4;

/// The number of changes that a receiver may be behind before it loses the oldest.
const CHANGES: usize = 256;

/// The commands that run or have ended. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    launcher: Launcher,
    registry: Mutex<Registry>,
    changes: broadcast::Sender<RunId>,
    queries: Semaphore,
    /// One task for each run, which reads its output and awaits its end.
    tasks: TaskTracker,
}

impl Runs {
    /// Builds the runs of this executable's commands, at most `limit` at once.
    pub fn new(limit: usize) -> Self {
        Self::with_launcher(limit, Launcher::own())
    }

    /// Builds the runs of `launcher`'s commands, at most `limit` at once.
    pub fn with_launcher(limit: usize, launcher: Launcher) -> Self {
        let shared = Shared {
            launcher,
            registry: Mutex::new(Registry::new(limit)),
            changes: broadcast::Sender::new(CHANGES),
            queries: Semaphore::new(MAX_QUERIES),
            tasks: TaskTracker::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Starts the command of a request. The same request with the same `key` returns the same run. Must
    /// be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the request is not valid, or no command may be started.
    pub fn start(
        &self,
        request: RunRequest,
        who: &Identity,
        key: Option<&str>,
    ) -> Result<RunId, Refusal> {
        let now = Utc::now();
        let line = request.command(&who.name, now).map_err(Refusal::Invalid)?;
        line.check()?;
        let key = key.map(|key| Key {
            by: who.name.clone(),
            key: key.to_owned(),
        });
        // Before its preview is looked for, which may be forgotten by now.
        if let Some(id) = self.registry().known(key.as_ref(), &request)? {
            return Ok(id);
        }
        if let RunRequest::Backfill(backfill) = &request {
            self.check_previewed(backfill)?;
        }
        let run = Run::new(request, &who.name, line.to_string(), now);
        let stop = run.stop.clone();
        let id = match self.registry().enter(run, key)? {
            Entered::Known(id) => return Ok(id),
            Entered::New(id) => id,
        };
        tracing::info!(run = %id, by = who.name, "started: {line}");
        self.changed(id);
        let runs = self.clone();
        self.shared.tasks.spawn(async move {
            runs.attend(id, &line, &stop).await;
        });
        Ok(id)
    }

    /// Checks that a backfill was previewed, or goes on with one that was.
    fn check_previewed(&self, backfill: &Backfill) -> Result<(), Refusal> {
        if self.registry().has_checked(backfill) {
            return Ok(());
        }
        let preview = self.preview_of(backfill);
        previewed::check(backfill, preview.as_ref()).map_err(Refusal::NotPreviewed)
    }

    /// Returns the run that previewed a backfill, if it is known.
    fn preview_of(&self, backfill: &Backfill) -> Option<RunView> {
        let id: RunId = backfill.preview.as_ref()?.parse().ok()?;
        self.get(id)
    }

    /// Runs the command of `id` until it ends.
    async fn attend(&self, id: RunId, line: &CommandLine, stop: &CancellationToken) {
        let ended = match self.shared.launcher.start(line, Life::OfItsOwn) {
            Ok(child) => attend(child, stop, STOP_GRACE, |line| self.note(id, line))
                .await
                .map_err(|error| format!("the command cannot be awaited: {error}")),
            Err(error) => Err(format!("the command could not be started: {error}")),
        };
        self.end(id, ended);
    }

    fn note(&self, id: RunId, line: String) {
        let noted = self.registry().get_mut(id).map(|run| run.note(line));
        if noted == Some(Noted::Progress) {
            self.changed(id);
        }
    }

    fn end(&self, id: RunId, ended: Result<Ended, String>) {
        let mut registry = self.registry();
        if let Some(run) = registry.get_mut(id) {
            match ended {
                Ok(Ended { status, output }) => run.end(status, &output, Utc::now()),
                Err(why) => run.fail(why, Utc::now()),
            }
            tracing::info!(
                run = %id, state = ?run.summary.state,
                "ended: {}", run.summary.summary.as_deref().unwrap_or("without a result")
            );
        }
        registry.forget();
        drop(registry);
        self.changed(id);
    }

    /// Asks a run to stop. What it has committed is kept.
    ///
    /// # Errors
    /// When there is no such run, it has ended, or this person may not stop it.
    pub fn stop(&self, id: RunId, who: &Identity) -> Result<(), StopRefused> {
        let mut registry = self.registry();
        let run = registry.get_mut(id).ok_or(StopRefused::NotFound)?;
        let summary = &run.summary;
        let is_own_preview = summary.dry_run && summary.by == who.name;
        if who.role < Role::Operator && !is_own_preview {
            return Err(StopRefused::Forbidden);
        }
        match summary.state {
            RunState::Running => run.stop(format!("{} stopped the run.", who.name)),
            // A stop was requested before.
            RunState::Stopping => return Ok(()),
            RunState::Done | RunState::Failed | RunState::Stopped => {
                return Err(StopRefused::HasEnded);
            }
        }
        drop(registry);
        tracing::info!(run = %id, by = who.name, "stopped");
        self.changed(id);
        Ok(())
    }

    /// Returns all runs, the newest first.
    pub fn list(&self) -> Vec<RunSummary> {
        self.registry().list()
    }

    /// Returns everything about a run.
    pub fn get(&self, id: RunId) -> Option<RunView> {
        self.registry().get(id).map(Run::view)
    }

    /// Returns what lists show of a run.
    pub fn summary(&self, id: RunId) -> Option<RunSummary> {
        self.registry().get(id).map(|run| run.summary.clone())
    }

    /// Returns the ids of runs whose state or progress changes. A slow receiver loses the oldest ids.
    pub fn changes(&self) -> broadcast::Receiver<RunId> {
        self.shared.changes.subscribe()
    }

    /// Runs a read-only command and returns what it printed. The command is killed if the caller drops
    /// this future.
    ///
    /// # Errors
    /// When the command has no answer within a minute.
    pub async fn query(&self, query: &Query) -> Result<Value, CommandFailed> {
        timeout(QUERY_TIMEOUT, self.answer(query))
            .await
            .unwrap_or(Err(CommandFailed::TimedOut(QUERY_TIMEOUT)))
    }

    async fn answer(&self, query: &Query) -> Result<Value, CommandFailed> {
        // The semaphore is never closed.
        let _turn = self.shared.queries.acquire().await;
        let child = self
            .shared
            .launcher
            .start(query.command(), Life::OfRequest)?;
        let mut log = Log::default();
        let ended = attend(child, &CancellationToken::new(), STOP_GRACE, |line| {
            log.push(line);
        })
        .await?;
        let Ended { status, output } = ended;
        answer(status.code(), output.result(), log.error())
    }

    /// Waits for the shutdown, then asks all runs to stop and waits until they have ended.
    ///
    /// # Errors
    /// None: a command that takes longer ends by itself without losing data.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Failure> {
        shutdown.requested().await;
        let stopped = self.registry().close();
        stopped.into_iter().for_each(|id| self.changed(id));
        self.shared.tasks.close();
        if timeout(DRAIN, self.shared.tasks.wait()).await.is_err() {
            let running = self.registry().running_commands();
            for command in running {
                tracing::warn!(
                    "was asked to stop and has not ended within {}; it ends by itself: {command}",
                    human_duration(DRAIN)
                );
            }
        }
        Ok(())
    }

    fn changed(&self, id: RunId) {
        // Sending fails if no page is open.
        let _ = self.shared.changes.send(id);
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        let registry = self.shared.registry.lock();
        registry.unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::OfRequest(why) => Self::Invalid(why),
            Fault::OfSettings(why) => Self::Misconfigured(why),
        }
    }
}

#[cfg(test)]
mod tests;
