//! Child processes that do not outlive this one.
//!
//! Every child is started by one thread that lives as long as the process does, in a process group
//! of its own. The child asks the kernel to kill it when that thread ends (`PR_SET_PDEATHSIG`), so
//! it also dies when this process gets a SIGKILL. The signal is bound to the *thread* that forked:
//! a worker thread or a test's thread may end earlier than the process. On other systems than Linux
//! children are stopped only when [`Child`] is dropped.
#![allow(unsafe_code)] // `pre_exec`: the only way to ask for the death signal between fork and exec

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::{oneshot, watch};

/// The answer has the handle that kills the process, and not the process alone: nobody may wait for the
/// answer any more.
type Job = (Command, oneshot::Sender<io::Result<Spawned>>);

/// Returns the queue of the thread that starts all children of this process.
fn spawner() -> &'static Mutex<mpsc::Sender<Job>> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                for (mut command, answer) in queue {
                    if answer.is_closed() {
                        continue;
                    }
                    let _ = answer.send(spawn_here(&mut command).and_then(Spawned::of));
                }
            })
            .expect("a thread can be started");
        Mutex::new(jobs)
    })
}

fn spawn_here(command: &mut Command) -> io::Result<std::process::Child> {
    command.process_group(0);
    #[cfg(target_os = "linux")]
    {
        let parent = rustix::process::getpid();
        // SAFETY: between fork and exec only async-signal-safe calls are allowed; the closure makes
        // two plain system calls and allocates nothing. std applies uid and gid before it, which
        // matters because a change of user clears the death signal.
        unsafe {
            command.pre_exec(move || {
                rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
                // The parent may have ended before the line above: then no signal will come.
                if rustix::process::getppid() != Some(parent) {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                Ok(())
            });
        }
    }
    command.spawn()
}

/// A running or ended child process. Dropping the last handle kills it.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pid: Pid,
    ended: watch::Receiver<Option<ExitStatus>>,
    /// Held while a signal is sent and while the process is reaped, so that no signal reaches
    /// another process that got the same id.
    signals: Arc<Mutex<()>>,
}

/// A started child and the pipes that its command asked for. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) child: Child,
    pub(crate) stdin: Option<std::process::ChildStdin>,
    pub(crate) stdout: Option<std::process::ChildStdout>,
    pub(crate) stderr: Option<std::process::ChildStderr>,
}

impl Spawned {
    fn of(mut child: std::process::Child) -> io::Result<Self> {
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let pid = child.id();
        let child = Child::watch(child).inspect_err(|_| {
            // Without its watcher nobody would end it.
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                let _ = kill_process(pid, Signal::KILL);
            }
        })?;
        Ok(Self {
            child,
            stdin,
            stdout,
            stderr,
        })
    }
}

impl Child {
    /// Starts `command` without a stdin. If the future is dropped, the process does not outlive it.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub(crate) async fn spawn(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::null());
        Ok(Self::spawn_piped(command).await?.child)
    }

    /// Starts `command` with the stdin, stdout and stderr that it sets. If the future is dropped, the
    /// process does not outlive it.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub(crate) async fn spawn_piped(command: Command) -> io::Result<Spawned> {
        let (answer, spawned) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes has ended");
        spawner()
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send((command, answer))
            .map_err(|_| gone())?;
        spawned.await.map_err(|_| gone())?
    }

    fn watch(mut child: std::process::Child) -> io::Result<Self> {
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other("the child has no process id"))?;
        let (end, ended) = watch::channel(None);
        let signals = Arc::new(Mutex::new(()));
        let reaping = Arc::clone(&signals);
        std::thread::Builder::new()
            .name(format!("wait-{}", child.id()))
            .spawn(move || {
                // Waits without reaping: the process id is not reused before the lock is held.
                while let Err(error) = waitid(
                    WaitId::Pid(pid),
                    WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
                ) {
                    if error != rustix::io::Errno::INTR {
                        break;
                    }
                }
                let _no_signals = reaping.lock().unwrap_or_else(PoisonError::into_inner);
                if let Ok(status) = child.wait() {
                    end.send_replace(Some(status));
                }
            })?;
        Ok(Self {
            inner: Arc::new(Inner {
                pid,
                ended,
                signals,
            }),
        })
    }

    /// Returns the process id.
    #[must_use]
    pub(crate) fn pid(&self) -> u32 {
        self.inner.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Returns how the process ended, or `None` while it runs.
    #[must_use]
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        *self.inner.ended.borrow()
    }

    /// Waits until the process has ended and has been reaped.
    pub(crate) async fn wait(&self) -> io::Result<ExitStatus> {
        let mut ended = self.inner.ended.clone();
        let status = ended
            .wait_for(Option::is_some)
            .await
            .map_err(|_| io::Error::other("the process could not be waited for"))?;
        status.ok_or_else(|| io::Error::other("the process could not be waited for"))
    }

    /// Waits as [`Child::wait`] does, for at most `deadline`; returns `None` if the process still
    /// runs then.
    pub(crate) async fn wait_for(&self, deadline: Duration) -> io::Result<Option<ExitStatus>> {
        match tokio::time::timeout(deadline, self.wait()).await {
            Ok(status) => status.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Sends a signal. Does nothing when the process has ended.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        self.inner.signal(signal)
    }

    /// Sends SIGKILL and waits until the process has ended.
    pub(crate) async fn kill(&self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.wait().await
    }
}

impl Inner {
    fn signal(&self, signal: Signal) -> io::Result<()> {
        let _not_reaped = self.signals.lock().unwrap_or_else(PoisonError::into_inner);
        if self.ended.borrow().is_some() {
            return Ok(());
        }
        Ok(kill_process(self.pid, signal)?)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::time::Instant;

    use super::*;
    use crate::process::is_alive;

    const DEADLINE: Duration = Duration::from_secs(30);

    #[test]
    fn a_process_for_which_nobody_waits_any_more_is_killed() {
        let (reader, writer) = io::pipe().unwrap();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "echo $$; exec sleep 600"])
            .stdout(writer);
        let (answer, spawned) = oneshot::channel();
        spawner()
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send((command, answer))
            .unwrap();
        let mut line = String::new();
        BufReader::new(reader).read_line(&mut line).unwrap();
        let pid: u32 = line.trim().parse().unwrap();

        // As of a future that is dropped while it waits.
        drop(spawned);
        let begun = Instant::now();
        while is_alive(pid) {
            assert!(begun.elapsed() < DEADLINE, "process {pid} still runs");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
