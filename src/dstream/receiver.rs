//! Streams of rows that this process receives or generates itself.
//!
//! Owns how a receiver becomes a source: through a topic of its own, or in memory. Knows no thread. Invariant: a
//! receiver's topic is named after the receiver, so its rows are found again after a restart.

use super::{DStream, StreamBuilder};
use crate::{
    codec::{Decode, Encode},
    plan::{Node, Place, Role},
    record::Data,
    source::{
        BadRecordPolicy, FileOptions, FileSource, MakeLocal, Receiver, ReceiverSpec, SourceSpec, Starting,
        StorageLevel, decoder,
        receiver::{self, ReceiverTarget},
    },
};
use std::{panic::Location, sync::Arc};

/// A receiver and how its rows are kept: see [`StreamingContext::receiver_stream`](crate::StreamingContext::receiver_stream).
pub struct ReceiverOptions<R> {
    /// Durable name; part of the name of its topic.
    pub name: String,
    /// The receiver.
    pub receiver: R,
    /// Where rows are kept until their batch is committed.
    pub level: StorageLevel,
    /// The format of its rows in its topic, if they are in the form of stored values.
    pub format: Option<String>,
    /// Why its rows would not come back from its topic.
    pub refusal: Option<String>,
}

impl StreamBuilder {
    /// A stream of the rows that a receiver stores; `prefix` precedes its name in the name of its topic.
    pub fn receiver<T: Data, C: Encode<T> + Decode<T> + Clone + 'static>(
        &self,
        prefix: &str,
        spec: ReceiverOptions<impl Receiver<T>>,
        codec: C,
        at: &'static Location<'static>,
    ) -> DStream<T> {
        let ReceiverOptions { name, receiver, level, format, refusal } = spec;
        let at = Place::from(at);
        self.check_name(&name, &at);
        if let Some(why) = refusal.filter(|_| level != StorageLevel::Memory) {
            self.plan()
                .mistakes
                .push(format!("{at}: {why}\n  help: `StorageLevel::Memory` needs no encoding"));
        }
        if level == StorageLevel::None {
            self.plan().mistakes.push(format!(
                "{at}: a receiver cannot have `StorageLevel::None`: its rows must be kept until their batch is committed\n  help: `StorageLevel::Log` keeps them over a crash, `StorageLevel::Memory` does not"
            ));
        }
        let (receiver, target, role) = match level {
            StorageLevel::Log | StorageLevel::MemoryAndDisk | StorageLevel::None => {
                let topic = format!("{prefix}-ingest-{name}");
                let source = SourceSpec {
                    topics: vec![topic.clone()],
                    decoder: decoder(codec.clone()),
                    pattern: None,
                    policy: BadRecordPolicy::Fail,
                    format,
                    starting: Some(Starting::Earliest),
                };
                let encode: Arc<dyn Encode<T>> = Arc::new(codec);
                let target = ReceiverTarget::Topic { name: topic, compact: false };
                (receiver::erased(receiver, Some(encode)), target, Role::Source(source))
            }
            StorageLevel::Memory => {
                let (target, local) = receiver::in_memory();
                (receiver::erased(receiver, None), target, Role::Local(local))
            }
        };
        self.plan().receivers.push(ReceiverSpec { name: name.clone(), target, receiver, catches_up: false });
        self.add(Node::new(&self.operation(at), "receiver", name, role))
    }

    /// The name of a receiver is part of its topic's name, and must be unique.
    fn check_name(&self, name: &str, at: &Place) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let mut plan = self.plan();
        if name.is_empty() || name.len() > 100 || !name.chars().all(allowed) {
            plan.mistakes.push(format!(
                "{at}: the name `{name}` cannot be part of a topic's name\n  help: use 1 to 100 characters of a-z A-Z 0-9 . _ -"
            ));
        } else if plan.receivers.iter().any(|f| f.name == name) {
            plan.mistakes.push(format!(
                "{at}: there is a receiver called `{name}` already\n  help: use its stream twice, or choose another name: `receiver_stream(\"name\", ..)`"
            ));
        }
    }

    /// A stream of the lines of the files in a directory; `prefix` precedes its name in the name of its topic.
    pub fn files<T: Data>(
        &self,
        prefix: &str,
        options: FileOptions,
        decode: impl Decode<T> + 'static,
        at: &'static Location<'static>,
    ) -> DStream<T> {
        let FileSource { name, policy, lister, decoder } = options.source(decode);
        self.check_name(&name, &Place::from(at));
        let topic = format!("{prefix}-ingest-{name}");
        let source = SourceSpec {
            topics: vec![topic.clone()],
            pattern: None,
            decoder,
            format: None,
            policy,
            starting: Some(Starting::Earliest),
        };
        let target = ReceiverTarget::Topic { name: topic, compact: true };
        let spec = ReceiverSpec { name: name.clone(), target, receiver: lister, catches_up: true };
        self.plan().receivers.push(spec);
        self.add(Node::new(&self.operation(at), "file_stream", name, Role::Source(source)))
    }

    /// A stream of rows that this process generates.
    pub fn local<T: Data>(
        &self,
        kind: &'static str,
        name: &str,
        make: MakeLocal,
        at: &'static Location<'static>,
    ) -> DStream<T> {
        self.add(Node::new(&self.operation(at), kind, name.to_owned(), Role::Local(make)))
    }
}
