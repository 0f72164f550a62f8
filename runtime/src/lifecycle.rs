//! Start, supervised parts, draining within a deadline, exit codes.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done, or stopped as asked |
//! | 1 | the work failed; the message says why |
//! | 2 | bad usage or settings; the message says what to write instead |
//! | 130, 143 | ended before its end by SIGINT (Ctrl-C), SIGTERM |
//! | 141 | the reader of standard output has gone away |

mod signals;

use std::fmt;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use schemas::printable;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::output::complain;
use crate::wording::count;

/// Why a command ends early, and with which exit code.
///
/// Its message is for a person: what is wrong, where, what to do.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// The work failed: exit code 1.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self {
            code: 1,
            message: message.to_string(),
        }
    }

    /// A setting is wrong: exit code 2. Say what to write instead.
    pub fn bad_setting(message: impl fmt::Display) -> Self {
        Self {
            code: 2,
            message: message.to_string(),
        }
    }

    /// The work was stopped before its end, as a signal asked: exit code 130 or 143.
    pub fn interrupted(message: impl fmt::Display) -> Self {
        Self {
            code: signals::exit_code(),
            message: message.to_string(),
        }
    }

    /// Nothing is to be said.
    pub(crate) const fn silent(code: u8) -> Self {
        Self {
            code,
            message: String::new(),
        }
    }

    /// The exit code that it ends the process with.
    pub const fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Says when to stop, in two steps: a shutdown is announced, so that nobody sends new work, and
/// later requested. Cheap to clone; every clone hears the same word.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    announced: CancellationToken,
    requested: CancellationToken,
}

impl Shutdown {
    /// Not asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Announces that the process will stop. Every part goes on as before, but the service is not
    /// ready any more, so that balancers take it out.
    pub fn announce(&self) {
        self.announced.cancel();
    }

    /// Whether the process is about to stop, or stopping.
    pub fn is_announced(&self) -> bool {
        self.announced.is_cancelled()
    }

    /// Asks every part to stop.
    pub fn request(&self) {
        self.announced.cancel();
        self.requested.cancel();
    }

    /// Whether to stop; for threads.
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Resolves when it is time to stop.
    pub async fn requested(&self) {
        self.requested.cancelled().await;
    }

    /// Announced together with this one, and requested on its own.
    fn later(&self) -> Self {
        Self {
            announced: self.announced.clone(),
            requested: CancellationToken::new(),
        }
    }
}

/// How one supervised part ended.
struct Ended {
    part: String,
    result: Result<(), Failure>,
    last: bool,
}

/// After all others have ended, the last parts have this long to end.
const LAST_PARTS: Duration = Duration::from_secs(1);

/// The parts of a running service. When one ends, for whatever reason, the others are asked to
/// stop; a service with half of its parts is worse than one that is restarted.
#[derive(Debug)]
pub struct Supervisor {
    shutdown: Shutdown,
    /// Of the parts that outlive the others.
    last_shutdown: Shutdown,
    ended: mpsc::UnboundedReceiver<Ended>,
    report: mpsc::UnboundedSender<Ended>,
    running: usize,
    last_running: usize,
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended: {:?}", self.part, self.result)
    }
}

impl Supervisor {
    /// No parts yet.
    pub fn new(shutdown: Shutdown) -> Self {
        let (report, ended) = mpsc::unbounded_channel();
        Self {
            last_shutdown: shutdown.later(),
            shutdown,
            ended,
            report,
            running: 0,
            last_running: 0,
        }
    }

    /// What the parts watch to know when to stop.
    pub const fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Runs an asynchronous part.
    pub fn task(
        &mut self,
        part: impl Into<String>,
        future: impl Future<Output = Result<(), Failure>> + Send + 'static,
    ) {
        self.running += 1;
        self.spawn(part.into(), future, false);
    }

    /// Runs an asynchronous part that outlives the others, such as the one that tells that the
    /// service is stopping: the shutdown that it is given is requested when all others have ended.
    pub fn last_task<F>(&mut self, part: impl Into<String>, body: impl FnOnce(Shutdown) -> F)
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.last_running += 1;
        let future = body(self.last_shutdown.clone());
        self.spawn(part.into(), future, true);
    }

    fn spawn(
        &self,
        part: String,
        future: impl Future<Output = Result<(), Failure>> + Send + 'static,
        last: bool,
    ) {
        let report = self.report.clone();
        let handle = tokio::spawn(future);
        tokio::spawn(async move {
            let result = handle.await.unwrap_or_else(|error| {
                Err(Failure::failed(format!(
                    "{part} stopped unexpectedly: {error}"
                )))
            });
            // The receiver is gone only when the service is already ending.
            let _ = report.send(Ended { part, result, last });
        });
    }

    /// Runs a part that blocks, such as a Kafka client's loop, on a thread of its own.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn thread(
        &mut self,
        part: impl Into<String>,
        body: impl FnOnce() -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let part = part.into();
        let report = self.report.clone();
        let name = part.clone();
        std::thread::Builder::new()
            .name(part.clone())
            .spawn(move || {
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
                    .unwrap_or_else(|_| {
                        Err(Failure::failed(format!(
                            "{part} stopped unexpectedly; the panic above says where"
                        )))
                    });
                let _ = report.send(Ended {
                    part,
                    result,
                    last: false,
                });
            })
            .map_err(|error| Failure::failed(format!("can't start the thread {name}: {error}")))?;
        self.running += 1;
        Ok(())
    }

    /// Waits until shutdown is asked for or a part ends, then until all have ended.
    ///
    /// # Errors
    /// The first part's failure; or the names of those that did not end within `deadline`.
    pub async fn run(mut self, deadline: Duration) -> Result<(), Failure> {
        let mut first_failure = None;
        if self.running > 0 {
            tokio::select! {
                ended = self.ended.recv() => self.note(ended, &mut first_failure),
                () = self.shutdown.requested() => {}
            }
        }
        self.shutdown.request();
        let drained = tokio::time::timeout(deadline, async {
            while self.running > 0 {
                let ended = self.ended.recv().await;
                self.note(ended, &mut first_failure);
            }
        })
        .await;
        self.last_shutdown.request();
        let _ = tokio::time::timeout(LAST_PARTS, async {
            while self.last_running > 0 {
                let ended = self.ended.recv().await;
                self.note(ended, &mut first_failure);
            }
        })
        .await;
        match (first_failure, drained) {
            (Some(failure), _) => Err(failure),
            (None, Ok(())) => Ok(()),
            (None, Err(_)) => Err(Failure::failed(format!(
                "not ended {deadline:?} after shutdown was asked for: {}; nothing is lost, what was not \
                 committed will be done again at the next start",
                count(self.running, "part")
            ))),
        }
    }

    fn note(&mut self, ended: Option<Ended>, first_failure: &mut Option<Failure>) {
        let Some(Ended { part, result, last }) = ended else {
            return;
        };
        if last {
            self.last_running -= 1;
        } else {
            self.running -= 1;
        }
        match result {
            Ok(()) if self.shutdown.is_requested() => tracing::debug!(part, "stopped"),
            Ok(()) => tracing::info!(part, "ended; stopping the others"),
            Err(failure) => {
                tracing::error!(part, "{failure}");
                first_failure.get_or_insert(failure);
            }
        }
    }
}

/// Runs a service, or a command that finishes what is half done: a Tokio runtime around `body`,
/// signals turned into [`Shutdown`], the outcome into an exit code. The settings were read before,
/// without a runtime.
pub fn run<F, B>(body: B) -> ExitCode
where
    B: FnOnce(Shutdown) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    run_with_delay(Duration::ZERO, body)
}

/// As [`run`], for a service that others send requests to: a SIGTERM is announced this long before
/// it is acted on.
pub fn run_with_delay<F, B>(shutdown_delay: Duration, body: B) -> ExitCode
where
    B: FnOnce(Shutdown) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    on_runtime(async {
        let shutdown = Shutdown::new();
        tokio::spawn(signals::watch(shutdown.clone(), shutdown_delay));
        body(shutdown).await
    })
}

/// As [`run`], for a command that leaves nothing half done: the first signal ends it at once,
/// whatever it waits for.
pub fn run_until_interrupted<F, B>(body: B) -> ExitCode
where
    B: FnOnce(Shutdown) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    on_runtime(async {
        let interrupted = signals::first();
        tokio::select! {
            result = body(Shutdown::new()) => result,
            () = interrupted => Err(Failure::silent(signals::exit_code())),
        }
    })
}

fn on_runtime(body: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    open_as_many_files_as_allowed();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(worker_threads())
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return exit(&Failure::failed(format!(
                "can't start the runtime: {error}"
            )));
        }
    };
    let result = runtime.block_on(body);
    // Blocking calls that are stuck in a client must not keep the process from ending.
    runtime.shutdown_timeout(Duration::from_millis(500));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit(&failure),
    }
}

/// Prints the failure as one sentence, unless nothing is to be said, and gives its exit code.
pub fn exit(failure: &Failure) -> ExitCode {
    // Line by line: it may quote what others wrote.
    for (at, line) in failure.message.lines().enumerate() {
        let start = if at == 0 { "error: " } else { "" };
        complain(&format!("{start}{}", printable(line)));
    }
    ExitCode::from(failure.code)
}

/// The soft limit is 1,024 on many systems, for the sake of programs that use select(2).
fn open_as_many_files_as_allowed() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(1, 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn last_parts_are_told_at_once_and_end_after_all_others() {
        let shutdown = Shutdown::new();
        let mut supervisor = Supervisor::new(shutdown.clone());
        let (tell, mut told) = mpsc::unbounded_channel();
        let (tell_last, work) = (tell.clone(), shutdown.clone());
        supervisor.last_task("http", |stop| async move {
            stop.announced.cancelled().await;
            let _ = tell_last.send("http announced");
            stop.requested().await;
            let _ = tell_last.send("http ended");
            Ok(())
        });
        supervisor.task("work", async move {
            work.requested().await;
            // Others get their turn, the last part too.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let _ = tell.send("work ended");
            Ok(())
        });
        shutdown.request();
        supervisor.run(Duration::from_secs(10)).await.unwrap();
        let mut all = Vec::new();
        while let Some(word) = told.recv().await {
            all.push(word);
        }
        assert_eq!(all, ["http announced", "work ended", "http ended"]);
    }

    #[tokio::test]
    async fn a_last_part_that_fails_ends_the_others() {
        let shutdown = Shutdown::new();
        let mut supervisor = Supervisor::new(shutdown.clone());
        supervisor.task("work", async move {
            shutdown.requested().await;
            Ok(())
        });
        supervisor.last_task("http", |_| async { Err(Failure::failed("no port")) });
        let failure = supervisor.run(Duration::from_secs(10)).await.unwrap_err();
        assert_eq!(failure.to_string(), "no port");
    }
}
