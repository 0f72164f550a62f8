//! Checks the newest order statuses as their writers really send them, for `processor check`:
//! decodes and evaluates them as the live flow does.
//!
//! | module | what it checks |
//! |---|---|
//! | `keys` | the forms of the keys, and whether they are in the partitions of Kafka's default partitioner |
//! | `values` | which records cannot be used, and why |
//! | `times` | whether the orders say when they were sent, as a campaign with dates needs |

mod keys;
mod times;
mod values;

use runtime::lifecycle::{Failure, blocking};
use runtime::preflight::CheckResult;
use runtime::record::OwnedRecord;
use runtime::registry::{Registry, SchemaCache};
use schemas::{Currency, Malformed, OrderStatus, OrderStatusPlan};

use crate::evaluate::decode;
use crate::rule::Rule;

/// What the results depend on besides the records.
pub struct Context {
    /// The name of the topic.
    pub topic: String,
    /// The number of its partitions.
    pub partitions: usize,
    /// The registry with the writers' schemas, if there is one.
    pub registry: Option<Registry>,
    /// The campaign's rule.
    pub rule: Rule,
    /// The currency of an order that names none.
    pub default_currency: Currency,
}

/// A record, and what the live flow decodes from it.
struct Read<'r> {
    record: &'r OwnedRecord,
    /// The order; `None` for a tombstone.
    order: Result<Option<OrderStatus<'r>>, Malformed>,
}

impl Read<'_> {
    /// Names the position for a person: `partition 3, offset 41`.
    fn place(&self) -> String {
        let OwnedRecord {
            partition, offset, ..
        } = self.record;
        format!("partition {partition}, offset {offset}")
    }
}

/// Checks the newest records. Waits for the registry.
pub async fn judge(context: Context, newest: Vec<OwnedRecord>) -> Vec<CheckResult> {
    let schemas = SchemaCache::for_command(context.registry.clone());
    let topic = context.topic.clone();
    let results = blocking("check", move || {
        let (read, failure) = read(&context, &newest, schemas);
        let mut results = results(&context, &read);
        results.extend(failure.map(|failure| unread(&context.topic, &failure)));
        Ok(results)
    });
    results
        .await
        .unwrap_or_else(|failure| vec![unread(&topic, &failure)])
}

/// Decodes the records, until the registry does not answer.
fn read<'r>(
    context: &Context,
    newest: &'r [OwnedRecord],
    mut schemas: SchemaCache<OrderStatusPlan>,
) -> (Vec<Read<'r>>, Option<Failure>) {
    let mut all = Vec::with_capacity(newest.len());
    for record in newest {
        match decode(record, context.default_currency, &mut schemas).settled() {
            Ok(order) => all.push(Read { record, order }),
            Err(failure) => return (all, Some(failure)),
        }
    }
    (all, None)
}

fn results(context: &Context, newest: &[Read<'_>]) -> Vec<CheckResult> {
    let mut results = vec![
        keys::judge(&context.topic, context.partitions, newest),
        values::judge(&context.topic, newest),
    ];
    if context.rule.has_dates() {
        results.push(times::judge(&context.rule, newest));
    }
    results
}

/// Returns the result for records that could not be read.
pub fn unread(topic: &str, why: &impl ToString) -> CheckResult {
    CheckResult::fail(
        format!("records of {topic}"),
        format!("they cannot be read: {}", why.to_string()),
        "see the logs of the brokers and the registry",
    )
}

/// Decodes records as [`judge`] does, without a registry.
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
        order: decode(record, Currency::EUR, &mut NoRegistry)
            .settled()
            .unwrap(),
        record,
    });
    reads.collect()
}
