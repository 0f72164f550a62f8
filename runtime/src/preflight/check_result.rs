//! What was found, how bad it is, and what to do.

use serde_json::{Value, json};

use crate::lifecycle::Failure;
use crate::output;
use crate::wording::count;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but a promise is weaker than it could be.
    Warn,
    /// It does not work, or something will be lost.
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

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// How bad it is.
    pub level: Level,
    /// What was looked at, such as "topic order-status".
    pub subject: String,
    /// What was found.
    pub finding: String,
    /// What to do; only when something is to be done.
    pub advice: Option<String>,
}

impl CheckResult {
    /// As it should be.
    pub fn ok(subject: impl Into<String>, finding: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            subject: subject.into(),
            finding: finding.into(),
            advice: None,
        }
    }

    /// It works, but.
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

    /// It does not work, or something will be lost.
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

    /// Finding and advice in one line.
    pub fn sentence(&self) -> String {
        match &self.advice {
            None => self.finding.clone(),
            Some(advice) => format!("{}; {advice}", self.finding),
        }
    }
}

/// All that one `check` found.
#[derive(Debug, Default)]
pub struct Report {
    made: Vec<String>,
    verdicts: Vec<CheckResult>,
}

impl Report {
    /// Notes what `--fix` made.
    pub fn made(&mut self, what: impl Into<String>) {
        self.made.push(what.into());
    }

    /// Adds verdicts in the order in which they shall be read.
    pub fn add(&mut self, verdicts: impl IntoIterator<Item = CheckResult>) {
        self.verdicts.extend(verdicts);
    }

    /// Prints the table, or JSON, and says whether all is well.
    ///
    /// # Errors
    /// Exit code 1 when anything fails.
    pub fn finish(self, as_json: bool) -> Result<(), Failure> {
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
        let of_level = |verdict: &&CheckResult| verdict.level == level;
        self.verdicts.iter().filter(of_level).count()
    }

    fn table(&self) -> String {
        let width = self
            .verdicts
            .iter()
            .map(|verdict| verdict.subject.chars().count())
            .max()
            .unwrap_or_default();
        let mut text = String::new();
        for what in &self.made {
            text.push_str(&format!("made  {what}\n"));
        }
        for verdict in &self.verdicts {
            text.push_str(&format!(
                "{:4}  {:width$}  {}\n",
                verdict.level.as_str(),
                verdict.subject,
                verdict.finding
            ));
            if let Some(advice) = &verdict.advice {
                text.push_str(&format!("      {:width$}  -> {advice}\n", ""));
            }
        }
        text.push_str(&format!(
            "{} ok, {} to be looked at, {} failed\n",
            self.count(Level::Ok),
            self.count(Level::Warn),
            self.count(Level::Fail)
        ));
        text
    }

    fn json(&self) -> Value {
        let verdicts: Vec<Value> = self
            .verdicts
            .iter()
            .map(|verdict| {
                json!({
                    "level": verdict.level.as_str().to_lowercase(),
                    "subject": verdict.subject,
                    "finding": verdict.finding,
                    "advice": verdict.advice,
                })
            })
            .collect();
        json!({
            "ok": self.count(Level::Fail) == 0,
            "made": self.made,
            "verdicts": verdicts,
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
    fn the_table_lines_up_and_says_what_to_do() {
        assert_eq!(
            report().table(),
            [
                "made  topic a",
                "ok    topic a  12 partitions",
                "FAIL  clock    an hour off",
                "               -> set it",
                "1 ok, 0 to be looked at, 1 failed\n",
            ]
            .join("\n")
        );
    }

    #[test]
    fn json_says_the_same() {
        let json = report().json();
        assert_eq!(json["ok"], false);
        assert_eq!(json["made"][0], "topic a");
        assert_eq!(json["verdicts"][0]["level"], "ok");
        assert_eq!(json["verdicts"][0]["advice"], Value::Null);
        assert_eq!(json["verdicts"][1]["level"], "fail");
        assert_eq!(json["verdicts"][1]["advice"], "set it");
    }
}
