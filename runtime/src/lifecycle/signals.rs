//! SIGTERM and SIGINT (Ctrl-C).

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Shutdown;
use crate::duration::human_duration;

/// The number of the last signal received; SIGINT's before the first one.
static SIGNAL: AtomicU8 = AtomicU8::new(2);

/// Returns what a shell reports for a program that the signal ended: 130 for SIGINT, 143 for
/// SIGTERM.
pub(super) fn exit_code() -> u8 {
    128 + SIGNAL.load(Ordering::Relaxed)
}

/// A subscription to both signals.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn subscribe() -> Option<Self> {
        let signals = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
        );
        let (Ok(terminate), Ok(interrupt)) = signals else {
            tracing::warn!(
                "cannot watch for signals: a signal ends the process at once, without finishing its batch; nothing is lost"
            );
            return None;
        };
        Some(Self {
            terminate,
            interrupt,
        })
    }

    /// Waits for the next signal and records which it is.
    async fn next(&mut self) -> SignalKind {
        let kind = tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        };
        let number = u8::try_from(kind.as_raw_value()).unwrap_or_default();
        SIGNAL.store(number, Ordering::Relaxed);
        kind
    }
}

/// Subscribes now and returns a future that waits for the first signal.
pub(super) fn first() -> impl Future<Output = ()> {
    let signals = Signals::subscribe();
    async move {
        match signals {
            Some(mut signals) => {
                signals.next().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// Requests a shutdown at the first signal and ends the process at the second.
///
/// A SIGTERM is sent by a supervisor that also removes the process from a balancer, which takes a
/// moment, so it is announced first ([`Shutdown::announce_for`]). A SIGINT is a person's Ctrl-C: that
/// person does not want to wait.
pub(super) async fn watch(shutdown: Shutdown) {
    let Some(mut signals) = Signals::subscribe() else {
        return;
    };
    let notice = if signals.next().await == SignalKind::terminate() {
        shutdown.notice()
    } else {
        Duration::ZERO
    };
    let again = async {
        signals.next().await;
        std::process::exit(exit_code().into());
    };
    let stop = async {
        shutdown.announce();
        if notice > Duration::ZERO {
            tracing::info!(
                "stopping in {}, not ready until then; a second signal stops at once",
                human_duration(notice)
            );
            tokio::time::sleep(notice).await;
        }
        tracing::info!("stopping; a second signal stops at once");
        shutdown.request();
        std::future::pending::<()>().await;
    };
    tokio::join!(again, stop);
}
