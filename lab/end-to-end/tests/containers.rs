//! The commands, flags and variables in the Compose file, the Dockerfile and the systemd units exist in the
//! binaries. `lab/images/run` builds the image and runs the services of the Compose file from it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use stack::ServiceBinaries;
use yaml_serde::Value;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn compose() -> Result<Value> {
    let mut file: Value = yaml_serde::from_str(&std::fs::read_to_string(
        project().join("docker-compose.yml"),
    )?)?;
    file.apply_merge()?;
    Ok(file)
}

fn services(compose: &Value) -> Result<BTreeMap<String, Value>> {
    let services = compose["services"].as_mapping().context("services")?;
    Ok(services
        .iter()
        .map(|(name, service)| {
            (
                name.as_str().unwrap_or_default().to_owned(),
                service.clone(),
            )
        })
        .collect())
}

fn words(value: &Value) -> Vec<String> {
    let words = value.as_sequence().into_iter().flatten();
    words.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Returns the `--help` of a command, which lists every flag and variable that it accepts.
fn help(binaries: &ServiceBinaries, command: &[String]) -> Result<String> {
    let (name, rest) = command.split_first().context("an empty command")?;
    let binary = binaries.of(name)?;
    let subcommand = rest.first().context("no subcommand")?;
    let mut help = help_of(binary, &[subcommand.as_str()])?;
    if name == "console" {
        // The commands that the console runs inherit its environment.
        for words in RUN_BY_THE_CONSOLE {
            help += &help_of(binary, words)?;
        }
    }
    Ok(help)
}

/// Commands that the console runs. Together they read every setting that the console passes on.
const RUN_BY_THE_CONSOLE: [&[&str]; 4] = [
    &["exec", "processor", "explain"],
    &["exec", "processor", "backfill"],
    &["exec", "processor", "redrive"],
    &["exec", "sink", "redrive"],
];

fn help_of(binary: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new(binary).args(words).arg("--help").output()?;
    anyhow::ensure!(
        output.status.success(),
        "{words:?} is no command of {}",
        binary.display()
    );
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn every_command_flag_and_variable_of_the_compose_file_exists() -> Result<()> {
    let binaries = ServiceBinaries::build().await?;
    let mut ours = 0;
    for (name, service) in services(&compose()?)? {
        if service["build"].is_null() {
            continue;
        }
        ours += 1;
        let command = words(&service["command"]);
        let help = help(&binaries, &command)?;
        for flag in command.iter().skip(2) {
            assert!(
                help.contains(flag.as_str()),
                "{name}: {flag} is not in\n{help}"
            );
        }
        if name != "setup" {
            let test = words(&service["healthcheck"]["test"]);
            // The image has no shell, so that CMD-SHELL would always fail.
            assert_eq!(test, ["CMD", name.as_str(), "health"], "{name}");
        }
        for (variable, _) in service["environment"].as_mapping().context("environment")? {
            let variable = variable.as_str().context("a variable's name")?;
            assert!(
                help.contains(&format!("[env: {variable}")),
                "{name}: {variable} is no variable of {command:?}\n{help}"
            );
        }
    }
    assert_eq!(ours, 5, "setup, producer, processor, sink, console");
    Ok(())
}

#[tokio::test]
async fn every_command_and_variable_of_the_units_exists() -> Result<()> {
    let binaries = ServiceBinaries::build().await?;
    for service in ["producer", "processor", "sink", "console"] {
        let path = project().join(format!("deploy/systemd/checkout-{service}.service"));
        let unit = std::fs::read_to_string(path)?;
        let start = format!("ExecStart=/usr/local/bin/{service} run");
        assert!(unit.lines().any(|line| line == start), "no {start}");
        let help = help(&binaries, &[service.to_owned(), "run".to_owned()])?;
        let variables = unit
            .lines()
            .filter_map(|line| Some(line.strip_prefix("Environment=")?.split_once('=')?.0));
        for variable in variables {
            assert!(
                help.contains(&format!("[env: {variable}")),
                "{service}: {variable} is no variable of run\n{help}"
            );
        }
    }
    Ok(())
}

#[test]
fn images_are_pinned_and_dependencies_exist() -> Result<()> {
    let compose = compose()?;
    let services = services(&compose)?;
    for (name, service) in &services {
        let image = service["image"].as_str().context("image")?;
        let (_, tag) = image
            .rsplit_once(':')
            .with_context(|| format!("{name}: {image} has no tag"))?;
        assert_ne!(tag, "latest", "{name}");
        for (needed, _) in service["depends_on"].as_mapping().into_iter().flatten() {
            assert!(
                services.contains_key(needed.as_str().unwrap_or_default()),
                "{name}: {needed:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn the_dockerfile_builds_what_is_in_the_workspace_and_does_not_run_as_root() -> Result<()> {
    let text = std::fs::read_to_string(project().join("deploy/Dockerfile"))?;
    for service in ["producer", "processor", "sink", "console"] {
        assert!(text.contains(&format!("--bin {service}")) && project().join(service).is_dir());
    }
    // Every base image is an argument, whose default is a public image with a tag.
    let images: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("ARG ")?.split_once("_IMAGE="))
        .collect();
    for (name, image) in &images {
        assert!(
            image.contains(':') && !image.contains("latest"),
            "{name}: {image} has no tag"
        );
    }
    for line in text.lines().filter(|line| line.starts_with("FROM ")) {
        let is_ours = line.starts_with("FROM scratch ")
            || images
                .iter()
                .any(|(name, _)| line.starts_with(&format!("FROM ${{{name}_IMAGE}}")));
        assert!(is_ours, "no argument: {line}");
    }
    let user = text.lines().rfind(|line| line.starts_with("USER "));
    assert_eq!(user, Some("USER 65532:65532"));
    let manifest = std::fs::read_to_string(project().join("Cargo.toml"))?;
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"'))
        .context("rust-version")?;
    assert!(
        images
            .iter()
            .any(|(_, image)| image.contains(&format!("/rust:{version}."))),
        "the Dockerfile's Rust is not {version}"
    );
    Ok(())
}
