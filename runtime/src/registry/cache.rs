//! Compiled writer schemas by id, fetched beside the loop that needs them.
//!
//! A loop waits inside a call for a moment, in which a registry that is well answers. A schema that
//! isn't there then is [`Lookup::Pending`], and the loop polls its group,
//! without taking records, until it is.

use std::collections::HashMap;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemas::{Malformed, Reason, SchemaId, WriterSchema};

use super::{RegisteredSchema, Registry, RegistryError};
use crate::backoff::Backoff;
use crate::health::Part;

/// A schema that the registry does not know is asked for again this long before it is the data's
/// fault: a writer may be ahead of the registry's replicas.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long "unknown" is believed of an id. No longer than a circuit breaker's pause: the records
/// that opened it may be readable at its next try.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// For so long after an unknown id, further ones are asked for once, so that a stream of invented
/// ids can't hold the flow for [`PATIENCE`] each.
const IMPATIENT_FOR: Duration = Duration::from_secs(60);

/// Bounds the memory that invented ids can take.
const MAX_UNKNOWN: usize = 10_000;

/// How long the first look for a schema waits for the registry.
const MOMENT: Duration = Duration::from_millis(100);

/// What is known of a schema id.
#[derive(Debug)]
pub enum Lookup<'a, P> {
    /// Compiled, ready to read with. Borrowed: counting references for every record would cost more
    /// than looking it up, as soon as two loops count the same.
    Known(&'a WriterSchema<P>),
    /// Being asked for; look again later.
    Pending,
    /// Records with this id are dead letters, for this reason.
    Bad(Malformed),
}

/// Where a loop looks schemas up; a model of it drives the same loop in the simulator.
pub trait SchemaSource {
    /// The compiled Avro schema.
    type Plan;

    /// What is known of `id` now; asks for it when nothing is.
    fn lookup(&mut self, id: SchemaId) -> Lookup<'_, Self::Plan>;

    /// The schema if it is known already; asks nobody. For sources that never have to ask, it is the
    /// same as a lookup.
    fn known(&mut self, id: SchemaId) -> Option<&WriterSchema<Self::Plan>> {
        match self.lookup(id) {
            Lookup::Known(schema) => Some(schema),
            Lookup::Pending | Lookup::Bad(_) => None,
        }
    }
}

/// Turns an Avro schema's text, and the texts of all that it refers to, into what records are read
/// with.
pub type Compile<P> = fn(&str, &[String]) -> Result<P, Malformed>;

/// What any loop of the process has fetched: a schema is asked for once, and a partition that moves
/// to another task waits for no registry.
pub struct KnownSchemas<P>(Arc<Mutex<HashMap<SchemaId, Arc<WriterSchema<P>>>>>);

impl<P> Default for KnownSchemas<P> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<P> Clone for KnownSchemas<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P> KnownSchemas<P> {
    fn get(&self, id: SchemaId) -> Option<Arc<WriterSchema<P>>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&id).cloned()
    }

    fn insert(&self, id: SchemaId, schema: Arc<WriterSchema<P>>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(id, schema);
    }
}

/// A loop's own cache, filled by a fetcher task: a lookup of what it had before takes no lock.
pub struct SchemaCache<P> {
    /// Most records have the schema of the one before.
    last: Option<(SchemaId, Arc<WriterSchema<P>>)>,
    shared: KnownSchemas<P>,
    known: HashMap<SchemaId, Arc<WriterSchema<P>>>,
    bad: HashMap<SchemaId, (Malformed, Instant)>,
    pending: Option<SchemaId>,
    fetcher: Option<Fetcher<P>>,
}

struct Fetcher<P> {
    requests: tokio::sync::mpsc::UnboundedSender<SchemaId>,
    answers: mpsc::Receiver<Answer<P>>,
}

/// What became of a question for a schema.
type Answer<P> = (SchemaId, Result<Arc<WriterSchema<P>>, Malformed>);

impl<P: Send + Sync + 'static> SchemaCache<P> {
    /// Without a registry every value with a schema is the dead letter `registry_not_configured`.
    /// `part` says when a record waits for a registry that does not answer.
    ///
    /// Must be called within a Tokio runtime, on which the fetcher lives until the cache is dropped.
    pub fn new(
        registry: Option<Registry>,
        compile: Compile<P>,
        shared: KnownSchemas<P>,
        part: Part,
    ) -> Self {
        part.ready();
        Self {
            last: None,
            shared,
            known: HashMap::new(),
            bad: HashMap::new(),
            pending: None,
            fetcher: registry.map(|registry| Fetcher::spawn(registry, compile, part)),
        }
    }

    #[inline]
    fn is_last(&self, id: SchemaId) -> bool {
        self.last.as_ref().is_some_and(|(last, _)| *last == id)
    }

    fn take_answers(&mut self) {
        let answers: Vec<_> = match &self.fetcher {
            Some(fetcher) => fetcher.answers.try_iter().collect(),
            None => Vec::new(),
        };
        for answer in answers {
            self.learn(answer);
        }
    }

    fn learn(&mut self, (id, answer): Answer<P>) {
        self.pending.take_if(|pending| *pending == id);
        match answer {
            Ok(schema) => {
                self.bad.remove(&id);
                self.shared.insert(id, Arc::clone(&schema));
                self.known.insert(id, schema);
            }
            Err(malformed) => {
                if self.bad.len() >= MAX_UNKNOWN {
                    self.bad.clear();
                }
                self.bad.insert(id, (malformed, Instant::now()));
            }
        }
    }

    /// The schema, if any loop of the process has it.
    fn at_hand(&mut self, id: SchemaId) -> Option<Arc<WriterSchema<P>>> {
        if let Some(schema) = self.known.get(&id) {
            return Some(Arc::clone(schema));
        }
        self.take_answers();
        let schema = self.shared.get(id)?;
        self.known.insert(id, Arc::clone(&schema));
        Some(schema)
    }

    /// The schema, or the lookup's other answers.
    fn find(&mut self, id: SchemaId) -> Result<Arc<WriterSchema<P>>, Lookup<'static, P>> {
        if let Some(schema) = self.at_hand(id) {
            return Ok(schema);
        }
        if let Some((malformed, since)) = self.bad.get(&id) {
            // A schema that was never right stays wrong; one that was unknown may be registered.
            if malformed.reason() != Reason::UnknownSchema || since.elapsed() < UNKNOWN_FOR {
                return Err(Lookup::Bad(malformed.clone()));
            }
            self.bad.remove(&id);
        }
        let Some(fetcher) = &self.fetcher else {
            return Err(Lookup::Bad(Malformed::new(
                Reason::RegistryNotConfigured,
                format!(
                    "the value was written with {id}, and SCHEMA_REGISTRY_URL is not set: without \
                     the schema it is not known whether the value is Avro or JSON"
                ),
            )));
        };
        if !id.is_possible() {
            return Err(Lookup::Bad(Malformed::new(
                Reason::UnknownSchema,
                format!("no registry gives such an id: {id}"),
            )));
        }
        if self.pending == Some(id) {
            return Err(Lookup::Pending);
        }
        self.pending = Some(id);
        // The fetcher ends only with the cache.
        let _ = fetcher.requests.send(id);
        match fetcher.answers.recv_timeout(MOMENT) {
            Ok(answer) => self.learn(answer),
            Err(_) => return Err(Lookup::Pending),
        }
        // It may have been the answer to an earlier question.
        if self.pending == Some(id) {
            Err(Lookup::Pending)
        } else {
            self.find(id)
        }
    }
}

impl<P: Send + Sync + 'static> SchemaSource for SchemaCache<P> {
    type Plan = P;

    fn lookup(&mut self, id: SchemaId) -> Lookup<'_, P> {
        if !self.is_last(id) {
            match self.find(id) {
                Ok(schema) => self.last = Some((id, schema)),
                Err(other) => return other,
            }
        }
        match &self.last {
            Some((_, schema)) => Lookup::Known(schema),
            None => Lookup::Pending,
        }
    }

    fn known(&mut self, id: SchemaId) -> Option<&WriterSchema<P>> {
        if !self.is_last(id) {
            self.last = Some((id, self.at_hand(id)?));
        }
        self.last.as_ref().map(|(_, schema)| &**schema)
    }
}

impl<P: Send + Sync + 'static> Fetcher<P> {
    fn spawn(registry: Registry, compile: Compile<P>, part: Part) -> Self {
        let (requests, mut asked) = tokio::sync::mpsc::unbounded_channel();
        let (answer, answers) = mpsc::channel();
        tokio::spawn(async move {
            let mut last_unknown: Option<Instant> = None;
            while let Some(id) = asked.recv().await {
                let patience = match last_unknown {
                    Some(since) if since.elapsed() < IMPATIENT_FOR => Duration::ZERO,
                    _ => PATIENCE,
                };
                let result = match fetch(&registry, id, patience, &part).await {
                    Ok(schema) => schema.compiled(id, compile).map(Arc::new),
                    Err(malformed) => Err(malformed),
                };
                if let Err(malformed) = &result
                    && malformed.reason() == Reason::UnknownSchema
                {
                    last_unknown = Some(Instant::now());
                }
                if answer.send((id, result)).is_err() {
                    break;
                }
            }
        });
        Self { requests, answers }
    }
}

/// Asks until the registry answers; a "not found" is believed after `patience`.
async fn fetch(
    registry: &Registry,
    id: SchemaId,
    patience: Duration,
    part: &Part,
) -> Result<RegisteredSchema, Malformed> {
    let mut backoff = Backoff::outside();
    let mut not_found_since: Option<Instant> = None;
    loop {
        match registry.schema(id).await {
            Ok(schema) => {
                part.ready();
                return Ok(schema);
            }
            Err(RegistryError::Unsupported(why)) => {
                part.ready();
                return Err(Malformed::new(Reason::UnsupportedSchema, why));
            }
            Err(RegistryError::NotFound(why)) => {
                part.ready();
                let since = *not_found_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= patience {
                    return Err(Malformed::new(
                        Reason::UnknownSchema,
                        format!("the registry does not know it: {why}"),
                    ));
                }
            }
            Err(RegistryError::Unavailable(why)) => {
                not_found_since = None;
                part.not_ready(format!("a record waits for {id}: {why}"));
            }
        }
        tokio::time::sleep(backoff.next_pause()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Health;
    use crate::registry::RegistrySettings;

    /// Of a registry that nobody listens for: whatever is asked for is pending.
    fn cache() -> SchemaCache<()> {
        let registry = Registry::of(&RegistrySettings::at("http://127.0.0.1:9")).unwrap();
        let part = Health::new().ready_part("registry");
        SchemaCache::new(registry, |_, _| Ok(()), KnownSchemas::default(), part)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_id_that_no_registry_gives_is_never_asked_for() {
        let mut cache = cache();
        for id in [
            SchemaId::Id(0xc3a9_c3a9),
            SchemaId::Id(u32::MAX),
            SchemaId::GlobalId(0),
            SchemaId::ContentId(u64::MAX),
        ] {
            let Lookup::Bad(malformed) = cache.lookup(id) else {
                panic!("{id} is asked for");
            };
            assert_eq!(malformed.reason(), Reason::UnknownSchema);
        }
        let greatest = SchemaId::Id(i32::MAX as u32);
        assert!(cache.known(greatest).is_none(), "nobody asked for it yet");
        assert!(matches!(cache.lookup(greatest), Lookup::Pending));
    }
}
