//! How a JVM is started: small, and from an archive of loaded classes (CDS), which halves the time
//! that Kafka, its tools and the registry take to start.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::install::prerequisites::Java;
use crate::process::{Child, pause};

const ARCHIVE_DEADLINE: Duration = Duration::from_secs(60);

/// What a JVM is tuned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tuning {
    /// A quick start (tools, the registry): compiled by the first compiler only.
    Startup,
    /// A broker under load: both compilers, and a collector that uses every core. The serial
    /// collector stops the broker for 25 ms every second or two, the parallel one for 6 (two cores,
    /// a thousand orders a second, exactly once), and every latency behind it has that as its 99th
    /// percentile.
    Load,
}

/// Returns the archive file of a program. Each version of Java has its own.
pub(super) fn archive(folder: &Path, java: &Java) -> PathBuf {
    folder.join(format!("classes-java-{}.jsa", java.version))
}

/// Returns `java` with all options that come before the class or jar to run.
pub(super) fn command(java: &Java, heap: &str, tuning: Tuning, archive: &Path) -> Command {
    let mut command = Command::new(&java.binary);
    command.args([heap, "-Xshare:auto"]);
    command.args(match tuning {
        Tuning::Startup => ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"].as_slice(),
        Tuning::Load => &["-XX:+UseParallelGC"],
    });
    if archive.is_file() {
        command.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
    }
    // By default the JVM's own warnings (an archive that does not fit) go to stdout.
    command.args(["-Xlog:disable", "-Xlog:all=error:stderr"]);
    // The user's options could make the tools print more.
    command
        .env_remove("JAVA_TOOL_OPTIONS")
        .env_remove("JDK_JAVA_OPTIONS");
    command
}

/// Makes the JVM write the archive when it ends.
pub(super) fn write_archive_at_exit(command: &mut Command, archive: &Path) {
    command.arg(format!("-XX:ArchiveClassesAtExit={}", archive.display()));
}

/// Runs a server until it `answers`, and stops it, so that it writes its archive.
///
/// # Errors
/// When it cannot be started, or does not answer or stop in time.
pub(super) async fn run_once(
    mut command: Command,
    answers: impl AsyncFn() -> Result<()>,
) -> Result<()> {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = Child::spawn(command).await?;
    let answered = async {
        while answers().await.is_err() && child.exit_status().is_none() {
            pause().await;
        }
    };
    tokio::time::timeout(ARCHIVE_DEADLINE, answered).await?;
    child.signal(Signal::TERM)?;
    child
        .wait_for(ARCHIVE_DEADLINE)
        .await?
        .context("the server did not stop")?;
    Ok(())
}
