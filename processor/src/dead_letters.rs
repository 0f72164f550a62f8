//! `processor dead-letters`: how many there are and why; one in full; closing hopeless ones.

use clap::{Args, Subcommand};
use runtime::dead_letter::command::{
    DiscardArgs, ListArgs, Reading, ShowArgs, discard, list, show,
};
use runtime::dead_letter::{DeadLetter, DeadLetterTopic};
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::Failure;
use runtime::registry::{Registry, RegistrySettings};
use runtime::settings::TopicSettings;
use runtime::telemetry::{self, LogSettings};
use runtime::value::framing_of;

use crate::explainer::Explainer;
use crate::settings::{CampaignSettings, GroupSettings, RuleSettings};

/// What `processor dead-letters` reads from flags and environment variables.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DeadLettersSettings {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: OfCampaign<ListArgs>,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// Show one letter in full, and how it is read today.
    Show(Box<ShowSettings>),
    /// Close letters that nothing will ever come of, with a note.
    Discard(Box<OfCampaign<DiscardArgs>>),
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

/// A command that needs to know the campaign alone.
#[derive(Debug, Clone, Args)]
struct OfCampaign<A: Args> {
    #[command(flatten)]
    on: On<A>,
    #[command(flatten)]
    campaign: CampaignSettings,
}

#[derive(Debug, Clone, Args)]
struct ShowSettings {
    #[command(flatten)]
    on: On<ShowArgs>,
    #[command(flatten)]
    registry: RegistrySettings,
    #[command(flatten)]
    rule: RuleSettings,
}

impl<A: Args> On<A> {
    fn dead_letter_topic(&self, campaign: &str) -> DeadLetterTopic {
        telemetry::start(&self.log);
        DeadLetterTopic::new(
            self.kafka.clone(),
            self.topics.order_status_topic.clone(),
            self.group.owner(campaign),
        )
    }
}

impl<A: Args> OfCampaign<A> {
    fn dead_letter_topic(&self) -> DeadLetterTopic {
        self.on.dead_letter_topic(&self.campaign.voucher_campaign)
    }
}

/// Lists, shows or discards.
///
/// # Errors
/// Exit code 2 for settings; 1 when there is no such letter, or the broker does not answer.
pub async fn run(settings: DeadLettersSettings) -> Result<(), Failure> {
    let explainer = match &settings.action {
        Some(Action::Show(show)) => Some(Explainer::new(
            show.rule.rule()?,
            show.rule.order_default_currency,
            Registry::of(&show.registry)?,
        )),
        _ => None,
    };
    tokio::task::spawn_blocking(move || match (&settings.action, explainer) {
        (Some(Action::Show(settings)), Some(mut explainer)) => {
            let dead_letter_topic = settings
                .on
                .dead_letter_topic(&settings.rule.voucher_campaign);
            show(&dead_letter_topic, &settings.on.args, |letter| {
                read(&mut explainer, letter)
            })
        }
        (Some(Action::Discard(settings)), _) => {
            discard(&settings.dead_letter_topic(), &settings.on.args)
        }
        _ => list(&settings.list.dead_letter_topic(), &settings.list.on.args),
    })
    .await
    .map_err(|error| Failure::failed(format!("dead-letters: {error}")))?
}

fn read(explainer: &mut Explainer, letter: &DeadLetter) -> Result<Reading, Failure> {
    let told = explainer.tell(&letter.original)?;
    Ok(Reading {
        format: framing_of(&letter.original),
        today: told.to_string(),
        fields: told.fields,
        secret: false,
    })
}
