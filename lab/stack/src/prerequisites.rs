//! What must be on the machine: Java for Kafka and the registry, Maven for the first download,
//! Postgres. What is missing is told in one sentence.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

const OLDEST_JAVA: u32 = 17;
const DOCKER: &str = "or run everything in containers instead: `docker compose up`";

/// A Java runtime that is new enough.
#[derive(Clone, Debug)]
pub(crate) struct Java {
    pub(crate) binary: PathBuf,
    /// The version's digits and dots, `17.0.15`.
    pub(crate) version: String,
}

impl Java {
    /// The one of `JAVA_HOME`, else the one on the `PATH`.
    pub(crate) fn find() -> Result<Self> {
        let install = format!(
            "install a JDK (on Debian and Ubuntu: `apt install default-jdk-headless`), {DOCKER}"
        );
        let of_home = std::env::var_os("JAVA_HOME")
            .map(|home| Path::new(&home).join("bin/java"))
            .filter(|java| java.is_file());
        let Some(binary) = of_home.or_else(|| on_path("java")) else {
            bail!(
                "Kafka and the schema registry need Java {OLDEST_JAVA} or newer, and there is none on the PATH: {install}"
            );
        };
        let Some(version) = java_version(&binary) else {
            bail!("{} doesn't tell its version: {install}", binary.display());
        };
        if !is_new_enough(&version) {
            bail!(
                "Kafka needs Java {OLDEST_JAVA} or newer, and {} is {version}: {install}",
                binary.display()
            );
        }
        Ok(Self { binary, version })
    }
}

fn java_version(java: &Path) -> Option<String> {
    let output = Command::new(java).arg("-version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let version = text.split('"').nth(1)?;
    Some(
        version
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect(),
    )
}

fn is_new_enough(version: &str) -> bool {
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major >= OLDEST_JAVA)
}

/// Maven, which downloads the jars.
pub(crate) fn maven(what: &str) -> Result<PathBuf> {
    match on_path("mvn") {
        Some(maven) => Ok(maven),
        None => bail!(
            "Maven is needed once, to download {what}, and there is no `mvn` on the PATH: install it (on Debian and Ubuntu: `apt install maven`), {DOCKER}"
        ),
    }
}

/// The folder with `initdb` and `postgres`: of the `PATH`, else the newest of where Linux
/// distributions and Homebrew put them.
pub(crate) fn postgres() -> Option<PathBuf> {
    let complete =
        |folder: &Path| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    if let Some(folder) =
        on_path("initdb").and_then(|initdb| Some(initdb.canonicalize().ok()?.parent()?.to_owned()))
        && complete(&folder)
    {
        return Some(folder);
    }
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
    ] {
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let version = name
                .to_str()
                .and_then(|name| name.strip_prefix(prefix)?.parse().ok());
            let folder = entry.path().join("bin");
            if let Some(version) = version
                && complete(&folder)
            {
                found.push((version, folder));
            }
        }
    }
    found.into_iter().max().map(|(_, folder)| folder)
}

/// The sentence for a machine without Postgres where it can't be downloaded either.
pub(crate) fn no_postgres(why: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "Postgres is needed, none is on the PATH or in /usr/lib/postgresql, and {why}: install it (on Debian and Ubuntu: `apt install postgresql`), {DOCKER}"
    )
}

/// The first file of that name on the `PATH`.
pub(crate) fn on_path(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name.as_ref()))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_17_is_new_enough_and_java_8_is_not() {
        assert!(is_new_enough("17.0.15"));
        assert!(is_new_enough("25"));
        assert!(!is_new_enough("1.8.0"));
        assert!(!is_new_enough("11.0.2"));
        assert!(!is_new_enough(""));
    }
}
