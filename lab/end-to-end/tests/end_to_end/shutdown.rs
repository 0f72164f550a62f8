//! What clients and load balancers see of a service that stops.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::http::readiness;
use end_to_end::system::{STOP, TestSystem, ready};
use end_to_end::wait;
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use stack::Service;

use crate::balancer::Balancer;
use crate::http_load::HttpLoad;

/// Longer than the test needs for its checks before the producer closes its port.
const DELAY: &str = "600";

fn signal(service: &Service, signal: Signal) -> Result<()> {
    let pid = i32::try_from(service.pid())?;
    let pid = Pid::from_raw(pid).context("a process id")?;
    Ok(kill_process(pid, signal)?)
}

async fn is_shutting_down(service: &Service) -> bool {
    let ready = readiness(service).await;
    ready.is_ok_and(|(code, body)| (code, &body["status"]) == (503, &json!("shutting down")))
}

async fn until_shutting_down(service: &Service) {
    let state = || is_shutting_down(service);
    wait::until("/readyz to say so", state, |told| *told).await;
}

#[tokio::test]
async fn a_producer_that_will_stop_says_so_and_serves_on() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let command = system.producer_command("1").await?;
    let producer = ready(command.env("HTTP_SHUTDOWN_DELAY", DELAY)).await?;
    let http = Client::new();
    let place = async |order_id: &str| {
        let order = json!({"order_id": order_id, "total": 100});
        let request = http.post(producer.url("/orders")).json(&order);
        anyhow::Ok(request.send().await?)
    };
    let before = place("before").await?;
    assert_eq!(before.status(), 201);
    assert!(!before.headers().contains_key("connection"));

    signal(&producer, Signal::TERM)?;
    until_shutting_down(&producer).await;
    let old = reqwest::get(producer.url("/readiness")).await?;
    assert_eq!(old.status(), 500);
    for order_id in ["meanwhile-1", "meanwhile-2"] {
        let meanwhile = place(order_id).await?;
        assert_eq!(meanwhile.status(), 201, "{order_id}");
        assert_eq!(meanwhile.headers()["connection"], "close", "{order_id}");
    }
    // Everything is published before the port is closed.
    let published = || async { system.order_records().await.unwrap_or_default().len() };
    wait::until("three records", published, |count| *count == 3).await;

    // The second signal does not wait for the delay.
    signal(&producer, Signal::TERM)?;
    producer.wait(STOP).await?;
    Ok(())
}

/// With a delay of zero, requests to the closed port would fail until the balancer's next probe.
#[tokio::test]
async fn a_balancer_that_watches_readyz_shows_no_error_while_a_producer_stops() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let balancer = Arc::new(Balancer::new()?);
    let mut producers = Vec::new();
    for instance in ["1", "2"] {
        let command = system.producer_command(instance).await?;
        let producer = ready(command.env("HTTP_SHUTDOWN_DELAY", "2")).await?;
        balancer.add(&producer.url("")).await;
        producers.push(producer);
    }
    let load = HttpLoad::start(balancer, 80);
    load.goes_on(20).await;
    assert!(producers[0].terminate(STOP).await?.success());
    load.goes_on(20).await;
    let seen = load.stop().await?;
    assert!(seen.wrong.is_empty(), "{:#?}", seen.wrong);
    Ok(())
}

#[tokio::test]
async fn a_ctrl_c_and_a_delay_of_zero_stop_at_once() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let command = system.producer_command("1").await?;
    let producer = ready(command.env("HTTP_SHUTDOWN_DELAY", DELAY)).await?;
    signal(&producer, Signal::INT)?;
    assert!(producer.wait(STOP).await?.success());
    assert!(system.producer().await?.terminate(STOP).await?.success());
    Ok(())
}

#[tokio::test]
async fn a_connection_is_idle_for_longer_than_a_slow_head_may_take() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let command = system.producer_command("1").await?;
    let producer = ready(command.env("HTTP_IDLE_TIMEOUT", "20")).await?;
    let mut idle = [
        Connection::open(&producer).await?,
        Connection::open(&producer).await?,
    ];
    for connection in &mut idle {
        connection.asks().await?;
    }
    // Longer than a head may take.
    let pause = tokio::time::timeout(Duration::from_secs(15), idle[0].ended()).await;
    assert!(pause.is_err(), "an idle connection was ended early");
    idle[0].asks().await?;
    let ended = tokio::time::timeout(Duration::from_secs(30), idle[1].ended()).await;
    ended.context("a connection that is idle for long stays")??;

    let mut slow = Connection::open(&producer).await?;
    slow.asks().await?;
    slow.says("GET /livez HTTP/1.1\r\nhost: ").await?;
    let ended = tokio::time::timeout(Duration::from_secs(17), slow.ended()).await;
    ended.context("a second head may take for ever")??;
    Ok(())
}

struct Connection(tokio::net::TcpStream);

impl Connection {
    async fn open(service: &Service) -> Result<Self> {
        Ok(Self(
            tokio::net::TcpStream::connect(service.http_addr()).await?,
        ))
    }

    async fn says(&mut self, words: &str) -> Result<()> {
        use tokio::io::AsyncWriteExt;
        Ok(self.0.write_all(words.as_bytes()).await?)
    }

    /// Sends a whole request and reads its whole answer.
    async fn asks(&mut self) -> Result<()> {
        use tokio::io::AsyncReadExt;
        self.says("GET /livez HTTP/1.1\r\nhost: shop\r\n\r\n")
            .await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nOK") {
            let read = self.0.read_buf(&mut answer).await?;
            anyhow::ensure!(read > 0, "the connection ended: {answer:?}");
        }
        Ok(())
    }

    /// Waits until the service closes the connection.
    async fn ended(&mut self) -> Result<()> {
        use tokio::io::AsyncReadExt;
        let read = self.0.read(&mut [0; 1]).await.unwrap_or(0);
        anyhow::ensure!(read == 0, "more was said");
        Ok(())
    }
}
