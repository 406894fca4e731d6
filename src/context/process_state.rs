//! The state directory of a process, and the identity of the process.
//!
//! Owns the choice of the storage. Knows no stream. Invariant: a directory is used by one process at a time.

use crate::{
    config::Config,
    error::Result,
    log,
    record::{Incarnation, InstanceId},
    state::{MemoryStorage, RocksMemory, RocksStorage, StateDirectory, Storage},
};
use std::{io::Read, path::Path, sync::Arc};

/// Where a program without state keeps the name of its process.
const IDENTITY_DIR: &str = ".state";

/// The identity of this process, and where its state lives.
pub(super) struct ProcessState {
    pub storage: Arc<dyn Storage>,
    pub instance: InstanceId,
    pub incarnation_before: Incarnation,
    /// Holds the lock. `None` with a log in memory, which ends with the process, and so does its state.
    pub directory: Option<StateDirectory>,
}

impl ProcessState {
    /// Opens both; databases share `memory` with those of other programs, if there is one.
    pub fn open(config: &Config, memory: Option<&RocksMemory>) -> Result<Self> {
        if log::ends_with_process(&config.bootstrap) {
            let instance = InstanceId(config.instance_id.as_deref().unwrap_or("memory").into());
            let storage = Arc::new(MemoryStorage::default());
            return Ok(ProcessState {
                storage,
                instance,
                incarnation_before: Incarnation(0),
                directory: None,
            });
        }
        let state_dir = config.state_dir.as_deref().unwrap_or(Path::new(IDENTITY_DIR));
        let directory = StateDirectory::open(state_dir, &config.application_id)?;
        let random = |bits: &mut [u8]| std::fs::File::open("/dev/urandom")?.read_exact(bits);
        let instance = directory.instance_id(config.instance_id.as_deref(), random)?;
        let this = directory.next_incarnation(Incarnation(1))?;
        let storage = match memory {
            Some(memory) => RocksStorage::sharing(directory.databases(), memory),
            None => RocksStorage::new(directory.databases(), config.state_memory_bytes)?,
        };
        let storage = Arc::new(storage);
        let incarnation_before = Incarnation(this.0 - 1);
        Ok(ProcessState { storage, instance, incarnation_before, directory: Some(directory) })
    }
}
