//! The backends as the end-to-end tests use them: started, used, killed, started again.

use std::path::Path;

use stack::{Backends, Options, Topics};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn data_survives_a_kill_of_each_part_and_nothing_is_left_at_the_end() {
    let directory = tempfile::Builder::new()
        .prefix("stack-")
        .tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR")))
        .unwrap();
    let backends = Backends::start(Options::new(directory.path()))
        .await
        .unwrap();
    let topics = Topics::with_suffix("test", 2);
    backends.create_topics(&topics).await.unwrap();
    backends.create_topics(&topics).await.unwrap();
    backends.register_schemas(&topics).await.unwrap();
    let database = backends.create_database("orders").await.unwrap();
    assert_eq!(backends.create_database("orders").await.unwrap(), database);

    let produced = backends
        .run_tool(
            "kafka-console-producer",
            [
                "--topic",
                &topics.order_status,
                "--reader-property",
                "parse.key=true",
            ],
            b"17\t{\"id\":17,\"status\":\"SENT\",\"total\":150}\n",
        )
        .await
        .unwrap();
    assert!(produced.status.success(), "{}", text(&produced.stderr));

    let id = backends
        .register_schema(
            "other-value",
            r#"{"type":"record","name":"other","fields":[]}"#,
        )
        .await
        .unwrap();

    for backend in [backends.kafka(), backends.registry(), backends.postgres()] {
        let pid = backend.pid().unwrap();
        backend.pause().unwrap();
        backend.resume().unwrap();
        backend.kill().await.unwrap();
        assert!(!stack::is_alive(pid));
        assert!(backend.kill().await.is_err(), "it is not running");
        backend.start().await.unwrap();
        assert_ne!(backend.pid().unwrap(), pid);
    }

    let same_id = backends
        .register_schema(
            "other-value",
            r#"{"type":"record","name":"other","fields":[]}"#,
        )
        .await
        .unwrap();
    assert_eq!(same_id, id, "schemas keep their ids");
    let refused = backends
        .register_schema(
            "other-value",
            r#"{"type":"record","name":"other","fields":[{"name":"new","type":"int"}]}"#,
        )
        .await;
    assert!(refused.is_err(), "an incompatible schema is refused");
    assert_eq!(backends.create_database("orders").await.unwrap(), database);

    let consumed = backends
        .run_tool(
            "kafka-console-consumer",
            [
                "--topic",
                &topics.order_status,
                "--from-beginning",
                "--max-messages",
                "1",
                "--timeout-ms",
                "30000",
                "--formatter-property",
                "print.key=true",
            ],
            b"",
        )
        .await
        .unwrap();
    assert_eq!(
        text(&consumed.stdout),
        "17\t{\"id\":17,\"status\":\"SENT\",\"total\":150}\n",
        "{}",
        text(&consumed.stderr)
    );

    let described = backends
        .run_tool("kafka-topics", ["--describe"], b"")
        .await
        .unwrap();
    let described = text(&described.stdout);
    let line = |topic: &str| {
        described
            .lines()
            .find(|line| line.contains(&format!("Topic: {topic}\t")))
            .unwrap_or_else(|| panic!("no {topic} in {described}"))
    };
    assert!(line(&topics.order_status).contains("cleanup.policy=compact"));
    assert!(line(&topics.order_status).contains("min.compaction.lag.ms=604800000"));
    assert!(line(&topics.vouchers).contains("retention.ms=-1"));
    assert!(line(&topics.order_status_dead_letters()).contains("max.message.bytes=1114124"));
    assert!(line(&topics.vouchers_dead_letters()).contains("max.message.bytes=1114124"));

    let pids: Vec<u32> = [backends.kafka(), backends.registry(), backends.postgres()]
        .iter()
        .map(|backend| backend.pid().unwrap())
        .collect();
    drop(backends);
    assert!(pids.iter().all(|pid| !stack::is_alive(*pid)));
}
