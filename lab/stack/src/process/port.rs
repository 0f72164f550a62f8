//! Free ports on the loopback interface.
//!
//! They are below the range that the system uses for outgoing connections (32768 and up on Linux),
//! so that a port stays free while its broker is down between a kill and a restart. A port is
//! reserved until its [`Port`] is dropped: within this process and, on Linux, against every other
//! process that reserves ports here, by a socket name in the abstract namespace, which ends with
//! the process.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use rand::Rng;

const RANGE: std::ops::Range<u16> = 20_000..32_000;

static TAKEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A reserved port. Dropping it releases the port.
#[derive(Debug)]
pub struct Port {
    number: u16,
    #[cfg(target_os = "linux")]
    _name: Option<std::os::unix::net::UnixListener>,
}

impl Port {
    /// Reserves a free port, searching from a random one on.
    ///
    /// # Errors
    /// When no port of the range is free.
    pub fn free() -> Result<Self> {
        let first = rand::rng().random_range(RANGE);
        (first..RANGE.end)
            .chain(RANGE.start..first)
            .find_map(Self::reserve)
            .context("no port between 20000 and 32000 is free")
    }

    /// Reserves the port `number`.
    ///
    /// # Errors
    /// When something else listens on it.
    pub fn fixed(number: u16) -> Result<Self> {
        match Self::reserve(number) {
            Some(port) => Ok(port),
            None => bail!("port {number} is in use: name another one, or none to get a free one"),
        }
    }

    /// Reserves the port `number`, or a free one.
    pub(crate) fn fixed_or_free(number: Option<u16>) -> Result<Self> {
        number.map_or_else(Self::free, Self::fixed)
    }

    /// Returns the port's number.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// Returns `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }

    fn reserve(number: u16) -> Option<Self> {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = taken.get_or_insert_default();
        if taken.contains(&number) {
            return None;
        }
        #[cfg(target_os = "linux")]
        let name = {
            use std::os::linux::net::SocketAddrExt;
            use std::os::unix::net::{SocketAddr, UnixListener};
            let name = SocketAddr::from_abstract_name(format!("checkout-port-{number}")).ok()?;
            Some(UnixListener::bind_addr(&name).ok()?)
        };
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        taken.insert(number);
        Some(Self {
            number,
            #[cfg(target_os = "linux")]
            _name: name,
        })
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = taken.as_mut() {
            taken.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_port_is_reserved_until_it_is_dropped() {
        let port = Port::free().unwrap();
        let number = port.number();
        assert!(Port::fixed(number).is_err());
        drop(port);
        // A process that another test forks at this moment shares the socket until it calls exec.
        let end = Instant::now() + Duration::from_secs(10);
        let again = loop {
            match Port::fixed(number) {
                Err(_) if Instant::now() < end => std::thread::yield_now(),
                outcome => break outcome.unwrap(),
            }
        };
        assert_eq!(again.number(), number);
    }

    #[test]
    fn a_port_that_something_listens_on_is_refused() {
        let port = Port::free().unwrap();
        let number = port.number();
        drop(port);
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap();
        assert!(Port::fixed(number).is_err());
    }
}
