//! Settings and key files, as flags, variables and files hold them.

use clap::Parser;
use processor::backfill::BackfillSettings;
use processor::signing_keys::SigningKeys;
use producer::http::auth::ApiKeys;
use runtime::dead_letter::{DeadLetterId, LetterFilter, Place};
use runtime::kafka::{Bound, KafkaSettings};
use runtime::postgres::{Database, Timeouts};
use runtime::registry::{Registry, RegistrySettings};
use runtime::settings::Secret;
use schemas::{Campaign, Currency, Timestamp, decimal};

use crate::script::Script;
use crate::sound;

#[derive(Debug, Parser)]
struct ProcessorCommand {
    #[command(flatten)]
    settings: processor::settings::RunSettings,
}

#[derive(Debug, Parser)]
struct BackfillCommand {
    #[command(flatten)]
    settings: BackfillSettings,
}

#[derive(Debug, Parser)]
struct SinkCommand {
    #[command(flatten)]
    settings: sink::settings::RunSettings,
}

#[derive(Debug, Parser)]
struct ProducerCommand {
    #[command(flatten)]
    settings: producer::settings::RunSettings,
}

#[derive(Debug, Parser)]
struct LettersCommand {
    #[command(flatten)]
    filter: LetterFilter,
}

/// The first byte chooses the setting, the rest is its text.
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

/// What is shown can be written again.
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
    if let Ok(identity) = text.parse::<DeadLetterId>() {
        assert_eq!(identity.to_string(), text);
    }
    if let Ok(place) = text.parse::<Place>() {
        assert_eq!(place.to_string(), text);
    }
}

/// A refusal names the line and repeats no key.
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
            // Its client's name may come before it.
            let key = first.split_ascii_whitespace().next_back().unwrap_or(first);
            assert!(key.starts_with("sha256:") || keys.identify(key.as_bytes()).is_some());
        }
        Err(why) => repeats_nothing(&why, text),
    }
}

/// No word of a secret is in what is said of it; shorter ones may be words of the sentence.
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
        // What the promises rest on can't be set from outside.
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

/// One flag of a service with this text.
fn flags(flag: u8, text: &str) {
    const PROCESSOR: [&str; 16] = [
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
    const LETTERS: [&str; 5] = ["reason", "from", "to", "letter", "key"];
    const SINK: [&str; 3] = ["sink-group", "tasks", "vouchers-topic"];
    const PRODUCER: [&str; 6] = [
        "http-addr",
        "http-body-limit",
        "http-bulk-limit",
        "http-timeout",
        "outbox-limit",
        "old-routes-without-key",
    ];
    let flag = usize::from(flag);
    let of = |flags: &[&str]| {
        let argument = format!("--{}={text}", flags[flag % flags.len()]);
        [
            "service".to_owned(),
            "--database-url=postgres://h/d".to_owned(),
            argument,
        ]
    };
    let without_database = |flags: &[&str]| {
        let [service, _, argument] = of(flags);
        [service, argument]
    };
    match flag / 16 % 5 {
        0 => {
            let read = ProcessorCommand::try_parse_from(without_database(&PROCESSOR));
            if let Ok(ProcessorCommand { settings }) = read {
                // Either an evaluation, or a sentence.
                let _ = settings.evaluator().map_err(|failure| failure.to_string());
                let _ = settings.flow.instance_id();
            }
        }
        1 => drop(BackfillCommand::try_parse_from(without_database(&BACKFILL))),
        2 => drop(LettersCommand::try_parse_from(without_database(&LETTERS))),
        3 => drop(SinkCommand::try_parse_from(of(&SINK))),
        _ => drop(ProducerCommand::try_parse_from(of(&PRODUCER))),
    }
}
