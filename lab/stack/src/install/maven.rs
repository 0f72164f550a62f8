//! Downloads by Maven, so that the user's settings and mirrors apply.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::process::Child;
use crate::progress::Step;

const DEPENDENCY_PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1";

/// Something to download.
pub(super) struct Package {
    /// The folder's name in the cache.
    pub(super) folder: String,
    /// The name that people read.
    pub(super) title: String,
    /// The goal of Maven's dependency plugin: copy the files, or unpack them.
    pub(super) goal: &'static str,
    /// The `<dependency>` elements.
    pub(super) dependencies: String,
}

/// Downloads the files of a package to `folder/files`.
pub(super) async fn download(
    mvn: &Path,
    package: &Package,
    folder: &Path,
    step: &Step,
) -> Result<()> {
    std::fs::write(
        folder.join("pom.xml"),
        format!(
            "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
             <groupId>checkout</groupId><artifactId>download</artifactId><version>1</version>\
             <dependencies>{}</dependencies></project>\n",
            package.dependencies
        ),
    )?;
    let mut command = Command::new(mvn);
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
    if !spawned.child.wait().await?.success() {
        bail!(
            "{} could not be downloaded: {}",
            package.title,
            errors
                .first()
                .map_or("Maven failed and printed no error", String::as_str)
        );
    }
    Ok(())
}
