//! A consumer's queue of records, apart from its queue of events.
//!
//! The wrapper's `poll` makes an event of every record, which costs an allocation and several reads of
//! the clock. librdkafka has a cheaper call, `rd_kafka_consume_queue`, but on the queue that rebalances
//! come through it would drop their events. So partitions are forwarded to a queue of their own. While
//! only that queue is read, no rebalance can happen.
//!
//! The calls for many records at once are not used (ADR 0012). `rd_kafka_consume_batch_queue` counts
//! the end of a partition as a record, and sets the position one too far (as of 2.12, in
//! `rd_kafka_q_serve_rkmessages`): a partition that is paused for a rebalance would skip a record.
//! `rd_kafka_consume_callback_queue` empties the queue while it runs, so that twice as much is
//! prefetched, and needs a copy of every record.
//!
//! This is the only module of the services with `unsafe`: the wrapper has no call for this.
#![allow(
    unsafe_code,
    reason = "librdkafka's queues of records have no safe wrapper"
)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::limits::{CLOSE_TIMEOUT, LEAVE_TIMEOUT};
use crate::kafka::background_call::BackgroundCall;
use crate::record::{InputRecord, Offset, Partition, UNREADABLE_HEADER};

/// What the queue returns.
#[derive(Debug)]
pub(in crate::kafka) enum Fetched {
    /// A record, which [`FetchQueue::record`] borrows until the next call.
    Record(Partition, Offset),
    /// Every committed record of this partition was returned. The next one will have this offset.
    End(Partition, Offset),
    /// Nothing within the given time, or the client has an event.
    Nothing,
    /// The client could not fetch. It continues by itself, possibly past what it could not read.
    Error(FetchError),
}

/// The client's error for a fetch.
#[derive(Debug)]
pub(in crate::kafka) struct FetchError {
    pub(in crate::kafka) code: RDKafkaErrorCode,
    /// The partition; `None` when the error concerns several.
    pub(in crate::kafka) partition: Option<Partition>,
    /// The offset, if the client names one.
    pub(in crate::kafka) offset: Option<Offset>,
    /// The client's message.
    pub(in crate::kafka) why: String,
}

impl FetchError {
    fn of(message: &native::rd_kafka_message_t) -> Self {
        // SAFETY: the message is valid, and so is the text, which ends with a zero byte.
        let why = unsafe {
            let text = native::rd_kafka_message_errstr(message);
            if text.is_null() {
                String::new()
            } else {
                CStr::from_ptr(text).to_string_lossy().into_owned()
            }
        };
        Self {
            code: message.err.into(),
            partition: (message.partition >= 0).then_some(message.partition),
            offset: (message.offset >= 0).then_some(message.offset),
            why,
        }
    }
}

/// A consumer, and the queue that its records come through.
pub(in crate::kafka) struct FetchQueue<C: ConsumerContext + 'static> {
    /// The record that was returned last. Dropped before the consumer, as are the queues.
    message: Option<Message>,
    records: Queue,
    events: Queue,
    consumer: ClosingConsumer<C>,
}

/// A consumer that is closed on a thread of its own when it is dropped.
struct ClosingConsumer<C: ConsumerContext + 'static> {
    consumer: Option<Arc<BaseConsumer<C>>>,
    /// Whether a static member leaves its group. In librdkafka only dynamic members do; a static
    /// one keeps its place for a session timeout, so that its restart needs no rebalance.
    leaves_group: bool,
}

impl<C: ConsumerContext + 'static> Drop for ClosingConsumer<C> {
    fn drop(&mut self) {
        let Some(consumer) = self.consumer.take() else {
            return;
        };
        let leaves_group = self.leaves_group;
        let close = BackgroundCall::start(move || {
            if leaves_group {
                leave_group(&consumer);
            }
            drop(consumer);
            Ok(())
        });
        if close.answer(CLOSE_TIMEOUT).is_none() {
            tracing::debug!("a consumer is still closing");
        }
    }
}

/// Makes the consumer send a LeaveGroup request; destroying the consumer waits for the answer. A static
/// member sends one only when it unsubscribes, and no longer once it is being destroyed. So this returns
/// when the request was sent, or after [`LEAVE_TIMEOUT`].
fn leave_group<C: ConsumerContext>(consumer: &BaseConsumer<C>) {
    consumer.unsubscribe();
    let deadline = Instant::now() + LEAVE_TIMEOUT;
    // The request is sent once `poll` has revoked the partitions.
    while member_id(consumer).is_some() && Instant::now() < deadline {
        drop(consumer.poll(Duration::from_millis(5)));
    }
}

/// Returns the consumer's member id. It has none before it has joined its group, and drops it when it leaves
/// or was removed.
fn member_id<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<String> {
    let handle = consumer.client().native_ptr();
    // SAFETY: the handle belongs to a live consumer. The result is null or a text that ends with a zero
    // byte and that we own.
    unsafe {
        let id = native::rd_kafka_memberid(handle);
        if id.is_null() {
            return None;
        }
        let text = CStr::from_ptr(id).to_string_lossy().into_owned();
        native::rd_kafka_mem_free(handle, id.cast());
        (!text.is_empty()).then_some(text)
    }
}

impl<C: ConsumerContext + 'static> FetchQueue<C> {
    /// Creates a queue for the records of `consumer`. Records of a partition arrive in it once
    /// [`forward`](Self::forward) was called for the partition.
    pub(in crate::kafka) fn new(consumer: BaseConsumer<C>) -> Self {
        let handle = consumer.client().native_ptr();
        // SAFETY: the handle belongs to a live consumer; both calls return a reference that `Queue` owns.
        let (records, events) = unsafe {
            (
                Queue::new(native::rd_kafka_queue_new(handle)),
                Queue::new(native::rd_kafka_queue_get_consumer(handle)),
            )
        };
        // SAFETY: the callback has the expected signature, and its argument is a queue that is valid
        // until `drop` has removed the callback.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(events.0, Some(wake), records.0.cast());
        }
        Self {
            message: None,
            records,
            events,
            consumer: ClosingConsumer {
                consumer: Some(Arc::new(consumer)),
                leaves_group: false,
            },
        }
    }

    /// Makes the consumer leave its group when it is closed, even as a static member.
    pub(super) const fn leave_on_close(&mut self) {
        self.consumer.leaves_group = true;
    }

    /// Returns the consumer's member id, once it has one. Asks the client's main thread.
    pub(super) fn member_id(&self) -> Option<String> {
        member_id(self.client())
    }

    /// Returns the consumer, for its events, its offsets and its assignment. Its `poll` returns no
    /// record of a forwarded partition.
    pub(in crate::kafka) fn client(&self) -> &Arc<BaseConsumer<C>> {
        self.consumer
            .consumer
            .as_ref()
            .expect("the consumer is taken only when it is dropped")
    }

    /// Commits these offsets and waits for the answer, up to `timeout`; the client's own call waits
    /// without a limit. After a timeout the offsets may still be committed, in the order of the calls
    /// and under the generation at that moment.
    ///
    /// # Errors
    /// The coordinator's error, or a timeout.
    pub(super) fn commit(
        &self,
        offsets: &TopicPartitionList,
        timeout: Duration,
    ) -> KafkaResult<()> {
        use native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        let handle = self.client().client().native_ptr();
        // SAFETY: the handle belongs to a live consumer; `Queue` owns the reference.
        let answers = Queue::new(unsafe { native::rd_kafka_queue_new(handle) });
        // SAFETY: handle, offsets and queue are valid; the offsets are copied.
        let sent = unsafe {
            native::rd_kafka_commit_queue(handle, offsets.ptr(), answers.0, None, ptr::null_mut())
        };
        if sent != RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(KafkaError::ConsumerCommit(sent.into()));
        }
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is valid; the result is null or an event that we own.
        let answer = unsafe { native::rd_kafka_queue_poll(answers.0, millis) };
        if answer.is_null() {
            return Err(KafkaError::ConsumerCommit(
                RDKafkaErrorCode::OperationTimedOut,
            ));
        }
        // SAFETY: the event is valid until it is destroyed here, once.
        let error = unsafe {
            let error = native::rd_kafka_event_error(answer);
            native::rd_kafka_event_destroy(answer);
            error
        };
        if error == RD_KAFKA_RESP_ERR_NO_ERROR {
            Ok(())
        } else {
            Err(KafkaError::ConsumerCommit(error.into()))
        }
    }

    /// Forwards a partition's records to this queue. Has to be called before each assignment:
    /// librdkafka forgets it when the partition is unassigned.
    ///
    /// # Errors
    /// When there cannot be a topic of this name.
    pub(in crate::kafka) fn forward(&self, topic: &str, partition: Partition) -> KafkaResult<()> {
        let unknown = KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownPartition);
        let topic = CString::new(topic).map_err(|_| unknown.clone())?;
        let handle = self.client().client().native_ptr();
        // SAFETY: handle and text are valid; the result is null or a reference that `Queue` owns.
        let queue =
            unsafe { native::rd_kafka_queue_get_partition(handle, topic.as_ptr(), partition) };
        if queue.is_null() {
            return Err(unknown);
        }
        let queue = Queue::new(queue);
        // SAFETY: both are valid; the partition's queue keeps a reference to ours.
        unsafe { native::rd_kafka_queue_forward(queue.0, self.records.0) };
        Ok(())
    }

    /// Returns what comes next, waiting for it up to `timeout`, in whole milliseconds. Returns
    /// nothing early when the client has an event.
    pub(in crate::kafka) fn next(&mut self, timeout: Duration) -> Fetched {
        use native::rd_kafka_resp_err_t as Code;
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        self.message = None;
        // SAFETY: the queue is valid; the result is null or a message that we own.
        let message = unsafe { native::rd_kafka_consume_queue(self.records.0, millis) };
        let Some(message) = NonNull::new(message) else {
            return Fetched::Nothing;
        };
        let message = self.message.insert(Message(message)).native();
        match message.err {
            Code::RD_KAFKA_RESP_ERR_NO_ERROR => Fetched::Record(message.partition, message.offset),
            Code::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                Fetched::End(message.partition, message.offset)
            }
            _ => Fetched::Error(FetchError::of(message)),
        }
    }

    /// Returns the record that came last; `None` when something else came after it.
    pub(in crate::kafka) fn last_record(&self) -> Option<FetchedRecord<'_>> {
        let message = self.message.as_ref()?.native();
        let is_record = message.err == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        is_record.then_some(FetchedRecord(message))
    }

    /// Returns the record that [`next`](Self::next) has announced.
    ///
    /// # Panics
    /// When the last call of `next` did not return [`Fetched::Record`].
    pub(in crate::kafka) fn record(&self) -> FetchedRecord<'_> {
        let message = self.message.as_ref().expect("a record was announced");
        FetchedRecord(message.native())
    }
}

impl<C: ConsumerContext + 'static> Drop for FetchQueue<C> {
    fn drop(&mut self) {
        // SAFETY: the queue is valid. The callback runs under the queue's lock, which this call takes:
        // afterwards it is not running and won't be called.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.events.0, None, ptr::null_mut());
        }
    }
}

/// Wakes the thread that waits for records, because the client has an event.
unsafe extern "C" fn wake(_: *mut native::rd_kafka_t, records: *mut c_void) {
    // SAFETY: the pointer is that of a valid queue, see `FetchQueue::new`.
    unsafe { native::rd_kafka_queue_yield(records.cast()) };
}

/// A reference to one of librdkafka's queues.
struct Queue(*mut native::rd_kafka_queue_t);

// SAFETY: librdkafka's queues have their own locks; any thread may use them.
unsafe impl Send for Queue {}

impl Queue {
    /// Takes ownership of the reference.
    fn new(queue: *mut native::rd_kafka_queue_t) -> Self {
        assert!(
            !queue.is_null(),
            "librdkafka has a queue for every consumer"
        );
        Self(queue)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: we own the reference, and it is destroyed once.
        unsafe { native::rd_kafka_queue_destroy(self.0) };
    }
}

/// A message of librdkafka's that we own.
struct Message(NonNull<native::rd_kafka_message_t>);

// SAFETY: a message belongs to no thread; its reference counts in librdkafka are atomic.
unsafe impl Send for Message {}

impl Message {
    const fn native(&self) -> &native::rd_kafka_message_t {
        // SAFETY: it is valid until it is dropped, and nobody writes to it.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: we own the message, and it is destroyed once.
        unsafe { native::rd_kafka_message_destroy(self.0.as_ptr()) };
    }
}

/// librdkafka's timestamp of a record that has none.
const NO_TIMESTAMP: i64 = -1;

/// A record, borrowed until the next one is fetched: nothing is copied.
#[derive(Clone, Copy)]
pub struct FetchedRecord<'a>(&'a native::rd_kafka_message_t);

impl std::fmt::Debug for FetchedRecord<'_> {
    /// Writes only partition and offset: key and value may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0.partition, self.0.offset)
    }
}

impl FetchedRecord<'_> {
    /// Returns `length` bytes from `start`, or `None` if it is null.
    fn bytes(&self, start: *const c_void, length: usize) -> Option<&[u8]> {
        let start = NonNull::new(start.cast_mut())?;
        // SAFETY: librdkafka's pointer and length of a key, a value or a header's value, which are valid
        // as long as the message.
        Some(unsafe { std::slice::from_raw_parts(start.cast().as_ptr(), length) })
    }
}

impl InputRecord for FetchedRecord<'_> {
    fn partition(&self) -> Partition {
        self.0.partition
    }

    fn offset(&self) -> Offset {
        self.0.offset
    }

    fn timestamp_millis(&self) -> Option<i64> {
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: message and output are valid.
        let millis = unsafe { native::rd_kafka_message_timestamp(self.0, &raw mut kind) };
        let is_known = kind != native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
            && millis != NO_TIMESTAMP;
        is_known.then_some(millis)
    }

    fn key(&self) -> Option<&[u8]> {
        self.bytes(self.0.key, self.0.key_len)
    }

    fn value(&self) -> Option<&[u8]> {
        self.bytes(self.0.payload, self.0.len)
    }

    fn each_header(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        use native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        let mut headers = ptr::null_mut();
        // SAFETY: message and output are valid. The message owns the headers.
        if unsafe { native::rd_kafka_message_headers(self.0, &raw mut headers) }
            != RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut length) = (ptr::null::<c_char>(), ptr::null(), 0);
            // SAFETY: headers and outputs are valid.
            let found = unsafe {
                native::rd_kafka_header_get_all(
                    headers,
                    index,
                    &raw mut name,
                    &raw mut value,
                    &raw mut length,
                )
            };
            if found != RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            // SAFETY: a header's name ends with a zero byte and is valid as long as the message.
            let name = unsafe { CStr::from_ptr(name) };
            each(
                name.to_str().unwrap_or(UNREADABLE_HEADER),
                self.bytes(value, length),
            );
        }
    }
}
