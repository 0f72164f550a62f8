//! The messages that systemd receives from a service whose unit has `Type=notify`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use end_to_end::system::TestSystem;
use end_to_end::wait;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixDatagram;

/// The socket on which a service manager listens.
struct NotifySocket {
    path: PathBuf,
    socket: UnixDatagram,
}

impl NotifySocket {
    /// Binds it in the folder of temporary files: a socket's path has at most 108 bytes.
    fn bind(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("checkout-notify-{name}"));
        let socket = UnixDatagram::bind(&path)?;
        Ok(Self { path, socket })
    }

    /// Returns the next message.
    async fn next(&self) -> Result<String> {
        let mut buffer = [0; 256];
        let received = tokio::time::timeout(wait::DEADLINE, self.socket.recv(&mut buffer));
        let length = received.await.context("the service reported nothing")??;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    /// Reads messages until one is `expected`, and fails at one that is neither that nor `between`.
    async fn until(&self, expected: &str, between: &str) -> Result<()> {
        loop {
            let message = self.next().await?;
            if message == expected {
                return Ok(());
            }
            assert_eq!(message, between, "before {expected}");
        }
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[tokio::test]
async fn the_start_the_work_and_the_stop_are_reported() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let manager = NotifySocket::bind(&system.name)?;
    let command = system.producer_command("1").await?;
    let producer = command
        .env("NOTIFY_SOCKET", manager.path.display().to_string())
        .env("WATCHDOG_USEC", "200000")
        // Long enough to receive a watchdog message while it stops.
        .env("HTTP_SHUTDOWN_DELAY", "600")
        .start()
        .await?;
    assert_eq!(manager.next().await?, "READY=1\n");
    // The HTTP server listens even while the service waits for something else.
    let live = reqwest::get(producer.url("/livez")).await?;
    assert_eq!(live.status(), 200);
    for _ in 0..3 {
        assert_eq!(manager.next().await?, "WATCHDOG=1\n");
    }

    let pid = Pid::from_raw(i32::try_from(producer.pid())?).context("a process id")?;
    kill_process(pid, Signal::TERM)?;
    manager.until("STOPPING=1\n", "WATCHDOG=1\n").await?;
    assert_eq!(manager.next().await?, "WATCHDOG=1\n");
    Ok(())
}

#[tokio::test]
async fn without_a_watchdog_only_the_start_and_the_stop_are_reported() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let manager = NotifySocket::bind(&system.name)?;
    let command = system.console_command("1").await?;
    let console = command
        .env("NOTIFY_SOCKET", manager.path.display().to_string())
        .env("CONSOLE_WITHOUT_KEYS", "viewer")
        .start()
        .await?;
    assert_eq!(manager.next().await?, "READY=1\n");
    let status = console.terminate(wait::DEADLINE).await?;
    assert!(status.success(), "{status}");
    assert_eq!(manager.next().await?, "STOPPING=1\n");
    Ok(())
}
