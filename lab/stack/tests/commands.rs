//! The program as a person runs it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn directory() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("stack-")
        .tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR")))
        .expect("the target folder can be written")
}

fn stack() -> Command {
    Command::new(env!("CARGO_BIN_EXE_stack"))
}

/// Returns the processes whose command lines contain the directory.
fn processes_in(directory: &Path) -> Vec<u32> {
    let name = directory.to_string_lossy().into_owned();
    std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            *pid != std::process::id() && String::from_utf8_lossy(&line).contains(&name)
        })
        .filter(|pid| stack::is_alive(*pid))
        .collect()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "not within 30 s: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn up_serves_tools_and_its_children_die_with_it_even_on_sigkill() {
    let directory = directory();
    let mut up = stack()
        .args(["up", "--directory"])
        .arg(directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(up.stdout.take().unwrap()).lines();
    assert!(
        output.any(|line| line.unwrap().starts_with("Ready.")),
        "it prints when it is ready"
    );
    let children = processes_in(directory.path());
    assert!(
        children.len() >= 4,
        "it and three backends run: {children:?}"
    );

    let second = stack()
        .args(["up", "--directory"])
        .arg(directory.path())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let stderr = String::from_utf8(second.stderr).unwrap();
    assert!(
        stderr.contains(&format!("another stack (process {}) is running", up.id())),
        "{stderr}"
    );

    let topics = stack()
        .args(["tool", "--directory"])
        .arg(directory.path())
        .args(["kafka-topics", "--", "--list"])
        .env_remove("KAFKA_BOOTSTRAP_SERVERS")
        .output()
        .unwrap();
    let listed = String::from_utf8(topics.stdout).unwrap();
    let mut listed: Vec<&str> = listed
        .lines()
        .filter(|topic| !topic.starts_with("__"))
        .collect();
    listed.sort_unstable();
    assert_eq!(
        listed,
        [
            "order-status",
            "order-status.dlq",
            "order-status.dlq.state",
            "vouchers",
            "vouchers.dlq",
            "vouchers.dlq.state"
        ]
    );

    let wrong = stack()
        .args(["tool", "--directory"])
        .arg(directory.path())
        .args(["kafka-topics", "--", "--no-such-option"])
        .output()
        .unwrap();
    assert_eq!(
        wrong.status.code(),
        Some(1),
        "the tool's exit code is passed on"
    );

    up.kill().unwrap(); // SIGKILL
    up.wait().unwrap();
    wait_until("all children are gone", || {
        children.iter().all(|pid| !stack::is_alive(*pid))
    });
    assert_eq!(processes_in(directory.path()), Vec::<u32>::new());
}

#[test]
fn a_missing_prerequisite_is_an_error_with_the_line_that_installs_it() {
    let directory = directory();
    let run = stack()
        .args(["up", "--directory"])
        .arg(directory.path())
        .env("PATH", "")
        .env_remove("JAVA_HOME")
        .env("XDG_CACHE_HOME", directory.path())
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    let stderr = String::from_utf8(run.stderr).unwrap();
    let [error, hint] = stderr.lines().collect::<Vec<_>>()[..] else {
        panic!("an error and a hint were expected: {stderr}");
    };
    assert!(error.starts_with("error: Kafka"), "{error}");
    assert!(error.contains("Java 17"), "{error}");
    assert!(
        hint.starts_with("hint: sudo apt-get install -y maven "),
        "{hint}"
    );
}

#[test]
fn bad_usage_exits_2() {
    for arguments in [&["up", "--nothing"][..], &["demo", "--orders", "0"], &[]] {
        let run = stack().args(arguments).output().unwrap();
        assert_eq!(run.status.code(), Some(2), "{arguments:?}");
    }
}
