//! The output operation that writes to Postgres.
//!
//! Owns the internal topic between the program and the table. Knows no connection. Invariant: rows are committed to
//! that topic with their batch, and written from there.

use crate::{dstream::DStream, record::Value, sink::PostgresSink};

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
        self.end_in("to_postgres", &self.here(), sink);
    }
}
