//! The outside view of the broker: topics, group offsets and committed records, through the Kafka client alone.
//!
//! Shares no code with what is tested. Each instance owns a connection. Invariant: `read` returns committed records
//! only, up to the end of every partition, and only when no transaction is open.

use super::{deadline, until};
use rdkafka::{
    ClientConfig, Message,
    admin::{
        AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
    },
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaError,
    groups::GroupInfo,
    message::{BorrowedMessage, Headers},
    metadata::{MetadataPartition, MetadataTopic},
    topic_partition_list::{Offset, TopicPartitionList},
    types::RDKafkaErrorCode,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const CALL: Duration = Duration::from_secs(10);
/// As many as the brokers make by default.
const COPIES: TopicReplication<'_> = TopicReplication::Fixed(-1);

/// One record as a reader of committed data sees it.
#[derive(Clone, Debug)]
pub struct Row {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub value: String,
    pub headers: BTreeMap<String, String>,
}

pub struct Client {
    pub bootstrap: String,
    ends: BaseConsumer,
}

impl Client {
    pub fn new(bootstrap: &str) -> Client {
        let ends = client_config(bootstrap).set("isolation.level", "read_uncommitted").create().unwrap();
        Client { bootstrap: bootstrap.into(), ends }
    }

    pub fn config(&self) -> ClientConfig {
        client_config(&self.bootstrap)
    }

    fn consumer(&self, group: &str, isolation: &str) -> BaseConsumer {
        let mut config = self.config();
        config.set("group.id", group).set("isolation.level", isolation).set("enable.auto.commit", "false");
        config.set("enable.partition.eof", "true").set("auto.offset.reset", "error").create().unwrap()
    }

    fn admin<T>(&self, call: impl AsyncFnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> T) -> T {
        let admin = self.config().create().unwrap();
        let options = AdminOptions::new().operation_timeout(Some(CALL)).request_timeout(Some(CALL));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(call(&admin, &options))
    }

    /// Creates a topic; one with this name that was just deleted may still be going away.
    pub fn create(&self, topic: &str, partitions: i32) {
        until(&format!("topic {topic} is created"), || {
            let new = NewTopic::new(topic, partitions, COPIES);
            let made = self.admin(async |admin, options| admin.create_topics([&new], options).await).unwrap();
            made[0].is_ok()
        });
        self.until_led(topic, partitions);
    }

    /// Creates a topic of one partition on these brokers, with settings.
    pub fn create_on(&self, topic: &str, brokers: &[i32], settings: &[(&str, &str)]) {
        let copies = [brokers];
        let mut new = NewTopic::new(topic, 1, TopicReplication::Variable(&copies));
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let made = self.admin(async |admin, options| admin.create_topics([&new], options).await).unwrap();
        made[0].as_ref().unwrap();
        self.until_led(topic, 1);
    }

    /// The broker that leads a partition, if any does.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        let metadata = self.ends.fetch_metadata(Some(topic), CALL).ok()?;
        let mut partitions = metadata.topics().first()?.partitions().iter();
        partitions.find(|p| p.id() == partition).map(MetadataPartition::leader).filter(|leader| *leader >= 0)
    }

    /// Waits until every copy of every partition is in sync.
    pub fn until_in_sync(&self) {
        until("all copies are in sync", || {
            let Ok(metadata) = self.ends.fetch_metadata(None, CALL) else { return false };
            let mut partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
            partitions.all(|p| p.leader() >= 0 && p.isr().len() == p.replicas().len())
        });
    }

    /// Creates a topic with a setting.
    pub fn create_with(&self, topic: &str, partitions: i32, setting: (&str, &str)) {
        let new = NewTopic::new(topic, partitions, COPIES).set(setting.0, setting.1);
        let made = self.admin(async |admin, options| admin.create_topics([&new], options).await).unwrap();
        made[0].as_ref().unwrap();
        self.until_led(topic, partitions);
    }

    /// Replaces the settings of a topic, and waits until the broker has them.
    pub fn alter(&self, topic: &str, settings: &[(&str, &str)]) {
        let mut new = AlterConfig::new(ResourceSpecifier::Topic(topic));
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let done = self.admin(async |admin, options| admin.alter_configs([&new], options).await).unwrap();
        done[0].as_ref().unwrap();
        until(&format!("topic {topic} has its new settings"), || {
            let asked = [ResourceSpecifier::Topic(topic)];
            let found = self.admin(async |admin, options| admin.describe_configs(&asked, options).await);
            let found = found.unwrap().remove(0).unwrap();
            settings
                .iter()
                .all(|(name, value)| found.get(name).is_some_and(|e| e.value.as_deref() == Some(*value)))
        });
    }

    pub fn delete(&self, topic: &str) {
        let gone = self.admin(async |admin, options| admin.delete_topics(&[topic], options).await).unwrap();
        gone[0].as_ref().unwrap();
    }

    /// Deletes the records of a partition before an offset.
    pub fn truncate(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).unwrap();
        let done = self.admin(async |admin, options| admin.delete_records(&list, options).await).unwrap();
        done.elements()[0].error().unwrap();
        until(&format!("the records of {topic}-{partition} before {before} are gone"), || {
            self.ends.fetch_watermarks(topic, partition, CALL).is_ok_and(|(low, _)| low == before)
        });
    }

    /// Waits until a deleted topic is really gone.
    pub fn until_gone(&self, topic: &str) {
        until(&format!("topic {topic} is gone"), || {
            let metadata = self.ends.fetch_metadata(Some(topic), CALL);
            metadata.is_ok_and(|m| m.topics()[0].error().is_some())
        });
    }

    pub fn grow(&self, topic: &str, partitions: i32) {
        let count = usize::try_from(partitions).unwrap();
        let new = NewPartitions::new(topic, count);
        let made = self.admin(async |admin, options| admin.create_partitions([&new], options).await).unwrap();
        made[0].as_ref().unwrap();
        self.until_led(topic, partitions);
    }

    fn until_led(&self, topic: &str, partitions: i32) {
        until(&format!("{partitions} partitions of {topic} have a leader"), || {
            let Ok(metadata) = self.ends.fetch_metadata(Some(topic), CALL) else { return false };
            let led =
                metadata.topics()[0].partitions().iter().filter(|p| p.leader() >= 0 && p.error().is_none());
            led.count() == usize::try_from(partitions).unwrap()
        });
    }

    /// Deletes a group with its offsets, once its members are gone.
    pub fn delete_group(&self, group: &str) {
        until(&format!("group {group} is deleted"), || {
            let gone =
                self.admin(async |admin, options| admin.delete_groups(&[group], options).await).unwrap();
            gone[0].is_ok()
        });
    }

    /// Sets offsets of a group from outside, as Kafka's own tool does; waits until the group has no members.
    pub fn set_offsets(&self, group: &str, topic: &str, offsets: &[(i32, i64)]) {
        let consumer = self.consumer(group, "read_uncommitted");
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).unwrap();
        }
        until("the offsets are set", || consumer.commit(&list, CommitMode::Sync).is_ok());
    }

    /// The broker's ids of the members of a group.
    pub fn members(&self, group: &str) -> Vec<String> {
        let found = self.ends.fetch_group_list(Some(group), CALL);
        let groups = found.as_ref().map_or(&[][..], |found| found.groups());
        groups.iter().flat_map(GroupInfo::members).map(|m| m.id().to_owned()).collect()
    }

    pub fn partitions(&self, topic: &str) -> i32 {
        let mut partitions = 0;
        until(&format!("the broker knows {topic}"), || {
            let metadata = self.ends.fetch_metadata(Some(topic), CALL);
            partitions = metadata.map_or(0, |m| i32::try_from(m.topics()[0].partitions().len()).unwrap());
            partitions > 0
        });
        partitions
    }

    /// The high watermark of each partition.
    pub fn ends(&self, topic: &str) -> BTreeMap<i32, i64> {
        (0..self.partitions(topic)).map(|p| (p, end(&self.ends, topic, p))).collect()
    }

    /// How many partitions of a topic do not begin with their first record any more.
    pub fn cut(&self, topic: &str) -> usize {
        let start = |p| self.ends.fetch_watermarks(topic, p, CALL).map_or(0, |(start, _)| start);
        (0..self.partitions(topic)).filter(|p| start(*p) > 0).count()
    }

    /// What the group has committed for each partition of a topic, excluding pending transactions.
    pub fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let consumer = self.consumer(group, "read_uncommitted");
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions(topic) {
            list.add_partition(topic, partition);
        }
        let found = consumer.committed_offsets(list, CALL).unwrap_or_default();
        let known = found.elements().into_iter().filter_map(|e| Some((e.partition(), e.offset().to_raw()?)));
        known.filter(|(_, offset)| *offset >= 0).collect()
    }

    /// Waits until no transaction is open on a topic; returns its ends.
    pub fn until_decided(&self, topic: &str) -> BTreeMap<i32, i64> {
        let consumer = self.consumer(&format!("reader-of-{topic}"), "read_committed");
        let ends = self.ends(topic);
        until(&format!("no transaction is open on {topic}"), || {
            ends.iter().all(|(p, e)| end(&consumer, topic, *p) >= *e)
        });
        ends
    }

    /// Every committed record of a topic, in the order of each partition.
    pub fn read(&self, topic: &str) -> Vec<Row> {
        let mut rows = vec![];
        self.visit(topic, |record| rows.push(row(record)));
        rows
    }

    /// Visits every record of a topic that is committed by now, in the order of each partition; does not wait for
    /// records that arrive in the meantime.
    pub fn visit(&self, topic: &str, mut visit: impl FnMut(&BorrowedMessage<'_>)) {
        let consumer = self.consumer(&format!("reader-of-{topic}"), "read_committed");
        let ends = self.until_decided(topic);
        let mut list = TopicPartitionList::new();
        for partition in ends.keys() {
            list.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut ended, patience) = (BTreeSet::new(), deadline());
        while ended.len() < ends.len() {
            patience.check("the output can be read to its end");
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(record)) if record.offset() < ends[&record.partition()] => visit(&record),
                Some(Ok(record)) => drop(ended.insert(record.partition())),
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
                Some(Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown,
                ))) => {}
                Some(Err(e)) => panic!("reading {topic}: {e}"),
            }
        }
    }
}

fn client_config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    // The only broker may have been out of its own cluster for a moment; by default it is then forgotten for 5
    // minutes.
    config.set("metadata.recovery.rebootstrap.trigger.ms", "2000");
    config
}

/// The end of a partition as this consumer sees it: the high watermark, or the last stable offset.
fn end(consumer: &BaseConsumer, topic: &str, partition: i32) -> i64 {
    let mut end = None;
    until(&format!("the broker returns the end of {topic}-{partition}"), || {
        end = consumer.fetch_watermarks(topic, partition, CALL).ok();
        end.is_some()
    });
    end.expect("just returned").1
}

fn row(record: &impl Message) -> Row {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let headers = record.headers().map_or_else(BTreeMap::new, |headers| {
        headers.iter().map(|h| (h.key.to_owned(), text(h.value))).collect()
    });
    Row {
        partition: record.partition(),
        offset: record.offset(),
        key: text(record.key()),
        value: text(record.payload()),
        headers,
    }
}
