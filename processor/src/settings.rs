//! The settings of `processor run`.

use std::path::PathBuf;

use clap::Args;
use runtime::circuit_breaker::CircuitBreakerSettings;
use runtime::dead_letter::DeadLetterOwner;
use runtime::lifecycle::{Failure, Failures};
use runtime::registry::Registry;
use runtime::service::SharedSettings;
use runtime::settings::{
    HttpSettings, Secret, currency, group_name, identifier, read_secret_file, whole,
};
use rust_decimal::Decimal;
use schemas::{Campaign, Currency, Timestamp, decimal};

use crate::evaluate::Evaluator;
use crate::rule::Rule;
use crate::signing_keys::SigningKeys;
use crate::task::Guarantee;

/// Settings of `processor run`.
#[derive(Debug, Clone, Args)]
pub struct RunSettings {
    /// The rule of the campaign.
    #[command(flatten)]
    pub rule: RuleSettings,
    /// The keys that sign voucher codes.
    #[command(flatten)]
    pub keys: KeySettings,
    /// The consumer group.
    #[command(flatten)]
    pub group: GroupSettings,
    /// The transactions and the tasks.
    #[command(flatten)]
    pub flow: FlowSettings,
    /// When too many dead letters pause the flow.
    #[command(flatten)]
    pub breaker: CircuitBreakerSettings,
    /// The listener of health and metrics.
    #[command(flatten)]
    pub http: HttpSettings,
    /// Brokers, schema registry and topics.
    #[command(flatten)]
    pub shared: SharedSettings,
}

/// The rule of a campaign: which order earns which voucher.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Rule")]
pub struct RuleSettings {
    /// Minimum order total that earns a voucher, inclusive.
    #[arg(long, env = "VOUCHER_MIN_TOTAL", default_value = "100.00", value_parser = money)]
    pub voucher_min_total: Decimal,

    /// Value of a voucher.
    #[arg(long, env = "VOUCHER_AMOUNT", default_value = "5.00", value_parser = positive_money)]
    pub voucher_amount: Decimal,

    /// Currency of the vouchers, and of the orders that earn one.
    #[arg(long, env = "VOUCHER_CURRENCY", default_value = "EUR", value_parser = currency)]
    pub voucher_currency: Currency,

    /// Name of the campaign: lower-case letters, digits and dashes. Another amount, currency or
    /// validity needs another name.
    #[arg(long, env = "VOUCHER_CAMPAIGN", default_value = DEFAULT_CAMPAIGN, value_parser = campaign)]
    pub voucher_campaign: String,

    /// Days that a voucher is valid, counted from the time of sending [default: it does not expire].
    #[arg(long, env = "VOUCHER_VALID_DAYS", value_parser = whole::<u32>(1..=3650, "days"))]
    pub voucher_valid_days: Option<u32>,

    /// Orders sent before this time earn no voucher, such as 2026-12-01T00:00:00Z.
    #[arg(long, env = "VOUCHER_SENT_FROM", value_parser = time)]
    pub voucher_sent_from: Option<Timestamp>,

    /// Orders sent at or after this time earn no voucher.
    #[arg(long, env = "VOUCHER_SENT_UNTIL", value_parser = time)]
    pub voucher_sent_until: Option<Timestamp>,

    /// Currency of an order that names none.
    #[arg(long, env = "ORDER_DEFAULT_CURRENCY", default_value = "EUR", value_parser = currency)]
    pub order_default_currency: Currency,
}

const DEFAULT_CAMPAIGN: &str = "order-reward";

/// The campaign of a command that needs nothing else of the rule.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Rule")]
pub struct CampaignSettings {
    /// Campaign of `processor run` in this group. An outcome that was decided for another campaign
    /// closes no dead letter of this one.
    #[arg(long, env = "VOUCHER_CAMPAIGN", default_value = DEFAULT_CAMPAIGN, value_parser = campaign)]
    pub voucher_campaign: String,
}

/// The keys that sign the codes of vouchers.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Signing")]
pub struct KeySettings {
    /// Key that signs the voucher codes: at least 32 bytes in base64, as openssl rand -base64 32
    /// prints them.
    #[arg(
        long,
        env = "VOUCHER_SIGNING_KEY",
        hide_env_values = true,
        conflicts_with = "voucher_signing_keys_file"
    )]
    pub voucher_signing_key: Option<Secret>,

    /// File of signing keys, one per line: FROM KEY. FROM is a time, or - for the first key. A
    /// voucher is signed with the last key whose FROM is not after the time its order was sent.
    #[arg(long, env = "VOUCHER_SIGNING_KEYS_FILE")]
    pub voucher_signing_keys_file: Option<PathBuf>,
}

/// The consumer group of `processor run`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Flow")]
pub struct GroupSettings {
    /// Consumer group of `processor run`. Every campaign has its own.
    #[arg(long, env = "PROCESSOR_GROUP", default_value = "processor", value_parser = group_name)]
    pub processor_group: String,
}

impl GroupSettings {
    /// Returns the owner of the dead letters that belong to this group and `campaign`.
    pub fn owner(&self, campaign: &str) -> DeadLetterOwner {
        DeadLetterOwner {
            group: self.processor_group.clone(),
            campaign: Some(campaign.to_owned()),
        }
    }
}

/// The instance's name is a part of transactional ids and of the names of group members.
const MAX_INSTANCE_ID: usize = 128;

/// The transactions and the tasks of `processor run`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Flow")]
pub struct FlowSettings {
    /// Name of this instance: the same at every start, and different from all other instances
    /// [default: the host name].
    #[arg(long, env = "PROCESSOR_INSTANCE_ID", value_parser = identifier(MAX_INSTANCE_ID))]
    pub processor_instance_id: Option<String>,

    /// How often a voucher is written. at_least_once is faster, but the consumers of vouchers must
    /// ignore duplicates.
    #[arg(
        long,
        env = "PROCESSING_GUARANTEE",
        value_enum,
        default_value = "exactly_once"
    )]
    pub processing_guarantee: Guarantee,

    /// Number of tasks that share the partitions in this process, each with its own thread.
    #[arg(long, env = "PROCESSOR_TASKS", value_name = "PROCESSOR_TASKS", default_value = "1", value_parser = whole::<u16>(1..=64, "tasks"))]
    pub tasks: u16,
}

/// What the settings of `processor run` describe.
#[derive(Debug)]
pub struct Prepared {
    /// The evaluation, with the keys.
    pub evaluator: Evaluator,
    /// The name of this instance.
    pub instance: String,
    /// The schema registry, if there is one.
    pub registry: Option<Registry>,
}

impl RunSettings {
    /// Builds what the settings describe, without connecting to anything. Finds every error in the settings
    /// that can be found without a connection.
    ///
    /// # Errors
    /// Exit code 2 with everything that is wrong, saying what to write instead.
    pub fn prepare(&self) -> Result<Prepared, Failure> {
        let mut failures = Failures::default();
        failures.keep(self.shared.kafka.check());
        let rule = failures.keep(self.rule.rule());
        let keys = failures.keep(self.keys.signing_keys());
        let evaluator = match (rule, keys) {
            (Some(_), Some(keys)) => failures.keep(self.rule.evaluator(keys)),
            _ => None,
        };
        let instance = failures.keep(self.flow.instance_id());
        let registry = failures.keep(Registry::of(&self.shared.registry));
        match (evaluator, instance, registry) {
            (Some(evaluator), Some(instance), Some(registry)) if failures.is_empty() => {
                Ok(Prepared {
                    evaluator,
                    instance,
                    registry,
                })
            }
            _ => Err(failures.into()),
        }
    }
}

impl RuleSettings {
    /// Returns the campaign's rule.
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

    /// Returns the evaluation that the settings describe, with codes signed by `keys`.
    ///
    /// # Errors
    /// Exit code 2, saying what to write instead.
    pub fn evaluator(&self, keys: SigningKeys) -> Result<Evaluator, Failure> {
        Evaluator::new(self.rule()?, keys, self.order_default_currency)
            .map_err(|error| Failure::bad_setting(format!("VOUCHER_AMOUNT: {error}")))
    }
}

impl KeySettings {
    /// Returns the signing keys.
    ///
    /// # Errors
    /// Exit code 2 when none is set, or one is not valid.
    pub fn signing_keys(&self) -> Result<SigningKeys, Failure> {
        self.signing_keys_if_set()?.ok_or_else(|| {
            Failure::bad_setting(
                "VOUCHER_SIGNING_KEY is not set (nor VOUCHER_SIGNING_KEYS_FILE): codes cannot be \
                 signed; create a key with: openssl rand -base64 32",
            )
        })
    }

    /// Returns the signing keys, or `None` when none is set.
    ///
    /// # Errors
    /// Exit code 2 when one is not valid.
    pub fn signing_keys_if_set(&self) -> Result<Option<SigningKeys>, Failure> {
        let (variable, keys) = match (&self.voucher_signing_key, &self.voucher_signing_keys_file) {
            (Some(key), _) => ("VOUCHER_SIGNING_KEY", SigningKeys::single(key.reveal())),
            (None, Some(path)) => {
                let variable = "VOUCHER_SIGNING_KEYS_FILE";
                (
                    variable,
                    SigningKeys::parse(&read_secret_file(variable, path)?),
                )
            }
            (None, None) => return Ok(None),
        };
        keys.map(Some)
            .map_err(|error| Failure::bad_setting(format!("{variable}: {error}")))
    }
}

impl FlowSettings {
    /// Returns the name of this instance.
    ///
    /// # Errors
    /// Exit code 2 when none is set and the host name is not a valid one.
    pub fn instance_id(&self) -> Result<String, Failure> {
        if let Some(id) = &self.processor_instance_id {
            return Ok(id.clone());
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .or_else(|_| std::env::var("HOSTNAME"))
            .unwrap_or_default();
        let host = host.trim();
        identifier(MAX_INSTANCE_ID)(host).map_err(|error| {
            Failure::bad_setting(format!(
                "PROCESSOR_INSTANCE_ID is not set and the host name {host:?} cannot be used: {error}"
            ))
        })
    }
}

fn money(text: &str) -> Result<Decimal, String> {
    decimal::parse(text).map_err(|error| format!("{error}; write an amount such as 100.00"))
}

fn positive_money(text: &str) -> Result<Decimal, String> {
    let amount = money(text)?;
    if amount.is_zero() {
        return Err("write an amount above zero, such as 5.00".to_owned());
    }
    Ok(amount)
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
