//! What systemd is told of a service whose unit has `Type=notify`: that it has started, that it still
//! works, and that it stops. Without `NOTIFY_SOCKET`, which systemd sets, nothing is sent.
//!
//! A service has started when it listens. It is not always ready then: it waits for Kafka and Postgres
//! by itself, for as long as they are down, and a start that waited for them would be ended by
//! `TimeoutStartSec`, for nothing. Whether it is ready is said by `/readyz` and the command `health`.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::lifecycle::Shutdown;

/// Lower bound of the period of reports, whatever `WATCHDOG_USEC` says.
const SHORTEST_PERIOD: Duration = Duration::from_millis(10);

/// Reports that the service listens, and from then on that it works, if `WatchdogSec` is set, and that
/// it stops.
pub(crate) fn started(shutdown: Shutdown) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    send(NotifyState::Ready);
    tokio::spawn(async move {
        let watchdog = async {
            if let Some(limit) = sd_notify::watchdog_enabled() {
                report_alive(limit).await;
            }
        };
        tokio::join!(report_stop(&shutdown), watchdog);
    });
}

async fn report_stop(shutdown: &Shutdown) {
    shutdown.announced().await;
    send(NotifyState::Stopping);
}

/// Reports twice within `limit` that the runtime works, while the service stops as well.
async fn report_alive(limit: Duration) {
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
