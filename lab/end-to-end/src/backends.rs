//! Kafka, the registry and Postgres for tests: shared by all tests, or started for one.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use stack::{Backend, Backends, Listener, Options};
use tokio::sync::{Mutex, OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

static SHARED: OnceCell<Arc<Backends>> = OnceCell::const_new();
static THREE_BROKERS: OnceCell<Arc<Backends>> = OnceCell::const_new();
/// One test at a time restarts brokers that another one left stopped.
static RECOVERY: Mutex<()> = Mutex::const_new(());
static ACCESS: RwLock<()> = RwLock::const_new(());

/// Returns the backends that all tests share; they end with the test process.
pub async fn shared_backends() -> Arc<Backends> {
    let start = || async { Arc::new(own_backends("shared").await) };
    Arc::clone(SHARED.get_or_init(start).await)
}

/// The three brokers that several tests share. Dropping it lets the next test have them alone.
#[derive(Debug)]
pub struct ThreeBrokers {
    backends: Arc<Backends>,
    _access: Access,
}

/// Whether other tests may use the three brokers at the same time.
#[derive(Debug)]
enum Access {
    Shared {
        _guard: RwLockReadGuard<'static, ()>,
    },
    Exclusive {
        _guard: RwLockWriteGuard<'static, ()>,
    },
}

impl ThreeBrokers {
    /// Returns three brokers with replication factor 3 and `min.insync.replicas` 2; the registry and
    /// Postgres are the shared ones.
    #[must_use]
    pub fn backends(&self) -> Arc<Backends> {
        Arc::clone(&self.backends)
    }
}

/// Returns three brokers for a test that stops none of them.
pub async fn three_brokers() -> ThreeBrokers {
    let access = Access::Shared {
        _guard: ACCESS.read().await,
    };
    ThreeBrokers {
        backends: all_three_brokers().await,
        _access: access,
    }
}

/// Returns the same three brokers for a test that stops some of them: no other test uses them
/// meanwhile.
pub async fn three_brokers_alone() -> ThreeBrokers {
    let access = Access::Exclusive {
        _guard: ACCESS.write().await,
    };
    ThreeBrokers {
        backends: all_three_brokers().await,
        _access: access,
    }
}

async fn all_three_brokers() -> Arc<Backends> {
    let start = || async {
        let shared = shared_backends().await;
        let change = |options: &mut Options| {
            options.brokers = 3;
            options.schema_registry_url = Some(shared.schema_registry_url().to_owned());
            options.database_url = Some(shared.database_url().to_owned());
        };
        Arc::new(own_backends_with("three-brokers", change).await)
    };
    let backends = Arc::clone(THREE_BROKERS.get_or_init(start).await);
    let _one_at_a_time = RECOVERY.lock().await;
    for broker in backends.brokers() {
        if let Err(error) = recover(broker).await {
            panic!("a test left a broker stopped, and it does not start: {error:#}");
        }
    }
    backends
}

async fn recover(broker: &Backend) -> Result<()> {
    if broker.pid().is_none() {
        return broker.start().await;
    }
    broker.resume()?;
    broker.wait_ready().await
}

/// Starts a registry for one test, with the shared Kafka and Postgres: for a test that has to know
/// which id the next schema gets.
///
/// # Panics
/// As [`own_backends`].
pub async fn own_registry(name: &str) -> Backends {
    let shared = shared_backends().await;
    let mut options = Options::new(directory(name));
    options.bootstrap_servers = Some(shared.bootstrap_servers().to_owned());
    options.database_url = Some(shared.database_url().to_owned());
    match Backends::start(options).await {
        Ok(backends) => backends,
        Err(error) => panic!("the registry does not start: {error:#}"),
    }
}

/// Starts a Postgres for one test, with the shared Kafka and registry; `change` adapts the options.
///
/// # Panics
/// As [`own_backends`].
pub async fn own_postgres(name: &str, change: impl FnOnce(&mut Options)) -> Backends {
    let shared = shared_backends().await;
    let mut options = Options::new(directory(name));
    options.bootstrap_servers = Some(shared.bootstrap_servers().to_owned());
    options.schema_registry_url = Some(shared.schema_registry_url().to_owned());
    change(&mut options);
    match Backends::start(options).await {
        Ok(backends) => backends,
        Err(error) => panic!("Postgres does not start: {error:#}"),
    }
}

/// Starts backends for a test that stops them.
///
/// # Panics
/// When they do not start: a missing service is a failure, never a skipped test.
pub async fn own_backends(name: &str) -> Backends {
    own_secured_backends(name, Vec::new(), Vec::new()).await
}

/// Starts backends whose broker has more addresses and settings.
///
/// # Panics
/// As [`own_backends`].
pub async fn own_secured_backends(
    name: &str,
    listeners: Vec<Listener>,
    settings: Vec<(String, String)>,
) -> Backends {
    own_backends_with(name, |options| {
        options.listeners = listeners;
        options.broker_settings = settings;
    })
    .await
}

/// Starts backends whose options `change` adapts.
///
/// # Panics
/// As [`own_backends`].
pub async fn own_backends_with(name: &str, change: impl FnOnce(&mut Options)) -> Backends {
    let mut options = Options::new(directory(name));
    change(&mut options);
    // A killed consumer is noticed when its session ends; the broker's default minimum is 6 s.
    let (name, value) = ("group.min.session.timeout.ms", "1000");
    let setting = (name.to_owned(), value.to_owned());
    options.broker_settings.push(setting);
    match Backends::start(options).await {
        Ok(backends) => backends,
        Err(error) => panic!("the local stack does not start: {error:#}"),
    }
}

/// Returns a folder of this test process. Folders of processes that have ended are removed.
pub fn directory(name: &str) -> PathBuf {
    let all = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/end-to-end");
    for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
        let owner = entry.file_name().to_str().and_then(|pid| pid.parse().ok());
        if owner.is_some_and(|pid| !stack::is_alive(pid)) {
            // Another process may be removing it too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    all.join(std::process::id().to_string()).join(name)
}
