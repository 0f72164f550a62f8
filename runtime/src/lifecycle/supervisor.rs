//! The parts of a running service, and its orderly end.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Failure, Shutdown};
use crate::duration::human_duration;
use crate::plural::count;

/// How long the last parts may take to end after all others have ended.
const LAST_PARTS: Duration = Duration::from_secs(1);

/// How one supervised part ended.
struct Ended {
    part: String,
    result: Result<(), Failure>,
    last: bool,
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended: {:?}", self.part, self.result)
    }
}

/// Runs the parts of a service. When one part ends, for whatever reason, the others are asked to
/// stop: a service with half of its parts is worse than one that is restarted.
#[derive(Debug)]
pub struct Supervisor {
    shutdown: Shutdown,
    /// For the parts that outlive the others.
    last_shutdown: Shutdown,
    ended: mpsc::UnboundedReceiver<Ended>,
    report: mpsc::UnboundedSender<Ended>,
    running: usize,
    last_running: usize,
}

impl Supervisor {
    /// Returns a supervisor without parts.
    pub fn new(shutdown: Shutdown) -> Self {
        let (report, ended) = mpsc::unbounded_channel();
        Self {
            last_shutdown: shutdown.requested_separately(),
            shutdown,
            ended,
            report,
            running: 0,
            last_running: 0,
        }
    }

    /// Returns the shutdown that the parts watch.
    pub const fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Runs an asynchronous part.
    pub fn task(
        &mut self,
        part: impl Into<String>,
        future: impl Future<Output = Result<(), Failure>> + Send + 'static,
    ) {
        self.running += 1;
        self.spawn(part.into(), future, false);
    }

    /// Runs an asynchronous part that outlives the others, such as the listener that reports that
    /// the service is stopping. The shutdown that `body` receives is requested when all other parts
    /// have ended.
    pub fn last_task<F>(&mut self, part: impl Into<String>, body: impl FnOnce(Shutdown) -> F)
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.last_running += 1;
        let future = body(self.last_shutdown.clone());
        self.spawn(part.into(), future, true);
    }

    fn spawn(
        &self,
        part: String,
        future: impl Future<Output = Result<(), Failure>> + Send + 'static,
        last: bool,
    ) {
        let report = self.report.clone();
        let handle = tokio::spawn(future);
        tokio::spawn(async move {
            let result = handle.await.unwrap_or_else(|error| {
                Err(Failure::failed(format!(
                    "{part} stopped unexpectedly: {error}"
                )))
            });
            // The receiver is gone only when the service is already ending.
            let _ = report.send(Ended { part, result, last });
        });
    }

    /// Runs a part that blocks, such as a Kafka client's loop, on its own thread.
    ///
    /// # Errors
    /// When the operating system cannot start a thread.
    pub fn thread(
        &mut self,
        part: impl Into<String>,
        body: impl FnOnce() -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let part = part.into();
        let report = self.report.clone();
        let name = part.clone();
        std::thread::Builder::new()
            .name(part.clone())
            .spawn(move || {
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
                    .unwrap_or_else(|_| {
                        Err(Failure::failed(format!(
                            "{part} stopped unexpectedly; the panic message above says where"
                        )))
                    });
                let _ = report.send(Ended {
                    part,
                    result,
                    last: false,
                });
            })
            .map_err(|error| Failure::failed(format!("cannot start the thread {name}: {error}")))?;
        self.running += 1;
        Ok(())
    }

    /// Waits until shutdown is requested or a part ends, and then until all parts have ended.
    ///
    /// # Errors
    /// The first part's failure, or how many parts did not end within `deadline`.
    pub async fn run(mut self, deadline: Duration) -> Result<(), Failure> {
        let mut first_failure = None;
        if self.running > 0 {
            tokio::select! {
                ended = self.ended.recv() => self.note(ended, &mut first_failure),
                () = self.shutdown.requested() => {}
            }
        }
        self.shutdown.request();
        let drained = tokio::time::timeout(deadline, async {
            while self.running > 0 {
                let ended = self.ended.recv().await;
                self.note(ended, &mut first_failure);
            }
        })
        .await;
        self.last_shutdown.request();
        let _ = tokio::time::timeout(LAST_PARTS, async {
            while self.last_running > 0 {
                let ended = self.ended.recv().await;
                self.note(ended, &mut first_failure);
            }
        })
        .await;
        match (first_failure, drained) {
            (Some(failure), _) => Err(failure),
            (None, Ok(())) => Ok(()),
            (None, Err(_)) => Err(Failure::failed(format!(
                "{} did not end within {} of the shutdown; nothing is lost: what was not committed is \
                 done again at the next start",
                count(self.running, "part"),
                human_duration(deadline)
            ))),
        }
    }

    fn note(&mut self, ended: Option<Ended>, first_failure: &mut Option<Failure>) {
        let Some(Ended { part, result, last }) = ended else {
            return;
        };
        if last {
            self.last_running -= 1;
        } else {
            self.running -= 1;
        }
        match result {
            Ok(()) if self.shutdown.is_requested() => tracing::debug!(part, "stopped"),
            Ok(()) => tracing::info!(part, "ended; stopping the others"),
            Err(failure) => {
                tracing::error!(part, "{failure}");
                first_failure.get_or_insert(failure);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn last_parts_hear_of_the_shutdown_at_once_and_end_after_all_others() {
        let shutdown = Shutdown::new();
        let mut supervisor = Supervisor::new(shutdown.clone());
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let (last_sender, work) = (sender.clone(), shutdown.clone());
        supervisor.last_task("http", |stop| async move {
            stop.announced().await;
            let _ = last_sender.send("http announced");
            stop.requested().await;
            let _ = last_sender.send("http ended");
            Ok(())
        });
        supervisor.task("work", async move {
            work.requested().await;
            // Lets the other tasks run, the last part included.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let _ = sender.send("work ended");
            Ok(())
        });
        shutdown.request();
        supervisor.run(Duration::from_secs(10)).await.unwrap();
        let mut events = Vec::new();
        while let Some(event) = receiver.recv().await {
            events.push(event);
        }
        assert_eq!(events, ["http announced", "work ended", "http ended"]);
    }

    #[tokio::test]
    async fn a_part_that_does_not_end_in_time_is_reported_with_the_time_it_had() {
        let shutdown = Shutdown::new();
        let mut supervisor = Supervisor::new(shutdown.clone());
        supervisor.task("work", std::future::pending());
        shutdown.request();
        let failure = supervisor.run(Duration::from_micros(20_098)).await;
        let said = failure.unwrap_err().to_string();
        assert!(
            said.starts_with("1 part did not end within 20 ms of the shutdown"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn a_last_part_that_fails_ends_the_others() {
        let shutdown = Shutdown::new();
        let mut supervisor = Supervisor::new(shutdown.clone());
        supervisor.task("work", async move {
            shutdown.requested().await;
            Ok(())
        });
        supervisor.last_task("http", |_| async { Err(Failure::failed("no port")) });
        let failure = supervisor.run(Duration::from_secs(10)).await.unwrap_err();
        assert_eq!(failure.to_string(), "no port");
    }
}
