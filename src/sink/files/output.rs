//! Rows of a batch on their way into files.
//!
//! Owns which rows go where. Knows no format. Invariants: rows are encoded in tasks, so a row that cannot be
//! encoded is handled as a bad record; a file holds rows of one task and one batch; nothing is written for a
//! batch without rows; shares of a batch are finished only once all of them are seen here.

use super::{
    content::{Content, FileFormat},
    format::write,
    pending::{Pending, SHARE},
    place::Place,
};
use crate::{
    error::{Error, Failure, Reaction, Result, Stage},
    operator::{Batch, Context, Operator, Output, Port},
    record::{BatchTime, Chunk, Data, Map, hash_bytes},
    sink::two_phase::{Collected, TwoPhaseContext, TwoPhaseSink},
};
use serde::{Deserialize, Serialize};
use std::{
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How long after its time a share is kept that no process has named, in milliseconds of batch time.
const ABANDONED_MS: i64 = 24 * 60 * 60 * 1_000;

/// The folder of a row, from the row and the time of its batch.
pub type FolderOf<T> = Arc<dyn Fn(&T, BatchTime) -> Result<String> + Send + Sync>;

/// Encoded rows of one task for one folder.
struct Block {
    folder: String,
    content: Content,
}

/// Encodes rows and passes them to the output of its node.
pub struct EncodeFiles<T> {
    format: Arc<dyn FileFormat<T>>,
    folder: Option<FolderOf<T>>,
    rows: PhantomData<fn(T)>,
}

impl<T> EncodeFiles<T> {
    /// Without `folder` all rows go to the root.
    #[must_use]
    pub fn new(format: Arc<dyn FileFormat<T>>, folder: Option<FolderOf<T>>) -> Self {
        EncodeFiles { format, folder, rows: PhantomData }
    }
}

impl<T: Data> Operator for EncodeFiles<T> {
    fn process(&mut self, _: Port, chunk: Chunk, cx: &mut Context<'_>) -> Result {
        let rows = chunk.view::<Vec<T>>();
        let mut folders: Map<String, Vec<&T>> = Map::default();
        for row in rows {
            let folder = self.folder.as_ref().map_or_else(|| Ok(String::new()), |f| f(row, cx.batch.time))?;
            folders.entry(folder).or_default().push(row);
        }
        let node = cx.out.node();
        for (folder, rows) in folders {
            let block = Block { folder, content: self.format.encode(&rows)? };
            let bytes = block.content.bytes();
            let chunk = Chunk::sized(block, rows.len(), bytes);
            cx.out.output(Output::Collected { node, from: cx.out.upstream.clone(), chunk });
        }
        Ok(())
    }
}

/// Rows of one chunk for one folder, encoded.
#[cfg(feature = "sql")]
pub struct FileBlock {
    /// The folder, below the root; empty = the root itself.
    pub folder: String,
    /// The rows.
    pub content: Content,
    /// How many they are.
    pub rows: usize,
}

/// Encodes whole chunks, whatever they are, for files.
#[cfg(feature = "sql")]
pub trait EncodeBlocks: Send + Sync {
    /// The rows of a chunk, folder by folder.
    ///
    /// # Errors
    /// If a row has no form.
    fn blocks(&self, chunk: &Chunk) -> Result<Vec<FileBlock>>;
}

/// Passes what is encoded of whole chunks to the output of its node.
#[cfg(feature = "sql")]
pub struct EncodeChunks(pub Arc<dyn EncodeBlocks>);

#[cfg(feature = "sql")]
impl Operator for EncodeChunks {
    fn process(&mut self, _: Port, chunk: Chunk, cx: &mut Context<'_>) -> Result {
        let node = cx.out.node();
        for FileBlock { folder, content, rows } in self.0.blocks(&chunk)? {
            let bytes = content.bytes();
            let chunk = Chunk::sized(Block { folder, content }, rows, bytes);
            cx.out.output(Output::Collected { node, from: cx.out.upstream.clone(), chunk });
        }
        Ok(())
    }
}

/// What the meta topic says about a batch.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Prepared {
    /// Its files are those in `from`.
    Whole {
        /// The folder of its pending files, below the root.
        from: PathBuf,
        /// The folder of its final files, below the root.
        to: String,
    },
    /// Its files are those in all of `shares`.
    Shares {
        /// The folders of its pending files, below the root, of any process.
        shares: Vec<PathBuf>,
        /// The folder of its final files, below the root.
        to: String,
        /// Its time.
        time: BatchTime,
    },
}

impl Prepared {
    fn folders(&self) -> &[PathBuf] {
        match self {
            Prepared::Whole { from, .. } => std::slice::from_ref(from),
            Prepared::Shares { shares, .. } => shares,
        }
    }
}

/// Files as an output of a plan.
pub struct FileOutput {
    place: Place,
    pending: Pending,
    incarnation: String,
}

impl FileOutput {
    /// The output of one process.
    #[must_use]
    pub fn new(place: Place, context: &TwoPhaseContext) -> Self {
        let output = format!("{:016x}", hash_bytes(place.name().as_bytes()));
        let path = [&*context.application, &*context.instance, &output];
        let pending = Pending::new(Path::new(place.root()), path, &context.instance);
        FileOutput { place, pending, incarnation: String::new() }
    }

    fn parse(&self, prepared: &[u8]) -> Result<Prepared> {
        serde_json::from_slice(prepared).map_err(|e| {
            Error::Refused(format!(
                "the meta topic's row of the output `{}` is not ours: {e}",
                self.place.name()
            ))
        })
    }

    fn to_bytes(&self, prepared: &Prepared) -> Result<Vec<u8>> {
        serde_json::to_vec(prepared).map_err(|e| Error::Output(format!("{}: {e}", self.place.name())))
    }

    /// Writes the files of a batch into a pending folder of this name.
    fn write(&self, name: &str, batch: &Batch, rows: Collected) -> Result<Option<Vec<u8>>> {
        if rows.is_empty() {
            return Ok(None);
        }
        let from = self.pending.folder(name)?;
        for (task, chunks) in rows.chunks() {
            let mut folders: Map<&str, Vec<&Content>> = Map::default();
            for block in chunks.iter().map(Chunk::view::<Block>) {
                folders.entry(&block.folder).or_default().push(&block.content);
            }
            let file = self.place.file(task.0, batch.time);
            for (folder, contents) in folders {
                self.pending.write(&from, &Path::new(folder).join(&file), |file| write(&contents, file))?;
            }
        }
        self.to_bytes(&Prepared::Whole { from, to: self.place.folder(batch.time) }).map(Some)
    }
}

impl TwoPhaseSink for FileOutput {
    fn recover(&mut self, incarnation: &str, committed: &[Vec<u8>]) -> Result {
        incarnation.clone_into(&mut self.incarnation);
        committed.iter().try_for_each(|prepared| self.finish(prepared))?;
        self.pending.discard_all()
    }

    fn prepare(&mut self, batch: &Batch, rows: Collected) -> Result<Option<Vec<u8>>> {
        self.write(&format!("{}-{}", self.incarnation, batch.id), batch, rows)
    }

    fn prepare_share(&mut self, batch: &Batch, rows: Collected) -> Result<Option<Vec<u8>>> {
        let share = self.write(&share_name(batch, &self.incarnation), batch, rows)?;
        if let Some(mark) = self.place.mark().filter(|_| share.is_some())
            && crate::failpoint::passes("mutant-success-early")
        {
            self.pending.mark(Path::new(&self.place.folder(batch.time)), mark)?;
        }
        Ok(share)
    }

    fn join_shares(&mut self, batch: &Batch, shares: Vec<Vec<u8>>) -> Result<Vec<u8>> {
        let mut folders: Vec<PathBuf> = vec![];
        for share in shares {
            folders.extend_from_slice(self.parse(&share)?.folders());
        }
        folders.sort();
        if let Some(missing) = self.pending.missing(&folders)? {
            let what = format!(
                "the folder {}, which another process wrote for the batch of {}, is not seen here\n  next: let all processes see the same file system at this path, or start without --shared-files: then one process runs, and others stand by",
                missing.display(),
                batch.time
            );
            // Whoever finds it so may also be behind: then another process has finished the batch, and this one is about to learn that.
            return Err(Failure::new(Stage::Commit, Reaction::AbortReplay, what).into());
        }
        let (to, time) = (self.place.folder(batch.time), batch.time);
        self.to_bytes(&Prepared::Shares { shares: folders, to, time })
    }

    fn finish(&mut self, prepared: &[u8]) -> Result {
        let prepared = self.parse(prepared)?;
        let (Prepared::Whole { to, .. } | Prepared::Shares { to, .. }) = &prepared;
        self.pending.finish(prepared.folders(), Path::new(to), self.place.mark())?;
        if let Prepared::Shares { time, .. } = prepared {
            self.pending.discard_shares(|name| is_abandoned(name, time))?;
        }
        Ok(())
    }

    fn discard(&mut self, prepared: &[u8]) -> Result {
        self.parse(prepared)?.folders().iter().try_for_each(|folder| self.pending.discard(folder))
    }
}

/// The name of a pending folder that holds the share of a process in a batch.
fn share_name(batch: &Batch, incarnation: &str) -> String {
    format!("{SHARE}{}-{incarnation}-{}", batch.time, batch.id)
}

/// Whether a pending folder of a share belongs to nobody any more once the batch of `finished` is finished: the process that wrote it
/// has died before it was committed. A share of a recent time may be of an upstream whose batches come late.
fn is_abandoned(name: &str, finished: BatchTime) -> bool {
    let time = name.strip_prefix(SHARE).and_then(|rest| rest.split('-').next()?.parse::<i64>().ok());
    time.is_some_and(|time| time.saturating_add(ABANDONED_MS) < finished.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchId;

    #[test]
    fn rows_of_the_meta_topic_are_told_apart() {
        let whole = r#"{"from":".tidegate-pending/_a/_b/_c/1-x-1","to":"words-1000"}"#; // as an earlier version wrote it
        let shares =
            Prepared::Shares { shares: vec!["p".into()], to: "words-1000".into(), time: BatchTime(1_000) };
        let parsed: Prepared = serde_json::from_str(whole).unwrap();
        assert_eq!(parsed.folders(), [PathBuf::from(".tidegate-pending/_a/_b/_c/1-x-1")]);
        let text = serde_json::to_string(&shares).unwrap();
        assert_eq!(text, r#"{"shares":["p"],"to":"words-1000","time":1000}"#);
        assert_eq!(serde_json::from_str::<Prepared>(&text).unwrap(), shares);
    }

    #[test]
    fn a_share_is_abandoned_a_day_after_its_time() {
        let name = share_name(&Batch::new(BatchId(7), BatchTime(5_000)), "3-00ff");
        assert_eq!(name, "share-5000-3-00ff-7");
        assert!(!is_abandoned(&name, BatchTime(5_000 + ABANDONED_MS)));
        assert!(is_abandoned(&name, BatchTime(5_001 + ABANDONED_MS)));
        assert!(!is_abandoned("3-00ff-7", BatchTime(i64::MAX)), "what one process finishes by itself");
    }
}
