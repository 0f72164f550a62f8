//! The producer, the processor and the sink on the running backends, and the console beside them.

mod binaries;
pub(crate) mod environment;
mod service;
mod supervisor;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::Signal;

use crate::progress::Progress;
use environment::Environment;

pub use binaries::{BINARIES_VARIABLE, ServiceBinaries};
pub use service::{Service, ServiceCommand};
pub(crate) use supervisor::RESTART_PAUSE;

const READY_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// The topic in which the console's commands record who did what.
pub(crate) const AUDIT_TOPIC: &str = "audit";

/// The running services.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) producer: Service,
    pub(crate) processor: Service,
    pub(crate) sink: Service,
    pub(crate) console: Service,
    /// Whether ends were reported when they happened.
    supervised: bool,
}

impl Services {
    /// Starts all of them and waits until they are ready.
    pub(crate) async fn start(
        binaries: &ServiceBinaries,
        environment: &Environment,
        logs: &Path,
        progress: &Progress,
    ) -> Result<Self> {
        let step = progress.step("Services");
        let command = |name: &str, binary: &Path| {
            ServiceCommand::new(name, binary, logs)
                .env("KAFKA_BOOTSTRAP_SERVERS", &environment.bootstrap_servers)
                .env("SCHEMA_REGISTRY_URL", &environment.schema_registry_url)
        };
        let producer = command("producer", &binaries.producer)
            .env("DATABASE_URL", &environment.orders_database_url);
        let processor = command("processor", &binaries.processor)
            .env("VOUCHER_SIGNING_KEY", &environment.signing_key)
            .env("PROCESSOR_INSTANCE_ID", "stack");
        let sink =
            command("sink", &binaries.sink).env("DATABASE_URL", &environment.vouchers_database_url);
        let (producer, processor, sink) =
            tokio::try_join!(producer.start(), processor.start(), sink.start())?;
        // The commands that the console runs need the environment of the services that they belong to.
        let console = command("console", &binaries.console)
            .address_variable("CONSOLE_HTTP_ADDR")
            .env("DATABASE_URL", &environment.vouchers_database_url)
            .env("ORDERS_DATABASE_URL", &environment.orders_database_url)
            .env("VOUCHER_SIGNING_KEY", &environment.signing_key)
            .env("AUDIT_TOPIC", AUDIT_TOPIC)
            .env("CONSOLE_WITHOUT_KEYS", "operator")
            .env("CONSOLE_PRODUCER_URLS", producer.url(""))
            .env("CONSOLE_PROCESSOR_URLS", processor.url(""))
            .env("CONSOLE_SINK_URLS", sink.url(""))
            .env("CONSOLE_ORDERS_URL", producer.url(""))
            .start()
            .await?;
        let services = Self {
            producer,
            processor,
            sink,
            console,
            supervised: false,
        };
        let ready = services
            .all()
            .map(|service| service.wait_ready(READY_DEADLINE));
        futures::future::try_join_all(ready).await?;
        step.done(&format!(
            "Services         producer {}, processor {}, sink {}, console {}",
            services.producer.http_addr(),
            services.processor.http_addr(),
            services.sink.http_addr(),
            services.console.http_addr()
        ));
        Ok(services)
    }

    /// Returns the services in the order in which they stop: first the console, whose commands use the
    /// others, and then in the direction of the data flow, so that each drains into the next.
    fn all(&self) -> [&Service; 4] {
        [&self.console, &self.producer, &self.processor, &self.sink]
    }

    /// Returns the variables that name the services' addresses.
    pub(crate) fn addresses(&self) -> [(&'static str, String); 4] {
        [
            ("PRODUCER_HTTP_ADDR", self.producer.http_addr().to_owned()),
            ("PROCESSOR_HTTP_ADDR", self.processor.http_addr().to_owned()),
            ("SINK_HTTP_ADDR", self.sink.http_addr().to_owned()),
            // Not CONSOLE_HTTP_ADDR, which a second console would take for its own address.
            ("CONSOLE_URL", self.console.url("")),
        ]
    }

    /// Fails when a service has ended by itself.
    pub(crate) fn check(&self) -> Result<()> {
        for service in self.all() {
            if let Some(status) = service.exit_status() {
                bail!(
                    "{} ended ({status}); its log: {}",
                    service.name(),
                    service.log().display()
                );
            }
        }
        Ok(())
    }

    /// Reports each end of a service, and starts the service again after [`RESTART_PAUSE`]. Returns when
    /// none is left that could be started.
    pub(crate) async fn supervise(&mut self, progress: &Progress) {
        self.supervised = true;
        let flow = self.console.url("/flow");
        let missing = format!("until then {flow} shows what is missing");
        let no_console = "until then an open page of it says that it does not answer";
        let report = |line: &str| progress.line(line);
        let Self {
            producer,
            processor,
            sink,
            console,
            ..
        } = self;
        tokio::join!(
            supervisor::supervise(producer, RESTART_PAUSE, &missing, &report),
            supervisor::supervise(processor, RESTART_PAUSE, &missing, &report),
            supervisor::supervise(sink, RESTART_PAUSE, &missing, &report),
            supervisor::supervise(console, RESTART_PAUSE, no_console, &report),
        );
    }

    /// Stops the services, one after the other. Returns the first error once all are stopped: the
    /// services behind one that fails have data to drain as well.
    pub(crate) async fn stop(self) -> Result<()> {
        let mut stopped = Ok(());
        for service in self.all() {
            // Stopped while it is missing, or given up.
            if self.supervised && service.exit_status().is_some() {
                continue;
            }
            let result = self.stop_one(service).await;
            stopped = stopped.and(result);
        }
        stopped
    }

    async fn stop_one(&self, service: &Service) -> Result<()> {
        let status = service.terminate(STOP_DEADLINE).await?;
        // Stopped just after it was started again, when it did not handle signals yet.
        let ended_at_start = self.supervised
            && !service.was_ready()
            && status.signal() == Some(Signal::TERM.as_raw());
        if status.success() || ended_at_start {
            return Ok(());
        }
        bail!(
            "{} ended with {status}; its log: {}",
            service.name(),
            service.log().display()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::process::{last_line, pause};

    /// Drains when it is told to stop.
    const DRAINS: &str = "trap 'echo drained; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    const FAILS: &str = "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done";
    /// Handles no signal, as a service that has just been started.
    const STARTS: &str = "echo up; exec sleep 600";

    /// Starts a shell in place of each service; the processor's is `processor`.
    async fn services(processor: &str, logs: &Path, supervised: bool) -> Services {
        let start = async |name: &str, script: &str| {
            let service = ServiceCommand::new(name, Path::new("/bin/sh"), logs)
                .arguments(["-c", script])
                .start()
                .await
                .unwrap();
            let begun = Instant::now();
            while last_line(service.log()) != "up" {
                assert!(begun.elapsed() < READY_DEADLINE, "{name} does not start");
                pause().await;
            }
            service
        };
        Services {
            producer: start("producer", DRAINS).await,
            processor: start("processor", processor).await,
            sink: start("sink", DRAINS).await,
            console: start("console", DRAINS).await,
            supervised,
        }
    }

    #[tokio::test]
    async fn the_services_behind_one_that_fails_drain_as_well() {
        let logs = tempfile::tempdir().unwrap();
        let services = services(FAILS, logs.path(), true).await;
        let error = services.stop().await.unwrap_err().to_string();
        assert!(error.starts_with("processor ended with "), "{error}");
        for name in ["console", "producer", "sink"] {
            let log = logs.path().join(format!("{name}.log"));
            assert_eq!(last_line(&log), "drained", "{name}");
        }
    }

    #[tokio::test]
    async fn a_service_that_is_stopped_just_after_it_was_started_again_is_no_failure() {
        for supervised in [true, false] {
            let logs = tempfile::tempdir().unwrap();
            let services = services(STARTS, logs.path(), supervised).await;
            let stopped = services.stop().await;
            assert_eq!(stopped.is_ok(), supervised, "{stopped:?}");
        }
    }
}
