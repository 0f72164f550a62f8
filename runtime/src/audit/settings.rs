//! `AUDIT_TOPIC`, `--by` and `--why`.

use clap::Args;

use super::Audit;
use crate::lifecycle::Failure;
use crate::provision::{PARTITIONS, TopicPlan, audit_plan, topic_plans};
use crate::settings::{TopicSettings, identifier, sentence};

/// Kafka's limit for the name of a topic.
const MAX_TOPIC: usize = 249;

/// The longest name of a person, in bytes.
const MAX_NAME: usize = 256;

/// The topic of audit records.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Audit")]
pub struct AuditTopic {
    /// Topic of audit records: who did what, why, and how much. Without it nothing is recorded.
    #[arg(long, env = "AUDIT_TOPIC", value_parser = identifier(MAX_TOPIC))]
    pub audit_topic: Option<String>,
}

/// Where a command is recorded, and in whose name.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Audit")]
pub struct AuditSettings {
    /// The topic of audit records.
    #[command(flatten)]
    pub topic: AuditTopic,

    /// Who runs the command, for its audit records [default: USER].
    #[arg(long, env = "AUDIT_BY", value_name = "NAME", value_parser = name)]
    pub by: Option<String>,

    /// Why the command is run, for its audit records. Required with AUDIT_TOPIC, except where
    /// --note says why.
    #[arg(long, value_name = "TEXT", value_parser = sentence)]
    pub why: Option<String>,
}

impl AuditTopic {
    /// Returns the name of the topic, if one is set.
    ///
    /// # Errors
    /// Exit code 2 when it is one of `topics` or of their dead letters.
    pub fn name(&self, topics: &TopicSettings) -> Result<Option<&str>, Failure> {
        let Some(name) = self.audit_topic.as_deref() else {
            return Ok(None);
        };
        let mut others = topic_plans(topics, PARTITIONS).into_iter();
        if others.any(|other| other.name == name) {
            return Err(Failure::bad_setting(format!(
                "AUDIT_TOPIC is {name}, which has other records; write the name of a topic of its own"
            )));
        }
        Ok(Some(name))
    }

    /// Returns the topic with its configuration, if one is set.
    ///
    /// # Errors
    /// As [`name`](Self::name).
    pub fn plan(&self, topics: &TopicSettings) -> Result<Option<TopicPlan>, Failure> {
        Ok(self.name(topics)?.map(audit_plan))
    }
}

impl AuditSettings {
    /// Returns where a command of `service` is recorded, and in whose name, or `None` without a topic.
    /// `note` stands for `--why` where the command has a `--note` flag.
    ///
    /// # Errors
    /// Exit code 2 when a topic is set and the settings do not say who runs the command, or why.
    pub fn open(
        &self,
        service: &'static str,
        topics: &TopicSettings,
        note: Option<&str>,
    ) -> Result<Option<Audit>, Failure> {
        self.open_as(service, topics, note, user)
    }

    /// Does what [`open`](Self::open) does if the command has an effect that is recorded, or reveals
    /// codes. Returns `None` otherwise.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_if(
        &self,
        is_recorded: bool,
        service: &'static str,
        topics: &TopicSettings,
        note: Option<&str>,
    ) -> Result<Option<Audit>, Failure> {
        if is_recorded {
            self.open(service, topics, note)
        } else {
            Ok(None)
        }
    }

    fn open_as(
        &self,
        service: &'static str,
        topics: &TopicSettings,
        note: Option<&str>,
        user: impl FnOnce() -> Option<String>,
    ) -> Result<Option<Audit>, Failure> {
        let Some(topic) = self.topic.name(topics)? else {
            return Ok(None);
        };
        let by = self.by.clone().or_else(user).ok_or_else(|| {
            Failure::bad_setting(
                "AUDIT_TOPIC is set, and nothing says who runs this command: write --by NAME, or set \
                 AUDIT_BY",
            )
        })?;
        let why = self.why.as_deref().or(note).ok_or_else(|| {
            Failure::bad_setting(
                "AUDIT_TOPIC is set, so this command is recorded: write --why TEXT, which says why you \
                 run it",
            )
        })?;
        Ok(Some(Audit::new(
            topic.to_owned(),
            service,
            by,
            why.to_owned(),
        )))
    }
}

/// Returns the user who is logged in, as the environment names it.
fn user() -> Option<String> {
    ["USER", "LOGNAME"].into_iter().find_map(|variable| {
        let user = std::env::var(variable).ok()?;
        name(&user).ok()
    })
}

fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_NAME || text.chars().any(char::is_control) {
        return Err(format!(
            "write a name of at most {MAX_NAME} bytes, on one line"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> TopicSettings {
        TopicSettings {
            order_status_topic: "order-status".to_owned(),
            vouchers_topic: "vouchers".to_owned(),
        }
    }

    fn settings(topic: &str, by: Option<&str>, why: Option<&str>) -> AuditSettings {
        AuditSettings {
            topic: AuditTopic {
                audit_topic: Some(topic.to_owned()),
            },
            by: by.map(str::to_owned),
            why: why.map(str::to_owned),
        }
    }

    fn opened(
        settings: &AuditSettings,
        note: Option<&str>,
        user: Option<&str>,
    ) -> Result<Option<Audit>, String> {
        let user = user.map(str::to_owned);
        settings
            .open_as("processor", &topics(), note, || user)
            .map_err(|failure| {
                assert_eq!(failure.code(), 2);
                failure.to_string()
            })
    }

    #[test]
    fn without_a_topic_nobody_has_to_say_anything() {
        let settings = AuditSettings::default();
        assert!(opened(&settings, None, None).unwrap().is_none());
        assert_eq!(settings.topic.plan(&topics()).unwrap(), None);
    }

    #[test]
    fn who_is_the_flag_or_else_the_user_of_the_environment() {
        let by = |by, user| {
            opened(&settings("audit", by, Some("a test")), None, user)
                .map(|audit| audit.map(|audit| audit.by().to_owned()))
        };
        assert_eq!(by(Some("ana"), Some("root")), Ok(Some("ana".to_owned())));
        assert_eq!(by(None, Some("root")), Ok(Some("root".to_owned())));
        assert!(by(None, None).unwrap_err().contains("--by NAME"));
    }

    #[test]
    fn why_is_the_flag_or_else_the_note_and_one_of_them_is_required() {
        let why = |why, note| {
            opened(&settings("audit", Some("ana"), why), note, None)
                .map(|audit| audit.map(|audit| audit.why().to_owned()))
        };
        assert_eq!(why(Some("flag"), Some("note")), Ok(Some("flag".to_owned())));
        assert_eq!(why(None, Some("note")), Ok(Some("note".to_owned())));
        assert!(why(None, None).unwrap_err().contains("--why TEXT"));
    }

    #[test]
    fn a_topic_of_other_records_is_refused() {
        for taken in ["order-status", "vouchers.dlq", "order-status.dlq.state"] {
            let settings = settings(taken, Some("ana"), Some("a test"));
            let refused = opened(&settings, None, None).unwrap_err();
            assert!(refused.contains(taken), "{refused}");
            assert!(settings.topic.plan(&topics()).is_err());
        }
    }

    #[test]
    fn a_name_is_one_line() {
        assert_eq!(name(" Ana Díaz ").as_deref(), Ok("Ana Díaz"));
        for wrong in ["", "  ", "a\nb", &"a".repeat(MAX_NAME + 1)] {
            assert!(name(wrong).is_err(), "{wrong:?}");
        }
    }
}
