//! One isolated flow: its own topics, databases and service processes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgPool, PgPoolOptions};
use stack::{Backends, Service, ServiceBinaries, ServiceCommand, Topics};
use tokio::sync::OnceCell;

use crate::backends::shared_backends;
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

static BINARIES: OnceCell<ServiceBinaries> = OnceCell::const_new();

/// Returns the services' binaries, which are built once.
///
/// # Errors
/// When they do not compile.
pub async fn binaries() -> Result<&'static ServiceBinaries> {
    BINARIES
        .get_or_try_init(ServiceBinaries::build)
        .await
        .context("the services were not built")
}

/// Topics, databases and consumer groups that no other test uses, and the services on them.
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
    /// Creates a flow on the shared backends, with the schema registry.
    ///
    /// # Errors
    /// When topics, schemas or databases cannot be created.
    pub async fn open() -> Result<Self> {
        Self::on(shared_backends().await, true).await
    }

    /// Creates a flow whose services have no registry and write JSON.
    ///
    /// # Errors
    /// As [`TestSystem::open`].
    pub async fn open_json() -> Result<Self> {
        Self::on(shared_backends().await, false).await
    }

    /// Creates a flow on these backends.
    ///
    /// # Errors
    /// As [`TestSystem::open`].
    pub async fn on(backends: Arc<Backends>, avro: bool) -> Result<Self> {
        let name = format!("{:012x}", rand::random::<u64>() >> 16);
        Self::named(name, backends, avro).await
    }

    /// Opens the flow of this name on these backends, and creates what it lacks.
    ///
    /// # Errors
    /// As [`TestSystem::open`].
    pub async fn named(name: String, backends: Arc<Backends>, avro: bool) -> Result<Self> {
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

    /// Returns the brokers' addresses.
    pub fn brokers(&self) -> &str {
        self.backends.bootstrap_servers()
    }

    /// Returns whether the services have a registry and write Avro.
    pub const fn has_registry(&self) -> bool {
        self.avro
    }

    /// Returns the processor's consumer group.
    pub fn processor_group(&self) -> String {
        format!("processor-{}", self.name)
    }

    /// Returns the sink's consumer group.
    pub fn sink_group(&self) -> String {
        format!("sink-{}", self.name)
    }

    async fn command(&self, service: &str, instance: &str) -> Result<ServiceCommand> {
        let binary = binaries().await?.of(service)?;
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

    /// Returns `producer run`, to be adapted and started.
    ///
    /// # Errors
    /// When the services do not compile.
    pub async fn producer_command(&self, instance: &str) -> Result<ServiceCommand> {
        let command = self.command("producer", instance).await?;
        Ok(command.env("DATABASE_URL", &self.orders_url))
    }

    /// Returns `processor run`, to be adapted and started.
    ///
    /// # Errors
    /// When the services do not compile.
    pub async fn processor_command(&self, instance: &str) -> Result<ServiceCommand> {
        let command = self.processor_command_without_key(instance).await?;
        Ok(command.env("VOUCHER_SIGNING_KEY", SIGNING_KEY))
    }

    /// Returns `processor run` without a signing key.
    ///
    /// # Errors
    /// When the services do not compile.
    pub async fn processor_command_without_key(&self, instance: &str) -> Result<ServiceCommand> {
        let command = self.command("processor", instance).await?;
        Ok(command
            .env("PROCESSOR_GROUP", self.processor_group())
            .env("PROCESSOR_INSTANCE_ID", instance))
    }

    /// Returns `sink run`, to be adapted and started.
    ///
    /// # Errors
    /// When the services do not compile.
    pub async fn sink_command(&self, instance: &str) -> Result<ServiceCommand> {
        let command = self.command("sink", instance).await?;
        Ok(command
            .env("SINK_GROUP", self.sink_group())
            .env("DATABASE_URL", &self.vouchers_url))
    }

    /// Returns `console run`, whose commands are about this flow, to be adapted and started.
    ///
    /// # Errors
    /// When the services do not compile.
    pub async fn console_command(&self, instance: &str) -> Result<ServiceCommand> {
        let command = self.command("console", instance).await?;
        Ok(command
            .address_variable("CONSOLE_HTTP_ADDR")
            .env("PROCESSOR_GROUP", self.processor_group())
            .env("SINK_GROUP", self.sink_group())
            .env("VOUCHER_SIGNING_KEY", SIGNING_KEY)
            .env("DATABASE_URL", &self.vouchers_url))
    }

    /// Returns the command of a console that shows these services.
    ///
    /// # Errors
    /// When the services do not compile.
    pub async fn console_of(
        &self,
        producer: &Service,
        processor: &Service,
        sink: &Service,
    ) -> Result<ServiceCommand> {
        let command = self.console_command("1").await?;
        Ok(command
            .env("CONSOLE_PRODUCER_URLS", producer.url(""))
            .env("CONSOLE_PROCESSOR_URLS", processor.url(""))
            .env("CONSOLE_SINK_URLS", sink.url("")))
    }

    /// Starts a producer and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn producer(&self) -> Result<Service> {
        ready(self.producer_command("1").await?).await
    }

    /// Starts a processor and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn processor(&self) -> Result<Service> {
        ready(self.processor_command("1").await?).await
    }

    /// Starts a sink and waits until it is ready.
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

    /// Reads all records of the order status topic.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn order_records(&self) -> Result<Vec<Record>> {
        topic::read(self.brokers(), &self.topics.order_status).await
    }

    /// Reads all committed records of the vouchers topic.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn voucher_records(&self) -> Result<Vec<Record>> {
        topic::read(self.brokers(), &self.topics.vouchers).await
    }

    /// Reads all committed dead letters of the order statuses.
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

    /// Waits until everything written so far has been evaluated and every voucher has its row.
    pub async fn settled(&self) {
        self.caught_up(&self.processor_group(), &self.topics.order_status)
            .await;
        self.caught_up(&self.sink_group(), &self.topics.vouchers)
            .await;
    }

    /// Runs a statement on the sink's database.
    ///
    /// # Errors
    /// When Postgres refuses it.
    pub async fn execute_on_vouchers(&self, statement: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&self.vouchers)
            .await?;
        Ok(())
    }

    /// Returns the producer's database.
    pub const fn orders(&self) -> &PgPool {
        &self.orders
    }

    /// Returns the sink's database.
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
