//! The librdkafka calls that the Rust binding does not offer: the only `unsafe` code of the crate.
//!
//! Owns batch fetching from a partition's own queue into an arena, producing with a topic handle, the group's identity
//! as numbers, leader epochs in offset lists, topic descriptions with their ids, and the members of a group with their
//! names. Knows no policy: it reports codes, and the caller classifies them. Invariants: every handle is destroyed before
//! its client (each handle keeps the client alive, or is declared before it), and no message outlives the call that took it.
#![allow(unsafe_code, reason = "the binding offers none of these calls")]

use crate::{
    log::{Committed, GroupMember},
    record::{Headers, Offset, RawChunkBuilder, RawRecord, TopicPartition},
};
use rdkafka::{TopicPartitionList, error::RDKafkaErrorCode as Code, message::BorrowedMessage};
use rdkafka_sys as sys;
use std::{
    any::Any,
    ffi::{CStr, CString, c_char, c_void},
    ptr, slice,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

/// A client of librdkafka; valid while the owner that handed it out lives.
pub(super) type Client = *mut sys::rd_kafka_t;

/// An error object of librdkafka, taken apart.
#[derive(Clone, Debug)]
pub(super) struct CallError {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) fatal: bool,
    pub(super) retriable: bool,
    pub(super) requires_abort: bool,
}

/// Wakes one waiting thread from callbacks on any thread; a wake-up that comes before the wait is not lost.
#[derive(Debug, Default)]
pub(super) struct Waker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Waker {
    pub(super) fn wake(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    pub(super) fn wait(&self, timeout: Duration) {
        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut woken, _) = self
            .changed
            .wait_timeout_while(woken, timeout, |woken| !*woken)
            .unwrap_or_else(PoisonError::into_inner);
        *woken = false;
    }
}

unsafe extern "C" fn queue_is_nonempty(_: Client, waker: *mut c_void) {
    // SAFETY: `Queue` keeps the waker alive until the callback is switched off under the queue's lock.
    unsafe { &*waker.cast::<Waker>() }.wake();
}

/// A queue of records or events. Keeps its client alive.
pub(super) struct Queue {
    native: *mut sys::rd_kafka_queue_t,
    /// Woken when the queue is no longer empty.
    waker: Option<Arc<Waker>>,
    _client: Arc<dyn Any + Send + Sync>,
}

// SAFETY: librdkafka's queues are thread safe, and all use of the pointer is through their calls.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// The queue of a client's events (reports, errors, log lines), or of the consumer's.
    pub(super) fn of_events(owner: Arc<dyn Any + Send + Sync>, client: Client, consumer: bool) -> Queue {
        // SAFETY: the client is alive through `owner`.
        let native = unsafe {
            if consumer {
                sys::rd_kafka_queue_get_consumer(client)
            } else {
                sys::rd_kafka_queue_get_main(client)
            }
        };
        assert!(!native.is_null(), "a client has this queue from its creation on");
        Queue { native, waker: None, _client: owner }
    }

    /// A new queue for reading a partition without a group.
    pub(super) fn new(owner: Arc<dyn Any + Send + Sync>, client: Client, waker: Arc<Waker>) -> Queue {
        let opaque = Arc::as_ptr(&waker).cast_mut().cast();
        // SAFETY: the client is alive through `owner`; creation does not fail.
        let native = unsafe { sys::rd_kafka_queue_new(client) };
        // SAFETY: the waker lives as long as this queue, which switches the callback off before it goes.
        unsafe { sys::rd_kafka_queue_cb_event_enable(native, Some(queue_is_nonempty), opaque) };
        Queue { native, waker: Some(waker), _client: owner }
    }

    /// Number of events or records in the queue.
    pub(super) fn len(&self) -> usize {
        // SAFETY: a valid queue.
        unsafe { sys::rd_kafka_queue_length(self.native) }
    }

    /// Takes at most `want` messages without blocking and copies them; true if there may be more.
    pub(super) fn consume(&self, want: usize, into: &mut RawChunkBuilder, taken: &mut Taken) -> bool {
        let mut messages: [*mut sys::rd_kafka_message_t; CONSUME_BATCH] = [ptr::null_mut(); CONSUME_BATCH];
        let want = want.min(CONSUME_BATCH);
        // SAFETY: room for `want` pointers.
        let got = unsafe { sys::rd_kafka_consume_batch_queue(self.native, 0, messages.as_mut_ptr(), want) };
        let got = usize::try_from(got).unwrap_or(0);
        for message in &messages[..got] {
            // SAFETY: the library handed over `got` messages, each to be read and destroyed once.
            unsafe {
                take(&**message, into, taken);
                sys::rd_kafka_message_destroy(*message);
            }
        }
        got == want
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the last use of this reference; the client is still alive. The callback is switched off under the queue's
        // lock, so none runs after that.
        unsafe {
            if self.waker.is_some() {
                sys::rd_kafka_queue_cb_event_enable(self.native, None, ptr::null_mut());
            }
            sys::rd_kafka_queue_destroy(self.native);
        }
    }
}

/// The most messages of one call: 4 KiB of pointers on the stack.
pub(super) const CONSUME_BATCH: usize = 512;

/// What a partition's queue returned besides records.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The next offset to read: after the last record, or where the end of the partition was reached.
    pub(super) next: Option<i64>,
    pub(super) leader_epoch: Option<i32>,
    /// The first error.
    pub(super) error: Option<(Code, String)>,
}

unsafe fn take(message: &sys::rd_kafka_message_t, into: &mut RawChunkBuilder, taken: &mut Taken) {
    use sys::rd_kafka_resp_err_t::{RD_KAFKA_RESP_ERR__PARTITION_EOF, RD_KAFKA_RESP_ERR_NO_ERROR};
    match message.err {
        RD_KAFKA_RESP_ERR_NO_ERROR => {}
        RD_KAFKA_RESP_ERR__PARTITION_EOF => {
            taken.next = Some(message.offset);
            return;
        }
        code => {
            // SAFETY: the text belongs to the message, which is alive.
            let text = unsafe { text(sys::rd_kafka_message_errstr(message)) };
            taken.error.get_or_insert((code.into(), text));
            return;
        }
    }
    // SAFETY: key and payload point to their lengths' bytes while the message is alive; the library answers -1 without
    // a timestamp or an epoch.
    unsafe {
        into.push(RawRecord {
            offset: offset(message.offset),
            timestamp_ms: sys::rd_kafka_message_timestamp(message, ptr::null_mut()),
            key: bytes(message.key, message.key_len),
            value: bytes(message.payload, message.len),
            headers: Headers::NONE,
        });
        take_headers(message, into);
        let epoch = sys::rd_kafka_message_leader_epoch(message);
        if epoch >= 0 {
            taken.leader_epoch = Some(epoch);
        }
    }
    taken.next = Some(message.offset + 1);
}

unsafe fn take_headers(message: &sys::rd_kafka_message_t, into: &mut RawChunkBuilder) {
    let mut headers = ptr::null_mut();
    // SAFETY: the headers belong to the message, which is alive while they are read.
    unsafe {
        if sys::rd_kafka_message_headers(message, &raw mut headers)
            != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return;
        }
        let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
        for index in 0.. {
            let end =
                sys::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut len);
            if end != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            into.push_header(&CStr::from_ptr(name).to_string_lossy(), bytes(value.cast_mut(), len));
        }
    }
}

unsafe fn bytes<'a>(at: *mut c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's: `at` is null or points to `len` bytes.
    (!at.is_null()).then(|| unsafe { slice::from_raw_parts(at.cast::<u8>().cast_const(), len) })
}

/// A topic of one client. Must be dropped before the client.
pub(super) struct Topic(*mut sys::rd_kafka_topic_t);

// SAFETY: librdkafka's topic objects are thread safe.
unsafe impl Send for Topic {}

impl Topic {
    /// `client` must outlive the handle.
    pub(super) fn new(client: Client, name: &str) -> Option<Topic> {
        let name = CString::new(name).ok()?;
        // SAFETY: the client is alive; the string outlives the call.
        let native = unsafe { sys::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
        (!native.is_null()).then_some(Topic(native))
    }

    /// Starts reading a partition into `queue`, without a group.
    pub(super) fn start(&self, partition: i32, from: i64, queue: &Queue) -> Result<(), Code> {
        // SAFETY: valid handles of one client.
        match unsafe { sys::rd_kafka_consume_start_queue(self.0, partition, from, queue.native) } {
            0 => Ok(()),
            // SAFETY: reads this thread's last error.
            _ => Err(unsafe { sys::rd_kafka_last_error() }.into()),
        }
    }

    /// Ends what `start` began.
    pub(super) fn stop(&self, partition: i32) {
        // SAFETY: a valid handle; the code tells only that nothing was started.
        let _ = unsafe { sys::rd_kafka_consume_stop(self.0, partition) };
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the last use of this reference.
        unsafe { sys::rd_kafka_topic_destroy(self.0) };
    }
}

/// Hands a copy of a record to the producer. `partition` -1 = by key; `tag` comes back with the delivery report.
pub(super) fn produce(
    client: Client,
    topic: &Topic,
    partition: i32,
    record: &RawRecord<'_>,
    tag: usize,
    scratch: &mut Vec<CString>,
) -> Result<(), CallError> {
    use sys::rd_kafka_vtype_t as v;
    const FIXED: usize = 7;
    let mut arguments = [argument(v::RD_KAFKA_VTYPE_RKT, Value { rkt: topic.0 }); FIXED];
    arguments[1] = argument(v::RD_KAFKA_VTYPE_PARTITION, Value { i32_: partition });
    arguments[2] = argument(v::RD_KAFKA_VTYPE_MSGFLAGS, Value { i: sys::RD_KAFKA_MSG_F_COPY });
    arguments[3] = argument(v::RD_KAFKA_VTYPE_KEY, memory(record.key));
    arguments[4] = argument(v::RD_KAFKA_VTYPE_VALUE, memory(record.value));
    arguments[5] = argument(v::RD_KAFKA_VTYPE_OPAQUE, Value { ptr: ptr::without_provenance_mut(tag) });
    arguments[6] = argument(v::RD_KAFKA_VTYPE_TIMESTAMP, Value { i64_: record.timestamp_ms.max(0) });
    if record.headers.is_empty() {
        // SAFETY: all pointers are valid during the call, which copies what they point to.
        return unsafe { outcome(sys::rd_kafka_produceva(client, arguments.as_ptr(), FIXED)) };
    }
    let mut all = arguments.to_vec();
    scratch.clear();
    for (name, value) in record.headers.iter() {
        scratch.push(c_string(name));
        let name = scratch.last().expect("just pushed").as_ptr();
        let (val, size) = value.map_or((ptr::null(), 0), |v| (v.as_ptr().cast(), v.len().cast_signed()));
        let header = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_2 { name, val, size };
        all.push(argument(v::RD_KAFKA_VTYPE_HEADER, Value { header }));
    }
    // SAFETY: as above; the names live in `scratch`.
    unsafe { outcome(sys::rd_kafka_produceva(client, all.as_ptr(), all.len())) }
}

type Value = sys::rd_kafka_vu_s__bindgen_ty_1;

fn argument(vtype: sys::rd_kafka_vtype_t, u: Value) -> sys::rd_kafka_vu_t {
    sys::rd_kafka_vu_t { vtype, u }
}

fn memory(bytes: Option<&[u8]>) -> Value {
    let (ptr, size) = bytes.map_or((ptr::null_mut(), 0), |b| (b.as_ptr().cast_mut().cast(), b.len()));
    Value { mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size } }
}

/// What the broker said about a record that it refused.
pub(super) fn refusal_text(record: &BorrowedMessage<'_>) -> String {
    // SAFETY: the report is alive; the text belongs to it.
    unsafe { text(sys::rd_kafka_message_produce_errstr(record.ptr())) }
}

/// The code with this name, as the library's log lines have it.
pub(super) fn code_of_name(name: &str) -> Option<Code> {
    let codes = (-200..=-100).chain(-1..=200).filter_map(|raw| sys::rd_kafka_resp_err_t::try_from(raw).ok());
    // SAFETY: the library answers each code with a constant string.
    let is_named = |code: &sys::rd_kafka_resp_err_t| unsafe { text(sys::rd_kafka_err2name(*code)) } == name;
    codes.into_iter().find(is_named).map(Code::from)
}

/// Sends what lingers and waits until all messages are acknowledged (and their reports served), or until the time is
/// over.
pub(super) fn flush(client: Client, timeout: Duration) -> bool {
    // SAFETY: the client is alive.
    let code = unsafe { sys::rd_kafka_flush(client, millis(timeout)) };
    code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Asks any broker for the cluster's brokers, and for the partitions of the topics that the client has handles of: true
/// if one answered in time; the client takes note of an answer that comes later, too. This makes the library connect now,
/// unlike waiting for its own first request, which sometimes comes a second late.
pub(super) fn reach(client: Client, timeout: Duration) -> bool {
    let mut found = ptr::null();
    // SAFETY: the client is alive; the answer is ours to free.
    unsafe {
        let code = sys::rd_kafka_metadata(client, 0, ptr::null_mut(), &raw mut found, millis(timeout));
        if !found.is_null() {
            sys::rd_kafka_metadata_destroy(found);
        }
        code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
    }
}

/// A consumer's identity in its group, as librdkafka sends it with transactional offsets.
pub(super) struct GroupMetadata(*mut sys::rd_kafka_consumer_group_metadata_t);

// SAFETY: an immutable object of its own.
unsafe impl Send for GroupMetadata {}
// SAFETY: as above.
unsafe impl Sync for GroupMetadata {}

impl GroupMetadata {
    pub(super) fn of(client: Client) -> Option<GroupMetadata> {
        // SAFETY: the client is alive.
        let native = unsafe { sys::rd_kafka_consumer_group_metadata(client) };
        (!native.is_null()).then_some(GroupMetadata(native))
    }

    pub(super) fn member_id(&self) -> String {
        // SAFETY: the text belongs to the object.
        unsafe { text(sys::rd_kafka_consumer_group_metadata_member_id(self.0)) }
    }

    pub(super) fn generation(&self) -> i32 {
        // SAFETY: a valid object.
        unsafe { sys::rd_kafka_consumer_group_metadata_generation_id(self.0) }
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: the only owner.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0) };
    }
}

/// Adds offsets to the open transaction in a group member's name.
pub(super) fn send_offsets(
    producer: Client,
    offsets: &TopicPartitionList,
    group: &GroupMetadata,
    timeout: Duration,
) -> Result<(), CallError> {
    // SAFETY: all handles are alive during the call.
    unsafe {
        outcome(sys::rd_kafka_send_offsets_to_transaction(producer, offsets.ptr(), group.0, millis(timeout)))
    }
}

/// Commits offsets through the consumer and waits at most `timeout` for the coordinator's answer.
pub(super) fn commit_offsets(
    consumer: Client,
    offsets: &TopicPartitionList,
    timeout: Duration,
) -> Result<(), Code> {
    use sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR as OK;
    // SAFETY: a queue of our own for the answer; all handles are alive, and freed once.
    unsafe {
        let queue = sys::rd_kafka_queue_new(consumer);
        let asked = sys::rd_kafka_commit_queue(consumer, offsets.ptr(), queue, None, ptr::null_mut());
        let code = if asked == OK {
            let event = sys::rd_kafka_queue_poll(queue, millis(timeout));
            if event.is_null() {
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT
            } else {
                let code = sys::rd_kafka_event_error(event);
                sys::rd_kafka_event_destroy(event);
                code
            }
        } else {
            asked
        };
        sys::rd_kafka_queue_destroy(queue);
        if code == OK { Ok(()) } else { Err(code.into()) }
    }
}

/// A list for a commit: offsets with metadata and leader epochs.
pub(super) fn offset_list(offsets: &[(TopicPartition, Committed)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (at, committed) in offsets {
        let mut element = list.add_partition(&at.topic, partition_number(at));
        let position = rdkafka::Offset::Offset(signed(committed.offset));
        element.set_offset(position).expect("an offset is not negative");
        element.set_metadata(&committed.metadata);
    }
    for (index, (_, committed)) in offsets.iter().enumerate() {
        // SAFETY: the list has one element per offset, in order, and is not shared.
        unsafe {
            let element = (*list.ptr()).elems.add(index);
            sys::rd_kafka_topic_partition_set_leader_epoch(element, committed.leader_epoch.unwrap_or(-1));
        }
    }
    list
}

/// What the group has committed for each partition, in order, waiting while a transaction is pending on one.
pub(super) fn committed(
    consumer: Client,
    at: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<Option<Committed>>, Code> {
    let mut list = TopicPartitionList::with_capacity(at.len());
    for at in at {
        list.add_partition(&at.topic, partition_number(at));
    }
    // SAFETY: the client is alive; the list is ours, and the library fills it in place without changing its order.
    unsafe {
        let code = sys::rd_kafka_committed(consumer, list.ptr(), millis(timeout));
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(code.into());
        }
        let elements = slice::from_raw_parts((*list.ptr()).elems, at.len());
        elements.iter().map(|e| committed_of(e)).collect()
    }
}

unsafe fn committed_of(element: &sys::rd_kafka_topic_partition_t) -> Result<Option<Committed>, Code> {
    if element.err != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Err(element.err.into());
    }
    let Ok(offset) = u64::try_from(element.offset) else { return Ok(None) };
    // SAFETY: the metadata is null or of its size, and lives with the element.
    let (metadata, epoch) = unsafe {
        (
            bytes(element.metadata, element.metadata_size).unwrap_or_default(),
            sys::rd_kafka_topic_partition_get_leader_epoch(element),
        )
    };
    Ok(Some(Committed {
        offset: Offset(offset),
        leader_epoch: (epoch >= 0).then_some(epoch),
        metadata: String::from_utf8_lossy(metadata).into_owned(),
    }))
}

/// A topic as the broker describes it.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) id: String,
    pub(super) partitions: usize,
    pub(super) replication_factor: usize,
    /// Partitions that have a leader.
    pub(super) led: usize,
    /// Whether the broker allows this client to write; `None` = it does not say.
    pub(super) may_write: Option<bool>,
}

/// Describes each topic, in order.
pub(super) fn describe_topics(
    client: Client,
    topics: &[&str],
    timeout: Duration,
) -> Result<Vec<Result<Description, CallError>>, CallError> {
    let names: Vec<CString> = topics.iter().map(|t| c_string(t)).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|n| n.as_ptr()).collect();
    let mut reason: [c_char; 256] = [0; 256];
    // SAFETY: every object is created, used and destroyed here, in the order that librdkafka's manual asks for.
    unsafe {
        let collection = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let op = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = sys::rd_kafka_AdminOptions_new(client, op);
        let ms = millis(timeout);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, ms, reason.as_mut_ptr(), reason.len());
        let refused = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !refused.is_null() {
            sys::rd_kafka_error_destroy(refused); // then the broker does not report the rights
        }
        let queue = sys::rd_kafka_queue_new(client);
        sys::rd_kafka_DescribeTopics(client, collection, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, ms.saturating_add(1_000));
        let found = descriptions(event, topics);
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_TopicCollection_destroy(collection);
        found
    }
}

unsafe fn descriptions(
    event: *mut sys::rd_kafka_event_t,
    topics: &[&str],
) -> Result<Vec<Result<Description, CallError>>, CallError> {
    if event.is_null() {
        return Err(plain(Code::OperationTimedOut, "no answer to the description of topics"));
    }
    // SAFETY: an event of this kind; what it holds lives as long as it does.
    unsafe {
        let code: Code = sys::rd_kafka_event_error(event).into();
        if code != Code::NoError {
            return Err(plain(code, &text(sys::rd_kafka_event_error_string(event))));
        }
        let mut count = 0;
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        let all = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let all = if count == 0 { &[] } else { slice::from_raw_parts(all, count) };
        let of = |name: &&str| {
            let found = all.iter().find(|t| text(sys::rd_kafka_TopicDescription_name(**t)) == **name);
            found.map_or_else(
                || Err(plain(Code::UnknownTopicOrPartition, "not in the answer")),
                |t| description(*t),
            )
        };
        Ok(topics.iter().map(of).collect())
    }
}

unsafe fn description(topic: *const sys::rd_kafka_TopicDescription_t) -> Result<Description, CallError> {
    // SAFETY: the caller's event is alive, and with it all that is read here.
    unsafe {
        let error = sys::rd_kafka_TopicDescription_error(topic);
        let code: Code = sys::rd_kafka_error_code(error).into();
        if code != Code::NoError {
            return Err(plain(code, &text(sys::rd_kafka_error_string(error))));
        }
        let mut partitions = 0;
        let infos = sys::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        let infos = if partitions == 0 { &[] } else { slice::from_raw_parts(infos, partitions) };
        let (mut led, mut replicas) = (0, usize::MAX);
        for info in infos {
            let mut count = 0;
            sys::rd_kafka_TopicPartitionInfo_replicas(*info, &raw mut count);
            replicas = replicas.min(count);
            led += usize::from(!sys::rd_kafka_TopicPartitionInfo_leader(*info).is_null());
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let id = if id.is_null() { String::new() } else { text(sys::rd_kafka_Uuid_base64str(id)) };
        let replication_factor = if infos.is_empty() { 0 } else { replicas };
        let mut count = 0;
        let rights = sys::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut count);
        let may_write = (!rights.is_null()).then(|| {
            let rights = if count == 0 { &[] } else { slice::from_raw_parts(rights, count) };
            rights.contains(&sys::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE)
        });
        Ok(Description { id, partitions, replication_factor, led, may_write })
    }
}

/// How long librdkafka waits for an answer about a group: as long as it lets one wait. When this time ends while the coordinator is
/// still looked for, and the coordinator is found later, librdkafka 2.12 uses what it has freed (`rd_kafka_admin_coord_request`,
/// then `rd_kafka_admin_coord_response_parse`). So we stop waiting, not the request; it ends with its client.
const GROUP_REQUEST: Duration = Duration::from_secs(3_600);

/// The members of a group, according to its coordinator; a group that does not exist has none. A client that gave no answer in time must
/// not be asked again.
pub(super) fn describe_group(
    client: Client,
    group: &str,
    timeout: Duration,
) -> Result<Vec<GroupMember>, CallError> {
    let name = c_string(group);
    let mut pointers = [name.as_ptr()];
    let mut reason: [c_char; 256] = [0; 256];
    // SAFETY: every object is created, used and destroyed here, in the order that librdkafka's manual asks for.
    unsafe {
        let op = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        let options = sys::rd_kafka_AdminOptions_new(client, op);
        let ms = millis(GROUP_REQUEST);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, ms, reason.as_mut_ptr(), reason.len());
        let queue = sys::rd_kafka_queue_new(client);
        sys::rd_kafka_DescribeConsumerGroups(client, pointers.as_mut_ptr(), pointers.len(), options, queue);
        let event = sys::rd_kafka_queue_poll(queue, millis(timeout));
        let found = group_members(event);
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        found
    }
}

unsafe fn group_members(event: *mut sys::rd_kafka_event_t) -> Result<Vec<GroupMember>, CallError> {
    if event.is_null() {
        return Err(plain(Code::OperationTimedOut, "no answer to the description of the group"));
    }
    // SAFETY: an event of this kind; what it holds lives as long as it does.
    unsafe {
        let code: Code = sys::rd_kafka_event_error(event).into();
        if code != Code::NoError {
            return Err(plain(code, &text(sys::rd_kafka_event_error_string(event))));
        }
        let mut count = 0;
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event);
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        if count == 0 {
            return Ok(vec![]);
        }
        let group = *groups;
        let error = sys::rd_kafka_ConsumerGroupDescription_error(group);
        match sys::rd_kafka_error_code(error).into() {
            Code::NoError => {}
            Code::GroupIdNotFound => return Ok(vec![]),
            code => {
                let said = text(sys::rd_kafka_error_string(error));
                let cause = if said.trim_end().ends_with(':') { code.to_string() } else { String::new() };
                return Err(plain(code, &format!("{said}{cause}")));
            }
        }
        let of = |index| {
            let member = sys::rd_kafka_ConsumerGroupDescription_member(group, index);
            let name = sys::rd_kafka_MemberDescription_group_instance_id(member);
            let name = if name.is_null() { sys::rd_kafka_MemberDescription_client_id(member) } else { name };
            GroupMember {
                member_id: text(sys::rd_kafka_MemberDescription_consumer_id(member)),
                instance: text(name),
                host: text(sys::rd_kafka_MemberDescription_host(member)).trim_start_matches('/').to_owned(),
            }
        };
        Ok((0..sys::rd_kafka_ConsumerGroupDescription_member_count(group)).map(of).collect())
    }
}

/// The number of a partition in librdkafka's type.
pub(super) fn partition_number(at: &TopicPartition) -> i32 {
    i32::try_from(at.partition.0).expect("Kafka numbers partitions with 31 bits")
}

fn signed(offset: Offset) -> i64 {
    i64::try_from(offset.0).expect("Kafka counts offsets with 63 bits")
}

fn offset(raw: i64) -> Offset {
    Offset(u64::try_from(raw).expect("a record has an offset"))
}

fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).expect("zero bytes are taken out")
}

fn plain(code: Code, message: &str) -> CallError {
    let message = message.to_owned();
    CallError { code, message, fatal: false, retriable: false, requires_abort: false }
}

unsafe fn text(at: *const c_char) -> String {
    if at.is_null() {
        return String::new();
    }
    // SAFETY: the caller's: a string that ends with zero.
    unsafe { CStr::from_ptr(at) }.to_string_lossy().into_owned()
}

unsafe fn outcome(error: *mut sys::rd_kafka_error_t) -> Result<(), CallError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: an error object that is ours to read and destroy.
    unsafe {
        let taken = CallError {
            code: sys::rd_kafka_error_code(error).into(),
            message: text(sys::rd_kafka_error_string(error)),
            fatal: sys::rd_kafka_error_is_fatal(error) != 0,
            retriable: sys::rd_kafka_error_is_retriable(error) != 0,
            requires_abort: sys::rd_kafka_error_txn_requires_abort(error) != 0,
        };
        sys::rd_kafka_error_destroy(error);
        Err(taken)
    }
}
