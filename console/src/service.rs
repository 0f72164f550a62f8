//! `console run`: wires sessions, scraping, runs and the listener.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use runtime::http::ConnectionLimits;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::metrics::CONSOLE_KEYS;
use runtime::service::Service;
use runtime::stepping::DRAIN;

use crate::Console;
use crate::http::session::{Access, Sessions};
use crate::open_dead_letters::count_while_watched;
use crate::runs::{MAX_RUNNING, Runs};
use crate::scrape::{Live, Targets};
use crate::settings::{Inherited, Prepared, RunSettings};

/// The limits of the listener. A page has one stream, and over HTTP/1.1 up to five more connections.
const CONNECTIONS: ConnectionLimits = ConnectionLimits {
    connections: 512,
    idle: Duration::from_secs(75),
};

/// How often `CONSOLE_KEYS_FILE` is read. A key that is taken out of it works for up to two periods.
const KEYS_PERIOD: Duration = Duration::from_secs(1);

/// How long a service may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs until shutdown.
///
/// # Errors
/// Exit code 2 for settings, 1 for everything else that a person has to repair.
pub async fn run(settings: RunSettings, shutdown: Shutdown) -> Result<(), Failure> {
    let Prepared { access, orders_key } = settings.prepare()?;
    let address = settings.listener.address.console_http_addr;
    let client = client()?;
    let mut service = Service::new("console", shutdown.clone())?;
    let sessions = match access {
        Access::Anyone(role) => {
            tracing::warn!(
                "no key is needed: everybody who reaches {address} has the role {}",
                role.as_str()
            );
            Sessions::of_anyone(role)
        }
        Access::Keys(file) => {
            let (keys, reload) = file.watched();
            let counted = |keys: usize| gauge!(CONSOLE_KEYS).set(keys as f64);
            let reload = reload.run(KEYS_PERIOD, counted, shutdown.clone());
            service.supervisor.task("keys", reload);
            Sessions::of_keys(keys)
        }
    };
    let live = Live::new(Targets::from(&settings.instances), client.clone());
    let runs = Runs::new(MAX_RUNNING);
    let console = Console {
        settings: Arc::new(settings),
        inherited: Arc::new(Inherited::read()),
        orders_key,
        live: live.clone(),
        runs: runs.clone(),
        sessions,
        http: client,
        shutdown: shutdown.clone(),
    };
    let routes = crate::http::router(console, service.routes());
    let listener = runtime::http::bind(address, "CONSOLE_HTTP_ADDR").await?;
    service.serve_api(listener, routes, CONNECTIONS, || ());
    let counting = count_while_watched(live.clone(), runs.clone(), shutdown.clone());
    service.supervisor.task("open-dead-letters", async move {
        counting.await;
        Ok(())
    });
    let scraping = live.run(shutdown.clone());
    service.supervisor.task("scrape", async move {
        scraping.await;
        Ok(())
    });
    service.supervisor.task("runs", runs.run(shutdown));
    tracing::info!(%address, "console started");
    // The task of the runs waits up to DRAIN for its commands, and needs a few more seconds to report
    // the commands that did not end.
    service.supervisor.run(DRAIN + Duration::from_secs(3)).await
}

/// Returns the client for the services and the ingress. It ignores the environment's proxy, which is
/// for external hosts, because the services are in the same network.
fn client() -> Result<reqwest::Client, Failure> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| Failure::failed(format!("cannot create the HTTP client: {error}")))
}
