//! A gate in front of the real registry, as firms have them: TLS by an authority of their own, client
//! certificates, users and tokens. What it lets pass goes to the registry unchanged.

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

/// A client that does not finish its handshake keeps others out for no longer than this.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How the gate speaks.
#[derive(Debug, Clone, Copy)]
pub enum Speaks<'a> {
    /// HTTP.
    Plain,
    /// HTTPS, by the certificate `broker` of these.
    Tls(&'a Certificates),
    /// HTTPS to clients that have a certificate of these.
    MutualTls(&'a Certificates),
}

/// A running gate; it ends, with its connections, when it is dropped.
#[derive(Debug)]
pub struct RegistryGate {
    url: String,
    doors: Doors,
    serving: JoinHandle<()>,
    _port: Port,
}

type Doors = Arc<Mutex<Door>>;

#[derive(Debug, Default)]
struct Door {
    /// The header `authorization` of whom it lets in; nobody's: everybody.
    admitted: Option<String>,
    /// The same of whom it knows and refuses.
    forbidden: Option<String>,
    passed: usize,
}

impl RegistryGate {
    /// Opens a gate to the registry at `target`.
    ///
    /// # Errors
    /// Without a port, or with certificates that can't be read.
    pub async fn open(target: &str, speaks: Speaks<'_>) -> Result<Self> {
        let (port, target) = (Port::free()?, reqwest::Url::parse(target)?);
        let scheme = match speaks {
            Speaks::Plain => "http",
            Speaks::Tls(_) | Speaks::MutualTls(_) => "https",
        };
        let url = format!("{scheme}://{}{}", port.address(), target.path());
        let listener = Entrance {
            listener: TcpListener::bind(port.address()).await?,
            acceptor: acceptor(speaks)?,
        };
        let doors = Doors::default();
        let way = Way {
            doors: Arc::clone(&doors),
            target,
            http: reqwest::Client::builder().no_proxy().build()?,
        };
        let app = Router::new().fallback(pass).with_state(way);
        let serving = tokio::spawn(async move {
            // It never ends by itself.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self {
            url,
            doors,
            serving,
            _port: port,
        })
    }

    /// What the gate is asked at instead of the registry.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on it lets in whoever has this header `authorization`, and nobody else.
    pub fn admit(&self, authorization: &str) {
        self.door().admitted = Some(authorization.to_owned());
    }

    /// From now on it knows whoever has this header, and refuses.
    pub fn forbid(&self, authorization: &str) {
        self.door().forbidden = Some(authorization.to_owned());
    }

    /// How many requests it has let pass.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.door().passed
    }

    fn door(&self) -> std::sync::MutexGuard<'_, Door> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RegistryGate {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// No connection is kept, so that a gate that has ended is away for everybody.
const CLOSE: [(&str, &str); 1] = [("connection", "close")];

type Answer = (StatusCode, [(&'static str, &'static str); 1], String);

/// What a request needs to pass.
#[derive(Clone)]
struct Way {
    doors: Doors,
    target: reqwest::Url,
    http: reqwest::Client,
}

async fn pass(
    State(way): State<Way>,
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
        let mut door = way.doors.lock().unwrap_or_else(PoisonError::into_inner);
        if authorization.is_some() && door.forbidden.as_deref() == authorization {
            return refused(StatusCode::FORBIDDEN, "User is denied operation Read");
        }
        if door.admitted.is_some() && door.admitted.as_deref() != authorization {
            return refused(StatusCode::UNAUTHORIZED, "Unauthorized");
        }
        door.passed += 1;
    }
    match forward(&way, method, &uri, &headers, body).await {
        Ok(answer) => answer,
        Err(error) => (
            StatusCode::BAD_GATEWAY,
            CLOSE,
            format!("<html>{error:#}</html>"),
        ),
    }
}

async fn forward(
    way: &Way,
    method: Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Answer> {
    let path = uri.path_and_query().context("a path")?.as_str();
    let mut request = way.http.request(method, way.target.join(path)?).body(body);
    if let Some(kind) = headers.get("content-type") {
        request = request.header("content-type", kind);
    }
    let answer = request.send().await?;
    Ok((answer.status(), CLOSE, answer.text().await?))
}

fn acceptor(speaks: Speaks<'_>) -> Result<Option<SslAcceptor>> {
    let certificates = match speaks {
        Speaks::Plain => return Ok(None),
        Speaks::Tls(certificates) | Speaks::MutualTls(certificates) => certificates,
    };
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    acceptor.set_private_key_file(certificates.path("broker.key"), SslFiletype::PEM)?;
    acceptor.set_certificate_chain_file(certificates.path("broker.pem"))?;
    if matches!(speaks, Speaks::MutualTls(_)) {
        acceptor.set_ca_file(certificates.path("ca.pem"))?;
        acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }
    Ok(Some(acceptor.build()))
}

/// Where clients come in.
struct Entrance {
    listener: TcpListener,
    acceptor: Option<SslAcceptor>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Listener for Entrance {
    type Io = Box<dyn Stream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // An error is the client's, which has left meanwhile.
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
