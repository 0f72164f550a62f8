//! Who is signed in.
//!
//! A key is posted once and exchanged for a cookie, because an `EventSource` sends no `Authorization`
//! header. Sessions are in memory: a restart ends them. A session always has the present rights of its
//! key: it ends when the key is removed from the file, and a changed role applies from the next request
//! on.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use metrics::{counter, gauge};
use runtime::key_file::{KeyDigest, KeyFile, digest};
use runtime::metrics::{CONSOLE_SESSIONS, CONSOLE_SIGN_INS};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::cookie;
use super::keys::ConsoleKeys;
use super::problem::Problem;
use crate::Console;
use crate::settings::Role;

/// How long a session lasts: a working day, so that a page left open overnight asks for the key again.
pub(super) const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// Maximum number of sessions. A further one ends the oldest. Bounds the memory, because a script may
/// sign in for every request.
const MAX_SESSIONS: usize = 1000;

/// Attempts to sign in that an address may make at once, and in each minute. With keys of at least 16
/// characters nobody guesses one at this rate.
const ATTEMPTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);

/// The number of addresses with attempts beyond which addresses without recent attempts are forgotten.
const MAX_ADDRESSES: usize = 10_000;

/// The name of every user of a console without keys.
const ANYONE: &str = "anyone";

/// Who may use the console.
#[derive(Debug)]
pub enum Access {
    /// Everybody has this role.
    Anyone(Role),
    /// Everybody who has a key of this file.
    Keys(KeyFile<ConsoleKeys>),
}

/// The person who makes a request. As an extractor, it requires at least the role viewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The name of the key, which audit records have too.
    pub name: String,
    /// The role of the key.
    pub role: Role,
}

/// The person who makes a request, with the role operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator(pub Identity);

/// The person who makes a request, and the session with which a long-lived request ends.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// Who it is.
    pub(crate) identity: Identity,
    /// `None` for a console without keys.
    session: Option<SessionId>,
}

/// The SHA-256 of a session's token. The token itself is not kept, and the duration of a look-up
/// reveals nothing about it.
type SessionId = [u8; 32];

/// The secret by which a browser identifies its session.
pub(super) struct Token(String);

impl Token {
    /// Generates 256 random bits, as hex digits.
    fn new() -> Self {
        Self(hex::encode(rand::random::<[u8; 32]>()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn id(&self) -> SessionId {
        digest(self.0.as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(token)")
    }
}

/// The sessions and their owners. Clones share one state.
#[derive(Clone)]
pub struct Sessions(Arc<Shared>);

struct Shared {
    allowed: Allowed,
    open: Mutex<HashMap<SessionId, Session>>,
    /// Counts ended sessions; a change makes each stream of events check whether its own session has
    /// ended.
    ended: watch::Sender<u64>,
    attempts: DefaultKeyedRateLimiter<IpAddr>,
}

/// Who may have a session.
enum Allowed {
    Anyone(Role),
    Keys(watch::Receiver<ConsoleKeys>),
}

#[derive(Debug, Clone, Copy)]
struct Session {
    key: KeyDigest,
    expires: Instant,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sessions({} open)", self.0.lock().len())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    /// Gives everybody `role` without a session.
    pub fn of_anyone(role: Role) -> Self {
        Self::new(Allowed::Anyone(role), Quota::per_minute(ATTEMPTS))
    }

    /// Requires a session, which is opened with one of `keys`.
    pub fn of_keys(keys: watch::Receiver<ConsoleKeys>) -> Self {
        Self::new(Allowed::Keys(keys), Quota::per_minute(ATTEMPTS))
    }

    fn new(allowed: Allowed, attempts: Quota) -> Self {
        Self(Arc::new(Shared {
            allowed,
            open: Mutex::default(),
            ended: watch::channel(0).0,
            attempts: RateLimiter::keyed(attempts),
        }))
    }

    /// Returns whether a key is needed.
    pub(crate) fn need_a_key(&self) -> bool {
        matches!(self.0.allowed, Allowed::Keys(_))
    }

    /// Opens a session for the owner of `key`. Returns `None` if the console needs no keys.
    ///
    /// # Errors
    /// 401 for an unknown key; 429 after too many attempts from `peer`, whether the key is known or not.
    pub(super) fn sign_in(&self, peer: IpAddr, key: &[u8]) -> Result<Option<Token>, Problem> {
        let Allowed::Keys(keys) = &self.0.allowed else {
            return Ok(None);
        };
        self.take_attempt(peer)?;
        let key = digest(key);
        let Some(identity) = keys.borrow().identify(&key) else {
            counter!(CONSOLE_SIGN_INS, "outcome" => "refused").increment(1);
            tracing::warn!(%peer, "somebody tried to sign in with an unknown key");
            return Err(Problem::unknown_key());
        };
        counter!(CONSOLE_SIGN_INS, "outcome" => "accepted").increment(1);
        tracing::info!(%peer, name = identity.name, role = identity.role.as_str(), "signed in");
        let token = Token::new();
        let expires = Instant::now() + LIFETIME;
        self.open(token.id(), Session { key, expires });
        Ok(Some(token))
    }

    /// Ends every session whose cookie a request has, under either name.
    pub(super) fn sign_out(&self, headers: &HeaderMap) {
        let ids = cookie::all_tokens(headers).map(|token| digest(token.as_bytes()));
        let mut open = self.0.lock();
        let before = open.len();
        for id in ids {
            open.remove(&id);
        }
        let ended = open.len() < before;
        gauge!(CONSOLE_SESSIONS).set(open.len() as f64);
        drop(open);
        if ended {
            self.announce_ended();
        }
    }

    /// Returns the person who makes a request, or `None` if nobody is signed in. `in_uri` is the host in
    /// the request's URI.
    fn visitor(&self, headers: &HeaderMap, in_uri: Option<&Authority>) -> Option<Visitor> {
        match &self.0.allowed {
            Allowed::Anyone(role) => Some(Visitor {
                identity: Identity {
                    name: ANYONE.to_owned(),
                    role: *role,
                },
                session: None,
            }),
            Allowed::Keys(keys) => cookie::tokens(headers, in_uri).find_map(|token| {
                let id = digest(token.as_bytes());
                let session = self.session(&id)?;
                let identity = keys.borrow().identify(&session.key)?;
                Some(Visitor {
                    identity,
                    session: Some(id),
                })
            }),
        }
    }

    /// Waits until the session of `visitor` has ended: by a sign-out, by its age, or because its key is no
    /// longer valid.
    pub(crate) async fn ended(&self, visitor: &Visitor) {
        let (Some(id), Allowed::Keys(keys)) = (&visitor.session, &self.0.allowed) else {
            return std::future::pending().await;
        };
        let (mut keys, mut ended) = (keys.clone(), self.0.ended.subscribe());
        while let Some(session) = self.session(id) {
            if keys.borrow_and_update().identify(&session.key).is_none() {
                return;
            }
            // An error means that the keys' sender was dropped at shutdown, which ends the streams by
            // itself.
            tokio::select! {
                Ok(()) = keys.changed() => {}
                Ok(()) = ended.changed() => {}
                () = tokio::time::sleep_until(session.expires) => return,
            }
        }
    }

    /// Returns the session if it has not expired.
    fn session(&self, id: &SessionId) -> Option<Session> {
        let session = self.0.lock().get(id).copied()?;
        (session.expires > Instant::now()).then_some(session)
    }

    /// Adds a session. Also removes expired sessions, and the oldest one if there are too many.
    fn open(&self, id: SessionId, session: Session) {
        let now = Instant::now();
        let mut open = self.0.lock();
        open.retain(|_, other| other.expires > now);
        let oldest = open.iter().min_by_key(|(_, other)| other.expires);
        let evicted = oldest
            .map(|(id, _)| *id)
            .filter(|_| open.len() >= MAX_SESSIONS);
        if let Some(oldest) = evicted {
            open.remove(&oldest);
        }
        open.insert(id, session);
        gauge!(CONSOLE_SESSIONS).set(open.len() as f64);
        drop(open);
        if evicted.is_some() {
            self.announce_ended();
        }
    }

    fn announce_ended(&self) {
        self.0
            .ended
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn take_attempt(&self, peer: IpAddr) -> Result<(), Problem> {
        let attempts = &self.0.attempts;
        if attempts.len() > MAX_ADDRESSES {
            attempts.retain_recent();
        }
        attempts.check_key(&network(peer)).map_err(|not_until| {
            counter!(CONSOLE_SIGN_INS, "outcome" => "too_many").increment(1);
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            Problem::too_many_attempts(wait.as_secs() + 1)
        })
    }
}

/// Returns the address under which attempts are counted: for IPv6 the /64 prefix, which belongs to one
/// subscriber.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

impl FromRequestParts<Console> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Console) -> Result<Self, Problem> {
        let in_uri = parts.uri.authority();
        let visitor = state.sessions.visitor(&parts.headers, in_uri);
        visitor.ok_or_else(Problem::unauthorized)
    }
}

impl FromRequestParts<Console> for Identity {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Console) -> Result<Self, Problem> {
        let visitor = Visitor::from_request_parts(parts, state).await?;
        Ok(visitor.identity)
    }
}

impl FromRequestParts<Console> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Console) -> Result<Self, Problem> {
        let identity = Identity::from_request_parts(parts, state).await?;
        if identity.role < Role::Operator {
            return Err(Problem::forbidden(format!(
                "{} is a viewer, and this needs the role operator",
                identity.name
            )));
        }
        Ok(Self(identity))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::http::header::COOKIE;
    use runtime::key_file::FileKeys;

    use super::*;

    const ANNS: &str = "ann-0123456789abcdef";
    const BOBS: &str = "bob-0123456789abcdef";
    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn keys(text: &str) -> ConsoleKeys {
        ConsoleKeys::parse(text).unwrap()
    }

    fn sessions() -> (watch::Sender<ConsoleKeys>, Sessions) {
        let text = format!("ann operator {ANNS}\nbob viewer {BOBS}\n");
        let (sender, keys) = watch::channel(keys(&text));
        (sender, Sessions::of_keys(keys))
    }

    fn sign_in(sessions: &Sessions, key: &str) -> HeaderMap {
        let token = sessions.sign_in(PEER, key.as_bytes()).unwrap().unwrap();
        let cookie = format!("theme=dark; checkout-session={}", token.as_str());
        HeaderMap::from_iter([(COOKIE, cookie.parse().unwrap())])
    }

    fn name(sessions: &Sessions, headers: &HeaderMap) -> Option<String> {
        Some(sessions.visitor(headers, None)?.identity.name)
    }

    #[tokio::test]
    async fn a_session_ends_when_it_is_too_old() {
        let (_keys, sessions) = sessions();
        let ann = sign_in(&sessions, ANNS);
        let visitor = sessions.visitor(&ann, None).unwrap();
        assert_eq!(visitor.identity.role, Role::Operator);
        let id = visitor.session.unwrap();
        let left = sessions.session(&id).unwrap().expires - Instant::now();
        assert!(left <= LIFETIME);
        let ages = |expires| sessions.0.lock().get_mut(&id).unwrap().expires = expires;
        ages(Instant::now() + Duration::from_millis(1));
        sessions.ended(&visitor).await;
        assert_eq!(name(&sessions, &ann), None);
    }

    #[tokio::test]
    async fn signing_out_ends_the_session_and_no_other() {
        let (_keys, sessions) = sessions();
        let (ann, bob) = (sign_in(&sessions, ANNS), sign_in(&sessions, BOBS));
        let visitor = sessions.visitor(&ann, None).unwrap();
        let waiting = tokio::spawn({
            let sessions = sessions.clone();
            async move { sessions.ended(&visitor).await }
        });
        sessions.sign_out(&ann);
        waiting.await.unwrap();
        assert_eq!(name(&sessions, &ann), None);
        assert_eq!(name(&sessions, &bob).as_deref(), Some("bob"));
    }

    #[tokio::test]
    async fn a_session_has_what_its_key_has_now() {
        let (sender, sessions) = sessions();
        let ann = sign_in(&sessions, ANNS);
        let visitor = sessions.visitor(&ann, None).unwrap();
        sender.send_replace(keys(&format!("ann viewer {ANNS}")));
        assert_eq!(
            sessions.visitor(&ann, None).unwrap().identity.role,
            Role::Viewer
        );
        sender.send_replace(keys(&format!("bob viewer {BOBS}")));
        sessions.ended(&visitor).await;
        assert_eq!(name(&sessions, &ann), None);
    }

    #[tokio::test]
    async fn unknown_keys_and_tokens_open_nothing() {
        let (_keys, sessions) = sessions();
        for wrong in ["", "ann", "ann-0123456789abcdeg"] {
            let problem = sessions.sign_in(PEER, wrong.as_bytes()).unwrap_err();
            assert_eq!(problem.status(), 401);
        }
        for wrong in [
            "checkout-session=",
            "checkout-session=abc",
            "theme=dark",
            "",
        ] {
            let headers = HeaderMap::from_iter([(COOKIE, wrong.parse().unwrap())]);
            assert_eq!(name(&sessions, &headers), None, "{wrong}");
        }
        assert_eq!(name(&sessions, &HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn after_too_many_attempts_a_known_key_waits_too() {
        let (_sender, keys) = watch::channel(keys(&format!("ann operator {ANNS}")));
        let hour = Quota::with_period(Duration::from_secs(3600)).unwrap();
        let two_an_hour = hour.allow_burst(NonZeroU32::new(2).unwrap());
        let sessions = Sessions::new(Allowed::Keys(keys), two_an_hour);
        for status in [401, 401, 429] {
            let problem = sessions.sign_in(PEER, b"wrong").unwrap_err();
            assert_eq!(problem.status(), status);
        }
        let known = sessions.sign_in(PEER, ANNS.as_bytes()).unwrap_err();
        assert_eq!(known.status(), 429);
        let elsewhere = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        assert!(sessions.sign_in(elsewhere, ANNS.as_bytes()).is_ok());
    }

    #[tokio::test]
    async fn one_session_too_many_ends_the_oldest() {
        let (_keys, sessions) = sessions();
        let session = |age: u64| Session {
            key: digest(ANNS.as_bytes()),
            expires: Instant::now() + LIFETIME - Duration::from_secs(age),
        };
        let oldest = Token::new();
        sessions.open(oldest.id(), session(60));
        for _ in 0..MAX_SESSIONS {
            sessions.open(Token::new().id(), session(0));
        }
        assert_eq!(sessions.0.lock().len(), MAX_SESSIONS);
        assert!(sessions.session(&oldest.id()).is_none());
    }

    #[test]
    fn where_no_key_is_needed_everybody_has_the_role() {
        let sessions = Sessions::of_anyone(Role::Viewer);
        let visitor = sessions.visitor(&HeaderMap::new(), None).unwrap();
        assert_eq!(visitor.identity.name, "anyone");
        assert!(sessions.sign_in(PEER, b"any").unwrap().is_none());
    }

    #[test]
    fn a_subscriber_of_ipv6_has_one_bucket() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::1"), of("2001:db8:1:2:4::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
