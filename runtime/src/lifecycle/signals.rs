//! SIGTERM and SIGINT (Ctrl-C).

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Shutdown;

/// The last signal that came; none yet: SIGINT's number.
static SIGNAL: AtomicU8 = AtomicU8::new(2);

/// What a shell reports for a program that the signal ended: 130 for SIGINT, 143 for SIGTERM.
pub(super) fn exit_code() -> u8 {
    128 + SIGNAL.load(Ordering::Relaxed)
}

/// Both signals, from now on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Option<Self> {
        let signals = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
        );
        let (Ok(terminate), Ok(interrupt)) = signals else {
            tracing::warn!("can't watch for signals; a stop will be abrupt (and safe)");
            return None;
        };
        Some(Self {
            terminate,
            interrupt,
        })
    }

    /// Waits for the next one, and notes which it is.
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

/// Listens from now on; the future waits for the first signal.
pub(super) fn first() -> impl Future<Output = ()> {
    let signals = Signals::listen();
    async move {
        match signals {
            Some(mut signals) => {
                signals.next().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// The first signal asks for a shutdown; the second ends the process at once.
///
/// A SIGTERM comes from a supervisor that also takes the process out of a balancer, which takes a
/// moment: it is announced first. A SIGINT is a person's Ctrl-C, who does not want to wait.
pub(super) async fn watch(shutdown: Shutdown, delay: Duration) {
    let Some(mut signals) = Signals::listen() else {
        return;
    };
    let delay = if signals.next().await == SignalKind::terminate() {
        delay
    } else {
        Duration::ZERO
    };
    let again = async {
        signals.next().await;
        std::process::exit(exit_code().into());
    };
    let stop = async {
        shutdown.announce();
        if delay > Duration::ZERO {
            tracing::info!(
                "stopping in {delay:?}, not ready until then; a second signal stops at once"
            );
            tokio::time::sleep(delay).await;
        }
        tracing::info!("stopping; a second signal stops at once");
        shutdown.request();
        std::future::pending::<()>().await;
    };
    tokio::join!(again, stop);
}
