//! A proxy in front of the real registry, as companies run them: TLS with a private authority, client
//! certificates, users and tokens. What it accepts is forwarded to the registry unchanged.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::serve::Listener;
use openssl::ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod, SslVerifyMode};
use stack::Port;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_openssl::SslStream;

use crate::certificates::Certificates;

/// A client that does not finish its handshake blocks others for at most this time.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// What the proxy speaks.
#[derive(Debug, Clone, Copy)]
pub enum Protocol<'a> {
    /// HTTP.
    Plain,
    /// HTTPS, with the certificate `broker` of these.
    Tls(&'a Certificates),
    /// HTTPS, for clients that have a certificate of these.
    MutualTls(&'a Certificates),
}

/// A running proxy. Dropping it ends it and its connections.
#[derive(Debug)]
pub struct RegistryProxy {
    url: String,
    access: SharedAccess,
    serving: JoinHandle<()>,
    _port: Port,
}

type SharedAccess = Arc<Mutex<Access>>;

#[derive(Debug, Default)]
struct Access {
    /// The header `authorization` of clients that are forwarded; `None`: all are.
    accepted: Option<String>,
    /// The header of a client that is known and may not read.
    forbidden: Option<String>,
    forwarded: usize,
}

impl RegistryProxy {
    /// Starts a proxy to the registry at `target`.
    ///
    /// # Errors
    /// When there is no free port, or the certificates cannot be read.
    pub async fn open(target: &str, protocol: Protocol<'_>) -> Result<Self> {
        let (port, target) = (Port::free()?, reqwest::Url::parse(target)?);
        let scheme = match protocol {
            Protocol::Plain => "http",
            Protocol::Tls(_) | Protocol::MutualTls(_) => "https",
        };
        let url = format!("{scheme}://{}{}", port.address(), target.path());
        let listener = TlsListener {
            listener: TcpListener::bind(port.address()).await?,
            acceptor: acceptor(protocol)?,
        };
        let access = SharedAccess::default();
        let upstream = Upstream {
            access: Arc::clone(&access),
            target,
            http: reqwest::Client::builder().no_proxy().build()?,
        };
        let app = Router::new().fallback(handle).with_state(upstream);
        let serving = tokio::spawn(async move {
            // It never ends by itself.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self {
            url,
            access,
            serving,
            _port: port,
        })
    }

    /// Returns the URL to use instead of the registry's.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Forwards from now on only requests with this header `authorization`.
    pub fn accept(&self, authorization: &str) {
        self.access().accepted = Some(authorization.to_owned());
    }

    /// Answers 403 from now on to requests with this header `authorization`.
    pub fn forbid(&self, authorization: &str) {
        self.access().forbidden = Some(authorization.to_owned());
    }

    /// Returns the number of requests that were forwarded.
    #[must_use]
    pub fn forwarded(&self) -> usize {
        self.access().forwarded
    }

    fn access(&self) -> std::sync::MutexGuard<'_, Access> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RegistryProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Connections are not kept alive, so that no client reaches a proxy that has ended.
const CLOSE: [(&str, &str); 1] = [("connection", "close")];

type Answer = (StatusCode, [(&'static str, &'static str); 1], String);

/// What a request handler needs.
#[derive(Clone)]
struct Upstream {
    access: SharedAccess,
    target: reqwest::Url,
    http: reqwest::Client,
}

async fn handle(
    State(upstream): State<Upstream>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let refused = |status: StatusCode, message: &str| {
        let code = status.as_u16();
        let body = serde_json::json!({"error_code": code, "message": message});
        (status, CLOSE, body.to_string())
    };
    let authorization = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    {
        let mut access = upstream
            .access
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if authorization.is_some() && access.forbidden.as_deref() == authorization {
            return refused(StatusCode::FORBIDDEN, "User is denied operation Read");
        }
        if access.accepted.is_some() && access.accepted.as_deref() != authorization {
            return refused(StatusCode::UNAUTHORIZED, "Unauthorized");
        }
        access.forwarded += 1;
    }
    match forward(&upstream, method, &uri, &headers, body).await {
        Ok(answer) => answer,
        Err(error) => (
            StatusCode::BAD_GATEWAY,
            CLOSE,
            format!("<html>{error:#}</html>"),
        ),
    }
}

async fn forward(
    upstream: &Upstream,
    method: Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Answer> {
    let path = uri.path_and_query().context("a path")?.as_str();
    let mut request = upstream
        .http
        .request(method, upstream.target.join(path)?)
        .body(body);
    if let Some(kind) = headers.get("content-type") {
        request = request.header("content-type", kind);
    }
    let answer = request.send().await?;
    Ok((answer.status(), CLOSE, answer.text().await?))
}

fn acceptor(protocol: Protocol<'_>) -> Result<Option<SslAcceptor>> {
    let certificates = match protocol {
        Protocol::Plain => return Ok(None),
        Protocol::Tls(certificates) | Protocol::MutualTls(certificates) => certificates,
    };
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    acceptor.set_private_key_file(certificates.path("broker.key"), SslFiletype::PEM)?;
    acceptor.set_certificate_chain_file(certificates.path("broker.pem"))?;
    if matches!(protocol, Protocol::MutualTls(_)) {
        acceptor.set_ca_file(certificates.path("ca.pem"))?;
        acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }
    Ok(Some(acceptor.build()))
}

/// Accepts connections, over TLS where an acceptor is set.
struct TlsListener {
    listener: TcpListener,
    acceptor: Option<SslAcceptor>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Listener for TlsListener {
    type Io = Box<dyn Stream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // The client has disconnected meanwhile.
            let Ok((stream, address)) = self.listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            let Some(acceptor) = &self.acceptor else {
                return (Box::new(stream), address);
            };
            let greeted = tokio::time::timeout(HANDSHAKE, handshake(acceptor, stream)).await;
            if let Ok(Ok(stream)) = greeted {
                return (Box::new(stream), address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn handshake(acceptor: &SslAcceptor, stream: TcpStream) -> Result<SslStream<TcpStream>> {
    let mut stream = SslStream::new(Ssl::new(acceptor.context())?, stream)?;
    Pin::new(&mut stream).accept().await?;
    Ok(stream)
}
