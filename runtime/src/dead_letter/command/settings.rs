//! The command `dead-letters` with its flags. Each service adds the flags that say whose dead letters are
//! meant, and how it reads their originals.

use clap::{Args, Subcommand};

use super::{DiscardArgs, ListArgs, Reading, ShowArgs, discard, list, show};
use crate::dead_letter::{DeadLetter, DeadLetterTopic};
use crate::kafka::KafkaSettings;
use crate::lifecycle::{Failure, blocking};
use crate::settings::TopicSettings;

/// The flags of a service that say whose dead letters a command is about.
pub trait OwnerFlags: Args {
    /// The name of the service, as audit records have it.
    const SERVICE: &'static str;

    /// Returns the dead letter topic of that owner.
    fn dead_letter_topic(&self, kafka: KafkaSettings, topics: &TopicSettings) -> DeadLetterTopic;
}

/// The flags with which a service reads the originals of its dead letters.
pub trait ReaderFlags: OwnerFlags {
    /// Returns a function that evaluates an original as the service does today, and reveals voucher
    /// codes only if its second argument says so. Must be called within a Tokio runtime; the
    /// function blocks its thread.
    ///
    /// # Errors
    /// Exit code 2 for wrong settings.
    fn into_reader(
        self,
    ) -> Result<impl FnOnce(&DeadLetter, bool) -> Result<Reading, Failure> + Send + 'static, Failure>;
}

/// What `dead-letters` reads from flags and environment variables.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DeadLettersSettings<O: OwnerFlags, R: ReaderFlags> {
    #[command(subcommand)]
    action: Option<Action<O, R>>,
    #[command(flatten)]
    list: Invocation<ListArgs, O>,
}

#[derive(Debug, Clone, Subcommand)]
enum Action<O: OwnerFlags, R: ReaderFlags> {
    /// Show one dead letter in full, and what its outcome would be today.
    Show(Box<Invocation<ShowArgs, R>>),
    /// Close dead letters that will never be used, with a note.
    Discard(Box<Invocation<DiscardArgs, O>>),
}

/// The arguments of one command, and what it needs to read the dead letters.
#[derive(Debug, Clone, Args)]
struct Invocation<A: Args, O: Args> {
    #[command(flatten)]
    args: A,
    #[command(flatten)]
    kafka: KafkaSettings,
    #[command(flatten)]
    topics: TopicSettings,
    #[command(flatten)]
    owner: O,
}

/// The arguments of one command, with the dead letter topic that they select.
struct Started<A, O> {
    args: A,
    topics: TopicSettings,
    owner: O,
    dead_letters: DeadLetterTopic,
}

impl<A: Args, O: OwnerFlags> Invocation<A, O> {
    fn start(self) -> Started<A, O> {
        Started {
            dead_letters: self.owner.dead_letter_topic(self.kafka, &self.topics),
            args: self.args,
            topics: self.topics,
            owner: self.owner,
        }
    }
}

impl<O: OwnerFlags, R: ReaderFlags> DeadLettersSettings<O, R> {
    /// Lists, shows or discards dead letters.
    ///
    /// # Errors
    /// Exit code 2 for wrong settings; 1 when there is no such dead letter, or the broker does not
    /// answer.
    pub async fn run(self) -> Result<(), Failure> {
        const COMMAND: &str = "dead-letters";
        match self.action {
            None => {
                let Started {
                    args, dead_letters, ..
                } = self.list.start();
                blocking(COMMAND, move || list(&dead_letters, &args)).await
            }
            Some(Action::Discard(invocation)) => {
                let Started {
                    args,
                    topics,
                    dead_letters,
                    ..
                } = invocation.start();
                let audit = args.open_audit(O::SERVICE, &topics)?;
                blocking(COMMAND, move || discard(&dead_letters, &args, audit)).await
            }
            Some(Action::Show(invocation)) => {
                let Started {
                    args,
                    topics,
                    owner,
                    dead_letters,
                } = invocation.start();
                let audit = args.open_audit(R::SERVICE, &topics)?;
                let read = owner.into_reader()?;
                blocking(COMMAND, move || {
                    show(&dead_letters, &args, audit, |dead_letter| {
                        read(dead_letter, args.reveal)
                    })
                })
                .await
            }
        }
    }
}
