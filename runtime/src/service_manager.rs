//! Notifications to systemd for a service whose unit has `Type=notify`: that it has started, that it
//! still works, and that it stops. systemd sets `NOTIFY_SOCKET`; without this variable nothing is sent.
//!
//! A service has started when it listens. It may not be ready then: it waits for Kafka and Postgres by
//! itself, for as long as they are down. If its start waited for them, systemd would end it after
//! `TimeoutStartSec`, which helps nobody. `/readyz` and the command `health` say whether it is ready.

use std::future::pending;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::lifecycle::{Failure, Shutdown};

/// Lower bound of the period of reports, whatever `WATCHDOG_USEC` says.
const SHORTEST_PERIOD: Duration = Duration::from_millis(10);

/// Returns whether a service manager receives notifications. An empty variable counts as unset.
pub(crate) fn is_present() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty())
}

/// Reports that the service listens, then that it works, if `WatchdogSec` is set, and that it stops.
/// Ends when `shutdown` is requested, so that a service which stops slowly still counts as alive.
pub(crate) async fn report(shutdown: Shutdown) -> Result<(), Failure> {
    send(NotifyState::Ready);
    let stop = async {
        shutdown.announced().await;
        send(NotifyState::Stopping);
        shutdown.requested().await;
    };
    tokio::select! {
        () = stop => {}
        () = report_alive() => {}
    }
    Ok(())
}

/// Reports twice within the watchdog's limit that the runtime works. Without a watchdog it only waits.
async fn report_alive() {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return pending().await;
    };
    let mut ticks = tokio::time::interval((limit / 2).max(SHORTEST_PERIOD));
    loop {
        ticks.tick().await;
        send(NotifyState::Watchdog);
    }
}

fn send(state: NotifyState<'_>) {
    let text = state.to_string();
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("cannot tell systemd {text} through NOTIFY_SOCKET: {error}");
    }
}
