//! How a JVM of ours is started: small, and from an archive of loaded classes (CDS), which halves
//! the time that Kafka, its tools and the registry take to start.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::prerequisites::Java;

/// What is started more often than it does much (tools, the registry) is compiled by the first
/// compiler only; a broker under load needs both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compilers {
    First,
    Both,
}

/// The archive file of a program, for one version of Java: another version can't read it.
pub(crate) fn archive(folder: &Path, java: &Java) -> PathBuf {
    folder.join(format!("classes-java-{}.jsa", java.version))
}

/// `java` with everything up to the class or jar to run.
pub(crate) fn command(java: &Java, heap: &str, compilers: Compilers, archive: &Path) -> Command {
    let mut command = Command::new(&java.binary);
    command.args([heap, "-XX:+UseSerialGC", "-Xshare:auto"]);
    if compilers == Compilers::First {
        command.arg("-XX:TieredStopAtLevel=1");
    }
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
