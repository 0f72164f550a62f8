//! The packages: Kafka, the schema registry, and Postgres where none is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::cache::Cache;
use super::maven::Package;
use super::prerequisites;

const KAFKA_VERSION: &str = "4.3.0";
const REGISTRY_VERSION: &str = "2.6.13.Final";
const POSTGRES_VERSION: &str = "18.1.0";

/// Excludes what an artifact itself depends on.
const ALONE: &str = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>";

/// Returns the folder with Kafka's jars.
pub(crate) async fn kafka(cache: &Cache) -> Result<PathBuf> {
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
            // Logs to stderr, configured by system properties alone.
            artifact("org.slf4j", "slf4j-simple", "1.7.36"),
        ]
        .concat(),
    };
    let folder = cache.get(&package, |_| Ok(())).await?;
    Ok(folder.join("files"))
}

/// Returns the folder with the registry's runner jar.
pub(crate) async fn registry(cache: &Cache) -> Result<PathBuf> {
    let package = Package {
        folder: format!("apicurio-registry-{REGISTRY_VERSION}"),
        title: format!("Apicurio Registry {REGISTRY_VERSION}"),
        goal: "copy-dependencies",
        dependencies: format!(
            "<dependency><groupId>io.apicurio</groupId><artifactId>apicurio-registry-app</artifactId><version>{REGISTRY_VERSION}</version><type>tar.gz</type><classifier>all</classifier>{ALONE}</dependency>"
        ),
    };
    let unpack = |folder: &Path| unpack(folder, ".tar.gz", "-xzf");
    Ok(cache.get(&package, unpack).await?.join("app"))
}

/// Returns the folder with `initdb` and `postgres`, of this version or of the default one.
pub(crate) async fn postgres(cache: &Cache, version: Option<&str>) -> Result<PathBuf> {
    let version = version.unwrap_or(POSTGRES_VERSION);
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
    let unpack = |folder: &Path| unpack(folder, ".txz", "-xJf");
    match cache.get(&package, unpack).await {
        Ok(folder) => Ok(folder.join("app/bin")),
        Err(error) => Err(prerequisites::no_postgres(&format!(
            "it could not be downloaded ({error:#})"
        ))),
    }
}

/// Unpacks the one archive in `folder/files` to `folder/app`, and removes it.
fn unpack(folder: &Path, ending: &str, options: &str) -> Result<()> {
    let archive = file_ending(&folder.join("files"), ending)?;
    let app = folder.join("app");
    std::fs::create_dir_all(&app)?;
    let output = Command::new("tar")
        .arg(options)
        .arg(&archive)
        .arg("-C")
        .arg(&app)
        .output()
        .context("`tar` could not be run")?;
    if !output.status.success() {
        bail!(
            "{} could not be unpacked: {}",
            archive.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(std::fs::remove_file(archive)?)
}

/// Returns the one file in `folder` whose name has this ending.
pub(crate) fn file_ending(folder: &Path, ending: &str) -> Result<PathBuf> {
    std::fs::read_dir(folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|file| file.to_string_lossy().ends_with(ending))
        .with_context(|| format!("no file in {} ends with {ending}", folder.display()))
}
