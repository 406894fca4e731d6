//! The records that a batch will send: held until all of it is computed.
//!
//! Owns them, in memory up to a bound and beyond it in a file that has no name. Knows no producer and no batch.
//! Invariants: they leave in the order in which they came; what is held is complete before the transaction
//! that sends it begins, so no function of a program ever runs while a transaction is open.

use crate::{
    error::{Error, Result},
    record::{Headers, Offset, Partition, RawChunk, RawChunkBuilder, RawRecord},
};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::PathBuf,
    sync::Arc,
};

/// Held in memory at most while the batch takes input, bytes: as much as a batch takes before it ends early.
const MEMORY_BYTES_MAX: usize = 48 << 20;
/// The same while the batch ends: what a large window gives is more than fits in memory anyway.
const ENDING_BYTES_MAX: usize = 8 << 20;

/// Records for one topic.
struct Entry {
    topic: Arc<str>,
    partition: Option<Partition>,
    records: Place,
}

/// Where records are.
enum Place {
    Memory(RawChunk),
    /// So many bytes of the file, after those of the entry before.
    File(usize),
}

/// The records of a batch, in order.
pub struct Held {
    entries: Vec<Entry>,
    bytes: usize,
    memory_bytes: usize,
    memory_bytes_max: usize,
    file: Option<File>,
    /// Where the file is made.
    directory: PathBuf,
}

impl Held {
    /// Nothing; `directory` has room for what does not fit in memory.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Held {
            entries: vec![],
            bytes: 0,
            memory_bytes: 0,
            memory_bytes_max: MEMORY_BYTES_MAX,
            file: None,
            directory,
        }
    }

    /// Nothing, with the same directory.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Held::new(self.directory.clone())
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How much is held, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds records for a topic; without `partition` they are placed by key.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn push(&mut self, topic: &Arc<str>, partition: Option<Partition>, records: RawChunk) -> Result {
        let bytes = records.memory_bytes();
        self.bytes += bytes;
        let records = if self.memory_bytes + bytes <= self.memory_bytes_max {
            self.memory_bytes += bytes;
            Place::Memory(records)
        } else {
            self.write(&records)?
        };
        self.entries.push(Entry { topic: topic.clone(), partition, records });
        Ok(())
    }

    /// The batch takes no more input: less is held in memory from now on.
    pub fn ending(&mut self) {
        self.memory_bytes_max = ENDING_BYTES_MAX;
    }

    /// Hands everything over, in order, and holds nothing afterwards.
    ///
    /// # Errors
    /// If the file cannot be read, or with the first error of `take`.
    pub fn drain<E: From<Error>>(
        &mut self,
        mut take: impl FnMut(&str, Option<Partition>, &RawChunk) -> Result<(), E>,
    ) -> Result<(), E> {
        let entries = std::mem::take(&mut self.entries);
        let mut file = self.file.take();
        self.clear();
        if let Some(file) = &mut file {
            file.seek(SeekFrom::Start(0)).map_err(self.failed("reading"))?;
        }
        for Entry { topic, partition, records } in entries {
            let records = match (records, &mut file) {
                (Place::Memory(records), _) => records,
                (Place::File(len), Some(file)) => {
                    let mut bytes = vec![0; len];
                    file.read_exact(&mut bytes).map_err(self.failed("reading"))?;
                    from_bytes(&bytes)
                }
                (Place::File(_), None) => unreachable!("an entry in the file has a file"),
            };
            take(&topic, partition, &records)?;
        }
        Ok(())
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
        (self.bytes, self.memory_bytes, self.memory_bytes_max, self.file) = (0, 0, MEMORY_BYTES_MAX, None);
    }

    fn write(&mut self, records: &RawChunk) -> Result<Place> {
        let bytes = to_bytes(records);
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile_in(&self.directory).map_err(Error::io(format!(
                "making a file in {} for the output of a large batch",
                self.directory.display()
            )))?),
        };
        file.write_all(&bytes).map_err(self.failed("writing"))?;
        Ok(Place::File(bytes.len()))
    }

    fn failed(&self, doing: &str) -> impl FnOnce(std::io::Error) -> Error + use<> {
        Error::io(format!("{doing} the output of a large batch, in {}", self.directory.display()))
    }
}

/// The length that stands for a null.
const NULL: u32 = u32::MAX;

fn to_bytes(records: &RawChunk) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(records.memory_bytes());
    let mut put = |field: Option<&[u8]>| {
        let len =
            field.map_or(NULL, |f| u32::try_from(f.len()).expect("a chunk is limited to far below 4 GiB"));
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(field.unwrap_or_default());
    };
    for record in records.iter() {
        put(Some(&record.timestamp_ms.to_le_bytes()));
        put(record.key);
        put(record.value);
        put(Some(&record.headers.len().to_le_bytes()));
        for (name, value) in record.headers.iter() {
            put(Some(name.as_bytes()));
            put(value);
        }
    }
    bytes
}

fn from_bytes(mut bytes: &[u8]) -> RawChunk {
    let mut records = RawChunkBuilder::with_capacity(0, bytes.len());
    while !bytes.is_empty() {
        let timestamp_ms = i64::from_le_bytes(fixed(&mut bytes));
        let (key, value) = (field(&mut bytes), field(&mut bytes));
        records.push(RawRecord { offset: Offset(0), timestamp_ms, key, value, headers: Headers::NONE });
        for _ in 0..usize::from_le_bytes(fixed(&mut bytes)) {
            let name = std::str::from_utf8(field(&mut bytes).unwrap_or_default()).unwrap_or_default();
            records.push_header(name, field(&mut bytes));
        }
    }
    records.build()
}

fn field<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = bytes.split_first_chunk().expect("it was written by this file");
    *bytes = rest;
    let len = u32::from_le_bytes(*len);
    (len != NULL).then(|| bytes.split_off(..len as usize).expect("it was written by this file"))
}

fn fixed(bytes: &mut &[u8]) -> [u8; 8] {
    field(bytes).and_then(|f| f.try_into().ok()).expect("it was written by this file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(n: u64, bytes: usize) -> RawChunk {
        let (key, value) = (n.to_le_bytes(), vec![7; bytes]);
        let mut chunk = RawChunkBuilder::default();
        let record = RawRecord {
            offset: Offset(0),
            timestamp_ms: -1,
            key: Some(&key),
            value: (!n.is_multiple_of(3)).then_some(value.as_slice()),
            headers: Headers::NONE,
        };
        chunk.push(record);
        chunk.push_header("name", (!n.is_multiple_of(2)).then_some(b"value"));
        chunk.build()
    }

    fn drained(held: &mut Held) -> Vec<(String, Option<u32>, String)> {
        let mut all = vec![];
        let drained = held.drain(|topic, partition, records| {
            let text = records.iter().map(|r| {
                let headers: Vec<_> = r.headers.iter().collect();
                format!("{:?} {} {:?} {headers:?}", r.key, r.timestamp_ms, r.value.map(<[u8]>::len))
            });
            all.push((topic.to_owned(), partition.map(|p| p.0), text.collect()));
            Ok::<_, Error>(())
        });
        drained.unwrap();
        all
    }

    #[test]
    fn what_does_not_fit_in_memory_leaves_in_order_all_the_same() {
        let (topic, other): (Arc<str>, Arc<str>) = ("one".into(), "two".into());
        let mut held = Held::new(std::env::temp_dir());
        for round in 0..2 {
            for n in 0..40u64 {
                let (topic, partition) =
                    if n.is_multiple_of(5) { (&other, Some(Partition(3))) } else { (&topic, None) };
                // The chunks in the middle are too large for memory, later ones are small again.
                held.push(topic, partition, chunk(n, if n.is_multiple_of(2) { 8 << 20 } else { 10 }))
                    .unwrap();
            }
            assert!(held.file.is_some() && held.bytes() > MEMORY_BYTES_MAX && !held.is_empty());
            assert!(held.memory_bytes <= MEMORY_BYTES_MAX);
            let all = drained(&mut held);
            assert_eq!(all.len(), 40, "round {round}");
            for (n, (topic, partition, text)) in (0u64..).zip(&all) {
                let expected = if n.is_multiple_of(5) { ("two", Some(3)) } else { ("one", None) };
                assert_eq!((topic.as_str(), *partition), expected);
                assert!(text.starts_with(&format!("Some({:?})", u64::to_le_bytes(n))), "{n}: {text}");
                let header = if n.is_multiple_of(2) { "None" } else { "Some([118, 97, 108, 117, 101])" };
                assert!(text.ends_with(&format!("[(\"name\", {header})]")), "{n}: {text}");
            }
            assert!(held.is_empty() && held.bytes() == 0 && held.file.is_none());
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let mut held = Held::new("/nowhere/at/all".into());
        let topic = "one".into();
        let failed = (0..40).find_map(|n| held.push(&topic, None, chunk(n + 1, 4 << 20)).err());
        assert!(failed.unwrap().to_string().contains("/nowhere/at/all"));
    }
}
