//! One part of the stack as a process: started, killed, paused and started again on the same data
//! and port.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::child::{Child, descendants, is_alive};
use crate::download::{pause, tail};

const START_DEADLINE: Duration = Duration::from_secs(90);
const STOP_DEADLINE: Duration = Duration::from_secs(15);

/// When a part takes work.
#[derive(Clone, Debug)]
pub(crate) enum Ready {
    /// Bootstrap servers.
    Kafka(String),
    /// One broker of a cluster of ours: its own address and id.
    Broker { address: String, id: i32 },
    /// The registry's URL.
    Registry(String),
    /// A database's URL.
    Postgres(String),
}

/// A running (or killed, or paused) Kafka, registry or Postgres.
pub struct Backend {
    name: String,
    log: PathBuf,
    /// `None`: the user's own, not ours to stop.
    command: Option<Box<dyn Fn() -> Command + Send + Sync>>,
    ready: Ready,
    stop: Signal,
    child: Mutex<Option<Child>>,
}

impl Backend {
    pub(crate) fn new(
        name: impl Into<String>,
        log: PathBuf,
        ready: Ready,
        stop: Signal,
        command: impl Fn() -> Command + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            log,
            command: Some(Box::new(command)),
            ready,
            stop,
            child: Mutex::new(None),
        }
    }

    /// One that the user has already.
    pub(crate) fn external(name: &str, ready: Ready) -> Self {
        Self {
            name: name.to_owned(),
            log: PathBuf::new(),
            command: None,
            ready,
            stop: Signal::TERM,
            child: Mutex::new(None),
        }
    }

    /// What it is, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the process is ours (else every call that changes its state is an error).
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        self.command.is_some()
    }

    /// The process id, while a process runs (paused ones included).
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running().map(|child| child.pid())
    }

    /// The log file that the process writes.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Starts it, again on the same data and port, and waits until it takes work.
    ///
    /// # Errors
    /// When it runs already, ends while starting, or isn't ready in time.
    pub async fn start(&self) -> Result<()> {
        let Some(command) = &self.command else {
            return self.wait_ready().await;
        };
        if self.running().is_some() {
            bail!("{} runs already", self.name);
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("the log file {} can't be written", self.log.display()))?;
        let mut command = command();
        command
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(Stdio::null());
        let child = Child::spawn(command)
            .await
            .with_context(|| format!("{} could not be started", self.name))?;
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        self.wait_ready().await
    }

    /// Waits until it takes work.
    ///
    /// # Errors
    /// When the process ends, or isn't ready in time.
    pub async fn wait_ready(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let why_not = match self.try_ready().await {
                Ok(()) => return Ok(()),
                Err(why_not) => why_not,
            };
            if self.is_ours() && self.running().is_none() {
                bail!(
                    "{} ended while it was starting; the end of {}:\n{}",
                    self.name,
                    self.log.display(),
                    tail(&self.log, 12).await
                );
            }
            let deadline = if self.is_ours() {
                START_DEADLINE
            } else {
                Duration::from_secs(15)
            };
            if begun.elapsed() > deadline {
                let log = if self.is_ours() {
                    format!(" (its log: {})", self.log.display())
                } else {
                    String::new()
                };
                bail!(
                    "{} was not ready within {} s{log}: {why_not:#}",
                    self.name,
                    deadline.as_secs()
                );
            }
            pause().await;
        }
    }

    /// SIGKILL, with the processes below it; returns once all are gone.
    ///
    /// # Errors
    /// When it doesn't run.
    pub async fn kill(&self) -> Result<()> {
        let child = self.own()?;
        let below = descendants(child.pid());
        child.kill().await?;
        for pid in &below {
            let _ = kill_process(*pid, Signal::KILL);
        }
        // A database that is started again before the last of them is gone finds its memory in use.
        let begun = Instant::now();
        while below.iter().any(|pid| runs(*pid)) {
            if begun.elapsed() > STOP_DEADLINE {
                bail!(
                    "a process of {} is still there {} s after its SIGKILL",
                    self.name,
                    STOP_DEADLINE.as_secs()
                );
            }
            pause().await;
        }
        self.forget();
        Ok(())
    }

    /// SIGSTOP, for the processes below it too: it keeps its connections and answers nothing.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn pause(&self) -> Result<()> {
        let child = self.own()?;
        // The main process first, so that it starts no other one meanwhile.
        child.signal(Signal::STOP)?;
        for pid in descendants(child.pid()) {
            let _ = kill_process(pid, Signal::STOP);
        }
        Ok(())
    }

    /// SIGCONT: it goes on where it was paused.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn resume(&self) -> Result<()> {
        let child = self.own()?;
        for pid in descendants(child.pid()) {
            let _ = kill_process(pid, Signal::CONT);
        }
        Ok(child.signal(Signal::CONT)?)
    }

    /// Asks it to stop and waits until it has; killed when it takes over 15 s.
    ///
    /// # Errors
    /// When it doesn't run.
    pub async fn stop(&self) -> Result<()> {
        let child = self.own()?;
        self.resume()?;
        child.signal(self.stop)?;
        if child.wait_for(STOP_DEADLINE).await?.is_none() {
            return self.kill().await;
        }
        self.forget();
        Ok(())
    }

    /// How the process ended, once it has by itself; `None` while it runs.
    #[must_use]
    pub fn exit_status(&self) -> Option<std::process::ExitStatus> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.as_ref().and_then(Child::exit_status)
    }

    fn own(&self) -> Result<Child> {
        if !self.is_ours() {
            bail!("{} is not ours to stop: its address was given", self.name);
        }
        self.running()
            .with_context(|| format!("{} doesn't run", self.name))
    }

    fn running(&self) -> Option<Child> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.clone().filter(|child| child.exit_status().is_none())
    }

    fn forget(&self) {
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn try_ready(&self) -> Result<()> {
        match &self.ready {
            Ready::Kafka(servers) => crate::kafka::answers(servers).await,
            Ready::Broker { address, id } => crate::kafka::is_in_sync(address, *id).await,
            Ready::Registry(url) => crate::registry::answers(url).await,
            Ready::Postgres(url) => crate::postgres::answers(url).await,
        }
    }
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backend")
            .field("name", &self.name)
            .field("pid", &self.pid())
            .field("log", &self.log)
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
            // So that its directory can be removed right after.
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
