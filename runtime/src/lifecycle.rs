//! Starts a command, turns signals into its shutdown and its result into an exit code.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done, or stopped as asked |
//! | 1 | the work failed; the message says why |
//! | 2 | bad usage or settings; the message says what to write instead |
//! | 130, 143 | SIGINT (Ctrl-C) or SIGTERM ended it before it was done |
//! | 141 | the reader of standard output has gone away |

mod blocking;
mod failure;
mod failures;
mod shutdown;
mod signals;
mod supervisor;

pub use blocking::blocking;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

pub use failure::{Failure, exit};
pub use failures::Failures;
pub use shutdown::Shutdown;
pub use supervisor::Supervisor;

/// Runs a service, or a command that finishes what it has begun: the first signal requests a
/// [`Shutdown`], the second ends the process.
pub fn run<F, B>(body: B) -> ExitCode
where
    B: FnOnce(Shutdown) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    on_runtime(async {
        let shutdown = Shutdown::new();
        tokio::spawn(signals::watch(shutdown.clone()));
        body(shutdown).await
    })
}

/// Runs a command that leaves nothing unfinished: the first signal ends it at once, whatever it
/// waits for.
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
    raise_open_files_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(worker_threads())
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return exit(&Failure::failed(format!(
                "cannot start the Tokio runtime: {error}"
            )));
        }
    };
    let result = runtime.block_on(body);
    // A blocking call that hangs in a client library must not keep the process from ending.
    runtime.shutdown_timeout(Duration::from_millis(500));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit(&failure),
    }
}

/// Raises the soft limit of open files to the hard limit. The soft limit is 1,024 on many systems, for
/// the sake of programs that use select(2).
fn raise_open_files_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "cannot raise the limit of open files");
    }
}

fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(1, 8))
}
