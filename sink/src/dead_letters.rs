//! `sink dead-letters`: how many there are and why; one in full; closing hopeless ones.

use clap::{Args, Subcommand};
use runtime::dead_letter::command::{
    DiscardArgs, ListArgs, Reading, ShowArgs, discard, list, show,
};
use runtime::dead_letter::{DeadLetter, DeadLetterTopic};
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::Failure;
use runtime::record::InputRecord as _;
use runtime::registry::{Registry, RegistrySettings, SchemaCache, WaitsFor, settled};
use runtime::settings::TopicSettings;
use runtime::telemetry::{self, LogSettings};
use runtime::value::{self, Value, framing_of};
use schemas::{Voucher, VoucherPlan, decimal};

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
    fn dead_letter_topic(&self) -> DeadLetterTopic {
        telemetry::start(&self.log);
        DeadLetterTopic::new(
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
            VoucherPlan::compile_with,
        )),
        _ => None,
    };
    tokio::task::spawn_blocking(move || match (&settings.action, schemas) {
        (Some(Action::Show(settings)), Some(mut schemas)) => {
            let args = &settings.on.args;
            show(&settings.on.dead_letter_topic(), args, |letter| {
                read(&mut schemas, letter, args.reveal)
            })
        }
        (Some(Action::Discard(settings)), _) => {
            discard(&settings.dead_letter_topic(), &settings.args)
        }
        _ => list(&settings.list.dead_letter_topic(), &settings.list.args),
    })
    .await
    .map_err(|error| Failure::failed(format!("dead-letters: {error}")))?
}

fn read(
    schemas: &mut SchemaCache<VoucherPlan>,
    letter: &DeadLetter,
    reveal: bool,
) -> Result<Reading, Failure> {
    let record = &letter.original;
    settled(|| {
        let read = value::read(record, schemas, |body| {
            Voucher::read(record.key(), body).map(|voucher| fields_of(&voucher, reveal))
        });
        let (today, fields, secret) = match read {
            Ok(Value::Wait { schema_id }) => return Err(WaitsFor { schema_id }),
            Ok(Value::Tombstone) => (
                format!("skipped, tombstone: {TOMBSTONE}"),
                Vec::new(),
                false,
            ),
            Ok(Value::Read(fields)) => {
                let today = "a row, unless the database refuses it".to_owned();
                (today, fields, true)
            }
            Err(fault) => {
                let today = format!("dead, {}: {}", fault.reason(), fault.message());
                (today, Vec::new(), true)
            }
        };
        Ok(Reading {
            format: framing_of(record),
            today,
            fields,
            secret,
        })
    })
}

fn fields_of(voucher: &Voucher<'_>, reveal: bool) -> Vec<(&'static str, String)> {
    let code = if reveal { &*voucher.code } else { "****" };
    let mut fields = vec![
        ("campaign", voucher.campaign.to_string()),
        ("order_id", voucher.order_id.to_string()),
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
