//! What `processor run` reads from flags and environment variables.

use std::path::PathBuf;

use clap::Args;
use runtime::circuit_breaker::CircuitBreakerSettings;
use runtime::dead_letter::Owner;
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::Failure;
use runtime::registry::RegistrySettings;
use runtime::settings::{HttpSettings, Secret, TopicSettings, read_secret_file, whole};
use runtime::telemetry::LogSettings;
use rust_decimal::Decimal;
use schemas::{Campaign, Currency, Timestamp, decimal};

use crate::evaluate::Evaluator;
use crate::rule::Rule;
use crate::signing_keys::SigningKeys;
use crate::task::Guarantee;

/// All settings of `processor run`.
#[derive(Debug, Clone, Args)]
pub struct RunSettings {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub kafka: KafkaSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistrySettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub topics: TopicSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub rule: RuleSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub keys: KeySettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub flow: FlowSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub breaker: CircuitBreakerSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub http: HttpSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogSettings,
}

/// Which order earns which voucher.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Rule")]
pub struct RuleSettings {
    /// The smallest total that earns a voucher, inclusive.
    #[arg(long, env = "VOUCHER_MIN_TOTAL", default_value = "100.00", value_parser = money)]
    pub voucher_min_total: Decimal,

    /// What a voucher is worth.
    #[arg(long, env = "VOUCHER_AMOUNT", default_value = "5.00", value_parser = positive_money)]
    pub voucher_amount: Decimal,

    /// The currency of the orders that count and of their vouchers.
    #[arg(long, env = "VOUCHER_CURRENCY", default_value = "EUR", value_parser = currency)]
    pub voucher_currency: Currency,

    /// The campaign's name: lower-case letters, digits and dashes. Another amount, currency or
    /// validity needs another name.
    #[arg(long, env = "VOUCHER_CAMPAIGN", default_value = "order-reward", value_parser = campaign)]
    pub voucher_campaign: String,

    /// Days that a voucher is valid, from the sending on [default: it does not expire].
    #[arg(long, env = "VOUCHER_VALID_DAYS", value_parser = whole::<u32>(1..=3650, "days"))]
    pub voucher_valid_days: Option<u32>,

    /// Orders sent from this moment on count, such as 2026-12-01T00:00:00Z.
    #[arg(long, env = "VOUCHER_SENT_FROM", value_parser = time)]
    pub voucher_sent_from: Option<Timestamp>,

    /// Orders sent before this moment count.
    #[arg(long, env = "VOUCHER_SENT_UNTIL", value_parser = time)]
    pub voucher_sent_until: Option<Timestamp>,

    /// The currency of an order that names none.
    #[arg(long, env = "ORDER_DEFAULT_CURRENCY", default_value = "EUR", value_parser = currency)]
    pub order_default_currency: Currency,
}

/// The keys that sign the vouchers' codes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Signing")]
pub struct KeySettings {
    /// Base64 of at least 32 bytes (openssl rand -base64 32).
    #[arg(
        long,
        env = "VOUCHER_SIGNING_KEY",
        hide_env_values = true,
        conflicts_with = "voucher_signing_keys_file"
    )]
    pub voucher_signing_key: Option<Secret>,

    /// A file of lines FROM KEY: FROM is a time, or - for the first; the last FROM that is not
    /// after an order's sending signs its voucher.
    #[arg(long, env = "VOUCHER_SIGNING_KEYS_FILE")]
    pub voucher_signing_keys_file: Option<PathBuf>,
}

/// How records flow.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Flow")]
pub struct FlowSettings {
    /// The consumer group; a second campaign sets its own.
    #[arg(long, env = "PROCESSOR_GROUP", default_value = "processor", value_parser = group)]
    pub processor_group: String,

    /// This instance's name, the same at every start and its own among all instances
    /// [default: the host's name].
    #[arg(long, env = "PROCESSOR_INSTANCE_ID", value_parser = instance_id)]
    pub processor_instance_id: Option<String>,

    /// exactly_once, or at_least_once (quicker; consumers of vouchers must ignore echoes).
    #[arg(
        long,
        env = "PROCESSING_GUARANTEE",
        value_enum,
        default_value = "exactly_once"
    )]
    pub processing_guarantee: Guarantee,

    /// How many tasks share the partitions in this process, each with its own thread.
    #[arg(long, env = "PROCESSOR_TASKS", value_name = "PROCESSOR_TASKS", default_value = "1", value_parser = whole::<u16>(1..=64, "tasks"))]
    pub tasks: u16,
}

/// Whose offsets and transactional ids a command stands beside.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Flow")]
pub struct GroupSettings {
    /// The consumer group of `processor run`, whose dead letters these are.
    #[arg(long, env = "PROCESSOR_GROUP", default_value = "processor", value_parser = group)]
    pub processor_group: String,
}

impl GroupSettings {
    /// Whose dead letters a command is about.
    pub fn owner(&self, campaign: &str) -> Owner {
        Owner {
            group: self.processor_group.clone(),
            campaign: Some(campaign.to_owned()),
        }
    }
}

/// The campaign of a command that needs no more of the rule.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Rule")]
pub struct CampaignSettings {
    /// The campaign of `processor run` in this group. What another campaign's rule decided closes no
    /// dead letter of this one.
    #[arg(long, env = "VOUCHER_CAMPAIGN", default_value = "order-reward", value_parser = campaign)]
    pub voucher_campaign: String,
}

impl RunSettings {
    /// The evaluation that the settings describe.
    ///
    /// # Errors
    /// Exit code 2, saying what to write instead.
    pub fn evaluator(&self) -> Result<Evaluator, Failure> {
        self.rule.evaluator(self.keys.signing_keys()?)
    }
}

impl RuleSettings {
    /// The campaign's rule.
    ///
    /// # Errors
    /// Exit code 2 when the campaign ends before it begins.
    pub fn rule(&self) -> Result<Rule, Failure> {
        if let (Some(from), Some(until)) = (self.voucher_sent_from, self.voucher_sent_until)
            && from >= until
        {
            return Err(Failure::bad_setting(format!(
                "VOUCHER_SENT_UNTIL ({until}) must be after VOUCHER_SENT_FROM ({from})"
            )));
        }
        Ok(Rule {
            campaign: self.voucher_campaign.clone(),
            min_total: self.voucher_min_total,
            amount: self.voucher_amount,
            currency: self.voucher_currency,
            valid_days: self.voucher_valid_days,
            sent_from: self.voucher_sent_from,
            sent_until: self.voucher_sent_until,
        })
    }

    /// The evaluation that the settings describe, signed by `keys`.
    ///
    /// # Errors
    /// Exit code 2, saying what to write instead.
    pub fn evaluator(&self, keys: SigningKeys) -> Result<Evaluator, Failure> {
        Evaluator::new(self.rule()?, keys, self.order_default_currency)
            .map_err(|error| Failure::bad_setting(format!("VOUCHER_AMOUNT: {error}")))
    }
}

impl KeySettings {
    /// The signing keys.
    ///
    /// # Errors
    /// Exit code 2 when there is none, or it is wrong.
    pub fn signing_keys(&self) -> Result<SigningKeys, Failure> {
        match (&self.voucher_signing_key, &self.voucher_signing_keys_file) {
            (Some(key), _) => SigningKeys::single(key.reveal())
                .map_err(|error| Failure::bad_setting(format!("VOUCHER_SIGNING_KEY: {error}"))),
            (None, Some(path)) => {
                let text = read_secret_file("VOUCHER_SIGNING_KEYS_FILE", path)?;
                SigningKeys::parse(&text).map_err(|error| {
                    Failure::bad_setting(format!("VOUCHER_SIGNING_KEYS_FILE: {error}"))
                })
            }
            (None, None) => Err(Failure::bad_setting(
                "VOUCHER_SIGNING_KEY is not set (nor VOUCHER_SIGNING_KEYS_FILE): codes can't be \
                 signed; make a key with: openssl rand -base64 32",
            )),
        }
    }
}

impl FlowSettings {
    /// This instance's name.
    ///
    /// # Errors
    /// Exit code 2 when none is set and the host's name can't be used.
    pub fn instance_id(&self) -> Result<String, Failure> {
        if let Some(id) = &self.processor_instance_id {
            return Ok(id.clone());
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .or_else(|_| std::env::var("HOSTNAME"))
            .unwrap_or_default();
        instance_id(host.trim()).map_err(|error| {
            Failure::bad_setting(format!(
                "PROCESSOR_INSTANCE_ID is not set and the host's name can't stand in for it: {error}"
            ))
        })
    }
}

pub(crate) fn group(name: &str) -> Result<String, String> {
    if name.is_empty() || name.len() > 249 || name.chars().any(char::is_control) {
        return Err("a group is 1 to 249 bytes without control characters".to_owned());
    }
    Ok(name.to_owned())
}

fn instance_id(text: &str) -> Result<String, String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > 128 || !text.bytes().all(legal) {
        return Err("write 1 to 128 letters, digits, '.', '_' or '-'".to_owned());
    }
    Ok(text.to_owned())
}

fn money(text: &str) -> Result<Decimal, String> {
    decimal::parse(text).map_err(|error| format!("{error}; write an amount such as 100.00"))
}

fn positive_money(text: &str) -> Result<Decimal, String> {
    let amount = money(text)?;
    if amount.is_zero() {
        return Err("a voucher is worth more than nothing".to_owned());
    }
    Ok(amount)
}

fn currency(text: &str) -> Result<Currency, String> {
    text.parse()
        .map_err(|_| "write three letters such as EUR".to_owned())
}

fn campaign(text: &str) -> Result<String, String> {
    if Campaign::is_valid(text) {
        Ok(text.to_owned())
    } else {
        Err("write 1 to 64 lower-case letters, digits or dashes, such as spring-2027".to_owned())
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text)
        .map_err(|_| "write a time with its zone, such as 2026-12-01T00:00:00Z".to_owned())
}
