//! Settings and key files, as flags, variables and files contain them.

use clap::Parser;
use processor::signing_keys::SigningKeys;
use producer::http::auth::ApiKeys;
use runtime::dead_letter::{DeadLetterId, OriginFilter};
use runtime::kafka::{Bound, KafkaSettings};
use runtime::postgres::{Database, Timeouts};
use runtime::registry::{Registry, RegistrySettings};
use runtime::settings::Secret;
use schemas::{Campaign, Currency, Timestamp, decimal};

use crate::script::Script;
use crate::sound;

/// Lets the first byte choose the setting; the rest is its text.
pub(crate) fn settings(input: &[u8]) {
    let mut script = Script::new(input);
    let choice = script.below(10);
    let flag = script.byte();
    let Ok(text) = std::str::from_utf8(script.rest()) else {
        return;
    };
    match choice {
        0 => scalars(text),
        1 => bound(text),
        2 => place(text),
        3 => signing_keys(text),
        4 => api_keys(text),
        5 => properties(text),
        6 => urls(text),
        _ => flags(flag, text),
    }
}

/// A value that is displayed can be parsed again.
fn scalars(text: &str) {
    if let Ok(time) = Timestamp::parse_rfc3339(text) {
        assert_eq!(time.to_string().parse(), Ok(time));
    }
    if let Ok(currency) = text.parse::<Currency>() {
        assert_eq!(currency.as_str().parse(), Ok(currency));
    }
    if let Ok(campaign) = text.parse::<Campaign>() {
        sound::one_line(campaign.as_str());
    }
    if let Ok(amount) = decimal::parse(text) {
        let money = decimal::as_money(amount).to_string();
        assert_eq!(decimal::parse(&money), Ok(amount));
    }
}

fn bound(text: &str) {
    match Bound::parse(text) {
        Ok(bound) => assert_eq!(Bound::parse(&bound.to_string()), Ok(bound)),
        Err(why) => assert!(why.contains("write"), "{why}"),
    }
}

fn place(text: &str) {
    if let Ok(id) = text.parse::<DeadLetterId>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(place) = text.parse::<OriginFilter>() {
        assert_eq!(place.to_string(), text);
    }
}

/// An error names the line and contains no key.
fn signing_keys(text: &str) {
    for read in [SigningKeys::single(text), SigningKeys::parse(text)] {
        match read {
            Ok(keys) => {
                assert!(keys.ids().all(|id| id.len() == 8));
                sound::one_line(&keys.fingerprint());
            }
            Err(why) => repeats_nothing(&why, text),
        }
    }
}

fn api_keys(text: &str) {
    match ApiKeys::parse(text) {
        Ok(keys) => {
            let first = text
                .lines()
                .map(str::trim)
                .find(|line| !line.is_empty() && !line.starts_with('#'));
            let first = first.expect("a file without a key is refused");
            // The name of its client may precede it.
            let key = first.split_ascii_whitespace().next_back().unwrap_or(first);
            assert!(key.starts_with("sha256:") || keys.identify(key.as_bytes()).is_some());
        }
        Err(why) => repeats_nothing(&why, text),
    }
}

/// Checks that an error contains no word of a secret; short ones may be words of the sentence.
fn repeats_nothing(why: &str, secret: &str) {
    sound::one_line(why);
    for word in secret.split_whitespace().filter(|word| word.len() > 12) {
        assert!(!why.contains(word), "{why}");
    }
}

fn properties(text: &str) {
    let settings = KafkaSettings {
        kafka_bootstrap_servers: "localhost:9092".to_owned(),
        kafka_properties: Some(Secret::new(text)),
        kafka_properties_file: None,
    };
    match settings.consumer("group") {
        // Properties that the guarantees depend on cannot be overridden.
        Ok(config) => {
            assert_eq!(config.get("isolation.level"), Some("read_committed"));
            assert_eq!(config.get("enable.auto.commit"), Some("false"));
            assert_eq!(config.get("group.id"), Some("group"));
        }
        Err(failure) => assert!(failure.to_string().contains("KAFKA_PROPERTIES")),
    }
}

fn urls(text: &str) {
    let timeouts = Timeouts {
        statement: "5s",
        lock: "4s",
    };
    if let Err(failure) = Database::new(&Secret::new(text), "fuzz", timeouts) {
        assert!(failure.to_string().starts_with("DATABASE_URL: "));
    }
    if let Err(failure) = Registry::of(&RegistrySettings::at(text)) {
        let failure = failure.to_string();
        assert!(failure.starts_with("SCHEMA_REGISTRY_URL: "));
        sound::one_line(&failure);
    }
}

/// Gives one flag of a command this text.
fn flags(flag: u8, text: &str) {
    const RUN_PROCESSOR: [&str; 16] = [
        "voucher-min-total",
        "voucher-amount",
        "voucher-currency",
        "voucher-campaign",
        "voucher-valid-days",
        "voucher-sent-from",
        "voucher-sent-until",
        "order-default-currency",
        "processor-instance-id",
        "processing-guarantee",
        "tasks",
        "dead-letter-limit",
        "http-addr",
        "order-status-topic",
        "log-format",
        "voucher-signing-key",
    ];
    const BACKFILL: [&str; 6] = ["from", "to", "partitions", "name", "rate", "threads"];
    const DEAD_LETTERS: [&str; 5] = ["reason", "from", "to", "letter", "key"];
    const RUN_SINK: [&str; 3] = ["sink-group", "tasks", "vouchers-topic"];
    const RUN_PRODUCER: [&str; 6] = [
        "http-addr",
        "http-body-limit",
        "http-bulk-limit",
        "http-timeout",
        "outbox-limit",
        "old-routes-without-key",
    ];
    let flag = usize::from(flag);
    let line = |service: &str, command: &str, flags: &[&str]| {
        let argument = format!("--{}={text}", flags[flag % flags.len()]);
        [service.to_owned(), command.to_owned(), argument]
    };
    let with_database = |line: [String; 3]| {
        let database = "--database-url=postgres://h/d".to_owned();
        line.into_iter().chain([database])
    };
    match flag / 16 % 5 {
        0 => {
            let line = line("processor", "run", &RUN_PROCESSOR);
            let cli = processor::cli::Cli::try_parse_from(line);
            if let Ok(processor::cli::Cli {
                command: processor::cli::Command::Run(settings),
                ..
            }) = cli
            {
                // Either an evaluation or a sentence.
                let keys = settings.keys.signing_keys();
                let evaluator = keys.and_then(|keys| settings.rule.evaluator(keys));
                let _ = evaluator.map_err(|failure| failure.to_string());
                let _ = settings.flow.instance_id();
            }
        }
        1 => {
            let line = line("processor", "backfill", &BACKFILL);
            drop(processor::cli::Cli::try_parse_from(line));
        }
        2 => {
            let line = line("processor", "dead-letters", &DEAD_LETTERS);
            drop(processor::cli::Cli::try_parse_from(line));
        }
        3 => {
            let line = with_database(line("sink", "run", &RUN_SINK));
            drop(sink::cli::Cli::try_parse_from(line));
        }
        _ => {
            let line = with_database(line("producer", "run", &RUN_PRODUCER));
            drop(producer::cli::Cli::try_parse_from(line));
        }
    }
}
