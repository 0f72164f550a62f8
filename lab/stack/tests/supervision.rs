//! Services that are killed while the stack is up, as a person kills them.
#![cfg(target_os = "linux")] // where children die with a parent that is killed

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Includes the download of the backends and the build of the services.
const START_DEADLINE: Duration = Duration::from_secs(600);
const DEADLINE: Duration = Duration::from_secs(60);

/// A running `stack`. Dropping it kills the process.
struct Stack {
    process: Child,
    directory: tempfile::TempDir,
    lines: mpsc::Receiver<String>,
    printed: Vec<String>,
}

impl Stack {
    fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("stack-")
            .tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR")))
            .expect("the target folder can be written");
        let mut process = Command::new(env!("CARGO_BIN_EXE_stack"))
            .args(arguments)
            .arg("--directory")
            .arg(directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let (sender, lines) = mpsc::channel();
        forward(process.stdout.take().expect("a stdout"), sender.clone());
        forward(process.stderr.take().expect("a stderr"), sender);
        Self {
            process,
            directory,
            lines,
            printed: Vec::new(),
        }
    }

    /// Returns the next line of stdout or stderr that contains `text`.
    fn line_with(&mut self, text: &str, deadline: Duration) -> String {
        let end = Instant::now() + deadline;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.printed.push(line),
                Err(error) => panic!(
                    "no line with {text:?}: {error}; it printed\n{}",
                    self.printed.join("\n")
                ),
            }
            if let Some(line) = self.printed.last()
                && line.contains(text)
            {
                return line.clone();
            }
        }
    }

    /// Returns the process ids that it prints, by service.
    fn processes(&mut self) -> BTreeMap<String, u32> {
        let line = self.line_with("  processes ", START_DEADLINE);
        let service = |part: &str| {
            let (name, pid) = part.split_once(' ').expect("a name and a process id");
            (name.to_owned(), pid.parse::<u32>().expect("a process id"))
        };
        let all = line.trim().trim_start_matches("processes").trim_start();
        all.split(", ").map(service).collect()
    }

    /// Returns a variable of the file that shells read.
    fn variable(&self, name: &str) -> String {
        let file = self.directory.path().join("env");
        let text = std::fs::read_to_string(file).expect("the file with the addresses");
        let start = format!("export {name}=");
        text.lines()
            .find_map(|line| line.strip_prefix(&start))
            .expect("the variable")
            .trim_matches('\'')
            .to_owned()
    }

    /// Returns how it ended.
    fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(begun.elapsed() < DEADLINE, "it still runs after a minute");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a printed line in a shell, with this program and its folder in place of `cargo stack`.
    fn paste(&self, line: &str) -> String {
        let tool = format!(
            "'{}' tool --directory '{}'",
            env!("CARGO_BIN_EXE_stack"),
            self.directory.path().display()
        );
        let output = Command::new("sh")
            .arg("-c")
            .arg(line.replace("cargo stack tool", &tool))
            .env_remove("KAFKA_BOOTSTRAP_SERVERS")
            .output()
            .expect("a shell");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {stderr}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn forward(output: impl Read + Send + 'static, lines: mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = lines.send(line);
        }
    });
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("sh")
        .arg("-c")
        .arg(format!("kill -{name} {pid}"))
        .status()
        .expect("a shell");
    assert!(sent.success(), "process {pid} gets SIG{name}");
}

fn is_ready(address: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    let read = stream
        .write_all(request.as_bytes())
        .and_then(|()| stream.read_to_string(&mut answer));
    read.is_ok() && answer.starts_with("HTTP/1.1 200")
}

#[test]
fn a_killed_service_is_missing_and_then_back_and_dies_with_the_stack() {
    let mut stack = Stack::start(&["up", "--services"]);
    let before = stack.processes();
    let address = stack.variable("SINK_HTTP_ADDR");
    let flow = format!("{}/flow", stack.variable("CONSOLE_URL"));
    assert!(is_ready(&address));

    signal("KILL", before["sink"]);
    let end = format!(
        "The sink (process {}) was killed by signal 9",
        before["sink"]
    );
    let reported = stack.line_with(&end, DEADLINE);
    assert!(
        reported.contains("is started again in 10 s"),
        "it says what happens next: {reported}"
    );
    assert!(
        reported.contains(&flow),
        "it says where to watch: {reported}"
    );
    assert!(!is_ready(&address));

    let back = stack.line_with("The sink is ready again", DEADLINE);
    assert!(is_ready(&address), "it is back at the same address");
    let (_, after) = back.rsplit_once("(process ").unwrap();
    let after: u32 = after.trim_end_matches(").").parse().unwrap();
    assert_ne!(after, before["sink"]);
    assert!(stack::is_alive(after));
    for other in ["producer", "processor", "console"] {
        assert!(stack::is_alive(before[other]), "{other} goes on");
    }

    stack.process.kill().unwrap(); // SIGKILL
    stack.wait();
    let begun = Instant::now();
    while before
        .values()
        .chain([&after])
        .any(|pid| stack::is_alive(*pid))
    {
        assert!(
            begun.elapsed() < DEADLINE,
            "a service outlived the stack: {before:?}, {after}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_demo_says_how_to_break_it_and_stops_while_a_service_is_missing() {
    let mut demo = Stack::start(&["demo", "--orders", "40"]);
    let garbage = demo.line_with("broken-1", START_DEADLINE);
    let running = demo.processes();

    demo.paste(&garbage);
    // One is the demo's own.
    let dead_letters = demo.paste(
        "cargo stack tool kafka-console-consumer -- --topic order-status.dlq --from-beginning \
         --max-messages 2 --timeout-ms 60000",
    );
    assert!(
        dead_letters.lines().any(|value| value == "not an order"),
        "{dead_letters}"
    );

    signal("KILL", running["processor"]);
    demo.line_with("is started again in 10 s", DEADLINE);
    signal("INT", demo.process.id());
    let status = demo.wait();
    assert!(
        status.success(),
        "a service that was killed by hand is no failure: {status}"
    );
    let left: Vec<_> = running
        .values()
        .filter(|pid| stack::is_alive(**pid))
        .collect();
    assert!(left.is_empty(), "still running: {left:?}");
}
