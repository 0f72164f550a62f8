//! Kafka's jars, the registry and, where none is installed, Postgres: downloaded once by Maven into
//! the user's cache folder.
//!
//! A folder is complete once its marker file is there; the marker is written last. A file lock
//! keeps two processes from filling the same folder, and what an interrupted download has fetched
//! stays in Maven's own repository.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::child::Child;
use crate::prerequisites;
use crate::progress::{Progress, Step};

pub(crate) const KAFKA_VERSION: &str = "4.3.0";
pub(crate) const REGISTRY_VERSION: &str = "2.6.13.Final";
pub(crate) const POSTGRES_VERSION: &str = "18.1.0";
const DEPENDENCY_PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1";

/// The user's cache folder: `XDG_CACHE_HOME`, else `~/.cache`; `checkout` below it.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    progress: Progress,
}

/// Something to download.
struct Package {
    /// The folder's name in the cache.
    folder: String,
    /// For people.
    title: String,
    /// The Maven goal: copy the files, or unpack them.
    goal: &'static str,
    dependencies: String,
}

impl Cache {
    pub(crate) fn open(progress: Progress) -> Result<Self> {
        let base = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute())
            .or_else(|| Some(std::env::home_dir()?.join(".cache")))
            .context("neither XDG_CACHE_HOME nor HOME is set, so there is no cache folder for the downloads")?;
        Ok(Self {
            folder: base.join("checkout"),
            progress,
        })
    }

    /// Kafka's jars; the folder that holds them.
    pub(crate) async fn kafka(&self) -> Result<PathBuf> {
        let artifact = |group: &str, name: &str, version: &str| {
            format!(
                "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
            )
        };
        let package = Package {
            folder: format!("kafka-{KAFKA_VERSION}"),
            title: format!("Apache Kafka {KAFKA_VERSION}"),
            goal: "copy-dependencies",
            dependencies: [
                artifact("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
                artifact("org.apache.kafka", "kafka-tools", KAFKA_VERSION),
                // Logs to stderr, set by system properties alone.
                artifact("org.slf4j", "slf4j-simple", "1.7.36"),
            ]
            .concat(),
        };
        Ok(self.package(&package, |_| Ok(())).await?.join("files"))
    }

    /// The registry, unpacked; the folder that holds its runner jar.
    pub(crate) async fn registry(&self) -> Result<PathBuf> {
        let package = Package {
            folder: format!("apicurio-registry-{REGISTRY_VERSION}"),
            title: format!("Apicurio Registry {REGISTRY_VERSION}"),
            goal: "copy-dependencies",
            dependencies: format!(
                "<dependency><groupId>io.apicurio</groupId><artifactId>apicurio-registry-app</artifactId><version>{REGISTRY_VERSION}</version><type>tar.gz</type><classifier>all</classifier>{ALONE}</dependency>"
            ),
        };
        let folder = self
            .package(&package, |folder| {
                let archive = the_file_ending(&folder.join("files"), ".tar.gz")?;
                unpack(&archive, "-xzf", &folder.join("app"))?;
                Ok(std::fs::remove_file(archive)?)
            })
            .await?;
        Ok(folder.join("app"))
    }

    /// This version of Postgres for this platform, unpacked; the folder that holds `initdb` and
    /// `postgres`.
    pub(crate) async fn postgres(&self, version: &str) -> Result<PathBuf> {
        let platform = match (std::env::consts::OS, std::env::consts::ARCH) {
            ("linux", "x86_64") => "linux-amd64",
            ("linux", "aarch64") => "linux-arm64v8",
            ("macos", "x86_64") => "darwin-amd64",
            ("macos", "aarch64") => "darwin-arm64v8",
            _ => {
                return Err(prerequisites::no_postgres(
                    "there is no download for this platform",
                ));
            }
        };
        let package = Package {
            folder: format!("postgres-{version}"),
            title: format!("Postgres {version}"),
            goal: "unpack-dependencies",
            dependencies: format!(
                "<dependency><groupId>io.zonky.test.postgres</groupId><artifactId>embedded-postgres-binaries-{platform}</artifactId><version>{version}</version>{ALONE}</dependency>"
            ),
        };
        let folder = self
            .package(&package, |folder| {
                let archive = the_file_ending(&folder.join("files"), ".txz")?;
                unpack(&archive, "-xJf", &folder.join("app"))?;
                Ok(std::fs::remove_file(archive)?)
            })
            .await
            .map_err(|error| {
                prerequisites::no_postgres(&format!("it could not be downloaded ({error:#})"))
            })?;
        Ok(folder.join("app/bin"))
    }

    /// A lock on a part of the cache, across processes; free again once dropped.
    pub(crate) async fn lock(&self, name: &str) -> Result<File> {
        let path = self.folder.join(format!("{name}.lock"));
        let lock = move || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let file = File::create(path)?;
            file.lock()?;
            Ok::<_, std::io::Error>(file)
        };
        tokio::task::spawn_blocking(lock)
            .await?
            .with_context(|| format!("the cache folder {} can't be used", self.folder.display()))
    }

    async fn package(&self, package: &Package, finish: fn(&Path) -> Result<()>) -> Result<PathBuf> {
        let folder = self.folder.join(&package.folder);
        let marker = folder.join("complete");
        if marker.is_file() {
            return Ok(folder);
        }
        let maven = prerequisites::maven(&package.title)?;
        let step = self
            .progress
            .step(&format!("{}: waiting for another download", package.title));
        let _lock = self.lock(&package.folder).await?;
        if marker.is_file() {
            return Ok(folder);
        }
        step.begin(&format!(
            "{}: downloading (once, into {})",
            package.title,
            self.folder.display()
        ));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        download(&maven, package, &folder, &step).await?;
        step.now(&format!("{}: unpacking", package.title));
        let complete = folder.clone();
        tokio::task::spawn_blocking(move || finish(&complete)).await??;
        let written = folder.join("complete.new");
        std::fs::write(&written, "")?;
        std::fs::rename(written, marker)?;
        step.done(&format!("{}: downloaded", package.title));
        Ok(folder)
    }
}

/// Without what the artifact itself depends on.
const ALONE: &str = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>";

async fn download(maven: &Path, package: &Package, folder: &Path, step: &Step) -> Result<()> {
    std::fs::write(
        folder.join("pom.xml"),
        format!(
            "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
             <groupId>checkout</groupId><artifactId>download</artifactId><version>1</version>\
             <dependencies>{}</dependencies></project>\n",
            package.dependencies
        ),
    )?;
    let mut command = Command::new(maven);
    command
        .current_dir(folder)
        .arg("--batch-mode")
        .arg(format!("{DEPENDENCY_PLUGIN}:{}", package.goal))
        .arg("-DoutputDirectory=files")
        .arg("-DincludeScope=runtime")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let spawned = Child::spawn_piped(command)
        .await
        .context("Maven could not be started")?;
    let output = spawned.stdout.context("Maven has no output")?;
    let mut lines = BufReader::new(tokio::process::ChildStdout::from_std(output)?).lines();
    let mut errors = Vec::new();
    let mut files = 0_u32;
    while let Some(line) = lines.next_line().await? {
        if let Some((_, from)) = line.split_once("Downloading from ") {
            let name = from.rsplit('/').next().unwrap_or(from);
            step.now(&format!(
                "{}: downloading, {files} files so far, now {name}",
                package.title
            ));
        } else if line.contains("Downloaded from ") {
            files += 1;
        } else if let Some(error) = line.strip_prefix("[ERROR] ") {
            errors.push(error.to_owned());
        }
    }
    let status = spawned.child.wait().await?;
    if !status.success() {
        bail!(
            "{} could not be downloaded: {}",
            package.title,
            errors
                .first()
                .map_or("Maven failed without saying why", String::as_str)
        );
    }
    Ok(())
}

fn unpack(archive: &Path, options: &str, into: &Path) -> Result<()> {
    std::fs::create_dir_all(into)?;
    let output = Command::new("tar")
        .arg(options)
        .arg(archive)
        .arg("-C")
        .arg(into)
        .output()
        .context("`tar` could not be run")?;
    if !output.status.success() {
        bail!(
            "{} could not be unpacked: {}",
            archive.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// The one file in `folder` whose name ends so.
pub(crate) fn the_file_ending(folder: &Path, end: &str) -> Result<PathBuf> {
    std::fs::read_dir(folder)
        .with_context(|| format!("{} can't be read", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|file| file.to_string_lossy().ends_with(end))
        .with_context(|| format!("no file in {} ends in {end}", folder.display()))
}

/// The last lines of a log file, for an error's sentence.
pub(crate) async fn tail(log: &Path, lines: usize) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = tokio::fs::File::open(log).await {
        let _ = file.read_to_end(&mut text).await;
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..)
        .unwrap_or_default()
        .join("\n")
}

/// Waits between two looks at a condition.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}
