//! Sentences about how a command ended, from what it printed: pure.

use serde_json::Value;

use super::request::RunRequest;
use crate::digits::{amounts, counted, number};

/// What a command writes before the message of its failure.
const ERROR: &str = "error: ";

/// Returns the message of the last failure that a text reports, as one line: of the log of a command,
/// or of what its parser says.
pub(super) fn error_of(text: &str) -> Option<String> {
    let lines: Vec<_> = text.lines().collect();
    error_in(&lines)
}

/// Returns the message of the last failure that these lines report.
pub(super) fn error_in<S: AsRef<str>>(lines: &[S]) -> Option<String> {
    let start = lines
        .iter()
        .rposition(|line| line.as_ref().starts_with(ERROR))?;
    let first = lines[start].as_ref().strip_prefix(ERROR)?.trim();
    // The parser's usage and advice follow after an empty line.
    let more = lines[start + 1..].iter().map(|line| line.as_ref().trim());
    let message: Vec<_> = std::iter::once(first)
        .chain(more.take_while(|line| !line.is_empty()))
        .collect();
    Some(message.join(" "))
}

/// Returns what a completed command did, in one sentence; none for a result without the numbers.
pub(super) fn outcome(request: &RunRequest, result: &Value) -> Option<String> {
    let count = |name: &str| result[name].as_u64();
    match request {
        RunRequest::Redrive(redrive) => {
            let (closed, open) = (count("closed")?, count("still_open")?);
            let verb = if redrive.dry_run {
                "would close"
            } else {
                "closed"
            };
            Some(format!(
                "{verb} {}, still open {}",
                counted(closed, "dead letter"),
                number(open)
            ))
        }
        RunRequest::Discard(_) => {
            let discarded = result["discarded"].as_array()?.len() as u64;
            Some(format!("discarded {}", counted(discarded, "dead letter")))
        }
        RunRequest::Backfill(_) if result["already_done"] == true => Some(
            "a backfill of this name, range, rule and keys was done before; nothing was read or \
             written"
                .to_owned(),
        ),
        RunRequest::Backfill(backfill) if backfill.dry_run => {
            let vouchers = count("vouchers")?;
            let (sum, currency) = (result["sum"].as_str()?, result["currency"].as_str()?);
            let refused = match result["refused"].as_str() {
                Some(why) => format!("; the backfill would be refused: {why}"),
                None => String::new(),
            };
            Some(format!(
                "{} to issue, {} {currency} in all{refused}",
                counted(vouchers, "voucher"),
                amounts(sum)
            ))
        }
        RunRequest::Backfill(_) => {
            let (records, vouchers) = (count("records")?, count("voucher_records")?);
            Some(format!(
                "evaluated {} and wrote {}",
                counted(records, "record"),
                counted(vouchers, "voucher record")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_error_of_a_log_is_its_message() {
        let log = "2026-11-23T09:30:00Z  INFO processor: begins\nerror: the first\n\
                   2026-11-23T09:30:01Z  WARN processor: again\nerror: there is no topic a:\nb\n";
        assert_eq!(error_of(log).unwrap(), "there is no topic a: b");
        assert_eq!(
            error_of("2026-11-23T09:30:00Z  INFO error: not this\n"),
            None
        );
    }

    #[test]
    fn the_parsers_usage_is_left_out() {
        let text = "error: the following required arguments were not provided:\n  \
                    --database-url <DATABASE_URL>\n\nUsage: sink redrive\n\nFor more information, try '--help'.\n";
        assert_eq!(
            error_of(text).unwrap(),
            "the following required arguments were not provided: --database-url <DATABASE_URL>"
        );
    }

    fn outcome_of(request: serde_json::Value, result: serde_json::Value) -> Option<String> {
        outcome(&serde_json::from_value(request).unwrap(), &result)
    }

    #[test]
    fn a_result_is_one_sentence() {
        let redrive =
            |dry_run: bool| json!({"kind": "redrive", "service": "sink", "dry_run": dry_run});
        let result = json!({"closed": 1, "still_open": 2});
        assert_eq!(
            outcome_of(redrive(true), result.clone()).unwrap(),
            "would close 1 dead letter, still open 2"
        );
        assert_eq!(
            outcome_of(redrive(false), result).unwrap(),
            "closed 1 dead letter, still open 2"
        );
        let backfill = |dry_run: bool| json!({"kind": "backfill", "dry_run": dry_run});
        let preview = json!({"vouchers": 3, "sum": "15.00", "currency": "EUR", "refused": "no"});
        assert_eq!(
            outcome_of(backfill(true), preview).unwrap(),
            "3 vouchers to issue, 15.00 EUR in all; the backfill would be refused: no"
        );
        let one = json!({"vouchers": 1, "sum": "5.00", "currency": "EUR"});
        assert_eq!(
            outcome_of(backfill(true), one).unwrap(),
            "1 voucher to issue, 5.00 EUR in all"
        );
        let many = json!({"vouchers": 1004, "sum": "4550.00", "currency": "EUR"});
        assert_eq!(
            outcome_of(backfill(true), many).unwrap(),
            "1,004 vouchers to issue, 4,550.00 EUR in all",
            "as the page writes them"
        );
        let done = json!({"already_done": true, "records": 0, "voucher_records": 0});
        assert!(
            outcome_of(backfill(false), done)
                .unwrap()
                .contains("was done before")
        );
        assert_eq!(
            outcome_of(backfill(false), json!({"records": "many"})),
            None
        );
    }
}
