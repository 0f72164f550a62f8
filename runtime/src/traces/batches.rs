//! The spans of a batch, with the names and attributes of the semantic conventions 1.44 for messaging
//! and databases. Those for messaging are in development there, so this is the one place that has them.
//!
//! A span of one record continues the span that created the record. A span of a batch belongs to no
//! trace of its records: it begins a trace of its own and links to them, because one of many as its parent
//! would mislead.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;

use super::{Moments, SampledRecord, SampledRecords, Span, Tracer};
use crate::clock::MonotonicClock;
use crate::trace_context::TraceParent;

/// Records the spans of the batches of one task.
#[derive(Debug, Clone)]
pub struct BatchTracer {
    tracer: Tracer,
    clock: MonotonicClock,
    topic: String,
    group: String,
}

/// When the steps of a batch happened, by the clock of the task, and how large it was.
#[derive(Debug, Clone, Copy)]
pub struct BatchSteps {
    /// Its records, sampled or not.
    pub records: usize,
    /// What was written for them: records or rows.
    pub written: usize,
    /// When its first record was read.
    pub began: Duration,
    /// When it was complete: writing began.
    pub complete: Duration,
    /// When its offsets began to be committed; `None` where that happens later.
    pub settling: Option<Duration>,
    /// When all of it was durable.
    pub ended: Duration,
}

impl BatchTracer {
    /// Returns the tracer of a task that reads `topic` as `group`. `clock` is the task's.
    pub fn new(tracer: Tracer, clock: MonotonicClock, topic: &str, group: &str) -> Self {
        Self {
            tracer,
            clock,
            topic: topic.to_owned(),
            group: group.to_owned(),
        }
    }

    /// Returns whether spans are recorded.
    pub const fn is_on(&self) -> bool {
        self.tracer.is_on()
    }

    /// Begins to record the spans of a batch.
    pub fn batch<'b>(&'b self, records: &'b SampledRecords, steps: BatchSteps) -> BatchSpans<'b> {
        self.tracer.note_left_out(records.left_out());
        BatchSpans {
            of: self,
            records,
            steps,
            moments: Moments::of(&self.clock),
        }
    }

    /// Records `commit`: the offsets of these processed records are committed.
    pub fn settled(&self, processed: &[TraceParent], began: Duration, ended: Duration) {
        if !processed.is_empty() {
            let moments = Moments::of(&self.clock);
            self.record_commit(processed.iter().copied(), moments, (began, ended));
        }
    }

    fn record_commit(
        &self,
        processed: impl Iterator<Item = TraceParent>,
        moments: Moments,
        (began, ended): (Duration, Duration),
    ) {
        let span = Span::new(
            new_trace(),
            SpanKind::Client,
            format!("commit {}", self.topic),
            (moments.at(began), moments.at(ended)),
        );
        let span = span.with(messaging("commit", "settle", &self.topic));
        self.tracer
            .record(span.with([self.group()]).linked_to(processed));
    }

    fn group(&self) -> KeyValue {
        KeyValue::new("messaging.consumer.group.name", self.group.clone())
    }
}

/// Records the spans of one batch, whose outcomes are durable.
#[derive(Debug)]
pub struct BatchSpans<'b> {
    of: &'b BatchTracer,
    records: &'b SampledRecords,
    steps: BatchSteps,
    moments: Moments,
}

impl BatchSpans<'_> {
    /// Records `poll` of the batch and `process` of each sampled record: from the moment at which it was
    /// read until its outcome was durable.
    pub fn processed(&self) {
        let BatchTracer { tracer, topic, .. } = self.of;
        let first = self.records.iter().map(|record| self.began(record)).min();
        let began = first.map_or(self.steps.began, |first| first.min(self.steps.began));
        let poll = new_trace();
        let span = self.span(poll, SpanKind::Client, "poll", (began, self.steps.complete));
        tracer.record(
            span.with(messaging("poll", "receive", topic))
                .with([self.of.group(), message_count(self.steps.records)])
                .linked_to(self.records.iter().map(|record| record.parent)),
        );
        for record in self.records.iter() {
            let times = (self.began(record), self.steps.ended);
            let span = self
                .span(record.process, SpanKind::Consumer, "process", times)
                .child_of(Some(record.parent))
                .with(messaging("process", "process", topic))
                .with([self.of.group()])
                .with(position(record))
                .with([KeyValue::new("checkout.outcome", record.outcome)])
                .linked_to([record.parent, poll]);
            tracer.record(match record.reason {
                Some(reason) if record.is_dead => span.failed(reason),
                Some(reason) => span.with([KeyValue::new("checkout.reason", reason)]),
                None => span,
            });
        }
    }

    /// Records `create` of each record that a sampled one led to, and `send` of the transaction that
    /// wrote them to `topic`.
    pub fn sent(&self, topic: &str) {
        let tracer = &self.of.tracer;
        let created = || self.records.iter().filter_map(|record| record.created);
        for record in self.records.iter() {
            let Some(created) = record.created else {
                continue;
            };
            let began = self.began(record);
            let span = Span::new(
                created,
                SpanKind::Producer,
                format!("create {topic}"),
                (self.moments.at(began), self.moments.at(began)),
            );
            tracer.record(
                span.child_of(Some(record.process))
                    .with(messaging("create", "create", topic)),
            );
        }
        if created().next().is_some() {
            let times = (self.steps.complete, self.steps.ended);
            let span = Span::new(
                new_trace(),
                SpanKind::Client,
                format!("send {topic}"),
                (self.moments.at(times.0), self.moments.at(times.1)),
            );
            tracer.record(
                span.with(messaging("send", "send", topic))
                    .with([message_count(self.steps.written)])
                    .linked_to(created()),
            );
        }
    }

    /// Records the statement that wrote rows for the batch, such as `INSERT vouchers`.
    pub fn inserted(&self, table: &'static str) {
        let times = (
            self.moments.at(self.steps.complete),
            self.moments.at(self.steps.ended),
        );
        let processed = self.records.iter().map(|record| record.process);
        self.of
            .tracer
            .record(statement("INSERT", table, self.steps.written, times).linked_to(processed));
    }

    /// Records `commit`, where the offsets are committed with the batch.
    pub fn settled(&self) {
        if let Some(settling) = self.steps.settling {
            let processed = self.records.iter().map(|record| record.process);
            let times = (settling, self.steps.ended);
            self.of.record_commit(processed, self.moments, times);
        }
    }

    fn began(&self, record: &SampledRecord) -> Duration {
        record.began.unwrap_or(self.steps.began)
    }

    fn span(
        &self,
        context: TraceParent,
        kind: SpanKind,
        operation: &str,
        (began, ended): (Duration, Duration),
    ) -> Span {
        Span::new(
            context,
            kind,
            format!("{operation} {}", self.of.topic),
            (self.moments.at(began), self.moments.at(ended)),
        )
    }
}

/// Returns the context of a span that begins a trace: of a batch with sampled records.
pub fn new_trace() -> TraceParent {
    TraceParent::random().with_sampled(true)
}

/// Returns the attributes of an operation on a topic.
pub fn messaging(
    operation: &'static str,
    operation_type: &'static str,
    topic: &str,
) -> [KeyValue; 4] {
    [
        KeyValue::new("messaging.system", "kafka"),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.operation.type", operation_type),
        KeyValue::new("messaging.destination.name", topic.to_owned()),
    ]
}

/// Returns the attribute that says how many records an operation is about.
pub fn message_count(records: usize) -> KeyValue {
    let records = i64::try_from(records).unwrap_or(i64::MAX);
    KeyValue::new("messaging.batch.message_count", records)
}

/// Returns the span of a statement on `table` that commits by itself.
pub fn statement(
    operation: &'static str,
    table: &'static str,
    rows: usize,
    times: (std::time::SystemTime, std::time::SystemTime),
) -> Span {
    let summary = format!("{operation} {table}");
    let span = Span::new(new_trace(), SpanKind::Client, summary.clone(), times).with([
        KeyValue::new("db.system.name", "postgresql"),
        KeyValue::new("db.operation.name", operation),
        KeyValue::new("db.collection.name", table),
        KeyValue::new("db.query.summary", summary),
    ]);
    // By the conventions one row is no batch.
    match i64::try_from(rows) {
        Ok(rows) if rows > 1 => span.with([KeyValue::new("db.operation.batch.size", rows)]),
        _ => span,
    }
}

fn position(record: &SampledRecord) -> [KeyValue; 2] {
    [
        KeyValue::new(
            "messaging.destination.partition.id",
            record.partition.to_string(),
        ),
        KeyValue::new("messaging.kafka.offset", record.offset),
    ]
}
