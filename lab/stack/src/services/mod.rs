//! The producer, the processor and the sink on the running backends.

mod binaries;
pub(crate) mod environment;
mod service;

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::progress::Progress;
use environment::Environment;

pub use binaries::{BINARIES_VARIABLE, ServiceBinaries};
pub use service::{Service, ServiceCommand};

const READY_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// The three running services.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) producer: Service,
    pub(crate) processor: Service,
    pub(crate) sink: Service,
}

impl Services {
    /// Starts the three at the same time and waits until all of them are ready.
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
        tokio::try_join!(
            producer.wait_ready(READY_DEADLINE),
            processor.wait_ready(READY_DEADLINE),
            sink.wait_ready(READY_DEADLINE)
        )?;
        step.done(&format!(
            "Services         producer {}, processor {}, sink {}",
            producer.http_addr(),
            processor.http_addr(),
            sink.http_addr()
        ));
        Ok(Self {
            producer,
            processor,
            sink,
        })
    }

    fn all(&self) -> [&Service; 3] {
        [&self.producer, &self.processor, &self.sink]
    }

    /// Returns the variables that name the services' addresses.
    pub(crate) fn addresses(&self) -> [(&'static str, String); 3] {
        [
            ("PRODUCER_HTTP_ADDR", self.producer.http_addr().to_owned()),
            ("PROCESSOR_HTTP_ADDR", self.processor.http_addr().to_owned()),
            ("SINK_HTTP_ADDR", self.sink.http_addr().to_owned()),
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

    /// Stops the services in the direction of the data flow, so that each drains into the next.
    pub(crate) async fn stop(self) -> Result<()> {
        for service in self.all() {
            let status = service.terminate(STOP_DEADLINE).await?;
            if !status.success() {
                bail!(
                    "{} ended with {status}; its log: {}",
                    service.name(),
                    service.log().display()
                );
            }
        }
        Ok(())
    }
}
