//! The command `health`, which asks the running service of the same container or machine.

use anyhow::Result;
use end_to_end::system::TestSystem;
use end_to_end::wait;

/// An address at which nothing listens, so that the broker stays unreachable.
const NO_BROKER: &str = "127.0.0.1:1";

#[tokio::test]
async fn a_ready_service_is_ready_and_one_that_has_stopped_does_not_answer() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let sink = system.sink().await?;
    let address = [("HTTP_ADDR", sink.http_addr())];
    for arguments in [&["health"][..], &["health", "--live"]] {
        let answer = system.run_service("sink", arguments, &address).await?;
        assert_eq!(answer.code, 0, "{arguments:?}: {answer:?}");
    }
    // A service that listens on all interfaces is asked on loopback.
    let everywhere = sink.http_addr().replace("127.0.0.1", "0.0.0.0");
    let everywhere = [("HTTP_ADDR", everywhere.as_str())];
    let answer = system.run_service("sink", &["health"], &everywhere).await?;
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "ready\n"));

    sink.kill().await?;
    let answer = system.run_service("sink", &["health"], &address).await?;
    assert_eq!(answer.code, 1, "{answer:?}");
    for word in [sink.http_addr(), "refused", "HTTP_ADDR"] {
        assert!(answer.stderr.contains(word), "{word}: {}", answer.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn a_service_that_waits_for_its_broker_is_alive_and_says_what_it_waits_for() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let command = system.processor_command("1").await?;
    let processor = command
        .env("KAFKA_BOOTSTRAP_SERVERS", NO_BROKER)
        .start()
        .await?;
    let address = [("HTTP_ADDR", processor.http_addr())];
    let alive = || async {
        let answer = system.run_service("processor", &["health", "--live"], &address);
        answer.await.map(|answer| answer.code).unwrap_or(-1)
    };
    wait::until("the processor to listen", alive, |code| *code == 0).await;
    let answer = system
        .run_service("processor", &["health"], &address)
        .await?;
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(
        answer.stderr.starts_with("error: not ready: ") && answer.stderr.contains("kafka: "),
        "{}",
        answer.stderr
    );
    Ok(())
}

#[tokio::test]
async fn a_start_is_worth_a_warning_only_when_it_lasts_long() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let command = system.processor_command("1").await?;
    let processor = command
        .env("KAFKA_BOOTSTRAP_SERVERS", NO_BROKER)
        .start()
        .await?;
    // The task reports once that it waits for its topics.
    let levels = || async {
        let log = std::fs::read_to_string(processor.log()).unwrap_or_default();
        let reports = log
            .lines()
            .filter(|line| line.contains("not ready") && line.contains("task-0"));
        let level = |line: &str| ["INFO", "WARN"].map(|level| line.contains(level));
        reports.map(level).collect::<Vec<_>>()
    };
    let levels = wait::until("both reports of the task", levels, |levels| {
        levels.len() >= 2
    })
    .await;
    assert_eq!(levels, [[true, false], [false, true]]);
    Ok(())
}

#[tokio::test]
async fn every_service_has_the_command() -> Result<()> {
    let system = TestSystem::open_json().await?;
    for (service, variable) in [
        ("producer", "HTTP_ADDR"),
        ("processor", "HTTP_ADDR"),
        ("sink", "HTTP_ADDR"),
        ("console", "CONSOLE_HTTP_ADDR"),
    ] {
        let nobody = [(variable, NO_BROKER)];
        let answer = system.run_service(service, &["health"], &nobody).await?;
        assert_eq!(answer.code, 1, "{service}: {answer:?}");
        assert!(answer.stderr.contains(variable), "{}", answer.stderr);
    }
    Ok(())
}
