//! The result of one check, and the report of all.

use serde_json::{Value, json};

use crate::lifecycle::Failure;
use crate::output;
use crate::plural::count;

/// How serious a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing to do.
    Ok,
    /// It works, but a guarantee is weaker than it could be.
    Warn,
    /// It does not work, or records will be lost.
    Fail,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// How serious it is.
    pub level: Level,
    /// What was checked, such as "topic order-status".
    pub subject: String,
    /// What was found.
    pub finding: String,
    /// What to do, if anything.
    pub advice: Option<String>,
}

impl CheckResult {
    /// Returns a result that needs no action.
    pub fn ok(subject: impl Into<String>, finding: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            subject: subject.into(),
            finding: finding.into(),
            advice: None,
        }
    }

    /// Returns a warning: it works, but a guarantee is weaker than it could be.
    pub fn warn(
        subject: impl Into<String>,
        finding: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Warn,
            advice: Some(advice.into()),
            ..Self::ok(subject, finding)
        }
    }

    /// Returns a failure: it does not work, or records will be lost.
    pub fn fail(
        subject: impl Into<String>,
        finding: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Fail,
            ..Self::warn(subject, finding, advice)
        }
    }

    /// Returns the finding and the advice in one line.
    pub fn sentence(&self) -> String {
        match &self.advice {
            None => self.finding.clone(),
            Some(advice) => format!("{}; {advice}", self.finding),
        }
    }
}

/// The results of one `check`.
#[derive(Debug, Default)]
pub(super) struct Report {
    made: Vec<String>,
    results: Vec<CheckResult>,
}

impl Report {
    /// Adds what `--fix` created.
    pub(super) fn made(&mut self, what: impl Into<String>) {
        self.made.push(what.into());
    }

    /// Adds results, in the order in which they are printed.
    pub(super) fn add(&mut self, results: impl IntoIterator<Item = CheckResult>) {
        self.results.extend(results);
    }

    /// Prints the table or JSON.
    ///
    /// # Errors
    /// Exit code 1 when a check failed.
    pub(super) fn finish(self, as_json: bool) -> Result<(), Failure> {
        let text = if as_json {
            format!("{:#}\n", self.json())
        } else {
            self.table()
        };
        output::print(&text)?;
        match self.count(Level::Fail) {
            0 => Ok(()),
            failed => Err(Failure::failed(format!(
                "{} failed",
                count(failed, "check")
            ))),
        }
    }

    fn count(&self, level: Level) -> usize {
        let results = self.results.iter();
        results.filter(|result| result.level == level).count()
    }

    fn table(&self) -> String {
        let width = self
            .results
            .iter()
            .map(|result| result.subject.chars().count())
            .max()
            .unwrap_or_default();
        let mut text = String::new();
        for what in &self.made {
            text.push_str(&format!("made  {what}\n"));
        }
        for result in &self.results {
            text.push_str(&format!(
                "{:4}  {:width$}  {}\n",
                result.level.as_str(),
                result.subject,
                result.finding
            ));
            if let Some(advice) = &result.advice {
                text.push_str(&format!("      {:width$}  -> {advice}\n", ""));
            }
        }
        text.push_str(&format!(
            "{} ok, {}, {} failed\n",
            self.count(Level::Ok),
            count(self.count(Level::Warn), "warning"),
            self.count(Level::Fail)
        ));
        text
    }

    fn json(&self) -> Value {
        let results: Vec<Value> = self
            .results
            .iter()
            .map(|result| {
                json!({
                    "level": result.level.as_str().to_lowercase(),
                    "subject": result.subject,
                    "finding": result.finding,
                    "advice": result.advice,
                })
            })
            .collect();
        json!({
            "ok": self.count(Level::Fail) == 0,
            "made": self.made,
            "verdicts": results,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.made("topic a");
        report.add([
            CheckResult::ok("topic a", "12 partitions"),
            CheckResult::fail("clock", "an hour off", "set it"),
        ]);
        report
    }

    #[test]
    fn one_failure_fails_the_check_and_a_warning_does_not() {
        assert!(report().finish(true).is_err());
        let mut fine = Report::default();
        fine.add([CheckResult::ok("a", "b"), CheckResult::warn("a", "b", "c")]);
        assert!(fine.finish(true).is_ok());
    }

    #[test]
    fn the_table_is_aligned_and_says_what_to_do() {
        assert_eq!(
            report().table(),
            [
                "made  topic a",
                "ok    topic a  12 partitions",
                "FAIL  clock    an hour off",
                "               -> set it",
                "1 ok, 0 warnings, 1 failed\n",
            ]
            .join("\n")
        );
    }

    #[test]
    fn json_has_the_same_content() {
        let json = report().json();
        assert_eq!(json["ok"], false);
        assert_eq!(json["made"][0], "topic a");
        assert_eq!(json["verdicts"][0]["level"], "ok");
        assert_eq!(json["verdicts"][0]["advice"], Value::Null);
        assert_eq!(json["verdicts"][1]["level"], "fail");
        assert_eq!(json["verdicts"][1]["advice"], "set it");
    }
}
