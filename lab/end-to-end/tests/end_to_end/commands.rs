//! How commands end: with their result, or with an exit code and an error.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::system::{SIGNING_KEY, binaries};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

const DEADLINE: Duration = Duration::from_secs(30);

/// A code whose check character fits.
const CODE: &str = "A527-R3XF-YDHK-X2AD";

fn piped(command: &mut Command) -> &mut Command {
    command
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
}

/// Returns the exit status and stderr.
async fn ended(child: Child) -> Result<(ExitStatus, String)> {
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output())
        .await
        .context("the command still runs")??;
    Ok((
        output.status,
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

#[tokio::test]
async fn output_that_can_t_be_written_is_a_failure() -> Result<()> {
    let processor = &binaries().await?.processor;
    for arguments in [["verify", CODE].as_slice(), &["--help"], &["--version"]] {
        let full = std::fs::File::options().write(true).open("/dev/full")?;
        let mut command = Command::new(processor);
        let child = piped(&mut command).args(arguments).stdout(full).spawn()?;
        let (status, said) = ended(child).await?;
        assert_eq!(status.code(), Some(1), "{arguments:?}: {said}");
        assert!(
            said.contains("cannot write to standard output: No space left on device"),
            "{arguments:?}: {said}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn every_service_prints_its_version_and_the_revision_of_its_sources() -> Result<()> {
    for service in ["producer", "processor", "sink", "console"] {
        let mut command = Command::new(binaries().await?.of(service)?);
        let command = piped(&mut command).arg("--version").stdout(Stdio::piped());
        let printed = tokio::time::timeout(DEADLINE, command.output()).await??;
        let printed = String::from_utf8(printed.stdout)?;
        let start = format!("{service} {} (revision ", env!("CARGO_PKG_VERSION"));
        assert!(printed.starts_with(&start), "{printed}");
        assert!(printed.ends_with(")\n"), "{printed}");
    }
    Ok(())
}

#[tokio::test]
async fn a_reader_that_has_gone_away_ends_a_command_without_a_word() -> Result<()> {
    let processor = &binaries().await?.processor;
    for arguments in [["verify", CODE].as_slice(), &["--help"]] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let mut command = Command::new(processor);
        let child = piped(&mut command).args(arguments).stdout(writer).spawn()?;
        let (status, said) = ended(child).await?;
        assert_eq!(status.code(), Some(141), "{arguments:?}: {said}");
        assert_eq!(said, "", "{arguments:?}");
    }
    // An error that cannot be written to stderr is no panic either.
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let mut command = Command::new(processor);
    let command = piped(&mut command).arg("run").stderr(writer);
    let (status, _) = ended(command.stdout(Stdio::null()).spawn()?).await?;
    assert_eq!(status.code(), Some(2));
    Ok(())
}

/// The commands wait for brokers that accept connections and never answer.
#[tokio::test]
async fn a_signal_ends_a_command_that_waits() -> Result<()> {
    let binaries = binaries().await?;
    let (processor, sink) = (&binaries.processor, &binaries.sink);
    for (binary, arguments, signal, code) in [
        (processor, ["explain", "17"].as_slice(), Signal::INT, 130),
        (processor, &["explain", "17"], Signal::TERM, 143),
        (processor, &["dead-letters"], Signal::INT, 130),
        (processor, &["backfill", "--dry-run"], Signal::INT, 130),
        (processor, &["check"], Signal::INT, 130),
        (sink, &["dead-letters"], Signal::INT, 130),
        (sink, &["check"], Signal::INT, 130),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let mut command = Command::new(binary);
        let command = piped(&mut command)
            .args(arguments)
            .env("KAFKA_BOOTSTRAP_SERVERS", &address)
            .env("VOUCHER_SIGNING_KEY", SIGNING_KEY)
            .stdout(Stdio::null());
        if binary == sink {
            command.env("DATABASE_URL", "postgres://u@127.0.0.1:1/d");
        }
        let child = command.spawn()?;
        let connected = tokio::time::timeout(DEADLINE, listener.accept()).await;
        let _connection = connected.context("it does not connect")??;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        kill_process(pid.context("it has ended")?, signal)?;
        let (status, said) = ended(child).await?;
        assert_eq!(status.code(), Some(code), "{arguments:?}: {said}");
    }
    Ok(())
}
