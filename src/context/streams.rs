//! The inputs of a program.
//!
//! Owns the methods that begin a stream. Knows no engine. Invariant: an input is identified by the name that the user
//! gives or by what it reads, never by its place in the program.

use super::StreamingContext;
use crate::{
    codec::{Decode, Native, Pairs, Utf8, stored_format, value_refusal},
    dstream::{DStream, ReceiverOptions, SourceOptions},
    record::{Bytes, Data, Text, Value},
    source::{
        FileOptions, FixedBytes, LocalSource, LossyText, Queue, QueueSource, RateSource, Receiver,
        SocketReceiver, StorageLevel,
    },
};
use std::{num::NonZeroU32, panic::Location, path::PathBuf, sync::Arc};

impl StreamingContext {
    /// Adds what a script of SQL computes. Its queries and the streams of the program are one application: each batch of all of them is one
    /// transaction.
    ///
    /// ```
    /// use tidegate::{StreamingContext, sql::{Script, SourceText}, testing::Driver};
    /// let script = Script::parse(SourceText::new("long.sql", "
    ///     CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 'lines', 'format' = 'raw');
    ///     CREATE TABLE long (line STRING) WITH ('connector' = 'kafka', 'topic' = 'long', 'format' = 'raw');
    ///     INSERT INTO long SELECT line FROM lines WHERE character_length(line) > 4;
    /// "))?;
    /// let mut driver = Driver::new(move |ssc: &StreamingContext| ssc.sql(&script));
    /// assert_eq!(driver.batch("lines 0 | - | tide\nlines 0 | - | harbour\n")?.to_string(), "long | - | harbour\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[cfg(feature = "sql")]
    pub fn sql(&self, script: &crate::sql::Script) {
        let application = self.application_id();
        script.build(&application, &mut self.builder.plan());
    }

    /// The lines of a topic: each record's value as text. Asked for twice, a topic is still read once: both streams are the same.
    ///
    /// ```
    /// use tidegate::{StreamingContext, testing::Driver};
    /// let mut driver = Driver::new(|ssc: &StreamingContext| ssc.text("lines").print());
    /// assert_eq!(driver.batch("lines 0 | - | to be\n")?.to_string(), "console | to be\n"); // topic, partition | key | value
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn text(&self, topic: &str) -> DStream<Text> {
        self.builder.text(topic, Location::caller())
    }

    /// The records of a topic as pairs, keys and values each decoded by a codec of their own. Where keys or values may be
    /// null, use an `Option` ([`Nullable`](crate::codec::Nullable)); for other options than a topic, or with timestamps, see
    /// [`Pairs`].
    ///
    /// ```
    /// use tidegate::{StreamingContext, Text, codec::{AsText, Utf8}, testing::Driver};
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     let sales = ssc.pairs::<Text, u64>("sales", Utf8, AsText);
    ///     sales.running_reduce_by_key(|a, b| a + b).to_kafka("totals", Utf8, AsText);
    /// });
    /// let written = driver.batch("sales 0 | tea | 2\nsales 1 | tea | 3\n")?; // topic, partition | key | value
    /// assert_eq!(written.to_string(), "totals | tea | 5\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn pairs<K: Data, V: Data>(
        &self,
        topic: &str,
        key: impl Decode<K> + 'static,
        value: impl Decode<V> + 'static,
    ) -> DStream<(K, V)> {
        self.builder.source(SourceOptions::topic(topic), Pairs(key, value), Location::caller())
    }

    /// The records of topics, decoded. See [`Messages`](crate::codec::Messages) to keep key, timestamp and headers with
    /// the value.
    ///
    /// ```
    /// use tidegate::{SourceOptions, StreamingContext, codec::Json, testing::Driver};
    /// #[derive(Clone, serde::Deserialize)]
    /// struct Click {
    ///     page: String,
    /// }
    /// let mut driver = Driver::new(|ssc: &StreamingContext| {
    ///     ssc.source::<Click>(SourceOptions::topic("clicks"), Json).map(|click| click.page).print();
    /// });
    /// assert_eq!(driver.batch("clicks 0 | - | {\"page\":\"home\"}\n")?.to_string(), "console | home\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn source<T: Data>(&self, options: SourceOptions, decode: impl Decode<T> + 'static) -> DStream<T> {
        self.builder.source(options, decode, Location::caller())
    }

    /// The lines that a TCP server sends, such as `nc -lk 9999`. The program connects to the server, and connects again
    /// when the connection ends (after 100 ms at first, later up to 10 s). Received lines are kept in a topic of the
    /// log until they are processed: a crash loses nothing that was received, but what is sent while nobody is
    /// connected is lost. See [`socket_text_stream_at`](Self::socket_text_stream_at).
    ///
    /// ```
    /// use std::{io::Write, net::TcpListener, sync::mpsc::channel, time::Duration};
    /// use tidegate::StreamingContext;
    /// let server = TcpListener::bind("127.0.0.1:0").unwrap(); // like `nc -lk 9999`
    /// let port = server.local_addr().unwrap().port();
    /// let app = StreamingContext::builder("NetworkWordCount").batch_interval(Duration::from_millis(100));
    /// let ssc = app.configure(|c| c.admin_bind = None).build();
    /// let words = ssc.socket_text_stream("127.0.0.1", port).flat_map(|line| line.split(' '));
    /// let counts = words.map(|word| (word, 1)).reduce_by_key(|a, b| a + b);
    /// let (sender, receiver) = channel();
    /// counts.foreach_rdd(move |rdd, _| Ok(rdd.collect().into_iter().try_for_each(|row| sender.send(row))?));
    /// ssc.start()?;
    /// server.accept().unwrap().0.write_all(b"to be or not to be\n").unwrap();
    /// let mut counted: Vec<_> = receiver.iter().take(4).collect();
    /// counted.sort();
    /// assert_eq!(counted, [("be".into(), 2), ("not".into(), 1), ("or".into(), 1), ("to".into(), 2)]);
    /// ssc.stop(false);
    /// ssc.await_termination()?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn socket_text_stream(&self, host: &str, port: u16) -> DStream<Text> {
        self.socket_text_stream_at(host, port, StorageLevel::default())
    }

    /// Like [`socket_text_stream`](Self::socket_text_stream), with a choice of where lines are kept until they are
    /// processed. The durable name is made from host and port; to choose another name, for a server that moves or that
    /// is read twice, create the receiver yourself:
    ///
    /// ```
    /// # use tidegate::{StreamingContext, source::{SocketReceiver, StorageLevel}};
    /// let ssc = StreamingContext::builder("app").build();
    /// let lines = ssc.receiver_stream("orders", SocketReceiver::new("10.0.0.7", 9999), StorageLevel::Log);
    /// lines.print();
    /// ```
    /// Kept only in memory:
    ///
    /// ```no_run
    /// use tidegate::{StreamingContext, source::StorageLevel};
    /// let ssc = StreamingContext::builder("app").build();
    /// ssc.socket_text_stream_at("localhost", 9999, StorageLevel::Memory).count().print(); // faster, lost with the process
    /// ssc.run()?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn socket_text_stream_at(&self, host: &str, port: u16, level: StorageLevel) -> DStream<Text> {
        let (name, receiver) = (socket_name(host, port), SocketReceiver::new(host, port));
        let spec = ReceiverOptions { name, receiver, level, format: None, refusal: None };
        self.builder.receiver(&self.application_id(), spec, Utf8, Location::caller())
    }

    /// The rows that your own receiver stores. `name` is durable: rows that were stored at the level `Log` are found
    /// under it after a restart. The receiver runs on its own thread in one process, and is started again when it
    /// fails.
    ///
    /// ```
    /// use tidegate::{
    ///     StreamingContext,
    ///     config::Trigger,
    ///     source::{Receiver, ReceiverContext, ReceiverError, StorageLevel},
    /// };
    /// struct Greets;
    /// impl Receiver<String> for Greets {
    ///     fn receive(&mut self, to: &ReceiverContext<String>) -> Result<(), ReceiverError> {
    ///         to.store("hello".to_owned()) // there is never anything more to receive
    ///     }
    /// }
    /// let ssc =
    ///     StreamingContext::builder("app").configure(|c| c.admin_bind = None).trigger(Trigger::AsSoonAsPossible).build();
    /// let greetings = ssc.receiver_stream("greetings", Greets, StorageLevel::Log);
    /// let (sender, receiver) = std::sync::mpsc::sync_channel(10);
    /// greetings.foreach_rdd(move |rdd, _| Ok(rdd.collect().into_iter().try_for_each(|row| sender.send(row))?));
    /// ssc.start()?;
    /// assert_eq!(receiver.recv().unwrap(), "hello");
    /// ssc.stop(true);
    /// ssc.await_termination()?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn receiver_stream<T: Value>(
        &self,
        name: &str,
        receiver: impl Receiver<T>,
        level: StorageLevel,
    ) -> DStream<T> {
        let refusal = value_refusal::<T>();
        let spec = ReceiverOptions {
            name: name.to_owned(),
            receiver,
            level,
            format: Some(stored_format::<T>()),
            refusal,
        };
        self.builder.receiver(&self.application_id(), spec, Native, Location::caller())
    }

    /// The lines of files that appear in a directory; files that exist at the first start are skipped, as in Spark. See
    /// [`file_stream`](Self::file_stream) for everything else.
    ///
    /// ```
    /// use std::{fs, time::Duration};
    /// use tidegate::StreamingContext;
    /// let dir = tempfile::tempdir().unwrap();
    /// let ssc = StreamingContext::builder("app").configure(|c| c.admin_bind = None).build();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// ssc.text_file_stream(dir.path()).foreach_rdd(move |rdd, _| Ok(rdd.iter().try_for_each(|line| sender.send(line.to_string()))?));
    /// ssc.start()?;
    /// let line = (0..).find_map(|n| {
    ///     fs::write(dir.path().join(format!("{n}.txt")), "to be\n").unwrap();
    ///     receiver.recv_timeout(Duration::from_secs(4)).ok() // a file is read once it has not changed for two seconds
    /// });
    /// assert_eq!(line.as_deref(), Some("to be"));
    /// ssc.stop(false);
    /// ssc.await_termination()?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn text_file_stream(&self, dir: impl Into<PathBuf>) -> DStream<Text> {
        self.file_stream(FileOptions::new(dir).new_files_only(), LossyText)
    }

    /// The records of files that appear in a directory, `record_bytes` each; files that exist at the first start are skipped, as in Spark. A
    /// file that ends inside a record ends the program: see [`file_stream`](Self::file_stream) for everything else.
    ///
    /// ```
    /// use std::{fs, num::NonZeroU32};
    /// use tidegate::StreamingContext;
    /// let dir = tempfile::tempdir().unwrap();
    /// let ssc = StreamingContext::builder("app").configure(|c| c.admin_bind = None).build();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let records = ssc.binary_records_stream(dir.path(), NonZeroU32::new(2).unwrap());
    /// records.foreach_rdd(move |rdd, _| Ok(rdd.iter().try_for_each(|record| sender.send(record.to_vec()))?));
    /// ssc.start()?;
    /// let record = (0..).find_map(|n| {
    ///     fs::write(dir.path().join(format!("{n}.bin")), [7, 8, 9, 10]).unwrap();
    ///     receiver.recv_timeout(std::time::Duration::from_secs(4)).ok()
    /// });
    /// assert_eq!(record, Some(vec![7, 8]));
    /// ssc.stop(false);
    /// ssc.await_termination()?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn binary_records_stream(&self, dir: impl Into<PathBuf>, record_bytes: NonZeroU32) -> DStream<Bytes> {
        let options = FileOptions::new(dir).new_files_only().record_bytes(record_bytes);
        self.file_stream(options, FixedBytes(record_bytes))
    }

    /// The lines of the files in a directory, decoded. A file is read once, identified by name and modification time,
    /// when it is complete: write it elsewhere and rename it into the directory, or write it under a name that begins
    /// with `.` or `_`, or leave it unchanged for the [settle time](FileOptions::settle_time). What was found is
    /// recorded in a topic of the log; the files themselves must stay as they are until they are processed, and must be
    /// visible to every process that may take over.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{StreamingContext, codec::Json, config::Trigger, source::FileOptions};
    /// let dir = tempfile::tempdir().unwrap();
    /// std::fs::write(dir.path().join("a.json"), "7\n8\n").unwrap();
    /// let ssc =
    ///     StreamingContext::builder("app").configure(|c| c.admin_bind = None).trigger(Trigger::AsSoonAsPossible).build();
    /// let options = FileOptions::new(dir.path()).suffix(".json").settle_time(Duration::ZERO); // files arrive complete
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// ssc.file_stream::<u32>(options, Json).foreach_rdd(move |rdd, _| Ok(rdd.iter().try_for_each(|n| sender.send(*n))?));
    /// ssc.start()?;
    /// assert_eq!([receiver.recv().unwrap(), receiver.recv().unwrap()], [7, 8]);
    /// ssc.stop(false);
    /// ssc.await_termination()?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn file_stream<T: Data>(&self, options: FileOptions, decode: impl Decode<T> + 'static) -> DStream<T> {
        self.builder.files(&self.application_id(), options, decode, Location::caller())
    }

    /// What is pushed into a queue: one element per batch, or everything that is waiting. For tests and demonstrations:
    /// what was pushed but not committed is lost with the process.
    ///
    /// ```
    /// use tidegate::{StreamingContext, source::Queue, testing::Driver};
    /// let queue = Queue::default();
    /// queue.push(vec![1, 2]);
    /// queue.push(vec![3]);
    /// let mut driver = Driver::new(|ssc: &StreamingContext| ssc.queue_stream(&queue, true).print());
    /// assert_eq!(driver.batch("")?.to_string(), "console | 1\nconsole | 2\n");
    /// assert_eq!(driver.batch("")?.to_string(), "console | 3\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn queue_stream<T: Data>(&self, queue: &Queue<T>, one_at_a_time: bool) -> DStream<T> {
        let queue = queue.clone();
        let make = move || Box::new(QueueSource::new(queue.clone(), one_at_a_time)) as Box<dyn LocalSource>;
        self.builder.local("queue_stream", "queue", Arc::new(make), Location::caller())
    }

    /// Numbers from 0 on, `rows_per_second` for each second, each with its time in milliseconds since the epoch.
    ///
    /// ```
    /// use tidegate::{StreamingContext, testing::Driver};
    /// let mut driver = Driver::new(|ssc: &StreamingContext| ssc.rate_stream(2).print());
    /// driver.batch("")?; // counted from the first batch
    /// assert_eq!(driver.batch("")?.to_string(), "console | (0,1000)\nconsole | (1,1500)\n");
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn rate_stream(&self, rows_per_second: u64) -> DStream<(u64, i64)> {
        let make = move || Box::new(RateSource::new(rows_per_second)) as Box<dyn LocalSource>;
        self.builder.local("rate_stream", "rate", Arc::new(make), Location::caller())
    }
}

/// The name of a socket's receiver, different for each valid host and port. In a topic name a dot must not be next to
/// an underscore, so dots become dashes, dashes become two dashes, and colons become underscores.
fn socket_name(host: &str, port: u16) -> String {
    let clean = |c: char| match c {
        '.' => "-".to_owned(),
        '-' => "--".to_owned(),
        ':' => "_".to_owned(),
        c if c.is_ascii_alphanumeric() => c.to_string(),
        _ => "-".to_owned(),
    };
    format!("socket-{}-{port}", host.chars().map(clean).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_different_hosts_have_different_names() {
        let hosts = ["a.b", "a-b", "ab", "a--b", "127.0.0.1", "::1", "1::1", "localhost"];
        let names: std::collections::BTreeSet<String> = hosts.iter().map(|h| socket_name(h, 1)).collect();
        assert_eq!(names.len(), hosts.len(), "{names:?}");
        assert_eq!(socket_name("127.0.0.1", 9999), "socket-127-0-0-1-9999");
        assert_eq!(socket_name("db-1.example.org", 9), "socket-db--1-example-org-9");
    }
}
