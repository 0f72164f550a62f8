//! Each command runs with exactly the rights that docs/access-rights.md lists for it, and without any.

mod table;

use std::sync::Arc;

use anyhow::{Result, ensure};
use end_to_end::backends::own_secured_backends;
use end_to_end::command::Answer;
use end_to_end::system::{SIGNING_KEY, TestSystem};
use end_to_end::topic::{self, NewRecord};
use stack::{Listener, Port};

use table::Operation::{self, Read};
use table::Resource::{
    self, Audit, BackfillGroups, Cluster, OrderStatus, OrderStatusDlq, OrderStatusStates,
    ProcessorGroup, SinkGroup, Transactions, Vouchers, VouchersDlq, VouchersStates,
};
use table::{COMMANDS, Granted, NOBODY, READS, SEES};

const PASSWORD: &str = "of-all-of-them";

impl Resource {
    /// Returns the arguments of kafka-acls for this resource.
    fn arguments(self, system: &TestSystem) -> Vec<String> {
        let topics = &system.topics;
        let group = |service: &str| format!("{service}-{}", system.name);
        let (flag, name, is_prefix) = match self {
            OrderStatus => ("--topic", topics.order_status.clone(), false),
            OrderStatusDlq => ("--topic", topics.order_status_dead_letters(), false),
            OrderStatusStates => (
                "--topic",
                format!("{}.state", topics.order_status_dead_letters()),
                false,
            ),
            Vouchers => ("--topic", topics.vouchers.clone(), false),
            VouchersDlq => ("--topic", topics.vouchers_dead_letters(), false),
            VouchersStates => (
                "--topic",
                format!("{}.state", topics.vouchers_dead_letters()),
                false,
            ),
            Audit => ("--topic", audit_topic(system), false),
            ProcessorGroup => ("--group", system.processor_group(), false),
            SinkGroup => ("--group", system.sink_group(), false),
            BackfillGroups => ("--group", format!("{}/backfill/", group("processor")), true),
            Transactions(prefix) => {
                let (service, rest) = prefix.split_once('/').unwrap_or((prefix, ""));
                let name = format!("{}/{rest}", group(service));
                ("--transactional-id", name, true)
            }
            Cluster => return vec!["--cluster".to_owned()],
        };
        let mut arguments = vec![flag.to_owned(), name];
        if is_prefix {
            arguments.extend(["--resource-pattern-type", "prefixed"].map(str::to_owned));
        }
        arguments
    }
}

fn audit_topic(system: &TestSystem) -> String {
    format!("audit-{}", system.name)
}

/// Grants each command its rights: one call of the tool for each resource and operation.
async fn grant(system: &TestSystem) -> Result<()> {
    let mut calls: Vec<(Vec<String>, Operation, Vec<&str>)> = Vec::new();
    for granted in COMMANDS.iter().chain([&SEES, &READS]) {
        for (operation, resources) in granted.rights {
            for resource in *resources {
                let resource = resource.arguments(system);
                let same = calls
                    .iter_mut()
                    .find(|(there, with, _)| *there == resource && with == operation);
                match same {
                    Some((_, _, users)) => users.push(granted.user),
                    None => calls.push((resource, *operation, vec![granted.user])),
                }
            }
        }
    }
    for (resource, operation, users) in calls {
        let mut arguments = vec!["--add".to_owned()];
        arguments.extend(resource);
        arguments.extend(["--operation".to_owned(), format!("{operation:?}")]);
        for user in users {
            arguments.extend(["--allow-principal".to_owned(), format!("User:{user}")]);
        }
        let output = system
            .backends
            .run_tool("kafka-acls", arguments, b"")
            .await?;
        ensure!(output.status.success(), "{output:?}");
    }
    Ok(())
}

/// Runs a command as this user.
async fn run(system: &TestSystem, granted: &Granted, user: &str, address: &str) -> Result<Answer> {
    let properties = format!(
        "security.protocol=SASL_PLAINTEXT,sasl.mechanism=PLAIN,sasl.username={user},\
         sasl.password={PASSWORD}"
    );
    let database = match granted.service {
        "producer" => &system.orders_url,
        _ => &system.vouchers_url,
    };
    let audit = audit_topic(system);
    let mut environment = vec![
        ("KAFKA_BOOTSTRAP_SERVERS", address),
        ("KAFKA_PROPERTIES", &properties),
        ("DATABASE_URL", database),
        ("VOUCHER_SIGNING_KEY", SIGNING_KEY),
    ];
    let mut resources = granted.rights.iter().flat_map(|(_, resources)| *resources);
    if resources.any(|resource| matches!(resource, Audit)) {
        environment.push(("AUDIT_TOPIC", &audit));
    }
    system
        .run_service(granted.service, granted.arguments, &environment)
        .await
}

async fn secured(port: &Port) -> TestSystem {
    let users = COMMANDS.iter().map(|granted| granted.user);
    let users: String = users
        .chain([SEES.user, READS.user, NOBODY])
        .map(|user| format!(" user_{user}=\"{PASSWORD}\""))
        .collect();
    let plain = format!("org.apache.kafka.common.security.plain.PlainLoginModule required{users};");
    let settings = [
        (
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        ),
        ("super.users", "User:ANONYMOUS"),
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("listener.name.secure.plain.sasl.jaas.config", &plain),
    ];
    let listener = Listener {
        name: "SECURE",
        protocol: "SASL_PLAINTEXT",
        address: port.address(),
    };
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let backends = own_secured_backends("rights", vec![listener], settings.to_vec()).await;
    match TestSystem::on(Arc::new(backends), true).await {
        Ok(system) => system,
        Err(error) => panic!("{error:#}"),
    }
}

#[tokio::test]
async fn each_command_works_with_its_documented_rights_and_names_the_one_that_is_missing()
-> Result<()> {
    let port = Port::free()?;
    let system = secured(&port).await;
    // Writes records to every topic, and creates the tables.
    let producer = system.producer().await?;
    let processor = system.processor().await?;
    let sink = system.sink().await?;
    let good = r#"{"order_id":"17","status":"SENT","total":100}"#;
    system
        .write_orders(vec![NewRecord::new("17", good), NewRecord::new("18", "{")])
        .await?;
    topic::write(
        system.brokers(),
        &system.topics.vouchers,
        vec![NewRecord::new("19", "{")],
    )
    .await?;
    system.settled().await;
    drop((producer, processor, sink));

    let audit = audit_topic(&system);
    let fixed = system
        .run_processor(&["check", "--fix"], &[("AUDIT_TOPIC", &audit)])
        .await?;
    assert!(
        fixed.stdout.contains(&format!("made  topic {audit}")),
        "{fixed:?}"
    );

    // Without any right, or without the right to read, each command names the right that it lacks.
    grant(&system).await?;
    let address = port.address();
    for granted in COMMANDS {
        let answer = run(&system, granted, NOBODY, &address).await?;
        assert_eq!(answer.code, 1, "{granted:?}: {answer:?}");
        let said = answer.stdout + &answer.stderr;
        let words = "does not allow User:nobody to describe topic ";
        assert!(said.contains(words), "{}: {said}", granted.user);
        assert!(
            said.contains("--allow-principal User:nobody --topic ") && said.contains("Describe"),
            "{}: {said}",
            granted.user
        );
        if granted
            .rights
            .iter()
            .any(|(operation, _)| *operation == Read)
        {
            let answer = run(&system, granted, SEES.user, &address).await?;
            assert_eq!(answer.code, 1, "{granted:?}: {answer:?}");
            let said = answer.stdout + &answer.stderr;
            // The refusal of a transaction is reported by another part of the client, with another
            // sentence.
            let words = [
                "does not allow User:sees to ",
                "allow this user Write and Describe on the transactional id",
            ];
            assert!(
                words.iter().any(|words| said.contains(words)),
                "{}: {said}",
                granted.user
            );
        }
    }
    for granted in COMMANDS {
        let answer = run(&system, granted, granted.user, &address).await?;
        assert_eq!(answer.code, 0, "{}: {answer:?}", granted.user);
        let said = answer.stdout + &answer.stderr;
        assert!(
            !said.contains("authorization") && !said.contains("does not allow"),
            "{}: {said}",
            granted.user
        );
    }

    // A backfill runs without watching the groups that it may not describe.
    let answer = run(&system, &READS, READS.user, &address).await?;
    assert_eq!(answer.code, 0, "{answer:?}");
    let group = system.sink_group();
    let words = format!("does not allow User:reads to describe group {group}");
    assert!(answer.stderr.contains(&words), "{answer:?}");
    assert!(
        answer.stderr.contains(&format!(
            "--allow-principal User:reads --group {group} --operation Describe"
        )),
        "{answer:?}"
    );
    let words = format!("did not give way to group {group}: ");
    assert!(answer.stdout.contains(&words), "{answer:?}");
    Ok(())
}
