//! The settings of each client of the Kafka library.
//!
//! Owns which properties a user may set, which ones would break the guarantee, and what each client needs. Knows no
//! connection. Invariants: what the guarantee depends on is set last, so nothing overrides it; a property is given only
//! to clients that know it; no message shows a value, because it may be a secret.

use crate::{
    error::{Error, Result},
    log::{FetchSpec, GroupSpec, ProducerSpec},
};
use rdkafka::{ClientConfig, config::RDKafkaLogLevel, error::KafkaError};
use std::{collections::BTreeMap, time::Duration};

/// Properties that the guarantee depends on, and the reason why a user cannot set them.
const OURS: &[(&str, &str)] = &[
    ("acks", "every write is acknowledged by all in-sync replicas"),
    ("allow.auto.create.topics", "topics are checked before the start, never created by reading them"),
    ("auto.commit.interval.ms", "offsets are committed with each batch"),
    (
        "auto.offset.reset",
        "a lost position must stop the pipeline, not skip records; see `starting-offsets` of the source",
    ),
    ("bootstrap.servers", "it is the bootstrap setting of the pipeline"),
    ("check.crcs", "checksums are always checked"),
    ("delivery.report.only.error", "only refusals are reported, which saves a report per record"),
    ("delivery.timeout.ms", "it follows the transaction timeout"),
    ("enable.auto.commit", "offsets are committed with each batch"),
    ("enable.auto.offset.store", "offsets are committed with each batch"),
    ("enable.gapless.guarantee", "the transaction gives it"),
    ("enable.idempotence", "it is always on"),
    ("enable.partition.eof", "the engine needs it to find the end of a partition"),
    ("group.id", "it is the application id"),
    ("group.instance.id", "it is the instance id"),
    ("group.protocol", "the classic protocol is the one that is tested"),
    ("group.remote.assignor", "the classic protocol is the one that is tested"),
    ("isolation.level", "only committed records are read"),
    ("log.queue", "the engine serves the log"),
    ("max.in.flight", "five or less is needed for order and is set"),
    ("max.in.flight.requests.per.connection", "five or less is needed for order and is set"),
    ("message.timeout.ms", "it follows the transaction timeout"),
    ("metadata.broker.list", "it is the bootstrap setting of the pipeline"),
    (
        "partition.assignment.strategy",
        "it is `cooperative-sticky`, so that a rebalance stops only what moves",
    ),
    ("partitioner", "keys are placed as Java clients place them (`murmur2_random`)"),
    ("queue.buffering.max.kbytes", "it follows the memory budget"),
    ("queue.buffering.max.messages", "it follows the memory budget"),
    ("queued.max.messages.kbytes", "it follows the memory budget"),
    ("request.required.acks", "every write is acknowledged by all in-sync replicas"),
    ("session.timeout.ms", "it is the session timeout of the pipeline"),
    ("transaction.timeout.ms", "it is the transaction timeout of the pipeline"),
    ("transactional.id", "it is built from the application id and the instance id"),
];

/// Property names of the Java client that this client does not know, and what to set instead.
const JAVA: &[(&str, &str)] = &[
    ("buffer.memory", "it follows the memory budget; leave it out"),
    ("default.api.timeout.ms", "set `socket.timeout.ms`"),
    ("fetch.max.wait.ms", "set `fetch.wait.max.ms`"),
    ("interceptor.classes", "leave it out; there are no Java classes here"),
    ("key.deserializer", "leave it out; the format of keys is set on the source"),
    ("key.serializer", "leave it out; the format of keys is set on the sink"),
    ("max.block.ms", "leave it out; a full buffer waits"),
    ("max.poll.records", "leave it out; the trigger bounds a batch"),
    ("max.request.size", "set `message.max.bytes`"),
    ("metric.reporters", "leave it out; metrics are served over HTTP"),
    ("partitioner.class", "leave it out; keys are placed as Java clients place them"),
    ("receive.buffer.bytes", "set `socket.receive.buffer.bytes`"),
    ("sasl.client.callback.handler.class", "set `sasl.mechanism` and its `sasl.*` properties"),
    ("sasl.jaas.config", "set `sasl.username` and `sasl.password`"),
    (
        "sasl.login.callback.handler.class",
        "set `sasl.oauthbearer.method=oidc` and its `sasl.oauthbearer.*` properties",
    ),
    ("send.buffer.bytes", "set `socket.send.buffer.bytes`"),
    (
        "ssl.keystore.type",
        "leave it out; `ssl.keystore.location` names a PKCS#12 file, `ssl.certificate.location` a PEM file",
    ),
    ("ssl.truststore.certificates", "set `ssl.ca.pem`"),
    ("ssl.truststore.location", "convert the truststore to PEM and set `ssl.ca.location`"),
    ("ssl.truststore.password", "convert the truststore to PEM and set `ssl.ca.location`"),
    ("ssl.truststore.type", "convert the truststore to PEM and set `ssl.ca.location`"),
    ("value.deserializer", "leave it out; the format of values is set on the source"),
    ("value.serializer", "leave it out; the format of values is set on the sink"),
];

/// Properties that only a consumer knows.
const CONSUMER: &[&str] = &[
    "coordinator.query.interval.ms",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "max.partition.fetch.bytes",
    "queued.min.messages",
];

/// Properties that only a producer knows.
const PRODUCER: &[&str] = &[
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "linger.ms",
    "message.send.max.retries",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.ms",
    "queuing.strategy",
    "request.timeout.ms",
    "retries",
    "sticky.partitioning.linger.ms",
];

/// Properties of a consumer that only a member of a group needs.
const MEMBER: &[&str] = &["group.protocol.type", "heartbeat.interval.ms", "max.poll.interval.ms"];

/// Properties that a member of a group must not have: with a rack the assignor would prefer partitions of that rack, but
/// nothing is fetched through the member.
const FETCHING: &[&str] = &["client.rack"];

/// A rebalance takes two rounds, and a member hears of each by its next heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(1);
const MIB: usize = 1 << 20;
/// The memory that the library is assumed to use for a small queued record: it counts only the bytes of key and value.
const MESSAGE_BYTES: usize = 512;

/// The user's checked properties and the broker's address.
#[derive(Clone)]
pub(super) struct Settings {
    bootstrap: String,
    user: BTreeMap<String, String>,
}

impl Settings {
    /// Checks the user's properties.
    pub(super) fn new(bootstrap: &str, properties: &BTreeMap<String, String>) -> Result<Settings> {
        // This comes first, because it only has an effect before the client library's own initialisation: OpenSSL then
        // does not tear itself down when the process ends, under threads of clients that are still closing.
        openssl::init();
        let properties = from_files(properties)?;
        for (name, value) in &properties {
            refuse(name)?;
            check_file(name, value)?;
        }
        let settings = Settings { bootstrap: bootstrap.to_owned(), user: properties };
        let mut all = settings.base();
        settings.add_user(&mut all, &[]);
        all.create_native_config().map_err(config_error)?;
        Ok(settings)
    }

    pub(super) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// A member of a group, which fetches nothing.
    pub(super) fn member(&self, spec: &GroupSpec) -> ClientConfig {
        let session = spec.session_timeout;
        let mut config = self.base();
        self.add_user(&mut config, &[PRODUCER, FETCHING]);
        set(&mut config, READ);
        config
            .set("group.id", &spec.group)
            .set("group.instance.id", &spec.instance)
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            // Committed offsets are answered only once no transaction is pending on them.
            .set("isolation.level", "read_committed")
            .set("session.timeout.ms", ms(session));
        if config.get("heartbeat.interval.ms").is_none() {
            config.set("heartbeat.interval.ms", ms((session / 3).min(HEARTBEAT)));
        }
        config
    }

    /// Asks what a group has committed, without being a member; what is pending in transactions is not waited for.
    pub(super) fn offsets(&self, group: &str) -> ClientConfig {
        let mut config = self.base();
        self.add_user(&mut config, &[PRODUCER, MEMBER, FETCHING]);
        config.set("group.id", group).set("isolation.level", "read_uncommitted");
        config
    }

    /// Fetches many partitions, without a group.
    pub(super) fn fetch(&self, spec: &FetchSpec) -> ClientConfig {
        let mut config = self.base();
        set(&mut config, FETCH);
        bound_fetch(&mut config, (spec.buffer_bytes / spec.partitions.max(1)).max(MIB));
        self.add_user(&mut config, &[PRODUCER, MEMBER]);
        set(&mut config, READ);
        config.set("isolation.level", "read_committed");
        if crate::failpoint::passes("mutant-uncommitted-input") {
            config.set("isolation.level", "read_uncommitted");
        }
        config
    }

    /// A reader of single partitions without a group, used to restore state.
    pub(super) fn reader(&self) -> ClientConfig {
        let mut config = self.base();
        set(&mut config, FETCH);
        // Rows of state are small, and the library takes several times the size of each: only a few are queued.
        bound_fetch(&mut config, 4 * MIB);
        config.set("max.partition.fetch.bytes", MIB.to_string()).set("queued.min.messages", "50000");
        self.add_user(&mut config, &[PRODUCER, MEMBER]);
        set(&mut config, READ);
        config.set("isolation.level", "read_committed");
        config
    }

    /// The client that queries high watermarks. `read_uncommitted`, because otherwise the client library answers such a
    /// query with the last stable offset.
    pub(super) fn watermarks(&self) -> ClientConfig {
        let mut config = self.base();
        self.add_user(&mut config, &[PRODUCER, MEMBER]);
        config.set("isolation.level", "read_uncommitted").set("allow.auto.create.topics", "false");
        if crate::failpoint::passes("mutant-stable-end") {
            config.set("isolation.level", "read_committed");
        }
        config
    }

    /// Administration of topics.
    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = self.base();
        self.add_user(&mut config, &[CONSUMER, PRODUCER, MEMBER]);
        // Nobody serves this client's log; failures are in the answers.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        config
    }

    /// A producer; transactional if the spec names an id.
    pub(super) fn producer(&self, spec: &ProducerSpec) -> ClientConfig {
        let mut config = self.base();
        set(&mut config, PRODUCE);
        config
            .set("batch.size", spec.sizes.batch_bytes_max.to_string())
            .set("message.max.bytes", spec.sizes.record_bytes_max.to_string());
        self.add_user(&mut config, &[CONSUMER, MEMBER]);
        let kbytes = (spec.buffer_bytes / 1024).clamp(1024, 2_097_151);
        let messages = (spec.buffer_bytes / MESSAGE_BYTES).clamp(10_000, 10_000_000);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("max.in.flight.requests.per.connection", "5")
            .set("partitioner", "murmur2_random")
            .set("delivery.report.only.error", "true")
            .set("queue.buffering.max.messages", messages.to_string())
            .set("queue.buffering.max.kbytes", kbytes.to_string());
        if let Some(id) = &spec.transactional_id {
            let timeout = ms(spec.transaction_timeout);
            config
                .set("transactional.id", id)
                .set("transaction.timeout.ms", &timeout)
                .set("message.timeout.ms", ms(patience(spec)))
                .set("socket.timeout.ms", ms(self.socket_timeout(spec)));
        } else {
            config.set("message.timeout.ms", ms(spec.transaction_timeout.max(AT_LEAST_ONCE_TIMEOUT)));
        }
        config
    }

    /// How long a producer waits for one answer: less than the transaction's time, with room for a second attempt.
    pub(super) fn socket_timeout(&self, spec: &ProducerSpec) -> Duration {
        let ours = (patience(spec) * 2 / 3).max(Duration::from_secs(1));
        let wish = self.user.get("socket.timeout.ms").and_then(|v| v.parse().ok()).map(Duration::from_millis);
        let most = spec.transaction_timeout.saturating_sub(Duration::from_millis(100));
        wish.unwrap_or(ours).min(most)
    }

    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", "tidegate")
            // Half of this is also the pause between two first connections, which every start waits for.
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "1000")
            // A broker that dropped out of the cluster for a moment is no longer listed, and the library forgets it. If
            // it was the only one, nothing is requested for 5 minutes, unless the client turns to the bootstrap servers
            // again.
            .set("metadata.recovery.rebootstrap.trigger.ms", "2000");
        // Requests that time out are logged at this level, and whether the producer is suspect depends on them.
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }

    fn add_user(&self, config: &mut ClientConfig, except: &[&[&str]]) {
        for (name, value) in &self.user {
            if !except.iter().any(|names| names.contains(&name.as_str())) {
                config.set(name, value);
            }
        }
    }
}

/// How long a call of a producer, and its records, may wait for answers: the transaction timeout, but not the whole
/// time for which a transaction with a long batch interval may be open.
pub(super) fn patience(spec: &ProducerSpec) -> Duration {
    spec.transaction_timeout.min(PATIENCE_MAX)
}

const PATIENCE_MAX: Duration = Duration::from_secs(60);
/// Without a transaction nothing limits a batch's time, so there is time to wait for a broker to restart.
const AT_LEAST_ONCE_TIMEOUT: Duration = Duration::from_secs(120);

const FETCH: &[(&str, &str)] =
    &[("fetch.wait.max.ms", "20"), ("fetch.queue.backoff.ms", "10"), ("fetch.error.backoff.ms", "50")];

const READ: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "false"),
    ("auto.offset.reset", "error"),
    ("check.crcs", "true"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
];

const PRODUCE: &[(&str, &str)] = &[
    ("linger.ms", "5"),
    ("batch.num.messages", "100000"),
    ("retry.backoff.ms", "1"),
    ("retry.backoff.max.ms", "10"),
    ("topic.metadata.propagation.max.ms", "5000"),
];

fn set(config: &mut ClientConfig, all: &[(&str, &str)]) {
    for (name, value) in all {
        config.set(*name, *value);
    }
}

fn bound_fetch(config: &mut ClientConfig, per_partition_bytes: usize) {
    config
        .set("queued.max.messages.kbytes", (per_partition_bytes / 1024).min(2_097_151).to_string())
        .set("max.partition.fetch.bytes", per_partition_bytes.clamp(MIB, 8 * MIB).to_string());
}

fn ms(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn refuse(name: &str) -> Result {
    let find = |table: &[(&str, &'static str)]| table.iter().find(|(n, _)| *n == name).map(|(_, why)| *why);
    if let Some(why) = find(OURS) {
        return Err(Error::Config(format!(
            "Kafka property `{name}` cannot be set: {why}\n  next: remove it"
        )));
    }
    if let Some(instead) = find(JAVA) {
        return Err(Error::Config(format!(
            "`{name}` is a property of the Java client and is not known here\n  next: {instead}"
        )));
    }
    Ok(())
}

/// Properties that name files; the library does not say which one it could not read, nor why.
const FILES: &[&str] = &[
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.crl.location",
    "ssl.key.location",
    "ssl.keystore.location",
];

/// The ending of a property's name whose value is in a file, such as `sasl.password.file`.
const IN_FILE: &str = ".file";

/// The properties with those values that are in files, without the newline at the end of such a file.
fn from_files(properties: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    let mut read = BTreeMap::new();
    for (name, value) in properties {
        let Some(of) = name.strip_suffix(IN_FILE) else {
            read.insert(name.clone(), value.clone());
            continue;
        };
        if properties.contains_key(of) {
            let what =
                format!("Kafka properties `{of}` and `{name}` are both set\n  next: remove one of them");
            return Err(Error::Config(what));
        }
        let text = std::fs::read_to_string(value).map_err(|e| {
            let next = "correct the path, or make the file readable for the user of this process";
            Error::Config(format!("Kafka property `{name}`: `{value}` cannot be read: {e}\n  next: {next}"))
        })?;
        read.insert(of.to_owned(), text.trim_end_matches(['\r', '\n']).to_owned());
    }
    Ok(read)
}

fn check_file(name: &str, path: &str) -> Result {
    if !FILES.contains(&name) || (name == "ssl.ca.location" && path == "probe") {
        return Ok(());
    }
    let failed = |e: std::io::Error| {
        let next = "correct the path (it is relative to the directory in which the program was started), or make the file readable";
        Error::Config(format!("Kafka property `{name}`: `{path}` cannot be read: {e}\n  next: {next}"))
    };
    std::fs::File::open(path).map(drop).map_err(failed)
}

/// What the client library says about a property, without its value.
pub(super) fn config_error(error: KafkaError) -> Error {
    Error::Config(match error {
        KafkaError::ClientConfig(_, reason, name, value) => {
            let reason = masked(reason.trim_end(), &value);
            format!(
                "Kafka property `{name}`: {reason}\n  next: see the list of properties of librdkafka (CONFIGURATION.md)"
            )
        }
        other => format!("Kafka client: {other}"),
    })
}

/// The text without the value. A number is no secret, and hiding it would hide parts of other numbers; otherwise whole
/// words are hidden, and a long value wherever it stands.
fn masked(text: &str, value: &str) -> String {
    if value.is_empty() || value.parse::<f64>().is_ok() {
        return text.to_owned();
    }
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(value) {
        let (before, after) = (&rest[..at], &rest[at + value.len()..]);
        let is_part = is_word(before.chars().next_back()) || is_word(after.chars().next());
        out.push_str(before);
        out.push_str(if is_part && value.len() < SECRET_BYTES_MIN { value } else { "..." });
        rest = after;
    }
    out + rest
}

/// A value of this length is hidden even within a longer word.
const SECRET_BYTES_MIN: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::RequestSizes;

    #[test]
    fn a_value_is_hidden_in_an_error_but_not_in_the_numbers_around_it() {
        let text = "\"session.timeout.ms\" value 0 is outside allowed range 1..3600000";
        assert_eq!(masked(text, "0"), text);
        assert_eq!(masked("no `secret1`, nor secret10", "secret1"), "no `...`, nor ...0");
        assert_eq!(
            masked("value ms for property ms.max: forms", "ms"),
            "value ... for property ....max: forms"
        );
    }

    fn settings(properties: &[(&str, &str)]) -> Result<Settings> {
        let map = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::new("localhost:1", &map)
    }

    fn group() -> GroupSpec {
        GroupSpec {
            group: "g".into(),
            instance: "i".into(),
            topics: vec!["t".into()],
            session_timeout: Duration::from_secs(10),
        }
    }

    const OF_FOUR: FetchSpec = FetchSpec { buffer_bytes: 64 * MIB, partitions: 4 };

    fn transactional() -> ProducerSpec {
        ProducerSpec {
            transactional_id: Some("t".into()),
            transaction_timeout: Duration::from_secs(15),
            group: "g".into(),
            buffer_bytes: 32 * MIB,
            sizes: RequestSizes::default(),
        }
    }

    #[test]
    fn properties_that_would_break_the_guarantee_are_refused_with_a_reason() {
        for (name, part) in [
            ("enable.auto.commit", "committed with each batch"),
            ("isolation.level", "only committed records"),
            ("group.id", "the application id"),
            ("transactional.id", "instance id"),
            ("auto.offset.reset", "must stop the pipeline"),
            ("enable.idempotence", "always on"),
            ("sasl.jaas.config", "`sasl.username` and `sasl.password`"),
            ("ssl.truststore.location", "`ssl.ca.location`"),
            ("fetch.max.wait.ms", "`fetch.wait.max.ms`"),
            ("no.such.property", "No such configuration property"),
        ] {
            let error = settings(&[(name, "true")]).err().expect(name).to_string();
            assert!(error.contains(part) && error.contains("next:"), "{name}: {error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_the_reason() {
        for name in FILES {
            let error = settings(&[(name, "MISSING.pem")]).err().unwrap().to_string();
            let said = format!("Kafka property `{name}`: `MISSING.pem` cannot be read: No such file");
            assert!(error.contains(&said) && error.contains("next: correct the path"), "{error}");
        }
        settings(&[("ssl.ca.location", "probe")]).unwrap();
        settings(&[("ssl.ca.location", "/tmp")]).unwrap(); // a folder of certificates
    }

    #[test]
    fn an_invalid_value_is_not_shown() {
        let error = settings(&[("security.protocol", "hunter2")]).err().unwrap().to_string();
        assert!(error.contains("security.protocol") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_user_can_tune_clients_but_cannot_override_what_the_guarantee_depends_on() {
        let s = settings(&[
            ("fetch.wait.max.ms", "7"),
            ("linger.ms", "9"),
            ("compression.type", "zstd"),
            ("socket.timeout.ms", "60000"),
            ("client.rack", "a"),
            ("max.poll.interval.ms", "7000"),
        ])
        .unwrap();
        let (member, fetch) = (s.member(&group()), s.fetch(&OF_FOUR));
        assert_eq!(fetch.get("fetch.wait.max.ms"), Some("7"));
        assert_eq!((member.get("linger.ms"), fetch.get("linger.ms")), (None, None), "consumers have none");
        assert_eq!((member.get("client.rack"), fetch.get("client.rack")), (None, Some("a")));
        assert_eq!(
            (member.get("max.poll.interval.ms"), fetch.get("max.poll.interval.ms")),
            (Some("7000"), None)
        );
        assert_eq!(member.get("heartbeat.interval.ms"), Some("1000"));
        assert_eq!(
            fetch.get("queued.max.messages.kbytes"),
            Some("16384"),
            "the budget is divided among all partitions"
        );
        let levels = [&member, &fetch].map(|config| config.get("isolation.level"));
        assert_eq!(levels, [Some("read_committed"); 2]);
        let producer = s.producer(&transactional());
        assert_eq!((producer.get("linger.ms"), producer.get("fetch.wait.max.ms")), (Some("9"), None));
        assert_eq!(producer.get("socket.timeout.ms"), Some("14900"), "within the transaction's time");
        assert_eq!(
            (producer.get("batch.size"), producer.get("message.max.bytes")),
            (Some("1000000"), Some("1114124"))
        );
        let own = settings(&[("batch.size", "7"), ("message.max.bytes", "2000")])
            .unwrap()
            .producer(&transactional());
        assert_eq!((own.get("batch.size"), own.get("message.max.bytes")), (Some("7"), Some("2000")));
        assert_eq!(s.watermarks().get("isolation.level"), Some("read_uncommitted"));
    }

    #[test]
    fn the_library_accepts_the_settings_of_every_client() {
        let s = settings(&[("compression.type", "lz4"), ("fetch.min.bytes", "1")]).unwrap();
        let mut at_least_once = transactional();
        at_least_once.transactional_id = None;
        for config in [
            s.member(&group()),
            s.fetch(&OF_FOUR),
            s.reader(),
            s.watermarks(),
            s.admin(),
            s.producer(&transactional()),
            s.producer(&at_least_once),
        ] {
            config.create_native_config().unwrap();
        }
    }
}
