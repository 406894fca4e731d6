//! Rows of a batch on their way into files.
//!
//! Owns which rows go where. Knows no format. Invariants: rows are encoded in tasks, so a row that cannot be
//! encoded is handled as a bad record; a file holds rows of one task and one batch; nothing is written for a
//! batch without rows.

use super::{
    content::{Content, FileFormat},
    format::write,
    pending::Pending,
    place::Place,
};
use crate::{
    error::{Error, Result},
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

/// What the meta topic says about a batch: its files are those in `from`.
#[derive(Debug, Serialize, Deserialize)]
struct Prepared {
    /// The folder of its pending files, below the root.
    from: PathBuf,
    /// The folder of its final files, below the root.
    to: String,
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
}

impl TwoPhaseSink for FileOutput {
    fn recover(&mut self, incarnation: &str, committed: &[Vec<u8>]) -> Result {
        incarnation.clone_into(&mut self.incarnation);
        committed.iter().try_for_each(|prepared| self.finish(prepared))?;
        self.pending.discard_all()
    }

    fn prepare(&mut self, batch: &Batch, rows: Collected) -> Result<Option<Vec<u8>>> {
        if rows.is_empty() {
            return Ok(None);
        }
        let from = self.pending.folder(&format!("{}-{}", self.incarnation, batch.id))?;
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
        let prepared = Prepared { from, to: self.place.folder(batch.time) };
        serde_json::to_vec(&prepared)
            .map(Some)
            .map_err(|e| Error::Output(format!("{}: {e}", self.place.name())))
    }

    fn finish(&mut self, prepared: &[u8]) -> Result {
        let Prepared { from, to } = self.parse(prepared)?;
        self.pending.finish(&from, Path::new(&to), self.place.mark())
    }

    fn discard(&mut self, prepared: &[u8]) -> Result {
        self.pending.discard(&self.parse(prepared)?.from)
    }
}
