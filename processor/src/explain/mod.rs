//! `processor explain ORDER_ID`: every record of an order, the decision about it, and its voucher.
//!
//! | module | contents |
//! |---|---|
//! | here | the settings and the steps of the command |
//! | `table` | reads the vouchers table |
//! | `orders` | reads the ingress's table of orders |
//! | `search` | searches the topics, near what the two tables say |
//! | `anchor` | what to read near a position or a time: pure |
//! | `searched` | a topic, and how it was searched: pure |
//! | `spans` | offsets that were read, and the rest: pure |
//! | `trace` | everything that was found about the order: pure |
//! | `missing` | records that a row, a voucher or a dead letter names, but that are gone: pure |
//! | `show`, `json` | show it as text and as JSON: pure |

mod anchor;
mod json;
mod missing;
mod orders;
#[cfg(test)]
mod sample;
mod search;
mod searched;
mod show;
mod spans;
mod table;
mod trace;

use clap::Args;
use runtime::audit::{Action, Audit, AuditCounts, AuditSettings, run_name};
use runtime::dead_letter::{DeadLetterOwner, DeadLetterTopic};
use runtime::kafka::Bound;
use runtime::lifecycle::{Failure, blocking};
use runtime::output;
use runtime::postgres::Database;
use runtime::registry::{Registry, SchemaCache};
use runtime::service::SharedSettings;
use runtime::settings::{Secret, group_name, whole};
use schemas::{OrderId, Timestamp};

use crate::explainer::Explainer;
use crate::settings::{GroupSettings, RuleSettings};
use orders::OrdersTable;
use search::{Reach, Search};
use trace::{Gap, OrderTrace};

/// What `processor explain` reads from flags and environment variables.
#[derive(Debug, Clone, Args)]
pub struct ExplainSettings {
    /// The id of the order.
    #[arg(value_parser = order_id)]
    pub order_id: String,

    /// Read every partition, which also finds records that another partitioner placed.
    #[arg(long)]
    pub all_partitions: bool,

    /// Read the partitions of the order's key from beginning to end, even if a row or the ingress
    /// says where the order's records are.
    #[arg(long)]
    pub scan: bool,

    /// Read no whole partitions unless they are short: only near what a row, the ingress or a dead
    /// letter says, or else the newest offsets of the order's partitions (--nearby).
    #[arg(long, conflicts_with_all = ["all_partitions", "scan", "since"])]
    pub no_scan: bool,

    /// Read the topics from this time on, and nothing from before: RFC 3339, or relative to now (2h,
    /// 7d).
    #[arg(long, value_name = "TIME", value_parser = since, allow_hyphen_values = true)]
    pub since: Option<Timestamp>,

    /// Number of offsets of each topic that are read near the order's records, if a row or the
    /// ingress says where they are. Partitions that are shorter are read completely.
    #[arg(long, value_name = "OFFSETS", default_value = "100000", value_parser = whole::<u64>(0..=u64::MAX, "offsets"))]
    pub nearby: u64,

    /// Show voucher codes.
    #[arg(long)]
    pub reveal: bool,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,

    /// URL of the sink's database. If set, the voucher's row is shown as well, and says where the
    /// voucher record is.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<Secret>,

    /// URL of the ingress's database. If the order is there, the records near the times of its
    /// changes are read [default: that of the sink, if the ingress's tables are there].
    #[arg(long, env = "ORDERS_DATABASE_URL", hide_env_values = true)]
    pub orders_database_url: Option<Secret>,

    /// Brokers, schema registry and topics.
    #[command(flatten)]
    pub shared: SharedSettings,
    /// The campaign's rule, by which the records are explained.
    #[command(flatten)]
    pub rule: RuleSettings,
    /// Who reveals codes and why, and where that is recorded.
    #[command(flatten)]
    pub audit: AuditSettings,
    /// The consumer group of the processor.
    #[command(flatten)]
    pub group: GroupSettings,

    /// The consumer group of `sink run`, whose dead letters are shown as well.
    #[arg(long, env = "SINK_GROUP", default_value = "sink", value_parser = group_name)]
    pub sink_group: String,
}

fn order_id(text: &str) -> Result<String, String> {
    OrderId::new(text)
        .map(|id| id.as_str().to_owned())
        .map_err(|error| error.to_string())
}

/// Parses a time, or how long ago it was.
fn since(text: &str) -> Result<Timestamp, String> {
    let ago = || Bound::parse(&format!("-{text}"));
    match Bound::parse(text)
        .or_else(|_| ago())
        .map(|bound| bound.at_this_moment())
    {
        Ok(Bound::Time(millis)) => Ok(Timestamp::from_millis(millis)),
        _ => Err(
            "write a time with its zone (2026-12-01T00:00:00Z), or how long ago (2h, 7d, 30m)"
                .to_owned(),
        ),
    }
}

/// Prints everything that is found about the order. If an audit is kept, revealing codes is recorded
/// before they are shown.
///
/// # Errors
/// Exit code 1 when nothing is found, or the audit record cannot be written, or, after printing what
/// was found, when a topic or the table could not be read; 2 for wrong settings.
pub async fn run(settings: ExplainSettings) -> Result<(), Failure> {
    let topics = &settings.shared.topics;
    let audit = settings
        .audit
        .open_if(settings.reveal, "processor", topics, None)?;
    let registry = Registry::of(&settings.shared.registry)?;
    let tables = Tables::of(&settings)?;
    let search = Search {
        dead_letter_topics: [
            settings.group.dead_letter_topic(
                settings.shared.kafka.clone(),
                topics,
                &settings.rule.voucher_campaign,
            ),
            DeadLetterTopic::new(
                settings.shared.kafka.clone(),
                topics.vouchers_topic.clone(),
                DeadLetterOwner {
                    group: settings.sink_group.clone(),
                    campaign: None,
                },
            ),
        ],
        kafka: settings.shared.kafka.clone(),
        group: settings.group.processor_group.clone(),
        order_status: topics.order_status_topic.clone(),
        vouchers: topics.vouchers_topic.clone(),
        explainer: Explainer::new(
            settings.rule.rule()?,
            settings.rule.order_default_currency,
            registry.clone(),
        ),
        voucher_schemas: SchemaCache::for_command(registry),
        reach: Reach {
            all_partitions: settings.all_partitions,
            scan: settings.scan,
            no_scan: settings.no_scan,
            since: settings.since,
            nearby: settings.nearby,
        },
    };
    if let Some(audit) = audit {
        record_reveal(audit, &settings).await?;
    }
    let mut trace = OrderTrace {
        order_id: settings.order_id.clone(),
        ..OrderTrace::default()
    };
    tables.ask(&mut trace).await;
    let mut trace = blocking("explain", move || search.run(trace)).await?;
    // The row may have been written while the topics were read.
    if trace.lacks_row_of_record() {
        tables.ask_for_rows(&mut trace).await;
        trace.mark_echoes();
    }
    if settings.json {
        output::print_line(&format!("{:#}", trace.json(settings.reveal)))?;
    } else if trace.is_found() {
        output::print(&trace.text(settings.reveal))?;
    }
    match trace.gap_note() {
        _ if !trace.is_found() => Err(Failure::failed(trace.not_found())),
        Some(gaps) => Err(Failure::failed(format!(
            "the explanation is incomplete: {gaps}"
        ))),
        None => Ok(()),
    }
}

/// Records that the codes of the order are about to be shown.
async fn record_reveal(audit: Audit, settings: &ExplainSettings) -> Result<(), Failure> {
    let trail = audit.of(Action {
        run: run_name("reveal"),
        run_number: None,
        command: "explain --reveal",
        group: settings.group.processor_group.clone(),
        what: format!("order {}", settings.order_id),
    });
    trail
        .write(&settings.shared.kafka, None, AuditCounts::default())
        .await
}

/// The tables with data about an order, if their databases are set.
struct Tables {
    vouchers: Option<Database>,
    orders: Option<OrdersTable>,
}

impl Tables {
    fn of(settings: &ExplainSettings) -> Result<Self, Failure> {
        let vouchers = settings.database_url.as_ref();
        Ok(Self {
            vouchers: vouchers.map(table::database).transpose()?,
            orders: OrdersTable::of(settings.orders_database_url.as_ref(), vouchers)?,
        })
    }

    /// Adds the data of the tables. A table that cannot be read is a gap.
    async fn ask(&self, trace: &mut OrderTrace) {
        let order_id = trace.order_id.clone();
        let order = async {
            match &self.orders {
                Some(orders) => orders.order(&order_id).await,
                None => Ok(None),
            }
        };
        let (order, ()) = tokio::join!(order, self.ask_for_rows(trace));
        match order {
            Ok(order) => trace.ingress = order,
            Err(why) => trace.gaps.push(Gap {
                what: "the orders' table".to_owned(),
                why,
            }),
        }
    }

    async fn ask_for_rows(&self, trace: &mut OrderTrace) {
        let Some(vouchers) = &self.vouchers else {
            return;
        };
        match table::rows(vouchers, &trace.order_id).await {
            Ok(rows) => trace.rows = Some(rows),
            Err(why) => trace.gaps.push(Gap {
                what: "the vouchers' table".to_owned(),
                why,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_begins_at_a_time_or_so_long_ago() {
        let at = since("2020-05-01T00:00:00Z").unwrap();
        assert_eq!(at.to_string(), "2020-05-01T00:00:00Z");
        let (two_hours, one_hour) = (since("2h").unwrap(), since("-1h").unwrap());
        assert!(at < two_hours && two_hours < one_hour);
        for wrong in ["", "-", "2", "2w", "--2h", "earliest", "0:5", "2026-05-01"] {
            let message = since(wrong).unwrap_err();
            assert!(message.contains("how long ago"), "{wrong}: {message}");
        }
    }
}
