//! What the campaign's earlier vouchers say about its rule and keys, and how that is reported.
//! Pure.

use std::fmt;

use runtime::plural::count;
use runtime::record::{InputRecord, Offset, Partition};
use rust_decimal::Decimal;
use schemas::{Currency, Timestamp, decimal};

use crate::rule::Rule;

/// The result after reading some vouchers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The campaign's newest vouchers were issued by the current rule and signed by the current
    /// keys.
    Same,
    /// All vouchers were read, and none belongs to the campaign.
    None {
        /// The number of vouchers that were read.
        vouchers: u64,
    },
    /// Older vouchers have to be read.
    Open {
        /// The number of vouchers that were read.
        vouchers: u64,
    },
    /// The campaign's vouchers were issued by another rule, or signed by another key.
    Differs {
        finding: String,
        advice: &'static str,
    },
    /// A voucher that may be the campaign's newest cannot be read.
    Unreadable {
        finding: String,
        advice: &'static str,
    },
}

impl Judgement {
    /// Reports that the newest voucher was issued by another rule. `worth` is what that voucher is worth.
    pub(super) fn another_rule(position: Position, worth: &str, rule: &Rule) -> Self {
        let validity = match rule.valid_days {
            None => ", without expiry".to_owned(),
            Some(days) => format!(", for {}", count(days, "day")),
        };
        Self::Differs {
            finding: format!(
                "the campaign's newest voucher ({position}) is worth {worth} by another rule; the \
                 current rule says {} {}{validity}",
                decimal::as_money(rule.amount),
                rule.currency.as_str(),
            ),
            advice: "give another amount, currency or validity its own VOUCHER_CAMPAIGN and \
                     VOUCHER_SENT_FROM, or restore the earlier settings",
        }
    }

    /// Reports that a voucher was signed by the key `signed_by`, and that `current` would sign it now.
    pub(super) fn another_key(
        position: Position,
        issued_at: Option<Timestamp>,
        signed_by: &str,
        current: &str,
    ) -> Self {
        let issued = match issued_at {
            Some(issued_at) => format!("issued at {issued_at} "),
            None => String::new(),
        };
        Self::Differs {
            finding: format!(
                "the campaign's voucher {issued}({position}) is signed by the key {}, but the key \
                 {current} would sign it now: the same order would have another code",
                schemas::printable(signed_by),
            ),
            advice: "restore VOUCHER_SIGNING_KEY, or keep the earlier key with its time in \
                     VOUCHER_SIGNING_KEYS_FILE",
        }
    }

    /// Reports that a voucher cannot be read, so the rule and the keys of the campaign are not known.
    pub(super) fn unreadable(position: Position, rule: &Rule) -> Self {
        Self::Unreadable {
            finding: format!(
                "a voucher ({position}) cannot be read, so it is not known whether the campaign {} \
                 issued vouchers by this rule and these keys",
                rule.campaign
            ),
            advice: "set SCHEMA_REGISTRY_URL to the registry that has its schema",
        }
    }
}

/// The fields of a voucher that are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) campaign: String,
    pub(super) amount: Decimal,
    pub(super) currency: Currency,
    pub(super) issued_at: Timestamp,
}

/// The position of a voucher. That of a later voucher is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    written_millis: Option<i64>,
    offset: Offset,
    partition: Partition,
}

impl Position {
    pub(super) fn of(record: &impl InputRecord) -> Self {
        Self {
            written_millis: record.timestamp_millis(),
            offset: record.offset(),
            partition: record.partition(),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {}, offset {}", self.partition, self.offset)
    }
}
