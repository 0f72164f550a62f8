//! The short, read-only commands that answer a request of a page: pure.

use runtime::duration::human_duration;
use serde_json::Value;

use super::command::{CommandLine, Service};
use super::request::audit;
use super::values;

/// Who acts, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason<'a> {
    /// The name of the person.
    pub by: &'a str,
    /// The reason that the person gave.
    pub why: Option<&'a str>,
}

/// How far the topics are searched for an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Near the known records. Whole partitions if none is known, and all if nothing is found there.
    Usual,
    /// No whole partitions of a long topic, for a question that is asked again and again.
    NoScan,
    /// The partitions of the order's key, from beginning to end.
    Scan,
    /// All partitions, from beginning to end.
    AllPartitions,
}

impl Reach {
    const fn flag(self) -> Option<&'static str> {
        match self {
            Self::Usual => None,
            Self::NoScan => Some("--no-scan"),
            Self::Scan => Some("--scan"),
            Self::AllPartitions => Some("--all-partitions"),
        }
    }
}

/// A read-only command with checked values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query(CommandLine);

/// Which dead letters are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetterList<'a> {
    /// The service that wrote them.
    pub service: Service,
    /// Only dead letters whose newest reason is this one; `None` for all reasons.
    pub reason: Option<&'a str>,
    /// The maximum number that is listed. All are counted.
    pub limit: u16,
    /// Whether closed ones are listed too.
    pub all: bool,
}

impl Query {
    /// Asks for everything about an order, with the codes of its vouchers masked.
    ///
    /// # Errors
    /// What to write instead.
    pub fn explain(order_id: &str, reach: Reach) -> Result<Self, String> {
        let mut line =
            CommandLine::new(Service::Processor, &["explain"]).about(values::order_id(order_id)?);
        if let Some(flag) = reach.flag() {
            line.flag(flag);
        }
        Ok(Self(line))
    }

    /// Asks for everything about an order, with the codes of its vouchers. The command records who
    /// saw them, and why.
    ///
    /// # Errors
    /// What to write instead.
    pub fn reveal(order_id: &str, reach: Reach, reason: Reason<'_>) -> Result<Self, String> {
        let Self(mut line) = Self::explain(order_id, reach)?;
        line.flag("--reveal");
        audit(&mut line, reason.by, values::why(reason.why)?);
        Ok(Self(line))
    }

    /// Asks for the counts of dead letters by reason, and lists the first dead letters.
    ///
    /// # Errors
    /// What to write instead.
    pub fn dead_letters(list: DeadLetterList<'_>) -> Result<Self, String> {
        let mut line = CommandLine::new(list.service, &["dead-letters"]);
        if let Some(reason) = list.reason {
            line.value("--reason", values::reason(reason)?);
        }
        if list.all {
            line.flag("--all");
        }
        line.value("--limit", list.limit);
        Ok(Self(line))
    }

    /// Asks for one dead letter in full.
    ///
    /// # Errors
    /// What to write instead.
    pub fn dead_letter(service: Service, id: &str) -> Result<Self, String> {
        let id = values::dead_letter(id)?;
        Ok(Self(
            CommandLine::new(service, &["dead-letters", "show"]).about(id),
        ))
    }

    /// Returns the command.
    pub const fn command(&self) -> &CommandLine {
        &self.0
    }
}

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandFailed {
    /// It refused its flags or settings (exit code 2).
    #[error("{0}")]
    Refused(String),
    /// It failed (exit code 1), and said why.
    #[error("{0}")]
    Failed(String),
    /// It took too long, including its wait for a permit.
    #[error(
        "the command did not end within {}; Kafka may be slow or down, see its log lines",
        human_duration(*.0)
    )]
    TimedOut(std::time::Duration),
    /// It could not be started.
    #[error("the command could not be started: {0}")]
    NotStarted(#[from] std::io::Error),
}

/// Returns the answer of a command that ended with this exit code.
///
/// Exit code 1 with a result is an answer too: a command that found nothing, or could not read
/// everything, prints what it found.
pub(super) fn answer(
    exit_code: Option<i32>,
    result: Option<Value>,
    error: Option<String>,
) -> Result<Value, CommandFailed> {
    match (exit_code, result) {
        (Some(0 | 1), Some(result)) => Ok(result),
        (Some(2), _) => Err(CommandFailed::Refused(error.unwrap_or_else(|| {
            "the command refused its settings and did not say why".to_owned()
        }))),
        (Some(0), None) => Err(CommandFailed::Failed(
            "the command printed no JSON, or more than the console reads".to_owned(),
        )),
        (code, _) => Err(CommandFailed::Failed(error.unwrap_or_else(|| match code {
            Some(code) => format!("the command ended with exit code {code} and did not say why"),
            None => "a signal ended the command".to_owned(),
        }))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_order_is_explained_whatever_its_id() {
        let line = |id| {
            let query = Query::explain(id, Reach::Usual).unwrap();
            query.command().to_string()
        };
        assert_eq!(line("17"), "processor explain 17");
        assert_eq!(line("--reveal"), "processor explain -- --reveal");
        assert!(Query::explain("", Reach::Usual).is_err());
    }

    #[test]
    fn codes_are_revealed_of_what_was_searched_for_a_reason() {
        let reason = Reason {
            by: "ann",
            why: Some("a customer asks"),
        };
        for (reach, flag) in [
            (Reach::Usual, ""),
            (Reach::Scan, " --scan"),
            (Reach::AllPartitions, " --all-partitions"),
        ] {
            let query = Query::reveal("17", reach, reason).unwrap();
            assert_eq!(
                query.command().to_string(),
                format!("processor explain{flag} --reveal --by ann --why 'a customer asks' 17")
            );
        }
        let reason = Reason {
            why: None,
            ..reason
        };
        assert!(Query::reveal("17", Reach::Usual, reason).is_err());
    }

    #[test]
    fn the_commands_take_every_query() {
        let list = DeadLetterList {
            service: Service::Sink,
            reason: Some("code_taken"),
            limit: 100,
            all: true,
        };
        let reason = Reason {
            by: "ann",
            why: Some("w"),
        };
        for query in [
            Query::explain("--help", Reach::AllPartitions),
            Query::explain("17", Reach::Scan),
            Query::explain("17", Reach::NoScan),
            Query::reveal("17", Reach::AllPartitions, reason),
            Query::dead_letters(list),
            Query::dead_letters(DeadLetterList {
                service: Service::Processor,
                ..list
            }),
            Query::dead_letter(Service::Sink, "vouchers/3/41"),
            Query::dead_letter(Service::Processor, "3/41"),
        ] {
            let query = query.unwrap();
            assert_eq!(query.command().check(), Ok(()), "{query:?}");
        }
    }

    #[test]
    fn a_result_with_exit_code_1_is_an_answer_and_a_refusal_is_an_error() {
        let found = json!({"found": false});
        assert_eq!(answer(Some(1), Some(found.clone()), None).unwrap(), found);
        let why = || Some("no such topic".to_owned());
        assert!(matches!(
            answer(Some(2), Some(found), why()),
            Err(CommandFailed::Refused(_))
        ));
        assert!(matches!(
            answer(Some(1), None, why()),
            Err(CommandFailed::Failed(message)) if message == "no such topic"
        ));
        for code in [Some(0), Some(137), None] {
            assert!(matches!(
                answer(code, None, None),
                Err(CommandFailed::Failed(_))
            ));
        }
    }
}
