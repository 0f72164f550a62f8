//! The newest order statuses as their writers really send them, for `processor check`: read and judged
//! as the live flow would.
//!
//! | module | what it judges |
//! |---|---|
//! | `keys` | the forms of the keys, and whether they lie where Kafka's own clients put them |
//! | `values` | which records can't be used, and why |
//! | `times` | whether the orders say when they were sent, which a campaign with dates needs |

mod keys;
mod times;
mod values;

use runtime::lifecycle::Failure;
use runtime::preflight::CheckResult;
use runtime::record::OwnedRecord;
use runtime::registry::{Registry, SchemaCache, WaitsFor, settled};
use runtime::value::Value;
use schemas::{Currency, Malformed, OrderStatus, OrderStatusPlan};

use crate::evaluate::decode;
use crate::rule::Rule;

/// What the verdicts depend on beside the records.
pub struct Context {
    /// The topic.
    pub topic: String,
    /// Its partitions.
    pub partitions: usize,
    /// Where the writers' schemas are.
    pub registry: Option<Registry>,
    /// The campaign's rule.
    pub rule: Rule,
    /// The currency of an order that names none.
    pub default_currency: Currency,
}

/// A record and what the live flow reads in it.
struct Read<'r> {
    record: &'r OwnedRecord,
    /// None: a tombstone.
    order: Result<Option<OrderStatus<'r>>, Malformed>,
}

impl Read<'_> {
    /// For a person: `partition 3, offset 41`.
    fn place(&self) -> String {
        let OwnedRecord {
            partition, offset, ..
        } = self.record;
        format!("partition {partition}, offset {offset}")
    }
}

/// Judges the newest records. Waits for the registry, on a thread beside the runtime's.
pub async fn judge(context: Context, newest: Vec<OwnedRecord>) -> Vec<CheckResult> {
    let schemas = SchemaCache::of_command(context.registry.clone(), OrderStatusPlan::compile_with);
    let topic = context.topic.clone();
    let judged = tokio::task::spawn_blocking(move || {
        let (read, failure) = read(&context, &newest, schemas);
        let mut verdicts = verdicts(&context, &read);
        verdicts.extend(failure.map(|failure| unread(&context.topic, &failure)));
        verdicts
    });
    judged
        .await
        .unwrap_or_else(|error| vec![unread(&topic, &error)])
}

/// Reads record by record, until the registry does not answer.
fn read<'r>(
    context: &Context,
    newest: &'r [OwnedRecord],
    mut schemas: SchemaCache<OrderStatusPlan>,
) -> (Vec<Read<'r>>, Option<Failure>) {
    let mut all = Vec::with_capacity(newest.len());
    for record in newest {
        let order = settled(
            || match decode(record, context.default_currency, &mut schemas) {
                Ok(Value::Read(order)) => Ok(Ok(Some(order))),
                Ok(Value::Tombstone) => Ok(Ok(None)),
                Ok(Value::Wait { schema_id }) => Err(WaitsFor { schema_id }),
                Err(malformed) => Ok(Err(malformed)),
            },
        );
        match order {
            Ok(order) => all.push(Read { record, order }),
            Err(failure) => return (all, Some(failure)),
        }
    }
    (all, None)
}

fn verdicts(context: &Context, newest: &[Read<'_>]) -> Vec<CheckResult> {
    let mut verdicts = vec![
        keys::judge(&context.topic, context.partitions, newest),
        values::judge(&context.topic, newest),
    ];
    if context.rule.has_dates() {
        verdicts.push(times::judge(&context.rule, newest));
    }
    verdicts
}

/// The verdict on records that could not be read.
pub fn unread(topic: &str, why: &impl ToString) -> CheckResult {
    CheckResult::fail(
        format!("records of {topic}"),
        format!("they can't be read: {}", why.to_string()),
        "see the logs of the brokers and the registry",
    )
}

/// Reads records as [`judge`] does, without a registry.
#[cfg(test)]
fn read_json(records: &[OwnedRecord]) -> Vec<Read<'_>> {
    use runtime::registry::{Lookup, SchemaSource};
    use schemas::{Reason, SchemaId};

    struct NoRegistry;

    impl SchemaSource for NoRegistry {
        type Plan = OrderStatusPlan;

        fn lookup(&mut self, _: SchemaId) -> Lookup<'_, OrderStatusPlan> {
            Lookup::Bad(Malformed::new(Reason::RegistryNotConfigured, "no registry"))
        }
    }

    let reads = records.iter().map(|record| Read {
        order: match decode(record, Currency::EUR, &mut NoRegistry) {
            Ok(Value::Read(order)) => Ok(Some(order)),
            Ok(Value::Tombstone | Value::Wait { .. }) => Ok(None),
            Err(malformed) => Err(malformed),
        },
        record,
    });
    reads.collect()
}
