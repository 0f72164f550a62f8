//! How a JVM of ours is started: small, and from an archive of loaded classes (CDS), which halves
//! the time that Kafka, its tools and the registry take to start.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::prerequisites::Java;

/// What a JVM is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Started more often than it does much (tools, the registry): compiled by the first compiler
    /// only.
    Brief,
    /// A broker under load: both compilers, and a collector that uses every core. The serial one
    /// stops all of it for 25 ms each second or two, the parallel one for 6 (two cores, a thousand
    /// orders a second, exactly once); which is the 99th percentile of every latency behind it.
    Load,
}

/// The archive file of a program, for one version of Java: another version can't read it.
pub(crate) fn archive(folder: &Path, java: &Java) -> PathBuf {
    folder.join(format!("classes-java-{}.jsa", java.version))
}

/// `java` with everything up to the class or jar to run.
pub(crate) fn command(java: &Java, heap: &str, duty: Duty, archive: &Path) -> Command {
    let mut command = Command::new(&java.binary);
    command.args([heap, "-Xshare:auto"]);
    command.args(match duty {
        Duty::Brief => ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"].as_slice(),
        Duty::Load => &["-XX:+UseParallelGC"],
    });
    if archive.is_file() {
        command.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
    }
    // Without this the JVM's own warnings (an archive that doesn't fit) go to stdout.
    command.args(["-Xlog:disable", "-Xlog:all=error:stderr"]);
    // The user's options could break the quiet output of the tools.
    command
        .env_remove("JAVA_TOOL_OPTIONS")
        .env_remove("JDK_JAVA_OPTIONS");
    command
}

/// Has the next run write the archive when it ends.
pub(crate) fn write_archive_at_exit(command: &mut Command, archive: &Path) {
    command.arg(format!("-XX:ArchiveClassesAtExit={}", archive.display()));
}
