//! `sink dead-letters`: lists, shows and discards the dead letters of the vouchers.

use clap::Args;
use runtime::dead_letter::command::{self, OwnerFlags, ReaderFlags, Reading};
use runtime::dead_letter::{DeadLetter, DeadLetterTopic};
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::Failure;
use runtime::record::InputRecord as _;
use runtime::registry::{Registry, RegistrySettings, SchemaCache};
use runtime::settings::TopicSettings;
use runtime::value::{self, framing_of};
use schemas::{Voucher, VoucherPlan, decimal};

use crate::decide::TOMBSTONE;
use crate::settings::GroupSettings;

/// What `sink dead-letters` reads from flags and environment variables.
pub type DeadLettersSettings = command::DeadLettersSettings<GroupSettings, ReaderSettings>;

/// Whose dead letters are shown, and how their values are read.
#[derive(Debug, Clone, Args)]
pub struct ReaderSettings {
    #[command(flatten)]
    group: GroupSettings,
    #[command(flatten)]
    registry: RegistrySettings,
}

impl OwnerFlags for GroupSettings {
    const SERVICE: &'static str = "sink";

    fn dead_letter_topic(&self, kafka: KafkaSettings, topics: &TopicSettings) -> DeadLetterTopic {
        DeadLetterTopic::new(kafka, topics.vouchers_topic.clone(), self.owner())
    }
}

impl OwnerFlags for ReaderSettings {
    const SERVICE: &'static str = "sink";

    fn dead_letter_topic(&self, kafka: KafkaSettings, topics: &TopicSettings) -> DeadLetterTopic {
        self.group.dead_letter_topic(kafka, topics)
    }
}

impl ReaderFlags for ReaderSettings {
    fn into_reader(
        self,
    ) -> Result<impl FnOnce(&DeadLetter, bool) -> Result<Reading, Failure> + Send + 'static, Failure>
    {
        let registry = Registry::of(&self.registry)?;
        let mut schemas = SchemaCache::for_command(registry);
        Ok(move |dead_letter: &DeadLetter, reveal| read(&mut schemas, dead_letter, reveal))
    }
}

/// Lists, shows or discards dead letters.
///
/// # Errors
/// See [`command::DeadLettersSettings::run`].
pub async fn run(settings: DeadLettersSettings) -> Result<(), Failure> {
    settings.run().await
}

fn read(
    schemas: &mut SchemaCache<VoucherPlan>,
    dead_letter: &DeadLetter,
    reveal: bool,
) -> Result<Reading, Failure> {
    let record = &dead_letter.original;
    let decoded = value::decode(record, schemas, |bytes, format| {
        Voucher::read(record.key(), bytes, format).map(|voucher| fields_of(&voucher, reveal))
    });
    let (today, fields, secret) = match decoded.settled()? {
        Ok(None) => (
            format!("skipped, tombstone: {TOMBSTONE}"),
            Vec::new(),
            false,
        ),
        Ok(Some(fields)) => {
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
