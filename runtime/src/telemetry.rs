//! Logs: text for a person on a terminal, JSON lines elsewhere.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
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
        .unwrap_or(if std::io::stderr().is_terminal() {
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
    // Only the first subscriber of a process counts: a test that starts two services keeps the first.
    let _ = match format {
        LogFormat::Text => registry
            .with(
                fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_target(true),
            )
            .try_init(),
        LogFormat::Json => registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
    };
}
