//! The runs that the console knows: in memory, bounded, pure.

use std::collections::{HashMap, VecDeque};

use super::previewed;
use super::request::{Backfill, RunRequest};
use super::run::{Run, RunId, RunState, RunSummary};

/// The maximum number of ended runs that are remembered.
pub(super) const MAX_ENDED: usize = 200;

/// Why nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request is not valid, or the command would refuse it.
    #[error("{0}")]
    Invalid(String),
    /// The command would refuse the settings of the console.
    #[error("{0}")]
    Misconfigured(String),
    /// The backfill was not previewed, or not as it is confirmed.
    #[error("{0}")]
    NotPreviewed(String),
    /// The maximum number of commands is running.
    #[error("{0} commands run already: wait until one has ended, or stop one")]
    TooMany(usize),
    /// The idempotency key was sent with another request.
    #[error("this Idempotency-Key was sent with another request: send a new key")]
    KeyReused,
    /// The console is stopping.
    #[error("the console is stopping and starts no more commands")]
    Stopping,
}

/// Why a run was not stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopRefused {
    /// There is no such run.
    #[error(
        "there is no such run: the console remembers the last {MAX_ENDED} since it was started"
    )]
    NotFound,
    /// It has ended.
    #[error("the run has ended already")]
    HasEnded,
    /// A viewer stops only previews of their own.
    #[error("a viewer can stop only previews of their own")]
    Forbidden,
}

/// The idempotency key of one person.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) by: String,
    pub(super) key: String,
}

/// The result of entering a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// The run is new, and its command has to be started.
    New(RunId),
    /// The same request was made before.
    Known(RunId),
}

/// All runs, in the order in which they were started.
#[derive(Debug)]
pub(super) struct Registry {
    max_running: usize,
    runs: VecDeque<Run>,
    /// The keys of remembered runs.
    keys: HashMap<Key, RunId>,
    is_closed: bool,
}

impl Registry {
    pub(super) fn new(max_running: usize) -> Self {
        Self {
            max_running,
            runs: VecDeque::new(),
            keys: HashMap::new(),
            is_closed: false,
        }
    }

    /// Enters a run, or finds the run that the same person started with the same key.
    ///
    /// # Errors
    /// When no command may be started.
    pub(super) fn enter(&mut self, run: Run, key: Option<Key>) -> Result<Entered, Refusal> {
        if let Some(known) = self.known(key.as_ref(), &run.request)? {
            return Ok(Entered::Known(known));
        }
        if self.is_closed {
            return Err(Refusal::Stopping);
        }
        if self.running().count() >= self.max_running {
            return Err(Refusal::TooMany(self.max_running));
        }
        let id = run.summary.id;
        self.runs.push_back(run);
        if let Some(key) = key {
            self.keys.insert(key, id);
        }
        Ok(Entered::New(id))
    }

    /// Finds the run that the same person started with the same key.
    ///
    /// # Errors
    /// When that was another request.
    pub(super) fn known(
        &self,
        key: Option<&Key>,
        request: &RunRequest,
    ) -> Result<Option<RunId>, Refusal> {
        let known = key.and_then(|key| self.keys.get(key));
        match known.and_then(|id| self.get(*id)) {
            Some(known) if known.request == *request => Ok(Some(known.summary.id)),
            Some(_) => Err(Refusal::KeyReused),
            None => Ok(None),
        }
    }

    /// Returns the run.
    pub(super) fn get(&self, id: RunId) -> Option<&Run> {
        self.runs.iter().find(|run| run.summary.id == id)
    }

    /// Returns the run.
    pub(super) fn get_mut(&mut self, id: RunId) -> Option<&mut Run> {
        self.runs.iter_mut().find(|run| run.summary.id == id)
    }

    /// Returns whether a run is remembered that ended before it was done and that this backfill goes on with.
    pub(super) fn has_checked(&self, backfill: &Backfill) -> bool {
        let mut runs = self.runs.iter();
        runs.any(|run| {
            matches!(run.summary.state, RunState::Failed | RunState::Stopped)
                && previewed::continues(&run.request, backfill)
        })
    }

    /// Returns all runs, the newest first.
    pub(super) fn list(&self) -> Vec<RunSummary> {
        let newest_first = self.runs.iter().rev();
        newest_first.map(|run| run.summary.clone()).collect()
    }

    /// Returns the runs that have not ended.
    fn running(&self) -> impl Iterator<Item = &Run> {
        self.runs
            .iter()
            .filter(|run| !run.summary.state.has_ended())
    }

    /// Forgets the oldest ended runs beyond [`MAX_ENDED`].
    pub(super) fn forget(&mut self) {
        let ended = self.runs.len() - self.running().count();
        let mut excess = ended.saturating_sub(MAX_ENDED);
        if excess == 0 {
            return;
        }
        self.runs.retain(|run| {
            let forgets = excess > 0 && run.summary.state.has_ended();
            excess -= usize::from(forgets);
            !forgets
        });
        let runs = &self.runs;
        self.keys
            .retain(|_, id| runs.iter().any(|run| run.summary.id == *id));
    }

    /// Refuses new runs from now on, and asks the running ones to stop. Returns their ids.
    pub(super) fn close(&mut self) -> Vec<RunId> {
        self.is_closed = true;
        let running = self
            .runs
            .iter_mut()
            .filter(|run| !run.summary.state.has_ended());
        running
            .map(|run| {
                run.stop("The console is stopping, and stops its commands.".to_owned());
                run.summary.id
            })
            .collect()
    }

    /// Returns the command lines of the runs that have not ended.
    pub(super) fn running_commands(&self) -> Vec<String> {
        self.running()
            .map(|run| run.summary.command.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::super::run::RunState;
    use super::*;

    fn run(reason: &str) -> Run {
        let request =
            json!({"kind": "redrive", "service": "sink", "dry_run": true, "reason": reason});
        let request = serde_json::from_value(request).unwrap();
        Run::new(request, "ann", String::new(), DateTime::UNIX_EPOCH)
    }

    fn key(by: &str, key: &str) -> Option<Key> {
        Some(Key {
            by: by.to_owned(),
            key: key.to_owned(),
        })
    }

    fn end(registry: &mut Registry, id: RunId) {
        let run = registry.get_mut(id).unwrap();
        run.fail("no".to_owned(), DateTime::UNIX_EPOCH);
        registry.forget();
    }

    fn new(entered: Result<Entered, Refusal>) -> RunId {
        match entered.unwrap() {
            Entered::New(id) => id,
            Entered::Known(id) => panic!("{id} is known"),
        }
    }

    #[test]
    fn the_number_of_concurrent_runs_is_limited() {
        let mut registry = Registry::new(2);
        let first = new(registry.enter(run("a"), None));
        new(registry.enter(run("a"), None));
        assert_eq!(registry.enter(run("a"), None), Err(Refusal::TooMany(2)));
        end(&mut registry, first);
        new(registry.enter(run("a"), None));
        assert_eq!(registry.list().len(), 3);
    }

    #[test]
    fn a_repeated_request_is_the_same_run_also_after_its_end() {
        let mut registry = Registry::new(1);
        let id = new(registry.enter(run("a"), key("ann", "k")));
        let again = |registry: &mut Registry| registry.enter(run("a"), key("ann", "k"));
        assert_eq!(again(&mut registry), Ok(Entered::Known(id)));
        end(&mut registry, id);
        assert_eq!(again(&mut registry), Ok(Entered::Known(id)));
        let other = registry.enter(run("b"), key("ann", "k"));
        assert_eq!(other, Err(Refusal::KeyReused));
        // Another person's key is another key.
        new(registry.enter(run("b"), key("bob", "k")));
    }

    #[test]
    fn the_oldest_ended_runs_are_forgotten_with_their_keys() {
        let mut registry = Registry::new(2);
        let running = new(registry.enter(run("a"), None));
        for number in 0..=MAX_ENDED {
            let id = new(registry.enter(run("a"), key("ann", &number.to_string())));
            end(&mut registry, id);
        }
        assert_eq!(registry.list().len(), MAX_ENDED + 1);
        assert_eq!(registry.keys.len(), MAX_ENDED);
        assert!(registry.get(running).is_some());
        // The newest is listed first.
        assert_eq!(registry.list()[MAX_ENDED].id, running);
        new(registry.enter(run("a"), key("ann", "0")));
    }

    #[test]
    fn a_closed_registry_stops_its_runs_and_begins_none() {
        let mut registry = Registry::new(2);
        let (ended, id) = (
            new(registry.enter(run("a"), None)),
            new(registry.enter(run("b"), None)),
        );
        end(&mut registry, ended);
        assert_eq!(registry.close(), [id]);
        let stopping = registry.get(id).unwrap();
        assert!(stopping.stop.is_cancelled());
        assert_eq!(stopping.summary.state, RunState::Stopping);
        assert_eq!(registry.enter(run("a"), None), Err(Refusal::Stopping));
    }
}
