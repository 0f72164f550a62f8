//! Logging to standard error: text on a terminal, JSON lines elsewhere.

use std::io::{self, IsTerminal, Write};

use clap::{Args, ValueEnum};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// How a service logs, whatever its command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogSettings {
    /// Format of log lines [default: text on a terminal, json elsewhere].
    #[arg(
        long,
        env = "LOG_FORMAT",
        value_enum,
        ignore_case = true,
        global = true
    )]
    pub log_format: Option<LogFormat>,

    /// Log filter: a level such as `info`, or directives such as `info,processor=debug`.
    #[arg(
        long = "rust-log",
        env = "RUST_LOG",
        default_value = "info",
        value_parser = parse_filter,
        global = true
    )]
    pub filter: String,
}

fn parse_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("{error}; write a level (info) or directives (info,sink=debug)"))
}

/// Starts logging to standard error. A second call has no effect.
pub fn start(settings: &LogSettings) {
    let format = settings
        .log_format
        .unwrap_or(if io::stderr().is_terminal() {
            LogFormat::Text
        } else {
            LogFormat::Json
        });
    // librdkafka logs every lost connection; the services log what matters of it themselves.
    let filter = EnvFilter::try_new(format!(
        "librdkafka=off,rdkafka=off,sqlx=warn,{}",
        settings.filter
    ))
    .unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let colours = io::stderr().is_terminal();
    // A process has one subscriber: a test that starts two services keeps the first.
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

/// Writes each event as one line, whatever it contains: errors of databases and clients quote
/// foreign data. The subscriber passes each event in one call.
#[derive(Debug, Clone)]
struct Lines<M> {
    to: M,
    /// Whether colours are kept.
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
        // On an error the subscriber would print to standard error, which just failed, and panic.
        let _ = self.to.write_all(line.as_bytes());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Escapes unprintable characters in a way that is valid in JSON too. Escape sequences, which the
/// subscriber leaves in fields, are escaped as well, except for colours where `colours` is set.
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

/// Returns whether a text starts with "select graphic rendition", which changes how characters look.
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

    /// Order ids have no control characters, but a value that is refused for having some is quoted in
    /// the reason.
    const HOSTILE: &str = "17\r\nERROR forged\x1b[2J\0\u{9b}\u{202e}\u{2028}";

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns what is written for two events with hostile text in every place.
    fn logged(format: LogFormat) -> String {
        let buffer = Buffer::default();
        let to = {
            let buffer = buffer.clone();
            move || buffer.clone()
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
        let bytes = buffer.0.lock().unwrap().clone();
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
