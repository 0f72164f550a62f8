//! A command as a child process: started, read while it runs, stopped, and awaited.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use runtime::configuration::{self, active_path};
use runtime::duration::human_duration;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::command::CommandLine;
use super::output::{Lines, Output};

/// How long a command that was asked to stop may take. The loops of the services use up to 15 s to
/// finish their open work after a stop, and then print the report.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(20);

/// How long output is read after a command has ended. Normally its pipes are closed then, but a process
/// that it started may have inherited them.
const READ_AFTER_END: Duration = Duration::from_secs(2);

/// The size of one read.
const CHUNK: usize = 8 * 1024;

/// The program that runs the commands, and its arguments before theirs.
#[derive(Debug, Clone)]
pub struct Launcher {
    program: PathBuf,
    /// The name of the process, as `ps` shows it.
    name: PathBuf,
    arguments: Vec<OsString>,
}

impl Launcher {
    /// Runs the commands with this very executable, as `console exec SERVICE ...`.
    pub fn own() -> Self {
        // The link leads to the running executable even after the file was replaced by a newer
        // version, whose commands might have other flags.
        let link = Path::new("/proc/self/exe");
        let program = match link.exists() {
            true => link.to_owned(),
            false => std::env::current_exe().unwrap_or_else(|_| PathBuf::from("console")),
        };
        Self {
            name: PathBuf::from("console"),
            ..Self::new(program, ["exec"])
        }
    }

    /// Runs the commands with another program.
    pub fn new(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        let program = program.into();
        Self {
            name: program.clone(),
            program,
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }

    /// Starts the command in the environment of the console.
    ///
    /// # Errors
    /// When the operating system cannot start a process.
    pub(super) fn start(&self, line: &CommandLine, life: Life) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .arg0(&self.name)
            .args(&self.arguments)
            .args(line.words())
            // Pages show the log lines to people, while the console's own log may be JSON or more
            // detailed.
            .env("LOG_FORMAT", "text")
            .env("RUST_LOG", "info")
            .env("NO_COLOR", "1")
            .env_remove("CLICOLOR_FORCE")
            // The console may have got the path of the settings file by a flag, which the command does
            // not see.
            .envs(active_path().map(|path| (configuration::VARIABLE, path)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // In the console's process group the command would get a SIGINT from Ctrl-C, and then the
            // console's SIGTERM. A second signal ends a command without finishing its open work.
            .process_group(0)
            .kill_on_drop(life == Life::OfRequest);
        command.spawn()
    }
}

/// How long a command may live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// As long as the HTTP request that waits for its answer: it is killed when the request is dropped.
    OfRequest,
    /// Until it ends.
    OfItsOwn,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) output: Output,
}

/// Reads what a command writes until it ends, and passes each line of its log to `on_line`. When `stop`
/// is cancelled the command gets a SIGTERM, and after `grace` a SIGKILL.
///
/// # Errors
/// When the operating system cannot await the process.
pub(super) async fn attend(
    mut child: Child,
    stop: &CancellationToken,
    grace: Duration,
    on_line: impl FnMut(String),
) -> io::Result<Ended> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut output = Output::default();
    let ended = CancellationToken::new();
    let reading = async {
        let both = async {
            tokio::join!(
                read_output(stdout, &mut output),
                read_lines(stderr, on_line)
            );
        };
        let late = async {
            ended.cancelled().await;
            sleep(READ_AFTER_END).await;
        };
        tokio::select! {
            () = both => {}
            () = late => {}
        }
    };
    let waiting = async {
        let status = wait(&mut child, stop, grace).await;
        ended.cancel();
        status
    };
    let ((), status) = tokio::join!(reading, waiting);
    Ok(Ended {
        status: status?,
        output,
    })
}

async fn wait(
    child: &mut Child,
    stop: &CancellationToken,
    grace: Duration,
) -> io::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => return status,
        () = stop.cancelled() => {}
    }
    terminate(child);
    match timeout(grace, child.wait()).await {
        Ok(status) => status,
        Err(_) => {
            child.start_kill()?;
            child.wait().await
        }
    }
}

/// Sends a SIGTERM. The pid cannot belong to another process yet, because the child was not awaited.
fn terminate(child: &Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = id.and_then(Pid::from_raw)
        && let Err(error) = kill_process(pid, Signal::TERM)
    {
        let grace = human_duration(STOP_GRACE);
        tracing::warn!(%error, "cannot send a SIGTERM to a command; it is killed after {grace}");
    }
}

async fn read_output(stdout: Option<impl AsyncRead + Unpin>, output: &mut Output) {
    read(stdout, |bytes| output.push(bytes)).await;
}

async fn read_lines(stderr: Option<impl AsyncRead + Unpin>, mut on_line: impl FnMut(String)) {
    let mut lines = Lines::default();
    read(stderr, |bytes| lines.push(bytes, &mut on_line)).await;
    lines.rest().into_iter().for_each(on_line);
}

/// Reads until the end. Treats a read error as the end, because the exit code reports failures.
async fn read(pipe: Option<impl AsyncRead + Unpin>, mut each: impl FnMut(&[u8])) {
    let Some(mut pipe) = pipe else {
        return;
    };
    let mut chunk = vec![0; CHUNK];
    while let Ok(count) = pipe.read(&mut chunk).await {
        if count == 0 {
            return;
        }
        each(&chunk[..count]);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::super::command::Service;
    use super::*;

    /// Runs a script in place of the console; its arguments are those of `console exec`.
    fn start(script: &str, life: Life) -> Child {
        let line = CommandLine::new(Service::Processor, &["explain"]).about("17");
        Launcher::new("/bin/sh", ["-c", script, "sh"])
            .start(&line, life)
            .unwrap()
    }

    async fn run(script: &str) -> (Ended, Vec<String>) {
        let mut lines = Vec::new();
        let child = start(script, Life::OfItsOwn);
        let stop = CancellationToken::new();
        let ended = attend(child, &stop, STOP_GRACE, |line| lines.push(line)).await;
        (ended.unwrap(), lines)
    }

    #[tokio::test]
    async fn a_command_has_its_words_and_a_readable_log() {
        let script = r#"echo "\"$*\""; echo "$LOG_FORMAT $RUST_LOG" >&2; exit 3"#;
        let (ended, lines) = run(script).await;
        assert_eq!(ended.status.code(), Some(3));
        assert_eq!(
            ended.output.result().unwrap(),
            "processor explain --json 17"
        );
        assert_eq!(lines, ["text info"]);
    }

    #[tokio::test]
    async fn a_stop_is_a_sigterm_that_the_command_may_answer() {
        let script =
            "trap 'echo stopping >&2; exit 143' TERM; echo ready >&2; while :; do sleep 0.1; done";
        let stop = CancellationToken::new();
        let mut lines = Vec::new();
        let ended = attend(start(script, Life::OfItsOwn), &stop, STOP_GRACE, |line| {
            // The script has written a line, so its trap is set.
            stop.cancel();
            lines.push(line);
        });
        assert_eq!(ended.await.unwrap().status.code(), Some(143));
        assert_eq!(lines, ["ready", "stopping"]);
    }

    #[tokio::test]
    async fn a_command_that_does_not_stop_is_killed() {
        let script = "trap '' TERM; echo ready >&2; exec sleep 600";
        let stop = CancellationToken::new();
        let ended = attend(
            start(script, Life::OfItsOwn),
            &stop,
            Duration::from_millis(50),
            |_| stop.cancel(),
        );
        let ended = ended.await.unwrap();
        assert_eq!(ended.status.signal(), Some(Signal::KILL.as_raw()));
    }

    #[tokio::test]
    async fn both_outputs_are_read_whatever_their_sizes() {
        let script = "yes line | head -c 300000 >&2; yes 1 | head -n 100000; echo '{\"a\":1}'";
        let (ended, lines) = run(script).await;
        assert_eq!(lines.len(), 60_000);
        assert_eq!(ended.output.result().unwrap()["a"], 1);
    }

    #[tokio::test]
    async fn a_command_of_a_request_is_killed_with_it() {
        // The pipe ends when the process that holds it is gone.
        let mut child = start("echo ready >&2; exec sleep 600", Life::OfRequest);
        let mut stderr = child.stderr.take().unwrap();
        let mut ready = [0; 6];
        stderr.read_exact(&mut ready).await.unwrap();
        drop(child);
        let mut rest = Vec::new();
        stderr.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
    }

    #[test]
    fn a_program_that_is_missing_is_an_error() {
        let line = CommandLine::new(Service::Sink, &["dead-letters"]);
        let launcher = Launcher::new("/nonexistent/console", ["exec"]);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _guard = runtime.enter();
        assert!(launcher.start(&line, Life::OfItsOwn).is_err());
    }
}
