//! What the user installs: Java for Kafka and the registry, Maven for the first download, Postgres
//! unless it is downloaded too. An error names the line that installs what is missing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Error, Result, anyhow};

const OLDEST_JAVA: u32 = 17;

/// A Java runtime that is new enough.
#[derive(Clone, Debug)]
pub struct Java {
    /// The program `java`.
    pub binary: PathBuf,
    /// The version's digits and dots, `17.0.15`.
    pub(crate) version: String,
}

/// Returns the Java of `JAVA_HOME`, else the one on the `PATH`.
///
/// # Errors
/// When there is none, or it is too old; the error names the line that installs one.
pub fn java() -> Result<Java> {
    let needed = format!("Kafka and the schema registry need Java {OLDEST_JAVA} or newer");
    let of_home = std::env::var_os("JAVA_HOME")
        .map(|home| Path::new(&home).join("bin/java"))
        .filter(|java| java.is_file());
    let Some(binary) = of_home.or_else(|| on_path("java")) else {
        // Maven brings Java along, and both are needed the first time.
        let package = match on_path("mvn") {
            Some(_) => "default-jre-headless",
            None => "maven",
        };
        let what = format!("{needed}, and there is no `java` on the PATH");
        return Err(missing(&what, package));
    };
    let version = java_version(&binary).unwrap_or_else(|| "of an unknown version".to_owned());
    if !is_new_enough(&version) {
        let what = format!("{needed}, and {} is {version}", binary.display());
        return Err(missing(&what, "openjdk-17-jre-headless"));
    }
    Ok(Java { binary, version })
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

/// Returns Maven, which downloads `what`.
///
/// # Errors
/// When it is not on the `PATH`; the error names the line that installs it.
pub fn maven(what: &str) -> Result<PathBuf> {
    on_path("mvn").ok_or_else(|| {
        let what = format!("Maven has to download {what}, and there is no `mvn` on the PATH");
        missing(&what, "maven")
    })
}

/// Returns the folder with `initdb` and `postgres`: of the `PATH`, else the newest of where Linux
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

/// Describes that no Postgres is installed and none can be downloaded.
pub(crate) fn no_postgres(why: &str) -> Error {
    let what =
        format!("Postgres is needed, none is on the PATH or in /usr/lib/postgresql, and {why}");
    missing(&what, "postgresql")
}

/// Returns PgBouncer.
pub(crate) fn pgbouncer() -> Result<PathBuf> {
    on_path("pgbouncer")
        .or_else(|| Some(PathBuf::from("/usr/sbin/pgbouncer")).filter(|path| path.is_file()))
        .ok_or_else(|| missing("there is no `pgbouncer` on the PATH", "pgbouncer"))
}

/// Describes what is missing, and the line that installs it.
pub(crate) fn missing(what: &str, debian_package: &str) -> Error {
    let install = if cfg!(target_os = "macos") {
        let formula = match debian_package {
            "default-jre-headless" | "openjdk-17-jre-headless" => "openjdk",
            other => other,
        };
        format!("brew install {formula}")
    } else {
        format!("sudo apt-get install -y {debian_package}")
    };
    anyhow!("{what}\nhint: {install}   # or run everything in containers: docker compose up")
}

/// Returns the first file of this name on the `PATH`.
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
