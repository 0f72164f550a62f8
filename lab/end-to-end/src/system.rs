//! One isolated flow: its own topics, databases and service processes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Row};
use stack::{
    Backend, Backends, Listener, Options, Service, ServiceBinaries, ServiceCommand, Topics,
    service_binaries,
};
use tokio::sync::{Mutex, OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::topic::{self, NewRecord, Record};
use crate::wait;

/// 00 01 .. 1f: the key of the design's test vectors.
pub const SIGNING_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Its id, in the header `voucher.key-id`.
pub const SIGNING_KEY_ID: &str = "fa0cde5e";

/// Long enough for a service to start on a loaded machine.
pub const START: Duration = Duration::from_secs(60);

/// A stop drains within this time.
pub const STOP: Duration = Duration::from_secs(20);

static SHARED: OnceCell<Arc<Backends>> = OnceCell::const_new();
static THREE_BROKERS: OnceCell<Arc<Backends>> = OnceCell::const_new();
/// Of the three brokers, those that a test left away are brought back by one at a time.
static HEALING: Mutex<()> = Mutex::const_new(());
static TURNS: RwLock<()> = RwLock::const_new(());
static BINARIES: OnceCell<ServiceBinaries> = OnceCell::const_new();

/// The backends that all tests share; they end with the test process.
pub async fn shared_backends() -> Arc<Backends> {
    let start = || async { Arc::new(own_backends("shared").await) };
    Arc::clone(SHARED.get_or_init(start).await)
}

/// Three brokers that several tests share, until this is dropped.
#[derive(Debug)]
pub struct ThreeBrokers {
    backends: Arc<Backends>,
    _turn: Turn,
}

/// Who may use the three brokers at the same time.
#[derive(Debug)]
enum Turn {
    Shared {
        _guard: RwLockReadGuard<'static, ()>,
    },
    Alone {
        _guard: RwLockWriteGuard<'static, ()>,
    },
}

impl ThreeBrokers {
    /// Three brokers with replication factor 3 and two replicas in sync at least; the registry and
    /// Postgres are the shared ones.
    #[must_use]
    pub fn backends(&self) -> Arc<Backends> {
        Arc::clone(&self.backends)
    }
}

/// Three brokers, for a test about clients and groups that leaves them alone.
pub async fn three_brokers() -> ThreeBrokers {
    let turn = Turn::Shared {
        _guard: TURNS.read().await,
    };
    ThreeBrokers {
        backends: all_three_brokers().await,
        _turn: turn,
    }
}

/// The same three brokers, for a test that takes some of them away: no other test uses them
/// meanwhile.
pub async fn three_brokers_alone() -> ThreeBrokers {
    let turn = Turn::Alone {
        _guard: TURNS.write().await,
    };
    ThreeBrokers {
        backends: all_three_brokers().await,
        _turn: turn,
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
    let _alone = HEALING.lock().await;
    for broker in backends.brokers() {
        if let Err(error) = bring_back(broker).await {
            panic!("a test left a broker away, and it does not come back: {error:#}");
        }
    }
    backends
}

async fn bring_back(broker: &Backend) -> Result<()> {
    if broker.pid().is_none() {
        return broker.start().await;
    }
    broker.resume()?;
    broker.wait_ready().await
}

/// The services' binaries, built once.
///
/// # Errors
/// When they don't build.
pub async fn binaries() -> Result<&'static ServiceBinaries> {
    BINARIES
        .get_or_try_init(service_binaries)
        .await
        .context("the services don't build")
}

/// The shared Kafka and Postgres with a schema registry of its own, for a test that has to know
/// which id the next schema will get.
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

/// The shared Kafka and registry with a Postgres of its own, with these changes.
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

/// Backends for a test that stops them.
///
/// # Panics
/// When they don't start: a missing service is a failure, never a skipped test.
pub async fn own_backends(name: &str) -> Backends {
    own_secured_backends(name, Vec::new(), Vec::new()).await
}

/// As [`own_backends`], with a broker that has more addresses and settings.
///
/// # Panics
/// As there.
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

/// As [`own_backends`], with other options.
///
/// # Panics
/// As there.
pub async fn own_backends_with(name: &str, change: impl FnOnce(&mut Options)) -> Backends {
    let mut options = Options::new(directory(name));
    change(&mut options);
    // A killed consumer is noticed after its session: the floor of the broker's default is 6 s.
    let session = ("group.min.session.timeout.ms", "1000");
    options
        .broker_settings
        .push((session.0.to_owned(), session.1.to_owned()));
    match Backends::start(options).await {
        Ok(backends) => backends,
        Err(error) => panic!("the local stack does not start: {error:#}"),
    }
}

/// One folder per test process, so that two runs don't clash; what dead ones left is removed.
pub fn directory(name: &str) -> PathBuf {
    let all = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/end-to-end");
    for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
        let owner = entry.file_name().to_str().and_then(|pid| pid.parse().ok());
        if owner.is_some_and(|pid| !stack::is_alive(pid)) {
            // Another process may be removing the same.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    all.join(std::process::id().to_string()).join(name)
}

/// One voucher's row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VoucherRow {
    /// Part of its identity.
    pub campaign: String,
    /// Part of its identity.
    pub order_id: String,
    /// The code.
    pub code: String,
    /// Exact.
    pub amount: Decimal,
    /// Three letters.
    pub currency: String,
    /// When the order was sent, as Postgres prints it in UTC.
    pub issued_at: String,
    /// From the HTTP request that changed the order.
    pub traceparent: Option<String>,
}

/// See the module.
pub struct TestSystem {
    /// Kafka, the registry and Postgres.
    pub backends: Arc<Backends>,
    /// The flow's own topics.
    pub topics: Topics,
    /// The producer's database.
    pub orders_url: String,
    /// The sink's database.
    pub vouchers_url: String,
    /// Unique among all flows of all runs.
    pub name: String,
    vouchers: PgPool,
    orders: PgPool,
    avro: bool,
}

impl TestSystem {
    /// A new flow on the shared backends, with the schema registry.
    ///
    /// # Errors
    /// When topics, schemas or databases can't be made.
    pub async fn open() -> Result<Self> {
        Self::on(shared_backends().await, true).await
    }

    /// As [`TestSystem::open`], but the services know of no registry and write JSON.
    ///
    /// # Errors
    /// As there.
    pub async fn open_json() -> Result<Self> {
        Self::on(shared_backends().await, false).await
    }

    /// A new flow on these backends.
    ///
    /// # Errors
    /// As [`TestSystem::open`].
    pub async fn on(backends: Arc<Backends>, avro: bool) -> Result<Self> {
        let name = format!("{:012x}", rand::random::<u64>() >> 16);
        let topics = Topics::with_suffix(&name, 4);
        backends.create_topics(&topics).await?;
        if avro {
            backends.register_schemas(&topics).await?;
        }
        let orders_url = backends.create_database(&format!("orders_{name}")).await?;
        let vouchers_url = backends
            .create_database(&format!("vouchers_{name}"))
            .await?;
        let pool = |url: &str| {
            PgPoolOptions::new()
                .max_connections(4)
                .acquire_timeout(Duration::from_secs(60))
                .connect_lazy(url)
        };
        Ok(Self {
            vouchers: pool(&vouchers_url)?,
            orders: pool(&orders_url)?,
            backends,
            topics,
            orders_url,
            vouchers_url,
            name,
            avro,
        })
    }

    /// The brokers' address.
    pub fn brokers(&self) -> &str {
        self.backends.bootstrap_servers()
    }

    /// Whether the services know of the registry, and write Avro.
    pub const fn has_registry(&self) -> bool {
        self.avro
    }

    /// The processor's group.
    pub fn processor_group(&self) -> String {
        format!("processor-{}", self.name)
    }

    /// The sink's group.
    pub fn sink_group(&self) -> String {
        format!("sink-{}", self.name)
    }

    async fn command(&self, service: &str, instance: &str) -> Result<ServiceCommand> {
        let binaries = binaries().await?;
        let binary = match service {
            "producer" => &binaries.producer,
            "processor" => &binaries.processor,
            _ => &binaries.sink,
        };
        let logs = self.backends.directory().join("logs").join(&self.name);
        std::fs::create_dir_all(&logs)?;
        let command = ServiceCommand::new(&format!("{service}-{instance}"), binary, &logs)
            .env("KAFKA_BOOTSTRAP_SERVERS", self.brokers())
            .env("ORDER_STATUS_TOPIC", &self.topics.order_status)
            .env("VOUCHERS_TOPIC", &self.topics.vouchers)
            .env("LOG_FORMAT", "text");
        Ok(if self.avro {
            command.env("SCHEMA_REGISTRY_URL", self.backends.schema_registry_url())
        } else {
            command
        })
    }

    /// `producer run`, to be changed and started.
    ///
    /// # Errors
    /// When the services don't build.
    pub async fn producer_command(&self, instance: &str) -> Result<ServiceCommand> {
        let command = self.command("producer", instance).await?;
        Ok(command.env("DATABASE_URL", &self.orders_url))
    }

    /// `processor run`, to be changed and started.
    ///
    /// # Errors
    /// When the services don't build.
    pub async fn processor_command(&self, instance: &str) -> Result<ServiceCommand> {
        let command = self.processor_command_without_key(instance).await?;
        Ok(command.env("VOUCHER_SIGNING_KEY", SIGNING_KEY))
    }

    /// As [`TestSystem::processor_command`], but without a signing key.
    ///
    /// # Errors
    /// When the services don't build.
    pub async fn processor_command_without_key(&self, instance: &str) -> Result<ServiceCommand> {
        let command = self.command("processor", instance).await?;
        Ok(command
            .env("PROCESSOR_GROUP", self.processor_group())
            .env("PROCESSOR_INSTANCE_ID", instance))
    }

    /// `sink run`, to be changed and started.
    ///
    /// # Errors
    /// When the services don't build.
    pub async fn sink_command(&self, instance: &str) -> Result<ServiceCommand> {
        let command = self.command("sink", instance).await?;
        Ok(command
            .env("SINK_GROUP", self.sink_group())
            .env("DATABASE_URL", &self.vouchers_url))
    }

    /// A running, ready producer.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn producer(&self) -> Result<Service> {
        ready(self.producer_command("1").await?).await
    }

    /// A running, ready processor.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn processor(&self) -> Result<Service> {
        ready(self.processor_command("1").await?).await
    }

    /// A running, ready sink.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn sink(&self) -> Result<Service> {
        ready(self.sink_command("1").await?).await
    }

    /// Writes records to the order status topic as any client would.
    ///
    /// # Errors
    /// When one is not acknowledged.
    pub async fn write_orders(&self, records: Vec<NewRecord>) -> Result<()> {
        topic::write(self.brokers(), &self.topics.order_status, records).await
    }

    /// All records of the order status topic.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn order_records(&self) -> Result<Vec<Record>> {
        topic::read(self.brokers(), &self.topics.order_status).await
    }

    /// All committed records of the vouchers topic.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn voucher_records(&self) -> Result<Vec<Record>> {
        topic::read(self.brokers(), &self.topics.vouchers).await
    }

    /// All committed dead letters of the order statuses.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn dead_letters(&self) -> Result<Vec<Record>> {
        topic::read(self.brokers(), &self.topics.order_status_dead_letters()).await
    }

    /// Waits until a group has read all of a topic.
    pub async fn caught_up(&self, group: &str, topic: &str) {
        let state = || async {
            topic::lag(self.brokers(), group, topic)
                .await
                .unwrap_or(i64::MAX)
        };
        wait::until(&format!("{group} to read all of {topic}"), state, |lag| {
            *lag == 0
        })
        .await;
    }

    /// Waits until all that was written so far is evaluated, and all vouchers are rows.
    pub async fn settled(&self) {
        self.caught_up(&self.processor_group(), &self.topics.order_status)
            .await;
        self.caught_up(&self.sink_group(), &self.topics.vouchers)
            .await;
    }

    /// The sink's table, in the order of its key; empty while there is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn vouchers(&self) -> Result<Vec<VoucherRow>> {
        let rows = sqlx::query(
            "select campaign, order_id, code, amount, currency, traceparent,
                    to_char(issued_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') issued_at
             from vouchers order by campaign, order_id",
        )
        .fetch_all(&self.vouchers)
        .await;
        let rows = match rows {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => {
                return Ok(Vec::new());
            }
            rows => rows?,
        };
        rows.iter()
            .map(|row| {
                Ok(VoucherRow {
                    campaign: row.try_get("campaign")?,
                    order_id: row.try_get("order_id")?,
                    code: row.try_get("code")?,
                    amount: row.try_get("amount")?,
                    currency: row.try_get("currency")?,
                    issued_at: row.try_get("issued_at")?,
                    traceparent: row.try_get("traceparent")?,
                })
            })
            .collect()
    }

    /// The vouchers of one order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn vouchers_of(&self, order_id: &str) -> Result<Vec<VoucherRow>> {
        let mut rows = self.vouchers().await?;
        rows.retain(|row| row.order_id == order_id);
        Ok(rows)
    }

    /// Runs a statement on the sink's database.
    ///
    /// # Errors
    /// As Postgres says.
    pub async fn execute_on_vouchers(&self, statement: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&self.vouchers)
            .await?;
        Ok(())
    }

    /// The producer's database.
    pub const fn orders(&self) -> &PgPool {
        &self.orders
    }

    /// The sink's database.
    pub const fn vouchers_database(&self) -> &PgPool {
        &self.vouchers
    }
}

/// Starts a service and waits until it is ready.
///
/// # Errors
/// When it is not ready within [`START`].
pub async fn ready(command: ServiceCommand) -> Result<Service> {
    let service = command.start().await?;
    service.wait_ready(START).await?;
    Ok(service)
}

/// A metric's value, all labels that contain `labels` together; zero when there is none.
///
/// # Errors
/// When the service does not answer.
pub async fn metric(service: &Service, name: &str, labels: &str) -> Result<u64> {
    let text = reqwest::get(service.url("/metrics")).await?.text().await?;
    Ok(text
        .lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(labels))
        })
        .filter_map(|line| {
            line.rsplit(' ')
                .next()?
                .split('.')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum())
}

/// What `/readyz` says: its status code and its parts.
///
/// # Errors
/// When the service does not answer.
pub async fn readiness(service: &Service) -> Result<(u16, Value)> {
    let answer = reqwest::get(service.url("/readyz")).await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}
