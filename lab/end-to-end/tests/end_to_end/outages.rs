//! Services wait out a fault outside of the data: they stay alive, and no record is lost or becomes a dead
//! letter.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use end_to_end::backends::own_backends;
use end_to_end::http::{metric, readiness};
use end_to_end::system::{TestSystem, ready};
use end_to_end::topic::{self, NewRecord};
use end_to_end::wait;
use serde_json::json;
use stack::Service;

/// The duration of an outage: twice `max.poll.interval.ms`.
const AWAY: Duration = Duration::from_secs(20);
const POLL_INTERVAL: &str = "max.poll.interval.ms=10000";

struct Flow {
    system: TestSystem,
    producer: Service,
    processor: Service,
    sink: Service,
}

impl Flow {
    async fn start(name: &str) -> Result<Self> {
        let backends = Arc::new(own_backends(name).await);
        let system = TestSystem::on(backends, true).await?;
        let with_interval =
            |command: stack::ServiceCommand| command.env("KAFKA_PROPERTIES", POLL_INTERVAL);
        Ok(Self {
            producer: system.producer().await?,
            processor: ready(with_interval(system.processor_command("1").await?)).await?,
            sink: ready(with_interval(system.sink_command("1").await?)).await?,
            system,
        })
    }

    /// Places an order over HTTP and sends it.
    async fn send_order(&self, order_id: &str) -> Result<()> {
        let http = reqwest::Client::new();
        let created = http
            .post(self.producer.url("/orders"))
            .json(&json!({"order_id": order_id, "total": "100.00"}))
            .send()
            .await?;
        anyhow::ensure!(created.status() == 201, "{}", created.text().await?);
        let sent = http
            .patch(self.producer.url(&format!("/orders/{order_id}")))
            .json(&json!({"status": "SENT"}))
            .send()
            .await?;
        anyhow::ensure!(sent.status() == 200, "{}", sent.text().await?);
        Ok(())
    }

    async fn has_row(&self, order_id: &str) -> Result<()> {
        let rows = wait::until(
            &format!("the voucher of {order_id}"),
            || async { self.system.vouchers_of(order_id).await.unwrap_or_default() },
            |rows| !rows.is_empty(),
        )
        .await;
        assert_eq!(rows.len(), 1);
        Ok(())
    }

    fn all(&self) -> [&Service; 3] {
        [&self.producer, &self.processor, &self.sink]
    }

    /// Checks that during the outage every service stays alive and, once it has noticed the outage, is as
    /// ready as `ready` says.
    async fn stays_away(&self, ready: [bool; 3]) -> Result<()> {
        for (service, ready) in self.all().into_iter().zip(ready) {
            let what = format!("{} to say ready: {ready}", service.name());
            let answer = wait::until(
                &what,
                || readiness(service),
                |answer| {
                    answer
                        .as_ref()
                        .is_ok_and(|(code, _)| (*code == 200) == ready)
                },
            )
            .await;
            answer?;
        }
        let end = std::time::Instant::now() + AWAY;
        while std::time::Instant::now() < end {
            for service in self.all() {
                let alive = reqwest::get(service.url("/livez")).await?;
                anyhow::ensure!(alive.status() == 200, "{} is not alive", service.name());
            }
            let _ = wait::happens_within(Duration::from_millis(250), || false).await;
        }
        for (service, ready) in self.all().into_iter().zip(ready) {
            let (code, parts) = readiness(service).await?;
            assert_eq!(code == 200, ready, "{}: {parts}", service.name());
        }
        Ok(())
    }

    /// Checks that every service is ready again and has caught up, without dead letters and without having
    /// been fenced.
    async fn recovers(&self) -> Result<()> {
        for service in self.all() {
            service.wait_ready(Duration::from_secs(60)).await?;
        }
        self.system.settled().await;
        assert!(self.system.dead_letters().await?.is_empty());
        let of_the_sink = self.system.topics.vouchers_dead_letters();
        assert!(
            topic::read(self.system.brokers(), &of_the_sink)
                .await?
                .is_empty()
        );
        Ok(())
    }
}

#[tokio::test]
async fn while_the_broker_is_away_the_ingress_takes_orders_and_all_arrive_afterwards() -> Result<()>
{
    let flow = Flow::start("broker-away").await?;
    flow.send_order("before").await?;
    flow.has_row("before").await?;
    flow.system.backends.kafka().stop().await?;
    flow.send_order("meanwhile").await?;
    flow.stays_away([true, false, false]).await?;
    flow.system.backends.kafka().start().await?;
    flow.system.backends.kafka().wait_ready().await?;
    flow.send_order("after").await?;
    for order in ["meanwhile", "after"] {
        flow.has_row(order).await?;
    }
    flow.recovers().await
}

#[tokio::test]
async fn while_postgres_is_away_the_processor_goes_on_and_all_rows_arrive_afterwards() -> Result<()>
{
    let flow = Flow::start("postgres-away").await?;
    flow.send_order("before").await?;
    flow.has_row("before").await?;
    flow.system.backends.postgres().stop().await?;
    flow.system
        .write_orders(vec![NewRecord::new(
            "meanwhile",
            r#"{"order_id":"meanwhile","status":"SENT","total":100}"#,
        )])
        .await?;
    let refused = reqwest::Client::new()
        .post(flow.producer.url("/orders"))
        .json(&json!({"total": "100.00"}))
        .send()
        .await?;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    flow.stays_away([false, true, false]).await?;
    let processor_group = flow.system.processor_group();
    flow.system
        .caught_up(&processor_group, &flow.system.topics.order_status)
        .await;
    flow.system.backends.postgres().start().await?;
    flow.system.backends.postgres().wait_ready().await?;
    flow.has_row("meanwhile").await?;
    // The ingress answers 503 until it has seen Postgres again, and /readyz says when.
    flow.producer.wait_ready(Duration::from_secs(60)).await?;
    flow.send_order("after").await?;
    flow.has_row("after").await?;
    flow.recovers().await?;
    let partitions = metric(&flow.sink, "checkout_sink_partitions", "").await?;
    assert_eq!(partitions, 4, "the sink still has all partitions");
    Ok(())
}

#[tokio::test]
async fn while_the_registry_is_away_known_schemas_flow_and_a_new_one_waits() -> Result<()> {
    let flow = Flow::start("registry-away").await?;
    flow.send_order("before").await?;
    flow.has_row("before").await?;
    // The same layout under another name: a schema that no service has asked for yet.
    let newer = schemas::ORDER_STATUS_AVSC.replacen("OrderStatus", "NewerOrderStatus", 1);
    let schema_id = flow
        .system
        .backends
        .register_schema("newer", &newer)
        .await?;

    flow.system.backends.registry().pause()?;
    flow.send_order("known").await?;
    flow.has_row("known").await?;
    let mut value = Vec::new();
    schemas::NewOrderStatus {
        status: schemas::Status::Sent,
        total: "100".parse()?,
        occurred_at: schemas::Timestamp::from_millis(1_780_000_000_000),
        ..schemas::NewOrderStatus::pending("newer")
    }
    .write(
        schemas::ValueFormat::Avro(u32::try_from(schema_id)?),
        &mut value,
    )?;
    flow.system
        .write_orders(vec![NewRecord::new("newer", value)])
        .await?;
    flow.stays_away([true, false, true]).await?;
    flow.system.backends.registry().resume()?;
    flow.has_row("newer").await?;
    flow.send_order("after").await?;
    flow.has_row("after").await?;
    flow.recovers().await
}
