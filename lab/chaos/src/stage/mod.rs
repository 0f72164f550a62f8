//! The backends, and six services, each of which reaches them through its own proxies.

pub(crate) mod proxy;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::system::{START, TestSystem};
use reqwest::Url;
use stack::{Backends, Listener, Options, Port, Ports, Service, ServiceCommand};
use tokio::sync::Mutex;

use crate::flow::probe::INTERNAL_PARTITIONS;
use proxy::{Link, Proxy};

/// Timeouts so short that a service that is stopped for seconds becomes a zombie; the minimum of the
/// group's session is set below. With several brokers the services keep their defaults, because the
/// duration of a failover is judged there.
const KAFKA_PROPERTIES: &str = "session.timeout.ms=3000,heartbeat.interval.ms=500,max.poll.interval.ms=6000,transaction.timeout.ms=4000,message.timeout.ms=4000";

/// A service of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Instance {
    ProducerA,
    ProducerB,
    ProcessorA,
    ProcessorB,
    SinkA,
    SinkB,
}

/// What a service talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Kafka,
    Postgres,
    Registry,
}

impl Instance {
    pub(crate) const ALL: [Self; 6] = [
        Self::ProducerA,
        Self::ProducerB,
        Self::ProcessorA,
        Self::ProcessorB,
        Self::SinkA,
        Self::SinkB,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ProducerA => "producer-a",
            Self::ProducerB => "producer-b",
            Self::ProcessorA => "processor-a",
            Self::ProcessorB => "processor-b",
            Self::SinkA => "sink-a",
            Self::SinkB => "sink-b",
        }
    }

    /// Returns the name of the broker's listener, which advertises the instance's proxy.
    const fn listener(self) -> &'static str {
        match self {
            Self::ProducerA => "PRODUCER_A",
            Self::ProducerB => "PRODUCER_B",
            Self::ProcessorA => "PROCESSOR_A",
            Self::ProcessorB => "PROCESSOR_B",
            Self::SinkA => "SINK_A",
            Self::SinkB => "SINK_B",
        }
    }

    pub(crate) const fn targets(self) -> &'static [Target] {
        match self {
            Self::ProducerA | Self::ProducerB => {
                &[Target::Kafka, Target::Postgres, Target::Registry]
            }
            Self::ProcessorA | Self::ProcessorB => &[Target::Kafka, Target::Registry],
            Self::SinkA | Self::SinkB => &[Target::Kafka, Target::Postgres],
        }
    }

    async fn command(self, system: &TestSystem) -> Result<ServiceCommand> {
        match self {
            Self::ProducerA => system.producer_command("a").await,
            Self::ProducerB => system.producer_command("b").await,
            Self::ProcessorA => system.processor_command("a").await,
            Self::ProcessorB => system.processor_command("b").await,
            Self::SinkA => system.sink_command("a").await,
            Self::SinkB => system.sink_command("b").await,
        }
    }
}

/// One service and its links.
struct Actor {
    /// Locked by a fault that has stopped it, so that the supervision does not start it.
    service: Mutex<Service>,
    url: String,
    links: BTreeMap<Target, Proxy>,
}

/// Everything that runs. Dropping it ends every process.
pub(crate) struct Stage {
    actors: BTreeMap<Instance, Actor>,
    pub(crate) system: TestSystem,
    /// The services that ended by themselves and were started again.
    ended: StdMutex<Vec<String>>,
    _ports: Vec<Port>,
}

impl Stage {
    /// Starts everything in `directory`, and waits until every service is ready.
    ///
    /// With one broker, each service reaches it through a proxy. Several brokers are reached
    /// directly: there the brokers fail and not the links.
    pub(crate) async fn start(directory: &Path, brokers: u8) -> Result<Self> {
        let mut options = options(directory, brokers);
        let (proxies, ports) = match brokers {
            1 => behind_proxies(&mut options).await?,
            _ => Default::default(),
        };
        let backends = Backends::start(options)
            .await
            .context("the local stack does not start")?;
        let system = TestSystem::on(Arc::new(backends), true).await?;
        let mut actors = BTreeMap::new();
        let mut proxies = proxies;
        for instance in Instance::ALL {
            let actor = start(instance, proxies.remove(&instance), &system).await?;
            actors.insert(instance, actor);
        }
        let stage = Self {
            actors,
            system,
            ended: StdMutex::default(),
            _ports: ports,
        };
        stage.wait_ready().await?;
        Ok(stage)
    }

    fn actor(&self, instance: Instance) -> Result<&Actor> {
        self.actors
            .get(&instance)
            .with_context(|| format!("{} was not started", instance.name()))
    }

    /// Returns the base URL of a service.
    pub(crate) fn url(&self, instance: Instance) -> Result<&str> {
        Ok(&self.actor(instance)?.url)
    }

    /// Returns a service, to be locked while a fault has stopped it.
    pub(crate) fn service(&self, instance: Instance) -> Result<&Mutex<Service>> {
        Ok(&self.actor(instance)?.service)
    }

    /// Changes the state of one link.
    pub(crate) fn link(&self, instance: Instance, target: Target, link: Link) -> Result<()> {
        self.actor(instance)?
            .links
            .get(&target)
            .with_context(|| format!("{} does not talk to {target:?}", instance.name()))?
            .set(link);
        Ok(())
    }

    /// Waits until every service is ready.
    pub(crate) async fn wait_ready(&self) -> Result<()> {
        for actor in self.actors.values() {
            actor.service.lock().await.wait_ready(START).await?;
        }
        Ok(())
    }

    /// Restarts services that end by themselves, as an orchestrator does, for ever.
    pub(crate) async fn supervise(&self) -> Result<()> {
        loop {
            for actor in self.actors.values() {
                // Locked: a fault has stopped it.
                let Ok(mut service) = actor.service.try_lock() else {
                    continue;
                };
                if let Some(status) = service.exit_status() {
                    let last = last_line(service.log());
                    let name = service.name().to_owned();
                    self.ended
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(format!("{name} ({status}): {last}"));
                    service.restart().await?;
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Returns the services that ended by themselves, with the last lines of their logs.
    pub(crate) fn ended(&self) -> Vec<String> {
        self.ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Returns the options of the backends in `directory`.
pub(crate) fn options(directory: &Path, brokers: u8) -> Options {
    let mut options = Options::new(directory);
    options.brokers = brokers;
    if brokers > 1 {
        options.broker_settings = [
            (
                "offsets.topic.num.partitions",
                INTERNAL_PARTITIONS.to_string(),
            ),
            (
                "transaction.state.log.num.partitions",
                INTERNAL_PARTITIONS.to_string(),
            ),
            // A restarted broker becomes leader again soon, not after five minutes.
            ("leader.imbalance.check.interval.seconds", "10".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
    }
    options
}

/// Adds a listener for each service, which advertises a proxy. Returns the proxies and the
/// listeners' ports.
async fn behind_proxies(options: &mut Options) -> Result<(BTreeMap<Instance, Proxy>, Vec<Port>)> {
    let mut ports = Vec::new();
    let mut proxies = BTreeMap::new();
    let kafka = Port::free()?.number();
    let mut advertised = format!("PLAINTEXT://127.0.0.1:{kafka}");
    for instance in Instance::ALL {
        let listener = Port::free()?;
        let proxy = Proxy::start(Port::free()?, address(listener.number())).await?;
        let name = instance.listener();
        advertised.push_str(&format!(",{name}://127.0.0.1:{}", proxy.port()));
        options.listeners.push(Listener {
            name,
            protocol: "PLAINTEXT",
            address: listener.address(),
        });
        proxies.insert(instance, proxy);
        ports.push(listener);
    }
    options.ports = Ports {
        kafka: Some(kafka),
        ..Ports::default()
    };
    options.broker_settings = [
        ("advertised.listeners", advertised.as_str()),
        ("group.min.session.timeout.ms", "1000"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    Ok((proxies, ports))
}

async fn start(instance: Instance, kafka: Option<Proxy>, system: &TestSystem) -> Result<Actor> {
    let mut command = instance.command(system).await?;
    let mut links = BTreeMap::new();
    if let Some(proxy) = kafka {
        command = command.env("KAFKA_PROPERTIES", KAFKA_PROPERTIES).env(
            "KAFKA_BOOTSTRAP_SERVERS",
            format!("127.0.0.1:{}", proxy.port()),
        );
        links.insert(Target::Kafka, proxy);
    }
    for target in instance.targets() {
        let (variable, url) = match target {
            Target::Kafka => continue,
            Target::Registry => ("SCHEMA_REGISTRY_URL", system.backends.schema_registry_url()),
            Target::Postgres => ("DATABASE_URL", database(instance, system)),
        };
        let (proxy, url) = proxied(url).await?;
        command = command.env(variable, url);
        links.insert(*target, proxy);
    }
    let service = command.start().await?;
    Ok(Actor {
        url: service.url(""),
        service: Mutex::new(service),
        links,
    })
}

fn database(instance: Instance, system: &TestSystem) -> &str {
    match instance {
        Instance::ProducerA | Instance::ProducerB => &system.orders_url,
        _ => &system.vouchers_url,
    }
}

/// Starts a proxy to the port of the URL; returns it and the URL with its port.
async fn proxied(url: &str) -> Result<(Proxy, String)> {
    let mut url = Url::parse(url)?;
    let target = url.port().with_context(|| format!("{url} has no port"))?;
    let proxy = Proxy::start(Port::free()?, address(target)).await?;
    url.set_port(Some(proxy.port()))
        .ok()
        .with_context(|| format!("{url} takes no port"))?;
    // The registry's URL has a path, which stays as it is.
    Ok((proxy, url.to_string()))
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().next_back().unwrap_or_default().to_owned()
}
