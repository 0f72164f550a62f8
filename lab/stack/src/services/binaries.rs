//! The services' binaries: found, or built by cargo.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::install::prerequisites;
use crate::process::Child;
use crate::progress::{Progress, Step};

/// Names a folder with ready `producer`, `processor`, `sink` and `console` binaries, which are used as
/// they are instead of built.
pub const BINARIES_VARIABLE: &str = "CHECKOUT_BIN_DIR";

const SERVICES: [&str; 4] = ["producer", "processor", "sink", "console"];

/// Where the services' binaries are.
#[derive(Clone, Debug)]
pub struct ServiceBinaries {
    /// The order ingress and the outbox relay.
    pub producer: PathBuf,
    /// Orders to vouchers.
    pub processor: PathBuf,
    /// Vouchers into Postgres.
    pub sink: PathBuf,
    /// The page about the others.
    pub console: PathBuf,
}

impl ServiceBinaries {
    /// Builds the services in the profile of this program. Those of [`BINARIES_VARIABLE`] or,
    /// without cargo, those next to this program are used as they are.
    ///
    /// # Errors
    /// When they do not compile, or there is neither cargo nor a binary.
    pub async fn build() -> Result<Self> {
        Self::build_with(&Progress::Silent).await
    }

    pub(crate) async fn build_with(progress: &Progress) -> Result<Self> {
        if let Some(folder) = std::env::var_os(BINARIES_VARIABLE) {
            return Self::in_folder(Path::new(&folder)).with_context(|| {
                format!("{BINARIES_VARIABLE} names a folder without all of the services")
            });
        }
        let cargo = std::env::var_os("CARGO")
            .map(PathBuf::from)
            .or_else(|| prerequisites::on_path("cargo"));
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        if let Some(cargo) = cargo
            && workspace.join("Cargo.toml").is_file()
        {
            return build(&cargo, &workspace, progress).await;
        }
        let this = std::env::current_exe()?;
        // A test's binary is in `deps`, one level below.
        this.ancestors()
            .skip(1)
            .take(2)
            .find_map(|folder| Self::in_folder(folder).ok())
            .with_context(|| {
                format!(
                    "the services are not next to {}, and there is no cargo on the PATH to build them: name their folder in {BINARIES_VARIABLE}",
                    this.display()
                )
            })
    }

    /// Returns the binary of a service.
    ///
    /// # Errors
    /// When there is no such service.
    pub fn of(&self, service: &str) -> Result<&Path> {
        match service {
            "producer" => Ok(&self.producer),
            "processor" => Ok(&self.processor),
            "sink" => Ok(&self.sink),
            "console" => Ok(&self.console),
            _ => bail!("there is no service {service}"),
        }
    }

    fn in_folder(folder: &Path) -> Result<Self> {
        Self::each(|name| {
            let file = folder.join(name);
            if !file.is_file() {
                bail!("{} does not exist", file.display());
            }
            Ok(file.canonicalize()?)
        })
    }

    fn each(mut binary: impl FnMut(&str) -> Result<PathBuf>) -> Result<Self> {
        Ok(Self {
            producer: binary("producer")?,
            processor: binary("processor")?,
            sink: binary("sink")?,
            console: binary("console")?,
        })
    }
}

/// Builds the services. No package is named: with the whole workspace selected, as by `cargo demo`
/// and `cargo test`, every dependency has the same features and is compiled once.
async fn build(cargo: &Path, workspace: &Path, progress: &Progress) -> Result<ServiceBinaries> {
    let step = progress.step("Building the services");
    step.begin("Building the services");
    let mut command = Command::new(cargo);
    command.arg("build").current_dir(workspace);
    for service in SERVICES {
        command.args(["--bin", service]);
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    command
        .args(["--message-format", "json-render-diagnostics"])
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "100")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // What `cargo run` and `cargo test` set for this package would make cargo rebuild others.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || name == "CARGO_CRATE_NAME"
        {
            command.env_remove(name);
        }
    }
    let spawned = Child::spawn_piped(command)
        .await
        .context("cargo could not be started")?;
    let stdout = tokio::process::ChildStdout::from_std(spawned.stdout.context("no stdout")?)?;
    let stderr = tokio::process::ChildStderr::from_std(spawned.stderr.context("no stderr")?)?;
    let (mut binaries, messages) =
        tokio::try_join!(executables(stdout), show_progress(stderr, &step))?;
    if !spawned.child.wait().await?.success() {
        bail!("the services do not compile:\n{messages}");
    }
    step.done("Services built");
    ServiceBinaries::each(|name| {
        binaries
            .remove(name)
            .with_context(|| format!("cargo built no binary {name}"))
    })
}

/// Reads the paths of the services from cargo's messages.
async fn executables(stdout: tokio::process::ChildStdout) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let name = message["target"]["name"].as_str().unwrap_or_default();
        if let Some(executable) = message["executable"].as_str()
            && SERVICES.contains(&name)
        {
            found.insert(name.to_owned(), PathBuf::from(executable));
        }
    }
    Ok(found)
}

/// Shows the progress that cargo prints; returns what else it prints, such as compiler errors.
async fn show_progress(stderr: tokio::process::ChildStderr, step: &Step) -> Result<String> {
    let mut messages = String::new();
    let mut segments = BufReader::new(stderr).split(b'\r');
    while let Some(segment) = segments.next_segment().await? {
        for line in String::from_utf8_lossy(&segment).lines() {
            match crates_built(line) {
                Some(built) => step.now(&format!("Building the services: {built}")),
                None => messages.extend([line, "\n"]),
            }
        }
    }
    Ok(messages)
}

/// Returns `105/262: sqlx-core, hyper` of `Building [====>      ] 105/262: sqlx-core, hyper`.
fn crates_built(line: &str) -> Option<&str> {
    let (_, built) = line
        .trim_start()
        .strip_prefix("Building [")?
        .split_once("] ")?;
    Some(built.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_that_cargo_prints_is_recognized() {
        let line = "    Building [=======>      ] 105/262: sqlx-core, hyper      ";
        assert_eq!(crates_built(line), Some("105/262: sqlx-core, hyper"));
        assert_eq!(crates_built("   Compiling sqlx-core v0.9.0"), None);
        assert_eq!(crates_built("error[E0308]: mismatched types"), None);
    }
}
