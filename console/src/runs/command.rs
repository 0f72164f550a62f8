//! A command of a service as a list of words, for a process and for a person: pure.
//!
//! No shell ever sees the words. The line that pages show is made from the same words, quoted so that
//! it can be pasted into a shell.

use std::ffi::OsString;
use std::fmt;

use clap::CommandFactory;
use runtime::configuration;
use serde::{Deserialize, Serialize};

use super::sentence::error_of;

/// A service whose commands the console runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// `processor`.
    Processor,
    /// `sink`.
    Sink,
}

impl Service {
    /// Returns the name of its program.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processor => "processor",
            Self::Sink => "sink",
        }
    }
}

/// A command line of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    service: Service,
    /// The command and its flags, as a person would write them.
    words: Vec<String>,
    /// Flags that only change how the result and the progress are written.
    output: &'static [&'static str],
    /// The positional argument, if the command takes one.
    subject: Option<String>,
}

/// The flags for a JSON result.
const JSON: &[&str] = &["--json"];

/// The flags for a JSON result and JSON progress lines.
const JSON_WITH_PROGRESS: &[&str] = &["--json", "--progress", "json"];

impl CommandLine {
    /// Returns the command without flags.
    pub(super) fn new(service: Service, command: &[&str]) -> Self {
        Self {
            service,
            words: command.iter().map(|word| (*word).to_owned()).collect(),
            output: JSON,
            subject: None,
        }
    }

    /// Makes the command also write its progress as JSON.
    #[must_use]
    pub(super) fn with_progress(mut self) -> Self {
        self.output = JSON_WITH_PROGRESS;
        self
    }

    /// Adds a flag without a value.
    pub(super) fn flag(&mut self, flag: &str) {
        self.words.push(flag.to_owned());
    }

    /// Adds a flag with its value. A value that begins with a dash is written into the same word, so
    /// that it cannot be read as another flag.
    pub(super) fn value(&mut self, flag: &str, value: impl fmt::Display) {
        let value = value.to_string();
        if value.starts_with('-') {
            self.words.push(format!("{flag}={value}"));
        } else {
            self.words.push(flag.to_owned());
            self.words.push(value);
        }
    }

    /// Sets the positional argument.
    #[must_use]
    pub(super) fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Returns the words of the process: the service, then its arguments.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![self.service.as_str().to_owned()];
        words.extend(self.words.iter().cloned());
        words.extend(self.output.iter().map(|word| (*word).to_owned()));
        words.extend(self.subject_words());
        words
    }

    /// Returns the positional argument, after `--` if it could be read as a flag.
    fn subject_words(&self) -> Vec<String> {
        match &self.subject {
            None => Vec::new(),
            Some(subject) if subject.starts_with('-') => vec!["--".to_owned(), subject.clone()],
            Some(subject) => vec![subject.clone()],
        }
    }

    /// Parses the words and the settings as the command will, without running it.
    ///
    /// # Errors
    /// The sentence with which the command would end with exit code 2.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let command = match self.service {
            Service::Processor => processor::cli::Cli::command(),
            Service::Sink => sink::cli::Cli::command(),
        };
        let words = self.words().into_iter().map(OsString::from).collect();
        configuration::parse(command, words)
            .map(drop)
            .map_err(|text| {
                let why = error_of(&text).unwrap_or(text);
                match self.has_flag_named_in(&why) {
                    true => Fault::OfRequest(why),
                    false => Fault::OfSettings(why),
                }
            })
    }

    /// Returns whether a sentence names one of the flags: it is wrong then, and not a variable.
    fn has_flag_named_in(&self, sentence: &str) -> bool {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
        self.words
            .iter()
            .map(|word| word.split_once('=').map_or(word.as_str(), |(flag, _)| flag))
            .filter(|word| word.starts_with("--"))
            .any(|flag| {
                sentence
                    .split(|c: char| !is_part(c))
                    .any(|word| word == flag)
            })
    }
}

/// Why a command would refuse to run, by who can correct it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A value of the request is wrong.
    OfRequest(String),
    /// A variable of the console, or a value in the configuration file, is wrong or missing.
    OfSettings(String),
}

/// Formats the line that a person would type: without the output flags, and with quotes around every
/// word that a POSIX shell would not take literally.
impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.service.as_str())?;
        for word in self.words.iter().chain(&self.subject_words()) {
            write!(f, " {}", Quoted(word))?;
        }
        Ok(())
    }
}

/// A word as a POSIX shell reads it back.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |byte: u8| {
            byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'.' | b'_' | b'-' | b'/' | b':' | b',' | b'@' | b'=' | b'+'
                )
        };
        // Some shells expand a word that begins with an equals sign.
        if self.0.bytes().all(is_plain) && !self.0.is_empty() && !self.0.starts_with('=') {
            f.write_str(self.0)
        } else {
            // Nothing is special within single quotes but the quote itself.
            write!(f, "'{}'", self.0.replace('\'', r"'\''"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_sees_the_words_of_the_process_without_the_flags_of_the_output() {
        let mut line = CommandLine::new(Service::Processor, &["redrive"]).with_progress();
        line.value("--reason", "bad_json");
        line.flag("--dry-run");
        assert_eq!(
            line.to_string(),
            "processor redrive --reason bad_json --dry-run"
        );
        assert_eq!(
            line.words(),
            [
                "processor",
                "redrive",
                "--reason",
                "bad_json",
                "--dry-run",
                "--json",
                "--progress",
                "json"
            ]
        );
    }

    #[test]
    fn a_value_is_never_read_as_a_flag() {
        let mut line = CommandLine::new(Service::Processor, &["backfill"]);
        line.value("--from", "-7d");
        assert_eq!(
            line.words(),
            ["processor", "backfill", "--from=-7d", "--json"]
        );
        let line = CommandLine::new(Service::Processor, &["explain"]).about("--help");
        assert_eq!(
            line.words(),
            ["processor", "explain", "--json", "--", "--help"]
        );
        assert_eq!(line.to_string(), "processor explain -- --help");
    }

    #[test]
    fn a_shell_reads_the_shown_line_as_the_same_words() {
        let hostile = [
            "",
            "two words",
            "it's",
            "$(touch /tmp/x)",
            "`id`",
            "a;b|c&d>e<f",
            "\"quoted\"",
            "back\\slash",
            "*?[a]{b}~!#",
            "=ls",
            "größe €",
        ];
        for word in hostile {
            let line = CommandLine::new(Service::Sink, &["explain"]).about(word);
            // `printf` prints the words as the shell has parsed them, one per line.
            let shown = line.to_string();
            let arguments = shown.strip_prefix("sink ").unwrap();
            let output = std::process::Command::new("/bin/sh")
                .args(["-c", &format!("printf '%s\\n' {arguments}")])
                .output()
                .unwrap();
            let words = String::from_utf8(output.stdout).unwrap();
            assert_eq!(words, format!("explain\n{word}\n"), "{shown}");
        }
    }

    #[test]
    fn the_commands_own_parser_says_what_is_wrong() {
        let mut line = CommandLine::new(Service::Processor, &["backfill"]);
        line.flag("--dry-run");
        assert_eq!(line.check(), Ok(()));
        line.value("--from", "yesterday");
        let Err(Fault::OfRequest(why)) = line.check() else {
            panic!("{:?}", line.check());
        };
        assert!(
            why.starts_with("invalid value 'yesterday' for '--from <FROM>': write a time"),
            "{why}"
        );
        assert!(!why.contains("--help"), "{why}");
    }

    #[test]
    fn a_fault_is_of_the_request_only_if_it_names_a_flag_of_it() {
        let mut line = CommandLine::new(Service::Processor, &["backfill"]);
        line.value("--voucher-amount", "-5");
        line.value("--from", "2026-12-01T00:00:00Z");
        for (sentence, is_of_request) in [
            (
                "invalid value '-5' for '--voucher-amount <AMOUNT>': no",
                true,
            ),
            ("the argument '--from' cannot be used with '--all'", true),
            (
                "invalid value 'x' for '--voucher-currency <CURRENCY>': no",
                false,
            ),
            ("invalid value 'x' for '--from-file <FILE>': no", false),
            ("KAFKA_PROPERTIES: the backfill of a group needs one", false),
        ] {
            assert_eq!(
                line.has_flag_named_in(sentence),
                is_of_request,
                "{sentence}"
            );
        }
    }
}
