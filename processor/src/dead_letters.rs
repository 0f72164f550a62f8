//! `processor dead-letters`: lists, shows and discards the dead letters of the order statuses.

use clap::Args;
use runtime::dead_letter::command::{self, OwnerFlags, ReaderFlags, Reading};
use runtime::dead_letter::{DeadLetter, DeadLetterTopic};
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::Failure;
use runtime::registry::{Registry, RegistrySettings};
use runtime::settings::TopicSettings;
use runtime::value::framing_of;

use crate::explainer::Explainer;
use crate::settings::{CampaignSettings, GroupSettings, RuleSettings};

/// What `processor dead-letters` reads from flags and environment variables.
pub type DeadLettersSettings = command::DeadLettersSettings<OwnerSettings, ReaderSettings>;

/// Whose dead letters are listed or discarded.
#[derive(Debug, Clone, Args)]
pub struct OwnerSettings {
    #[command(flatten)]
    group: GroupSettings,
    #[command(flatten)]
    campaign: CampaignSettings,
}

/// Whose dead letters are shown, and the rule that evaluates them.
#[derive(Debug, Clone, Args)]
pub struct ReaderSettings {
    #[command(flatten)]
    group: GroupSettings,
    #[command(flatten)]
    registry: RegistrySettings,
    #[command(flatten)]
    rule: RuleSettings,
}

impl GroupSettings {
    /// Returns the dead letters of the order statuses, as this group of the campaign sees them.
    pub(crate) fn dead_letter_topic(
        &self,
        kafka: KafkaSettings,
        topics: &TopicSettings,
        campaign: &str,
    ) -> DeadLetterTopic {
        let source = topics.order_status_topic.clone();
        DeadLetterTopic::new(kafka, source, self.owner(campaign))
    }
}

impl OwnerFlags for OwnerSettings {
    const SERVICE: &'static str = "processor";

    fn dead_letter_topic(&self, kafka: KafkaSettings, topics: &TopicSettings) -> DeadLetterTopic {
        let campaign = &self.campaign.voucher_campaign;
        self.group.dead_letter_topic(kafka, topics, campaign)
    }
}

impl OwnerFlags for ReaderSettings {
    const SERVICE: &'static str = "processor";

    fn dead_letter_topic(&self, kafka: KafkaSettings, topics: &TopicSettings) -> DeadLetterTopic {
        let campaign = &self.rule.voucher_campaign;
        self.group.dead_letter_topic(kafka, topics, campaign)
    }
}

impl ReaderFlags for ReaderSettings {
    fn into_reader(
        self,
    ) -> Result<impl FnOnce(&DeadLetter, bool) -> Result<Reading, Failure> + Send + 'static, Failure>
    {
        let mut explainer = Explainer::new(
            self.rule.rule()?,
            self.rule.order_default_currency,
            Registry::of(&self.registry)?,
        );
        Ok(move |dead_letter: &DeadLetter, _| {
            let explanation = explainer.explain(&dead_letter.original)?;
            Ok(Reading {
                format: framing_of(&dead_letter.original),
                today: explanation.to_string(),
                fields: explanation.fields,
                secret: false,
            })
        })
    }
}

/// Lists, shows or discards dead letters.
///
/// # Errors
/// See [`command::DeadLettersSettings::run`].
pub async fn run(settings: DeadLettersSettings) -> Result<(), Failure> {
    settings.run().await
}
