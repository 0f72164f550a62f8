//! `sink dead-letters`: how many there are and why; one in full; closing hopeless ones.

use clap::{Args, Subcommand};
use runtime::dead_letter::command::{
    DiscardArgs, ListArgs, Reading, ShowArgs, discard, list, show,
};
use runtime::dead_letter::{Letter, Shelf};
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::Failure;
use runtime::registry::{
    Lookup, Registry, RegistrySettings, SchemaCache, SchemaSource as _, WaitsFor, settled,
};
use runtime::settings::TopicSettings;
use runtime::telemetry::{self, LogSettings};
use runtime::wording::count;
use schemas::{Malformed, Payload, Voucher, VoucherPlan, decimal};

use crate::decide::TOMBSTONE;
use crate::settings::GroupSettings;

/// What `sink dead-letters` reads from flags and environment variables.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DeadLettersSettings {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: On<ListArgs>,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// Show one letter in full, and how it is read today.
    Show(Box<ShowSettings>),
    /// Close letters that nothing will ever come of, with a note.
    Discard(Box<On<DiscardArgs>>),
}

/// A command's own arguments, and where the letters are.
#[derive(Debug, Clone, Args)]
struct On<A: Args> {
    #[command(flatten)]
    args: A,
    #[command(flatten)]
    kafka: KafkaSettings,
    #[command(flatten)]
    topics: TopicSettings,
    #[command(flatten)]
    group: GroupSettings,
    #[command(flatten)]
    log: LogSettings,
}

#[derive(Debug, Clone, Args)]
struct ShowSettings {
    #[command(flatten)]
    on: On<ShowArgs>,
    #[command(flatten)]
    registry: RegistrySettings,
}

impl<A: Args> On<A> {
    fn shelf(&self) -> Shelf {
        telemetry::start(&self.log);
        Shelf::new(
            self.kafka.clone(),
            self.topics.vouchers_topic.clone(),
            self.group.owner(),
        )
    }
}

/// Lists, shows or discards.
///
/// # Errors
/// Exit code 2 for settings; 1 when there is no such letter, or the broker does not answer.
pub async fn run(settings: DeadLettersSettings) -> Result<(), Failure> {
    let schemas = match &settings.action {
        Some(Action::Show(show)) => Some(SchemaCache::of_command(
            Registry::of(&show.registry)?,
            VoucherPlan::compile,
        )),
        _ => None,
    };
    tokio::task::spawn_blocking(move || match (&settings.action, schemas) {
        (Some(Action::Show(settings)), Some(mut schemas)) => {
            let args = &settings.on.args;
            show(&settings.on.shelf(), args, |letter| {
                read(&mut schemas, letter, args.reveal)
            })
        }
        (Some(Action::Discard(settings)), _) => discard(&settings.shelf(), &settings.args),
        _ => list(&settings.list.shelf(), &settings.list.args),
    })
    .await
    .map_err(|error| Failure::failed(format!("dead-letters: {error}")))?
}

fn read(
    schemas: &mut SchemaCache<VoucherPlan>,
    letter: &Letter,
    reveal: bool,
) -> Result<Reading, Failure> {
    let record = &letter.original;
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    settled(|| {
        let reading = |format: String, voucher: Result<Voucher<'_>, Malformed>| Reading {
            format,
            today: match &voucher {
                Ok(_) => "a row, unless the database refuses it".to_owned(),
                Err(fault) => format!("dead, {}: {}", fault.reason(), fault.message()),
            },
            fields: voucher.map_or_else(|_| Vec::new(), |voucher| fields_of(&voucher, reveal)),
            secret: true,
        };
        match Payload::of(value) {
            Ok(Payload::Tombstone) => Ok(Reading {
                format: "null, a deletion".to_owned(),
                today: format!("skipped, tombstone: {TOMBSTONE}"),
                ..Reading::default()
            }),
            Ok(Payload::Json(value)) => Ok(reading(
                "not framed, so read as JSON".to_owned(),
                Voucher::from_json(key, value),
            )),
            Ok(Payload::Avro { schema_id, body }) => {
                let format = format!("Avro of schema {schema_id}, {}", count(body.len(), "byte"));
                match schemas.lookup(schema_id) {
                    Lookup::Pending => Err(WaitsFor { schema_id }),
                    Lookup::Bad(fault) => Ok(reading(format, Err(fault))),
                    Lookup::Known(plan) => Ok(reading(format, Voucher::from_avro(key, body, plan))),
                }
            }
            Err(fault) => Ok(reading(fault.message().to_owned(), Err(fault))),
        }
    })
}

fn fields_of(voucher: &Voucher<'_>, reveal: bool) -> Vec<(&'static str, String)> {
    let code = if reveal { &*voucher.code } else { "****" };
    let mut fields = vec![
        ("campaign", voucher.campaign.to_string()),
        ("order_id", voucher.order_id.to_owned()),
        ("code", code.to_owned()),
        (
            "amount",
            format!("{} {}", decimal::as_money(voucher.amount), voucher.currency),
        ),
        ("issued_at", voucher.issued_at.to_string()),
    ];
    fields.extend(voucher.expires_at.map(|at| ("expires_at", at.to_string())));
    fields
}
