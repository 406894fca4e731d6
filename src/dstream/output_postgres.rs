//! The output operation that writes to Postgres.
//!
//! Owns the internal topic between the program and the table. Knows no connection. Invariant: rows are committed to
//! that topic with their batch, and written from there.

use super::DStream;
use crate::{
    operator::Operator,
    plan::{Factory, Layout, Role},
    record::{RawChunkBuilder, Value},
    sink::{PostgresSink, TopicSink, outbox::OutboxSpec},
};
use std::{panic::Location, sync::Arc};

impl<T: Value> DStream<T> {
    /// Writes rows to a Postgres table, each exactly once. They are committed with their batch in the topic
    /// `<application id>-postgres-<name>`; one process writes them from there, together with the position in that
    /// topic, which it keeps in the table `tidegate_positions` of the same database (created if missing). Rows thus
    /// reach the table a moment after their batch, in its order. A row that Postgres refuses stops the program with
    /// a message; it is kept, and is written once the table accepts it.
    ///
    /// ```no_run
    /// use tidegate::{PostgresSink, StreamingContext};
    /// let ssc = StreamingContext::builder("app").checkpoint("state").build();
    /// let words = ssc.socket_text_stream("localhost", 9999);
    /// let counts = words.map(|word| (word, 1i64)).running_reduce_by_key(|a, b| a + b);
    /// // CREATE TABLE counts (word text PRIMARY KEY, n bigint)
    /// counts.to_postgres(PostgresSink::new("postgres://me@localhost/db", "counts").columns(["word", "n"]).upsert(["word"]));
    /// ssc.run()?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    #[track_caller]
    pub fn to_postgres(&self, sink: PostgresSink) {
        let at = Location::caller();
        let name = format!("postgres-{}", sink.name);
        let make = match sink.drain() {
            Ok(make) => make,
            Err(why) => return self.builder.plan().mistakes.push(format!("{at}: `to_postgres`: {why}")),
        };
        let topic: Arc<str> = format!("{}-{name}", self.builder.application()).into();
        if self.builder.plan().outboxes.iter().any(|d| d.name == name) {
            let what = format!(
                "{at}: `{}` is written to twice\n  help: name one of the outputs: `.named(\"...\")`",
                sink.name
            );
            self.builder.plan().mistakes.push(what);
        }
        self.builder.plan().outboxes.push(OutboxSpec { name, topic: topic.clone(), positions: None, make });
        let encode = sink.encoder::<T>();
        let encode = Arc::new(move |row: &T, out: &mut RawChunkBuilder| {
            out.push_with(-1, None, |bytes| encode(row, bytes).map(|()| true))
        });
        let to = topic.clone();
        let factory: Factory =
            Arc::new(move |_| Box::new(TopicSink::new(to.clone(), encode.clone())) as Box<dyn Operator>);
        let role = Role::Sink { factory, topic: Some(topic), two_phase: None };
        let _: DStream<()> = self.then("to_postgres", at, Layout::Any, role);
    }
}
