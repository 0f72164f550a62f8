//! One TCP link between a service and what it talks to. It can be cut, silenced or slowed down.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use stack::Port;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the link does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Forwards them.
    Open,
    /// Delays every piece, in both directions.
    Slow(Duration),
    /// Keeps connections open and holds the bytes back until the link is open again.
    Silent,
    /// Closes all connections, new ones too.
    Cut,
}

/// A running proxy. Dropping it ends it and its connections.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: Port,
    link: watch::Sender<Link>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on `port` and connects to `target`, which may start later.
    pub(crate) async fn start(port: Port, target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(port.address())
            .await
            .with_context(|| format!("the proxy cannot listen on {}", port.address()))?;
        let (link, state) = watch::channel(Link::Open);
        let accepting = tokio::spawn(accept(listener, target, state));
        Ok(Self {
            port,
            link,
            accepting,
        })
    }

    /// Returns the port to connect to instead of the target's.
    pub(crate) const fn port(&self) -> u16 {
        self.port.number()
    }

    /// Changes what the link does, also on open connections.
    pub(crate) fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The pumps see that the sender is gone and end as after a cut.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, state: watch::Receiver<Link>) {
    loop {
        // The client has disconnected, or the error is transient (too many open files).
        let Ok((client, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        if *state.borrow() != Link::Cut {
            tokio::spawn(connection(client, target, state.clone()));
        }
    }
}

async fn connection(client: TcpStream, target: SocketAddr, state: watch::Receiver<Link>) {
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Whichever direction ends first ends the connection: no protocol here uses half of one.
    tokio::select! {
        _ = pump(from_client, to_server, state.clone()) => {}
        _ = pump(from_server, to_client, state.clone()) => {}
        () = until_cut(state) => {}
    }
}

async fn until_cut(mut state: watch::Receiver<Link>) {
    // An error means that the proxy is gone, which is a cut.
    let _ = state.wait_for(|link| *link == Link::Cut).await;
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<Link>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let link = *state.borrow();
        if let Link::Slow(by) = link {
            tokio::time::sleep(by).await;
        }
        // Also for bytes that were read before the silence began.
        if state.wait_for(|link| *link != Link::Silent).await.is_err() {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn answer(stream: &mut TcpStream) -> std::io::Result<u8> {
        stream.write_all(b"a").await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn a_silent_link_holds_bytes_back_and_a_cut_one_ends_connections() {
        let proxy = Proxy::start(Port::free().unwrap(), echo().await)
            .await
            .unwrap();
        let address = ("127.0.0.1", proxy.port());
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(answer(&mut stream).await.unwrap(), b'a');

        proxy.set(Link::Silent);
        stream.write_all(b"b").await.unwrap();
        let held = tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await;
        assert!(held.is_err(), "nothing passes");
        proxy.set(Link::Open);
        assert_eq!(stream.read_u8().await.unwrap(), b'b', "nothing is lost");

        proxy.set(Link::Slow(Duration::from_millis(20)));
        let begun = std::time::Instant::now();
        assert_eq!(answer(&mut stream).await.unwrap(), b'a');
        assert!(begun.elapsed() >= Duration::from_millis(40));

        proxy.set(Link::Cut);
        assert!(stream.read_u8().await.is_err());
        let mut refused = TcpStream::connect(address).await.unwrap();
        assert!(answer(&mut refused).await.is_err());
        proxy.set(Link::Open);
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(answer(&mut stream).await.unwrap(), b'a');
    }
}
