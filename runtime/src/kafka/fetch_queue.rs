//! The queue that a consumer's records come through, apart from that of its events.
//!
//! The wrapper's `poll` makes an event of every record: an allocation and several looks at the clock
//! each. librdkafka has a cheaper call, but not for the queue that rebalances come through, whose
//! events it would swallow. So partitions are led into a queue of their own; and while only that one
//! is read, no rebalance can happen.
//!
//! Not its calls for many records at once: `rd_kafka_consume_batch_queue` takes the end of a
//! partition for a record, and puts the position one too far (as of 2.12, in
//! `rd_kafka_q_serve_rkmessages`), which a pause at a rebalance would read on from;
//! `rd_kafka_consume_callback_queue` empties the queue while it runs, so that twice as much is fetched
//! ahead, and needs a copy of every record.
//!
//! This is the only place of the services with `unsafe` in it: the wrapper has no call for this.
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

use super::beside::beside;
use crate::record::{InputRecord, Offset, Partition, UNREADABLE_HEADER};

/// Closing a consumer tells its group, and the client waits for the coordinator as long as it takes.
/// After this long it goes on doing so by itself.
const CLOSE: Duration = Duration::from_secs(3);

/// How long a member that leaves may take to give its partitions up.
const LEAVE: Duration = Duration::from_secs(1);

/// What the queue hands out.
#[derive(Debug)]
pub(super) enum Fetched {
    /// A record, which [`FetchQueue::record`] lends until the next is asked for.
    Record(Partition, Offset),
    /// All that is committed of this partition was handed out; what comes next has this offset.
    End(Partition, Offset),
    /// Nothing within the time that was given, or the client has an event.
    Nothing,
    /// The client could not fetch. It goes on by itself, and may go on behind what it could not read.
    Error(FetchError),
}

/// What the client says of a failed fetch.
#[derive(Debug)]
pub(super) struct FetchError {
    pub(super) code: RDKafkaErrorCode,
    /// Of which partition; none for errors that concern more.
    pub(super) partition: Option<Partition>,
    /// At which offset.
    pub(super) offset: Option<Offset>,
    /// The client's sentence.
    pub(super) why: String,
}

impl FetchError {
    fn of(message: &native::rd_kafka_message_t) -> Self {
        // SAFETY: the message lives, and so does the text, which ends with a zero byte.
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
pub(super) struct FetchQueue<C: ConsumerContext + 'static> {
    /// All three before the client, which they are given back to.
    message: Option<Message>,
    records: Queue,
    main: Queue,
    client: Client<C>,
}

/// The client, which is closed on a thread beside.
struct Client<C: ConsumerContext + 'static> {
    consumer: Option<Arc<BaseConsumer<C>>>,
    /// Whether a static member leaves its group; librdkafka has only dynamic members do so, and a
    /// static one keeps its place for a session timeout, so that its restart needs no rebalance.
    leaves: bool,
}

impl<C: ConsumerContext + 'static> Drop for Client<C> {
    fn drop(&mut self) {
        let Some(consumer) = self.consumer.take() else {
            return;
        };
        let leaves = self.leaves;
        let closed = beside(move || {
            if leaves {
                leave(&consumer);
            }
            drop(consumer);
        });
        if closed.recv_timeout(CLOSE).is_err() {
            tracing::debug!("a consumer is still being closed");
        }
    }
}

/// Has the consumer send its group a LeaveGroup request, whose answer the consumer's destruction
/// waits for. A static member sends one only when it unsubscribes, and no longer once it is being
/// destroyed, so this returns when the request was sent or after [`LEAVE`].
fn leave<C: ConsumerContext>(consumer: &BaseConsumer<C>) {
    consumer.unsubscribe();
    let deadline = Instant::now() + LEAVE;
    // The partitions are revoked in `poll`, and only then the request is sent.
    while is_member(consumer) && Instant::now() < deadline {
        drop(consumer.poll(Duration::from_millis(5)));
    }
}

/// Whether the consumer has a member id, which it gives up as it leaves its group.
fn is_member<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> bool {
    let handle = consumer.client().native_ptr();
    // SAFETY: the handle is a live consumer's. What comes is null or a text that ends with a zero
    // byte, and is ours to give back.
    unsafe {
        let id = native::rd_kafka_memberid(handle);
        if id.is_null() {
            return false;
        }
        let is_member = !CStr::from_ptr(id).is_empty();
        native::rd_kafka_mem_free(handle, id.cast());
        is_member
    }
}

impl<C: ConsumerContext + 'static> FetchQueue<C> {
    /// A queue for the records of `client`. They come through it once [`lead`](Self::lead) was called
    /// for their partition.
    pub(super) fn of(client: BaseConsumer<C>) -> Self {
        let handle = client.client().native_ptr();
        // SAFETY: the handle is a live consumer's; both calls give a reference that `Queue` owns.
        let (records, main) = unsafe {
            (
                Queue::new(native::rd_kafka_queue_new(handle)),
                Queue::new(native::rd_kafka_queue_get_consumer(handle)),
            )
        };
        // SAFETY: the callback has the form that is asked for, and what it is given is a queue that
        // lives until `drop` has taken the callback away.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(main.0, Some(wake), records.0.cast());
        }
        Self {
            message: None,
            records,
            main,
            client: Client {
                consumer: Some(Arc::new(client)),
                leaves: false,
            },
        }
    }

    /// Has the consumer leave its group when it is closed, also as a static member.
    pub(super) const fn leave_on_close(&mut self) {
        self.client.leaves = true;
    }

    /// The client: for its events, its offsets and its assignment. Of a partition that was led here
    /// its `poll` brings no record.
    pub(super) fn client(&self) -> &Arc<BaseConsumer<C>> {
        self.client
            .consumer
            .as_ref()
            .expect("a client until it is closed")
    }

    /// Commits these offsets and waits for the answer, up to `timeout`. The client's own call waits
    /// without a limit. After it the offsets may still be committed, in the order of the calls and
    /// under the generation of that moment.
    ///
    /// # Errors
    /// The coordinator's, or that it has not answered.
    pub(super) fn commit(
        &self,
        offsets: &TopicPartitionList,
        timeout: Duration,
    ) -> KafkaResult<()> {
        use native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        let handle = self.client().client().native_ptr();
        // SAFETY: the handle is a live consumer's; the reference is one that `Queue` owns.
        let answers = Queue::new(unsafe { native::rd_kafka_queue_new(handle) });
        // SAFETY: handle, offsets and queue live; the offsets are copied.
        let sent = unsafe {
            native::rd_kafka_commit_queue(handle, offsets.ptr(), answers.0, None, ptr::null_mut())
        };
        if sent != RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(KafkaError::ConsumerCommit(sent.into()));
        }
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue lives; what comes is null or an event that is ours to give back.
        let answer = unsafe { native::rd_kafka_queue_poll(answers.0, millis) };
        if answer.is_null() {
            return Err(KafkaError::ConsumerCommit(
                RDKafkaErrorCode::OperationTimedOut,
            ));
        }
        // SAFETY: the event lives until it is given back here, once.
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

    /// Leads a partition's records here. To be called before it is assigned, each time: librdkafka
    /// forgets it when the partition is taken away.
    ///
    /// # Errors
    /// When there can't be a partition of this name.
    pub(super) fn lead(&self, topic: &str, partition: Partition) -> KafkaResult<()> {
        let unknown = KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownPartition);
        let topic = CString::new(topic).map_err(|_| unknown.clone())?;
        let handle = self.client().client().native_ptr();
        // SAFETY: handle and text live; what comes is null or a reference that `Queue` owns.
        let queue =
            unsafe { native::rd_kafka_queue_get_partition(handle, topic.as_ptr(), partition) };
        if queue.is_null() {
            return Err(unknown);
        }
        let queue = Queue::new(queue);
        // SAFETY: both live; the partition's queue keeps a reference to ours.
        unsafe { native::rd_kafka_queue_forward(queue.0, self.records.0) };
        Ok(())
    }

    /// What comes next, waiting for it up to `timeout`, in whole milliseconds. Ends early, with
    /// nothing, when the client has an event.
    pub(super) fn next(&mut self, timeout: Duration) -> Fetched {
        use native::rd_kafka_resp_err_t as Code;
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        self.message = None;
        // SAFETY: the queue lives; what comes is null or a message that is ours to give back.
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

    /// The record that came last.
    ///
    /// # Panics
    /// When what came last is none.
    pub(super) fn record(&self) -> FetchedRecord<'_> {
        let message = self.message.as_ref().expect("a record came");
        FetchedRecord(message.native())
    }
}

impl<C: ConsumerContext + 'static> Drop for FetchQueue<C> {
    fn drop(&mut self) {
        // SAFETY: the queue lives. The callback runs under the queue's lock, which this call takes:
        // afterwards it is not running and won't be called.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.main.0, None, ptr::null_mut());
        }
    }
}

/// Something came through the queue of events: whoever waits for records is to look.
unsafe extern "C" fn wake(_: *mut native::rd_kafka_t, records: *mut c_void) {
    // SAFETY: the pointer is that of a live queue, see `FetchQueue::of`.
    unsafe { native::rd_kafka_queue_yield(records.cast()) };
}

/// A reference to one of librdkafka's queues.
struct Queue(*mut native::rd_kafka_queue_t);

// SAFETY: librdkafka's queues have locks of their own; any thread may use them.
unsafe impl Send for Queue {}

impl Queue {
    /// Takes the reference over.
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
        // SAFETY: the reference is ours, and given back once.
        unsafe { native::rd_kafka_queue_destroy(self.0) };
    }
}

/// A message that is ours until it is given back.
struct Message(NonNull<native::rd_kafka_message_t>);

// SAFETY: a message belongs to no thread; librdkafka counts what it refers to atomically.
unsafe impl Send for Message {}

impl Message {
    const fn native(&self) -> &native::rd_kafka_message_t {
        // SAFETY: it lives until it is dropped, and nobody writes to it.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the message is ours, and given back once.
        unsafe { native::rd_kafka_message_destroy(self.0.as_ptr()) };
    }
}

/// What a record's timestamp is that has none.
const UNKNOWN_TIME: i64 = -1;

/// A record, lent until the next is asked for: nothing is copied.
#[derive(Clone, Copy)]
pub struct FetchedRecord<'a>(&'a native::rd_kafka_message_t);

impl std::fmt::Debug for FetchedRecord<'_> {
    /// Its place alone: its bytes may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0.partition, self.0.offset)
    }
}

impl FetchedRecord<'_> {
    /// Null, or as many bytes as there are.
    fn bytes(&self, start: *const c_void, length: usize) -> Option<&[u8]> {
        let start = NonNull::new(start.cast_mut())?;
        // SAFETY: librdkafka's pointer and length of a key, a value or a header's value; they live as
        // long as the message.
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
        // SAFETY: message and place live.
        let millis = unsafe { native::rd_kafka_message_timestamp(self.0, &raw mut kind) };
        let is_known = kind != native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
            && millis != UNKNOWN_TIME;
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
        // SAFETY: message and place live. The headers are the message's own.
        if unsafe { native::rd_kafka_message_headers(self.0, &raw mut headers) }
            != RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut length) = (ptr::null::<c_char>(), ptr::null(), 0);
            // SAFETY: headers and places live.
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
            // SAFETY: a header's name ends with a zero byte and lives as long as the message.
            let name = unsafe { CStr::from_ptr(name) };
            each(
                name.to_str().unwrap_or(UNREADABLE_HEADER),
                self.bytes(value, length),
            );
        }
    }
}
