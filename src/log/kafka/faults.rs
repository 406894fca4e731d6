//! Broker errors, one by one, through the whole client: what the library makes of each, and how we react.
//!
//! Uses the library's mock broker, which answers any request with a chosen error. That proves nothing about
//! transactions themselves (only a real broker does); it proves that a code arrives where `classify` expects it, with
//! its flags.

use super::KafkaLog;
use crate::{
    error::{Failure, Reaction, Stage},
    log::{Committed, GroupEvent, GroupSpec, Log, Member, Membership, Producer, ProducerSpec, RequestSizes},
    record::{Headers, Offset, Partition, RawChunkBuilder, RawRecord, TopicPartition},
};
use rdkafka::{
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey as Api, RDKafkaRespErr as Err},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

const TOPIC: &str = "t";
const PATIENCE: Duration = Duration::from_secs(30);

struct Mock {
    broker: MockCluster<'static, DefaultProducerContext>,
    log: KafkaLog,
}

impl Mock {
    fn new() -> Mock {
        let broker = MockCluster::new(1).unwrap();
        broker.create_topic(TOPIC, 1, 1).unwrap();
        let log = KafkaLog::new(&broker.bootstrap_servers(), &BTreeMap::new()).unwrap();
        log.connect(PATIENCE).unwrap();
        Mock { broker, log }
    }

    fn producer(&self) -> Box<dyn Producer> {
        let spec = ProducerSpec {
            transactional_id: Some("id".into()),
            transaction_timeout: Duration::from_secs(4),
            group: "g".into(),
            buffer_bytes: 1 << 20,
            sizes: RequestSizes::default(),
        };
        self.log.producer(&spec).unwrap()
    }

    fn member(&self) -> Box<dyn Member> {
        let spec = GroupSpec {
            group: "g".into(),
            instance: "i".into(),
            topics: vec![TOPIC.into()],
            session_timeout: Duration::from_secs(10),
        };
        let mut member = self.log.join(&spec, Arc::new(|| ())).unwrap();
        until("assigned", || {
            for event in member.poll().unwrap() {
                if let GroupEvent::Assigned(_) = event {
                    member.accept().unwrap();
                    return true;
                }
            }
            false
        });
        member
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "timed out waiting until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// One small transaction that commits an offset.
fn transaction(producer: &mut dyn Producer, member: &Membership) -> Result<(), Failure> {
    let mut rows = RawChunkBuilder::default();
    let value = Some(&b"v"[..]);
    rows.push(RawRecord { offset: Offset(0), timestamp_ms: 1, key: None, value, headers: Headers::NONE });
    producer.begin()?;
    producer.send(TOPIC, Some(Partition(0)), &rows.build())?;
    producer.flush()?;
    let offset = Committed { offset: Offset(1), leader_epoch: None, metadata: "m".into() };
    producer.commit(&[(TopicPartition::new(TOPIC, 0), offset)], member)
}

#[test]
fn each_error_in_a_transaction_gets_its_reaction() {
    use Reaction as R;
    use Stage as S;
    let mock = Mock::new();
    let member = mock.member();
    let membership = member.membership().unwrap();
    for (api, error, stage, reaction) in [
        (Api::Produce, Err::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, S::Produce, R::StopPipeline),
        (Api::Produce, Err::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, S::Produce, R::StopPipeline),
        (Api::Produce, Err::RD_KAFKA_RESP_ERR_INVALID_RECORD, S::Produce, R::StopPipeline),
        (Api::AddPartitionsToTxn, Err::RD_KAFKA_RESP_ERR_PRODUCER_FENCED, S::Produce, R::RecreateProducer),
        (Api::AddPartitionsToTxn, Err::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, S::Produce, R::RecreateProducer),
        (Api::TxnOffsetCommit, Err::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, S::SendOffsets, R::AbortReplay),
        (Api::TxnOffsetCommit, Err::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, S::SendOffsets, R::AbortReplay),
        (Api::TxnOffsetCommit, Err::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, S::SendOffsets, R::CloseTasks),
        (Api::TxnOffsetCommit, Err::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, S::SendOffsets, R::CloseTasks),
        (
            Api::TxnOffsetCommit,
            Err::RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE,
            S::SendOffsets,
            R::StopPipeline,
        ),
        (
            Api::TxnOffsetCommit,
            Err::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
            S::SendOffsets,
            R::StopPipeline,
        ),
        (
            Api::TxnOffsetCommit,
            Err::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
            S::SendOffsets,
            R::RecreateProducer,
        ),
        (
            Api::TxnOffsetCommit,
            Err::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING,
            S::SendOffsets,
            R::RecreateProducer,
        ),
        (
            Api::AddOffsetsToTxn,
            Err::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
            S::SendOffsets,
            R::RecreateProducer,
        ),
        (Api::EndTxn, Err::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, S::Commit, R::Unknown),
        (Api::EndTxn, Err::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, S::Commit, R::Unknown),
        (Api::EndTxn, Err::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, S::Commit, R::Unknown),
        (Api::EndTxn, Err::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, S::Commit, R::Unknown),
    ] {
        let mut producer = mock.producer();
        producer.init().unwrap();
        transaction(&mut *producer, &membership).unwrap();
        mock.broker.request_errors(api, &[error]);
        let failure = transaction(&mut *producer, &membership).expect_err(&format!("{api:?} {error:?}"));
        assert_eq!((failure.stage, failure.reaction), (stage, reaction), "{api:?} {error:?}: {failure}");
        // Where the reaction keeps the same producer, the producer still works.
        if matches!(reaction, R::AbortReplay | R::CloseTasks) {
            producer.abort().unwrap();
            transaction(&mut *producer, &membership).unwrap();
        }
        mock.broker.clear_request_errors(api);
    }
    member.close(true);
}

#[test]
fn each_error_of_init_gets_its_reaction() {
    let mock = Mock::new();
    for (error, reaction) in [
        (Err::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Reaction::StopPipeline),
        (Err::RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT, Reaction::StopPipeline),
        (Err::RD_KAFKA_RESP_ERR_PRODUCER_FENCED, Reaction::RecreateProducer),
    ] {
        mock.broker.request_errors(Api::InitProducerId, &[error]);
        let failure = mock.producer().init().unwrap_err();
        assert_eq!((failure.stage, failure.reaction), (Stage::Init, reaction), "{error:?}: {failure}");
        let reported = failure.message.contains("may be open for 4s")
            && failure.message.contains("`transaction.max.timeout.ms`");
        assert_eq!(reported, error == Err::RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT, "{failure}");
    }
    // The library itself repeats this request.
    mock.broker.request_errors(Api::InitProducerId, &[Err::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS]);
    mock.producer().init().unwrap();
}

#[test]
fn a_connection_lost_within_a_transaction_makes_the_producer_suspect() {
    let mock = Mock::new();
    let member = mock.member();
    let membership = member.membership().unwrap();
    let mut producer = mock.producer();
    producer.init().unwrap();
    for _ in 0..3 {
        transaction(&mut *producer, &membership).unwrap();
        assert!(!producer.suspect(), "nothing happened");
    }
    for api in [Api::EndTxn, Api::TxnOffsetCommit, Api::Produce] {
        mock.broker.request_errors(api, &[Err::RD_KAFKA_RESP_ERR__TRANSPORT]);
        transaction(&mut *producer, &membership).unwrap();
        assert!(producer.suspect(), "a late copy of {api:?} could hit the next transaction");
        producer = mock.producer();
        producer.init().unwrap();
        transaction(&mut *producer, &membership).unwrap();
        assert!(!producer.suspect());
    }
    member.close(true);
}

#[test]
fn a_lost_connection_is_reported_and_so_is_its_return() {
    let mock = Mock::new();
    let mut member = mock.member();
    let mut reported = vec![];
    let mut await_reports = |count: usize| {
        until("the connection's state is reported", || {
            for event in member.poll().unwrap() {
                if let GroupEvent::Connection(state) = event {
                    reported.push(state);
                }
            }
            reported.len() >= count
        });
    };
    mock.broker.broker_down(1).unwrap();
    await_reports(1);
    mock.broker.broker_up(1).unwrap();
    await_reports(2);
    assert!(matches!(reported[..], [Some(_), None]), "{reported:?}");
    member.close(false);
}

#[test]
fn closing_a_member_before_it_answers_does_not_hang() {
    let mock = Mock::new();
    let spec = GroupSpec {
        group: "h".into(),
        instance: "i".into(),
        topics: vec![TOPIC.into()],
        session_timeout: Duration::from_secs(10),
    };
    for leave in [false, true] {
        let mut member = mock.log.join(&spec, Arc::new(|| ())).unwrap();
        until("assigned", || member.poll().unwrap().iter().any(|e| matches!(e, GroupEvent::Assigned(_))));
        let started = Instant::now();
        member.close(leave);
        assert!(started.elapsed() < Duration::from_secs(5), "leave {leave}: {:?}", started.elapsed());
    }
}
