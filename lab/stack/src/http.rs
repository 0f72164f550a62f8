//! The HTTP client of everything here.

use std::time::Duration;

use anyhow::Result;

/// Returns a client that ignores the user's proxies: all servers are on the loopback interface, or
/// named by the user.
pub(crate) fn client(timeout: Duration) -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .timeout(timeout)
        .no_proxy()
        .build()?)
}
