//! Commands that run to their end, and processes that write a log.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use tokio::io::AsyncReadExt;

use super::child::Child;

/// Runs `command` to its end with `input` on its stdin.
///
/// # Errors
/// When it cannot be started or its pipes fail. Its own failure is in the output's status.
pub(crate) async fn output(mut command: Command, input: &[u8]) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let spawned = Child::spawn_piped(command)
        .await
        .with_context(|| format!("{program} could not be started"))?;
    let mut stdin = spawned.stdin.context("no stdin")?;
    let input = input.to_vec();
    // A program that ends without reading its input closes the pipe: its exit status says why.
    let written = tokio::task::spawn_blocking(move || stdin.write_all(&input));
    let mut stdout = tokio::process::ChildStdout::from_std(spawned.stdout.context("no stdout")?)?;
    let mut stderr = tokio::process::ChildStderr::from_std(spawned.stderr.context("no stderr")?)?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    tokio::try_join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err))?;
    let status = spawned.child.wait().await?;
    let _ = written.await?;
    Ok(Output {
        status,
        stdout: out,
        stderr: err,
    })
}

/// Runs `command` to its end without input.
///
/// # Errors
/// When it cannot be started or fails: `failed`, and what it printed.
pub(crate) async fn run(command: Command, failed: &str) -> Result<()> {
    let output = output(command, &[]).await?;
    if output.status.success() {
        return Ok(());
    }
    let printed = [output.stdout, output.stderr].concat();
    bail!("{failed}: {}", String::from_utf8_lossy(&printed).trim())
}

/// Starts `command`; what it prints is appended to `log`.
///
/// # Errors
/// When the log cannot be written, or the command cannot be started.
pub(crate) async fn spawn_with_log(mut command: Command, log: &Path, name: &str) -> Result<Child> {
    let program = command.get_program().to_string_lossy().into_owned();
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("the log file {} cannot be written", log.display()))?;
    command.stdout(file.try_clone()?).stderr(file);
    Child::spawn(command)
        .await
        .with_context(|| format!("{name} ({program}) could not be started"))
}
