//! One part of the stack as a process that can be started, killed, paused and started again on the
//! same data and port.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::future::{BoxFuture, FutureExt};
use rustix::process::{Pid, Signal, kill_process};

use super::child::Child;
use super::command::spawn_with_log;
use super::tree::{descendants, is_alive};
use super::wait::{pause, wait_until_ready};

const START_DEADLINE: Duration = Duration::from_secs(90);
const STOP_DEADLINE: Duration = Duration::from_secs(15);
/// A part that the user runs should be ready already.
const EXTERNAL_DEADLINE: Duration = Duration::from_secs(15);

/// A Kafka broker, schema registry or Postgres: running, killed or paused.
pub struct Backend {
    name: String,
    /// `None`: the user runs it; it is not stopped here.
    program: Option<Program>,
    is_ready: Box<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>,
    child: Mutex<Option<Child>>,
}

/// How the process of a backend is started and stopped.
pub(crate) struct Program {
    pub(crate) command: Box<dyn Fn() -> Command + Send + Sync>,
    /// Asks for an orderly stop.
    pub(crate) stop: Signal,
    pub(crate) log: PathBuf,
}

impl Backend {
    /// Describes a part, which is not started yet: with a program it is ours, without one the user
    /// runs it. `is_ready` succeeds once it takes work.
    pub(crate) fn new<F>(
        name: impl Into<String>,
        program: Option<Program>,
        is_ready: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        Self {
            name: name.into(),
            program,
            is_ready: Box::new(move || is_ready().boxed()),
            child: Mutex::new(None),
        }
    }

    /// Returns the name that people read.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the process was started here. If not, every method that changes its state
    /// fails.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        self.program.is_some()
    }

    /// Returns the process id while a process runs, also while it is paused.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running().map(|child| child.pid())
    }

    /// Returns the log file that the process writes.
    #[must_use]
    pub fn log(&self) -> &Path {
        let log = self.program.as_ref().map(|program| program.log.as_path());
        log.unwrap_or(Path::new(""))
    }

    /// Starts the process, again on the same data and port, and waits until it is ready.
    ///
    /// # Errors
    /// When it runs already, ends while it starts, or is not ready in time.
    pub async fn start(&self) -> Result<()> {
        let Some(program) = &self.program else {
            return self.wait_ready().await;
        };
        if self.running().is_some() {
            bail!("{} is already running", self.name);
        }
        let child = spawn_with_log((program.command)(), &program.log, &self.name).await?;
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        self.wait_ready().await
    }

    /// Waits until the process is ready.
    ///
    /// # Errors
    /// When it ends, or is not ready in time.
    pub async fn wait_ready(&self) -> Result<()> {
        let (log, deadline) = match &self.program {
            Some(program) => (Some(program.log.as_path()), START_DEADLINE),
            None => (None, EXTERNAL_DEADLINE),
        };
        let has_ended = || self.is_ours() && self.running().is_none();
        let is_ready = async || (self.is_ready)().await;
        wait_until_ready(&self.name, log, deadline, has_ended, is_ready).await
    }

    /// Kills the process and those below it; returns once all of them are gone.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&self) -> Result<()> {
        let child = self.child()?;
        let below = descendants(child.pid());
        child.kill().await?;
        for pid in &below {
            let _ = kill_process(*pid, Signal::KILL);
        }
        // A database that is started again before the last of them is gone finds its shared memory
        // in use.
        let begun = Instant::now();
        while below.iter().any(|pid| runs(*pid)) {
            if begun.elapsed() > STOP_DEADLINE {
                bail!(
                    "a process of {} still runs {} s after its SIGKILL",
                    self.name,
                    STOP_DEADLINE.as_secs()
                );
            }
            pause().await;
        }
        self.forget();
        Ok(())
    }

    /// Sends SIGSTOP to the process and those below it: connections stay and nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self) -> Result<()> {
        let child = self.child()?;
        // The main process first, so that it starts no other one meanwhile.
        child.signal(Signal::STOP)?;
        for pid in descendants(child.pid()) {
            let _ = kill_process(pid, Signal::STOP);
        }
        Ok(())
    }

    /// Sends SIGCONT: the process goes on where it was paused.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> Result<()> {
        let child = self.child()?;
        for pid in descendants(child.pid()) {
            let _ = kill_process(pid, Signal::CONT);
        }
        Ok(child.signal(Signal::CONT)?)
    }

    /// Asks the process to stop and waits until it has. Kills it after 15 s.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn stop(&self) -> Result<()> {
        let child = self.child()?;
        self.resume()?;
        let stop = self.program.as_ref().map_or(Signal::TERM, |own| own.stop);
        child.signal(stop)?;
        if child.wait_for(STOP_DEADLINE).await?.is_none() {
            return self.kill().await;
        }
        self.forget();
        Ok(())
    }

    /// Returns how the process ended by itself, or `None` while it runs.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.as_ref().and_then(Child::exit_status)
    }

    fn child(&self) -> Result<Child> {
        if !self.is_ours() {
            bail!(
                "{} was not started by this stack and is left alone",
                self.name
            );
        }
        self.running()
            .with_context(|| format!("{} is not running", self.name))
    }

    fn running(&self) -> Option<Child> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.clone().filter(|child| child.exit_status().is_none())
    }

    fn forget(&self) {
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backend")
            .field("name", &self.name)
            .field("pid", &self.pid())
            .field("log", &self.log())
            .finish_non_exhaustive()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // Paused processes below a killed one would stay for ever.
        if let Some(child) = self.running() {
            let below = descendants(child.pid());
            let _ = child.signal(Signal::KILL);
            for pid in &below {
                let _ = kill_process(*pid, Signal::KILL);
            }
            // Waits, so that the directory can be removed right after.
            let begun = Instant::now();
            while (child.exit_status().is_none() || below.iter().any(|pid| runs(*pid)))
                && begun.elapsed() < STOP_DEADLINE
            {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

fn runs(pid: Pid) -> bool {
    is_alive(pid.as_raw_nonzero().get().unsigned_abs())
}
