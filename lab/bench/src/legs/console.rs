//! What the console costs: itself with the commands that it starts, and the services and back ends that it
//! asks.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use end_to_end::system::{STOP, TestSystem, ready};
use end_to_end::topic::{self, NewRecord};
use stack::Service;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::figure::{Figure, Target};
use crate::rig::{self, Rig};
use crate::usage;

const LEG: &str = "console";

/// Open dead letters of the processor, which the console counts while a page is open.
const OPEN_DEAD_LETTERS: i32 = 5_000;

/// The parts whose CPU time is measured.
const PARTS: [&str; 6] = [
    "console",
    "producer",
    "processor",
    "sink",
    "Kafka",
    "Postgres",
];

/// Measures the CPU of an idle system with a console: while no page is open, and while one is.
///
/// # Errors
/// When a service does not start, or the page's stream ends.
pub async fn run(rig: &Rig) -> Result<Vec<Figure>> {
    let (system, _) = rig.system(true).await?;
    bury(&system).await?;
    let producer = ready(system.producer_command("console").await?).await?;
    let processor = ready(system.processor_command("console").await?).await?;
    let sink = ready(system.sink_command("console").await?).await?;
    let console = system
        .console_of(&producer, &processor, &sink)
        .await?
        .env("CONSOLE_WITHOUT_KEYS", "viewer");
    let services = [ready(console).await?, producer, processor, sink];
    let watched = Duration::from_secs(if rig.quick { 10 } else { 60 });

    let (mut without, mut with): ([Vec<f64>; PARTS.len()], [Vec<f64>; PARTS.len()]) =
        Default::default();
    for _ in 0..rig.runs() {
        for (shares, share) in without
            .iter_mut()
            .zip(shares(&system, &services, watched).await?)
        {
            shares.push(share);
        }
        let [console, ..] = &services;
        let page = Page::open(console).await?;
        for (shares, share) in with
            .iter_mut()
            .zip(shares(&system, &services, watched).await?)
        {
            shares.push(share);
        }
        page.close()?;
    }
    for service in services {
        service.terminate(STOP).await?;
    }
    let mut figures = vec![count_of_dead_letters(rig, &system).await?];
    for ((part, without), with) in PARTS.into_iter().zip(&without).zip(&with) {
        let figure = |what, runs: &[f64]| Figure::new(LEG, part, what, "%", runs);
        let more: Vec<f64> = with
            .iter()
            .zip(without)
            .map(|(with, without)| with - without)
            .collect();
        figures.extend([
            figure("share of a core, no page open", without),
            figure("share of a core, more with one page open", &more).should(Target::AtMost(1.0)),
        ]);
    }
    Ok(figures)
}

/// Writes the dead letters.
async fn bury(system: &TestSystem) -> Result<()> {
    let source = &system.topics.order_status;
    let letters = (0..OPEN_DEAD_LETTERS).map(|offset| dead_letter(source, offset));
    let to = system.topics.order_status_dead_letters();
    topic::write(system.brokers(), &to, letters.collect()).await
}

/// Returns a dead letter of every group.
fn dead_letter(source: &str, offset: i32) -> NewRecord {
    let offset = offset.to_string();
    let headers = [
        ("dlq.reason", "invalid_json"),
        ("dlq.message", "expected value at line 1 column 1"),
        ("dlq.topic", source),
        ("dlq.partition", "0"),
        ("dlq.offset", offset.as_str()),
        ("dlq.service", "processor"),
        ("dlq.attempts", "1"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), Some(value.as_bytes().to_vec())));
    NewRecord {
        headers: headers.into(),
        ..NewRecord::new(offset.as_bytes(), "not json")
    }
}

/// Measures one count of the open dead letters by the command that the console starts for it. A measured
/// share of a core may contain none, because they are counted once a minute at most.
async fn count_of_dead_letters(rig: &Rig, system: &TestSystem) -> Result<Figure> {
    let ended_children = || anyhow::Ok(usage::of(std::process::id())?.children_cpu);
    let mut counts = Vec::new();
    for _ in 0..rig.runs() {
        let before = ended_children()?;
        let count = ["dead-letters", "--limit", "0", "--json"];
        let counted = system.run_processor(&count, &[]).await?.json()?;
        ensure!(counted["open"] == OPEN_DEAD_LETTERS, "it counted {counted}");
        let used = ended_children()?.saturating_sub(before);
        counts.push(used.as_secs_f64() * 1000.0);
    }
    let case = format!("count of {OPEN_DEAD_LETTERS} open dead letters");
    // In a minute this is 1 % of a core.
    let most = Target::AtMost(600.0);
    Ok(Figure::new(LEG, case, "CPU", "ms", &counts).should(most))
}

/// Returns how much of a core each part uses within this time, in percent.
async fn shares(
    system: &TestSystem,
    services: &[Service; 4],
    watched: Duration,
) -> Result<[f64; PARTS.len()]> {
    let cpu = || -> Result<[Duration; PARTS.len()]> {
        let [console, producer, processor, sink] = services;
        // With the commands that have ended: the console counts dead letters in processes of their own.
        let of = |service: &Service| {
            let used = usage::of(service.pid())?;
            anyhow::Ok(used.cpu + used.children_cpu)
        };
        Ok([
            of(console)?,
            of(producer)?,
            of(processor)?,
            of(sink)?,
            rig::kafka_cpu(system)?,
            rig::postgres_cpu(system)?,
        ])
    };
    // Processes still work for a moment after a start, or after a page was opened or closed.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (begun, before) = (Instant::now(), cpu()?);
    tokio::time::sleep(watched).await;
    let (after, elapsed) = (cpu()?, begun.elapsed());
    let mut shares = [0.0; PARTS.len()];
    for ((share, after), before) in shares.iter_mut().zip(after).zip(before) {
        *share = after.saturating_sub(before).as_secs_f64() / elapsed.as_secs_f64() * 100.0;
    }
    Ok(shares)
}

/// An open page, as far as the console sees it: the stream of its updates.
struct Page(JoinHandle<Result<()>>);

impl Page {
    async fn open(console: &Service) -> Result<Self> {
        let address = console.url("");
        let address = address.trim_start_matches("http://").trim_end_matches('/');
        let mut connection = TcpStream::connect(address).await?;
        let request = format!("GET /api/stream HTTP/1.1\r\nHost: {address}\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        let mut buffer = vec![0; 64 * 1024];
        let length = connection.read(&mut buffer).await?;
        anyhow::ensure!(
            buffer[..length].starts_with(b"HTTP/1.1 200"),
            "the console answered {}",
            String::from_utf8_lossy(&buffer[..length])
        );
        Ok(Self(tokio::spawn(async move {
            while connection.read(&mut buffer).await? > 0 {}
            anyhow::bail!("the stream has ended")
        })))
    }

    /// Closes the page, which must have been open until now.
    fn close(self) -> Result<()> {
        anyhow::ensure!(!self.0.is_finished(), "the page's stream has ended");
        self.0.abort();
        Ok(())
    }
}
