//! The bodies of `POST /api/runs`, and the command that each asks for: pure.
//!
//! ```json
//! {"kind":"redrive","service":"processor","dry_run":true,"reason":"invalid_total"}
//! {"kind":"redrive","service":"processor","ids":["order-status/3/41"],"why":"schema registered","confirm":1}
//! {"kind":"redrive","service":"sink","reason":"code_taken","why":"mended","confirm":2,"selection":"1f8b5a09c3d7e642"}
//! {"kind":"discard","service":"sink","ids":["vouchers/3/7"],"why":"issued twice by the import"}
//! {"kind":"backfill","dry_run":true,"from":"-7d","rule":{"min_total":"80.00"}}
//! {"kind":"backfill","name":"may","from":"2026-05-01T00:00:00Z","why":"lost partition","preview":"0198c1a0-...","confirm":17}
//! ```
//!
//! A field that is null equals an absent field; an unknown field is refused. A request that is not a
//! preview has an effect: only operators may send it, and it must give a reason.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::command::{CommandLine, Service};
use super::values;

/// The maximum number of dead letters that one request names. More are selected by their reason.
const MAX_IDS: usize = 500;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum RunRequest {
    /// `SERVICE redrive`.
    Redrive(Redrive),
    /// `SERVICE dead-letters discard`.
    Discard(Discard),
    /// `processor backfill`.
    Backfill(Backfill),
}

/// Tries open dead letters again: those with these ids, or of this reason, or all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redrive {
    /// The service that wrote the dead letters.
    pub service: Service,
    /// Write nothing; show the outcomes.
    #[serde(default)]
    pub dry_run: bool,
    /// The dead letters, as lists show them (`letter`).
    #[serde(default)]
    pub ids: Option<Vec<String>>,
    /// Their newest reason.
    #[serde(default)]
    pub reason: Option<String>,
    /// Why; required unless it is a preview.
    #[serde(default)]
    pub why: Option<String>,
    /// The number of dead letters that the preview selected (`closed` and `still_open`), as the person
    /// typed it; required unless it is a preview. The command refuses when another number is open.
    #[serde(default)]
    pub confirm: Option<u64>,
    /// The digest of these dead letters, which the preview returned as its `selection`; required unless it is
    /// a preview or names them. The command refuses when others are open.
    #[serde(default)]
    pub selection: Option<String>,
}

/// Closes dead letters that will never be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discard {
    /// The service that wrote the dead letters.
    pub service: Service,
    /// The dead letters, as lists show them (`letter`).
    pub ids: Vec<String>,
    /// Why. Each discarded dead letter keeps it as its note, too.
    pub why: Option<String>,
    /// The number of these dead letters, as the person typed it; required for more than one.
    #[serde(default)]
    pub confirm: Option<u64>,
}

/// Evaluates a range of the order statuses again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backfill {
    /// Write nothing; show what would be issued.
    #[serde(default)]
    pub dry_run: bool,
    /// Its name, under which it continues after it was stopped. A run without one is named by its time.
    #[serde(default)]
    pub name: Option<String>,
    /// The start of the range: `earliest` (which null means), a time, or, for a preview alone, `-7d`.
    #[serde(default)]
    pub from: Option<String>,
    /// The end of the range: `latest` (which null means), a time, or, for a preview alone, `-7d`.
    #[serde(default)]
    pub to: Option<String>,
    /// Another rule, for a preview alone.
    #[serde(default)]
    pub rule: Option<Rule>,
    /// Records a second, or `max`; null gives way to the live flow.
    #[serde(default)]
    pub rate: Option<String>,
    /// Why; required unless it is a preview.
    #[serde(default)]
    pub why: Option<String>,
    /// The id of the run that previewed this range; required unless it is a preview.
    #[serde(default)]
    pub preview: Option<String>,
    /// The number of vouchers that this preview counted, as the person typed it; required with it.
    #[serde(default)]
    pub confirm: Option<u64>,
}

/// The values in which a rule differs from the one in the settings. Money is text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// The smallest total that earns a voucher.
    pub min_total: Option<String>,
    /// The value of a voucher.
    pub amount: Option<String>,
    /// The currency of orders and vouchers.
    pub currency: Option<String>,
    /// Days that a voucher is valid.
    pub valid_days: Option<u32>,
    /// Orders sent before this time earn no voucher.
    pub sent_from: Option<String>,
    /// Orders sent at or after this time earn no voucher.
    pub sent_until: Option<String>,
}

/// The kind of a run, as summaries name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Dead letters are tried again.
    Redrive,
    /// Dead letters are closed.
    Discard,
    /// A range is evaluated again.
    Backfill,
}

impl RunRequest {
    /// Returns its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Redrive(_) => Kind::Redrive,
            Self::Discard(_) => Kind::Discard,
            Self::Backfill(_) => Kind::Backfill,
        }
    }

    /// Returns the service whose command it is.
    pub const fn service(&self) -> Service {
        match self {
            Self::Redrive(Redrive { service, .. }) | Self::Discard(Discard { service, .. }) => {
                *service
            }
            Self::Backfill(_) => Service::Processor,
        }
    }

    /// Returns whether it writes nothing, so that viewers may run it.
    pub const fn is_dry_run(&self) -> bool {
        match self {
            Self::Redrive(Redrive { dry_run, .. }) | Self::Backfill(Backfill { dry_run, .. }) => {
                *dry_run
            }
            Self::Discard(_) => false,
        }
    }

    /// Returns the reason that the person gave.
    pub fn why(&self) -> Option<&str> {
        let why = match self {
            Self::Redrive(redrive) => &redrive.why,
            Self::Discard(discard) => &discard.why,
            Self::Backfill(backfill) => &backfill.why,
        };
        why.as_deref().map(str::trim).filter(|why| !why.is_empty())
    }

    /// Returns the command. `by` is the person who asks for it; `now` names a backfill that has no
    /// name.
    ///
    /// # Errors
    /// A sentence that says which field is wrong, and what to write.
    pub fn command(&self, by: &str, now: DateTime<Utc>) -> Result<CommandLine, String> {
        match self {
            Self::Redrive(redrive) => redrive.command(by),
            Self::Discard(discard) => discard.command(by),
            Self::Backfill(backfill) => backfill.command(by, now),
        }
    }
}

impl Redrive {
    fn command(&self, by: &str) -> Result<CommandLine, String> {
        let mut line = CommandLine::new(self.service, &["redrive"]).with_progress();
        if let Some(ids) = &self.ids {
            select(&mut line, ids)?;
        }
        if let Some(reason) = &self.reason {
            line.value("--reason", values::reason(reason)?);
        }
        if self.dry_run {
            line.flag("--dry-run");
            return Ok(line);
        }
        let confirmed = self.confirm.ok_or(
            "confirm: write the number of dead letters that the preview selected; nothing was run",
        )?;
        match &self.selection {
            Some(selection) => {
                let selection = values::selection(selection)?;
                line.value("--expect", format_args!("{confirmed}@{selection}"));
            }
            None if self.ids.is_some() => line.value("--expect", confirmed),
            None => {
                return Err(
                    "selection: write what the preview returned under this name, so that just those \
                     dead letters are redriven; nothing was run"
                        .to_owned(),
                );
            }
        }
        audit(&mut line, by, values::why(self.why.as_deref())?);
        Ok(line)
    }
}

impl Discard {
    fn command(&self, by: &str) -> Result<CommandLine, String> {
        let mut line = CommandLine::new(self.service, &["dead-letters", "discard"]);
        select(&mut line, &self.ids)?;
        let named = self.ids.len();
        if named > 1 && self.confirm != Some(named as u64) {
            return Err(format!(
                "confirm: write {named}, the number of dead letters that are named; nothing was run"
            ));
        }
        let why = values::why(self.why.as_deref())?;
        line.value("--note", why);
        audit(&mut line, by, why);
        Ok(line)
    }
}

impl Backfill {
    fn command(&self, by: &str, now: DateTime<Utc>) -> Result<CommandLine, String> {
        let mut line = CommandLine::new(Service::Processor, &["backfill"]).with_progress();
        let name = match &self.name {
            Some(name) => Some(values::name(name)?.to_owned()),
            None if self.dry_run => None,
            // In the format of the command's own default. Because the line has a name, running it again
            // continues a run that was stopped.
            None => Some(now.format("%Y%m%dT%H%M%S%.3fZ").to_string()),
        };
        if let Some(name) = name {
            line.value("--name", name);
        }
        for (flag, name, bound) in [("--from", "from", &self.from), ("--to", "to", &self.to)] {
            if let Some(bound) = bound {
                line.value(flag, values::bound(name, bound)?);
            }
        }
        if let Some(rate) = &self.rate {
            line.value("--rate", values::rate(rate)?);
        }
        if let Some(rule) = &self.rule {
            if !self.dry_run {
                return Err(
                    "rule: only a preview tries another rule; vouchers are issued by the rule that \
                     the services have"
                        .to_owned(),
                );
            }
            rule.write(&mut line)?;
        }
        if self.dry_run {
            line.flag("--dry-run");
            return Ok(line);
        }
        audit(&mut line, by, values::why(self.why.as_deref())?);
        Ok(line)
    }
}

impl Rule {
    fn write(&self, line: &mut CommandLine) -> Result<(), String> {
        if let Some(total) = &self.min_total {
            line.value("--voucher-min-total", values::money("min_total", total)?);
        }
        if let Some(amount) = &self.amount {
            line.value("--voucher-amount", values::money("amount", amount)?);
        }
        if let Some(currency) = &self.currency {
            line.value("--voucher-currency", values::currency(currency)?);
        }
        if let Some(days) = self.valid_days {
            line.value("--voucher-valid-days", days);
        }
        if let Some(from) = &self.sent_from {
            line.value("--voucher-sent-from", values::time("sent_from", from)?);
        }
        if let Some(until) = &self.sent_until {
            line.value("--voucher-sent-until", values::time("sent_until", until)?);
        }
        Ok(())
    }
}

/// Adds the ids of dead letters.
fn select(line: &mut CommandLine, ids: &[String]) -> Result<(), String> {
    if ids.is_empty() {
        return Err("ids: name at least one dead letter".to_owned());
    }
    if ids.len() > MAX_IDS {
        return Err(format!(
            "ids: name at most {MAX_IDS} dead letters; more can be selected by their reason"
        ));
    }
    for id in ids {
        line.value("--letter", values::dead_letter(id)?);
    }
    Ok(())
}

/// Adds who acts, and why, for the audit record.
pub(super) fn audit(line: &mut CommandLine, by: &str, why: &str) {
    line.value("--by", by);
    line.value("--why", why);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(request: serde_json::Value) -> RunRequest {
        serde_json::from_value(request).unwrap()
    }

    fn command(request: serde_json::Value) -> Result<CommandLine, String> {
        let now = DateTime::from_timestamp_millis(1_795_426_200_123).unwrap();
        parse(request).command("ann", now)
    }

    fn line(request: serde_json::Value) -> String {
        command(request).unwrap().to_string()
    }

    #[test]
    fn a_redrive_selects_by_id_or_reason_and_is_confirmed() {
        let preview = json!({
            "kind": "redrive", "service": "processor", "dry_run": true, "reason": "invalid_total",
            "ids": null, "confirm": null,
        });
        assert_eq!(
            line(preview),
            "processor redrive --reason invalid_total --dry-run"
        );
        let run = json!({
            "kind": "redrive", "service": "sink", "ids": ["vouchers/3/7", "3/8"],
            "why": "it's mended", "confirm": 2,
        });
        assert_eq!(
            line(run),
            "sink redrive --letter vouchers/3/7 --letter 3/8 --expect 2 --by ann --why 'it'\\''s mended'"
        );
    }

    #[test]
    fn a_redrive_by_reason_is_bound_to_what_its_preview_selected() {
        let run = json!({
            "kind": "redrive", "service": "processor", "reason": "invalid_total", "why": "w",
            "confirm": 2, "selection": "1f8b5a09c3d7e642",
        });
        assert_eq!(
            line(run),
            "processor redrive --reason invalid_total --expect 2@1f8b5a09c3d7e642 --by ann --why w"
        );
    }

    #[test]
    fn nothing_runs_without_confirmation_reason_or_selection() {
        let base = json!({
            "kind": "redrive", "service": "sink", "why": "w", "confirm": 2,
            "selection": "1f8b5a09c3d7e642",
        });
        assert!(command(base.clone()).is_ok());
        for (field, value, word) in [
            ("selection", json!(null), "selection: "),
            ("selection", json!("2 --every"), "selection: "),
            ("confirm", json!(null), "confirm: "),
            ("why", json!(""), "why: "),
            ("ids", json!([]), "ids: "),
            ("ids", json!(["--every"]), "--every: "),
            ("reason", json!("a,b"), "reason: "),
        ] {
            let mut request = base.clone();
            request[field] = value;
            let why = command(request).unwrap_err();
            assert!(why.starts_with(word), "{field}: {why}");
        }
    }

    #[test]
    fn a_discard_keeps_the_reason_as_its_note() {
        let request =
            json!({"kind": "discard", "service": "processor", "ids": ["3/7"], "why": "test"});
        assert!(!parse(request.clone()).is_dry_run());
        assert_eq!(
            line(request),
            "processor dead-letters discard --letter 3/7 --note test --by ann --why test"
        );
        let request = json!({"kind": "discard", "service": "processor", "ids": ["3/7"]});
        assert!(command(request).is_err());
    }

    #[test]
    fn a_discard_of_many_is_confirmed_by_their_number() {
        let mut request = json!({
            "kind": "discard", "service": "sink", "ids": ["3/7", "3/8"], "why": "w",
        });
        for confirm in [json!(null), json!(1)] {
            request["confirm"] = confirm;
            let why = command(request.clone()).unwrap_err();
            assert!(why.starts_with("confirm: write 2, "), "{why}");
        }
        request["confirm"] = json!(2);
        assert!(command(request).is_ok());
    }

    #[test]
    fn a_backfill_has_a_name_so_that_the_same_line_continues_it() {
        let run = json!({"kind": "backfill", "from": "-7d", "rate": "500", "why": "-v"});
        assert_eq!(
            line(run),
            "processor backfill --name 20261123T093000.123Z --from=-7d --rate 500 --by ann --why=-v"
        );
        let preview = json!({
            "kind": "backfill", "dry_run": true, "rule": {"min_total": "80.00", "valid_days": 30},
        });
        assert_eq!(
            line(preview),
            "processor backfill --voucher-min-total 80.00 --voucher-valid-days 30 --dry-run"
        );
    }

    #[test]
    fn only_a_dry_run_tries_another_rule() {
        let run = json!({"kind": "backfill", "why": "w", "rule": {"min_total": "80"}});
        assert!(command(run).unwrap_err().starts_with("rule: "));
    }

    #[test]
    fn unknown_fields_and_kinds_are_refused() {
        for request in [
            json!({"kind": "redrive", "service": "sink", "dryrun": true}),
            json!({"kind": "redrive", "service": "producer"}),
            json!({"kind": "shell", "command": "id"}),
            json!({"kind": "backfill", "rule": {"min_total": 80}}),
            json!({"kind": "backfill", "voucher_signing_key": "x"}),
        ] {
            assert!(
                serde_json::from_value::<RunRequest>(request.clone()).is_err(),
                "{request}"
            );
        }
    }

    #[test]
    fn the_commands_take_every_line() {
        for request in [
            json!({"kind": "redrive", "service": "processor", "dry_run": true, "ids": ["a/3/41@0db467891ad02df3"]}),
            json!({"kind": "redrive", "service": "processor", "reason": "x", "why": "-w", "confirm": 0,
                "selection": "1f8b5a09c3d7e642"}),
            json!({"kind": "discard", "service": "processor", "ids": ["3/7"], "why": "--every"}),
            json!({"kind": "discard", "service": "sink", "ids": ["3/7"], "why": "w"}),
            json!({"kind": "backfill", "dry_run": true, "name": "-n", "from": "-7d", "to": "latest",
                "rule": {"min_total": "80", "amount": "5", "currency": "EUR", "valid_days": 1,
                    "sent_from": "2026-12-01T00:00:00Z", "sent_until": "2027-01-01T00:00:00Z"}}),
            json!({"kind": "backfill", "name": "may", "rate": "500", "why": "w"}),
            json!({"kind": "backfill", "name": "may", "rate": "max", "why": "w"}),
        ] {
            assert_eq!(
                command(request.clone()).unwrap().check(),
                Ok(()),
                "{request}"
            );
        }
    }
}
