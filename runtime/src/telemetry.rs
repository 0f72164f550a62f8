//! Logs: text for a person on a terminal, JSON lines elsewhere.

use std::io::{self, IsTerminal, Write};

use clap::{Args, ValueEnum};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// The log's settings.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogSettings {
    /// How log lines look [default: text on a terminal, json elsewhere].
    #[arg(long, env = "LOG_FORMAT", value_enum, ignore_case = true)]
    pub log_format: Option<LogFormat>,

    /// What is logged: a level, or directives such as `info,processor=debug`.
    #[arg(long = "rust-log", env = "RUST_LOG", default_value = "info", value_parser = parse_filter)]
    pub filter: String,
}

fn parse_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("{error}; write a level (info) or directives (info,sink=debug)"))
}

/// Starts logging to standard error. A second call changes nothing.
pub fn start(settings: &LogSettings) {
    let format = settings
        .log_format
        .unwrap_or(if io::stderr().is_terminal() {
            LogFormat::Text
        } else {
            LogFormat::Json
        });
    // librdkafka reports every lost connection by itself; what matters of it we say ourselves.
    let filter = EnvFilter::try_new(format!(
        "librdkafka=off,rdkafka=off,sqlx=warn,{}",
        settings.filter
    ))
    .unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let colours = io::stderr().is_terminal();
    // Only the first subscriber of a process counts: a test that starts two services keeps the first.
    let _ = match format {
        LogFormat::Text => registry
            .with(
                fmt::layer()
                    .with_writer(Lines {
                        to: io::stderr,
                        colours,
                    })
                    .with_ansi(colours)
                    .with_target(true),
            )
            .try_init(),
        LogFormat::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_writer(Lines {
                to: io::stderr,
                colours: false,
            }))
            .try_init(),
    };
}

/// One line an event, whatever is in it: errors of databases and clients quote what others wrote.
/// The subscriber hands over each event whole, at once.
#[derive(Debug, Clone)]
struct Lines<M> {
    to: M,
    /// Colours are left as they are.
    colours: bool,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Lines<M> {
    type Writer = Lines<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Lines {
            to: self.to.make_writer(),
            colours: self.colours,
        }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = one_line(event, self.colours);
        // The subscriber would complain to standard error, which is what just failed, and panic.
        let _ = self.to.write_all(line.as_bytes());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// What is unprintable is escaped, in a way that JSON knows too; so are escape sequences, which the
/// subscriber leaves in fields, but for colours where the line itself has some.
fn one_line(event: &[u8], colours: bool) -> String {
    let event = String::from_utf8_lossy(event);
    let (text, end) = match event.strip_suffix('\n') {
        Some(text) => (text, "\n"),
        None => (&*event, ""),
    };
    let mut line = String::with_capacity(event.len());
    for (at, character) in text.char_indices() {
        match character {
            '\n' => line.push_str("\\n"),
            '\x1b' if colours && is_colour(&text[at..]) => line.push(character),
            _ if schemas::is_unprintable(character) => {
                line.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => line.push(character),
        }
    }
    line + end
}

/// Whether a text starts with "select graphic rendition", which changes how characters look.
fn is_colour(text: &str) -> bool {
    text.strip_prefix("\x1b[").is_some_and(|rest| {
        rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
            .starts_with('m')
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Order ids have no control characters; what is refused for having some is quoted in reasons.
    const HOSTILE: &str = "17\r\nERROR forged\x1b[2J\0\u{9b}\u{202e}\u{2028}";

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What two events with hostile text in every place are written as.
    fn logged(format: LogFormat) -> String {
        let kept = Kept::default();
        let to = {
            let kept = kept.clone();
            move || kept.clone()
        };
        let writer = Lines { to, colours: false };
        let layer = fmt::layer().with_ansi(false).with_writer(writer);
        let log = || {
            tracing::warn!(error = %HOSTILE, order = HOSTILE, debug = ?HOSTILE, "{HOSTILE}");
            tracing::error!("{HOSTILE}");
        };
        match format {
            LogFormat::Text => {
                tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
            }
            LogFormat::Json => {
                let layer = layer.json().flatten_event(true);
                tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
            }
        }
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_line_whatever_others_wrote_into_it() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let logged = logged(format);
            assert_eq!(logged.lines().count(), 2, "{logged}");
            assert!(
                logged
                    .lines()
                    .all(|line| !line.contains(schemas::is_unprintable)),
                "{logged:?}"
            );
            assert_eq!(logged.matches("ERROR forged").count(), 5);
        }
    }

    #[test]
    fn on_a_terminal_colours_stay_and_nothing_else() {
        let line = one_line(b"\x1b[2;31mred\x1b[0m\x1b[2J\x1b]0;title\x07\x1b[", true);
        assert_eq!(
            line,
            "\x1b[2;31mred\x1b[0m\\u001b[2J\\u001b]0;title\\u0007\\u001b["
        );
    }

    #[test]
    fn a_line_of_json_stays_json() {
        for line in logged(LogFormat::Json).lines() {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["message"], HOSTILE);
        }
    }
}
