//! Compiled writer schemas by id, fetched beside the loop or the command that needs them.
//!
//! The first look-up of a schema waits: for a loop a moment, in which a healthy registry answers, and
//! for a command as long as a person waits. A schema that is not there then is [`Lookup::Pending`]. A
//! loop goes on polling its group, without taking records, and looks the schema up again. A command
//! ends with [`not_answered`].

use std::collections::HashMap;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemas::{Malformed, Plan, Reason, RecordType, SchemaId, ValueFormat};

use super::schema::RegisteredSchema;
use super::{COMMAND_WAIT, Registry, RegistryError};
use crate::backoff::Backoff;
use crate::duration::human_duration;
use crate::health::{Health, Part};
use crate::lifecycle::Failure;
use crate::metrics::{Count, RetryClass};

/// How long the first look-up of a schema waits in a loop.
const LOOP_WAIT: Duration = Duration::from_millis(100);

/// How long an unknown schema is requested again before its records become dead letters: the writer may
/// be ahead of the registry's replicas.
const NOT_FOUND_GRACE: Duration = Duration::from_secs(5);

/// How long after an unknown id further ids are requested only once, so that a stream of invented ids
/// cannot delay the flow by [`NOT_FOUND_GRACE`] each.
const NO_GRACE_FOR: Duration = Duration::from_secs(60);

/// How long an id counts as unknown. This is no longer than the pause of a circuit breaker: the records
/// that opened it may be readable at its next try.
const UNKNOWN_TTL: Duration = Duration::from_secs(10);

/// The maximum number of ids that are remembered as bad. Bounds the memory that invented ids can take.
const MAX_BAD: usize = 10_000;

/// The result of looking up a schema id.
#[derive(Debug)]
pub enum Lookup<'a, P> {
    /// How to read values that were written with the schema. It is borrowed, because counting references
    /// to it for every record of two loops would cost more than the look-up.
    Known(&'a ValueFormat<P>),
    /// The schema is being requested. Look it up again later.
    Pending,
    /// Records with this id are dead letters, for this reason.
    Bad(Malformed),
}

/// Where schemas are looked up. The simulator drives the loops with a model of it.
pub trait SchemaSource {
    /// What an Avro schema is compiled into.
    type Plan;

    /// Looks up a schema, and requests it if nothing is known of it.
    fn lookup(&mut self, id: SchemaId) -> Lookup<'_, Self::Plan>;

    /// Returns the schema if it is known without a request. A source that never makes requests need
    /// not implement this.
    fn known(&mut self, id: SchemaId) -> Option<&ValueFormat<Self::Plan>> {
        match self.lookup(id) {
            Lookup::Known(format) => Some(format),
            Lookup::Pending | Lookup::Bad(_) => None,
        }
    }
}

/// The schemas that any loop of the process has fetched. So a schema is requested once, and a
/// partition that moves to another task does not wait for the registry.
pub struct KnownSchemas<P>(Arc<Mutex<HashMap<SchemaId, Arc<ValueFormat<P>>>>>);

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
    fn get(&self, id: SchemaId) -> Option<Arc<ValueFormat<P>>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&id).cloned()
    }

    fn insert(&self, id: SchemaId, format: Arc<ValueFormat<P>>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(id, format);
    }
}

/// The cache of one loop or command, which a fetcher task fills. A look-up of a schema that was looked
/// up before takes no lock.
pub struct SchemaCache<P> {
    /// Most records have the schema of the record before.
    last: Option<(SchemaId, Arc<ValueFormat<P>>)>,
    shared: KnownSchemas<P>,
    known: HashMap<SchemaId, Arc<ValueFormat<P>>>,
    bad: HashMap<SchemaId, (Malformed, Instant)>,
    /// The schema that was requested last, and until when its first look-up waits.
    pending: Option<(SchemaId, Instant)>,
    /// How long the first look-up of a schema waits.
    wait: Duration,
    fetcher: Option<Fetcher<P>>,
}

struct Fetcher<P> {
    requests: tokio::sync::mpsc::UnboundedSender<SchemaId>,
    answers: mpsc::Receiver<Answer<P>>,
}

/// The result of a request.
type Answer<P> = (SchemaId, Result<Arc<ValueFormat<P>>, Malformed>);

impl<R: RecordType + 'static> SchemaCache<Plan<R>> {
    /// Returns the cache of a loop. Without a registry every value with a schema is the dead letter
    /// `registry_not_configured`. `part` shows when a record waits for a registry that does not answer.
    ///
    /// Must be called within a Tokio runtime. The fetcher lives on it until the cache is dropped.
    pub fn new(registry: Option<Registry>, shared: KnownSchemas<Plan<R>>, part: Part) -> Self {
        part.ready();
        Self {
            last: None,
            shared,
            known: HashMap::new(),
            bad: HashMap::new(),
            pending: None,
            wait: LOOP_WAIT,
            fetcher: registry.map(|registry| Fetcher::spawn(registry, part)),
        }
    }

    /// Returns the cache of a command, which reports no health. Its look-ups block their thread for up
    /// to [`COMMAND_WAIT`].
    ///
    /// Must be called within a Tokio runtime, and used outside of its threads.
    pub fn for_command(registry: Option<Registry>) -> Self {
        let part = Health::new().ready_part("registry");
        Self {
            wait: COMMAND_WAIT,
            ..Self::new(registry, KnownSchemas::default(), part)
        }
    }
}

/// Returns the failure of a command for whose schema the registry has not answered in
/// [`COMMAND_WAIT`].
pub fn not_answered(schema_id: SchemaId) -> Failure {
    Failure::failed(format!(
        "the schema registry has not answered for {schema_id} in {}; run this again when it does",
        human_duration(COMMAND_WAIT)
    ))
}

impl<P> SchemaCache<P> {
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
        self.pending.take_if(|(pending, _)| *pending == id);
        match answer {
            Ok(format) => {
                self.bad.remove(&id);
                self.shared.insert(id, Arc::clone(&format));
                self.known.insert(id, format);
            }
            Err(malformed) => {
                if self.bad.len() >= MAX_BAD {
                    self.bad.clear();
                }
                self.bad.insert(id, (malformed, Instant::now()));
            }
        }
    }

    /// Returns the schema if any loop of the process has fetched it.
    fn fetched(&mut self, id: SchemaId) -> Option<Arc<ValueFormat<P>>> {
        if let Some(format) = self.known.get(&id) {
            return Some(Arc::clone(format));
        }
        self.take_answers();
        let format = self.shared.get(id)?;
        self.known.insert(id, Arc::clone(&format));
        Some(format)
    }

    /// Returns the schema, or the look-up's other results.
    fn find(&mut self, id: SchemaId) -> Result<Arc<ValueFormat<P>>, Lookup<'static, P>> {
        if let Some(format) = self.fetched(id) {
            return Ok(format);
        }
        if let Some((malformed, since)) = self.bad.get(&id) {
            // A schema that cannot be used stays so. One that was unknown may have been registered.
            if malformed.reason() != Reason::UnknownSchema || since.elapsed() < UNKNOWN_TTL {
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
        let until = match self.pending {
            Some((pending, until)) if pending == id => until,
            _ => {
                // The fetcher ends only with the cache.
                let _ = fetcher.requests.send(id);
                Instant::now() + self.wait
            }
        };
        self.pending = Some((id, until));
        // An answer to an earlier request may come first.
        while self.pending.is_some_and(|(pending, _)| pending == id) {
            match self.answer(until) {
                Some(answer) => self.learn(answer),
                None => return Err(Lookup::Pending),
            }
        }
        self.find(id)
    }

    /// Waits for the next answer.
    fn answer(&self, until: Instant) -> Option<Answer<P>> {
        let left = until.saturating_duration_since(Instant::now());
        self.fetcher.as_ref()?.answers.recv_timeout(left).ok()
    }
}

impl<P: 'static> SchemaSource for SchemaCache<P> {
    type Plan = P;

    fn lookup(&mut self, id: SchemaId) -> Lookup<'_, P> {
        if !self.is_last(id) {
            match self.find(id) {
                Ok(format) => self.last = Some((id, format)),
                Err(other) => return other,
            }
        }
        match &self.last {
            Some((_, format)) => Lookup::Known(format),
            None => Lookup::Pending,
        }
    }

    fn known(&mut self, id: SchemaId) -> Option<&ValueFormat<P>> {
        if !self.is_last(id) {
            self.last = Some((id, self.fetched(id)?));
        }
        self.last.as_ref().map(|(_, format)| &**format)
    }
}

impl<R: RecordType + 'static> Fetcher<Plan<R>> {
    fn spawn(registry: Registry, part: Part) -> Self {
        let (requests, mut requested) = tokio::sync::mpsc::unbounded_channel();
        let (answer, answers) = mpsc::channel();
        tokio::spawn(async move {
            let mut last_unknown: Option<Instant> = None;
            while let Some(id) = requested.recv().await {
                let grace = match last_unknown {
                    Some(since) if since.elapsed() < NO_GRACE_FOR => Duration::ZERO,
                    _ => NOT_FOUND_GRACE,
                };
                let result = match fetch(&registry, id, grace, &part).await {
                    Ok(schema) => schema.compiled(id).map(Arc::new),
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

/// Requests a schema until the registry answers. "Not found" is requested again for as long as `grace`.
async fn fetch(
    registry: &Registry,
    id: SchemaId,
    grace: Duration,
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
                if since.elapsed() >= grace {
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
        Count::retry(RetryClass::Registry).record();
        tokio::time::sleep(backoff.next_pause()).await;
    }
}

#[cfg(test)]
mod tests {
    use schemas::VoucherPlan;

    use super::*;
    use crate::registry::RegistrySettings;

    /// Returns the cache of a loop whose registry does not answer.
    fn cache() -> SchemaCache<VoucherPlan> {
        let registry = Registry::of(&RegistrySettings::at("http://127.0.0.1:9")).unwrap();
        let part = Health::new().ready_part("registry");
        SchemaCache::new(registry, KnownSchemas::default(), part)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_id_that_no_registry_gives_is_never_requested() {
        let mut cache = cache();
        for id in [
            SchemaId::Id(0xc3a9_c3a9),
            SchemaId::Id(u32::MAX),
            SchemaId::GlobalId(0),
            SchemaId::ContentId(u64::MAX),
        ] {
            let Lookup::Bad(malformed) = cache.lookup(id) else {
                panic!("{id} is requested");
            };
            assert_eq!(malformed.reason(), Reason::UnknownSchema);
        }
        let greatest = SchemaId::Id(i32::MAX as u32);
        assert!(cache.known(greatest).is_none(), "it was not requested yet");
        assert!(matches!(cache.lookup(greatest), Lookup::Pending));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_the_first_look_up_of_a_schema_waits() {
        let mut cache = cache();
        let mut waited = || {
            let begun = Instant::now();
            assert!(matches!(cache.lookup(SchemaId::Id(7)), Lookup::Pending));
            begun.elapsed()
        };
        assert!(waited() >= LOOP_WAIT);
        assert!((0..10).any(|_| waited() < LOOP_WAIT));
    }
}
