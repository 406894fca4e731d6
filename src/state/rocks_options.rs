//! How the databases are tuned: many small ones in one process, under one memory budget.
//!
//! Owns every `RocksDB` setting. Knows no partition and no row. Invariants: block cache, index, filters and write
//! buffers of all databases together stay within the budget, as a soft limit (a write never waits for a flush to make
//! room); there are few background threads, and all databases share them.

use crate::error::{Error, Result};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DataBlockIndexType, Env, LogLevel,
    LruCacheOptions, Options, WriteBufferManager,
};

/// What all databases of the process share.
pub(super) struct Shared {
    cache: Cache,
    write_buffers: WriteBufferManager,
    write_buffer_bytes: usize,
    env: Env,
}

const MIB: usize = 1 << 20;
/// From this size on the cache has four shards, so that threads wait less for each other.
const SHARDED_BYTES: usize = 64 * MIB;
/// About how many bytes of write log a restart reads again at most, for each database.
pub(super) const WRITE_LOG_BYTES: usize = 4 * MIB;

impl Shared {
    pub fn new(memory_bytes: usize) -> Result<Self> {
        let mut lru = LruCacheOptions::default();
        lru.set_capacity(memory_bytes);
        // A table's filter is one block of about one MiB: in many small shards such blocks evict each other, and every
        // lookup reads them from the file again.
        lru.set_num_shard_bits(if memory_bytes < SHARDED_BYTES { 0 } else { 2 });
        let cache = Cache::new_lru_cache_opts(&lru);
        // Write buffers are charged to the cache, so one number limits both. Their content is read from the write log
        // again after a crash: keeping them to a small part of the budget keeps restarts short.
        let write_buffers =
            WriteBufferManager::new_write_buffer_manager_with_cache(memory_bytes / 4, false, cache.clone());
        let mut env = Env::new().map_err(|e| Error::State(format!("RocksDB has no environment: {e}")))?;
        env.set_low_priority_background_threads(1);
        env.set_high_priority_background_threads(1);
        let write_buffer_bytes = (memory_bytes / 12).clamp(MIB, 8 * MIB);
        Ok(Shared { cache, write_buffers, write_buffer_bytes, env })
    }

    /// Settings of a database.
    pub fn database(&self) -> Result<Options> {
        // Each log file names the one before it, and at least one must exist, so that a missing one is noticed.
        let mut o = Options::default()
            .get_options_from_string("track_and_verify_wals=true")
            .map_err(|e| Error::State(format!("RocksDB refuses a setting: {e}")))?;
        o.create_if_missing(true);
        o.create_missing_column_families(true);
        o.set_env(&self.env);
        o.set_write_buffer_manager(&self.write_buffers);
        // All stores are flushed together: whatever a damaged log loses, the record and the rows stay consistent with
        // each other.
        o.set_atomic_flush(true);
        // A restart reads the write logs of all databases again.
        o.set_max_total_wal_size(WRITE_LOG_BYTES as u64);
        o.set_max_background_jobs(2);
        o.set_max_open_files(64);
        o.set_max_file_opening_threads(1);
        o.set_skip_stats_update_on_db_open(true);
        o.set_stats_dump_period_sec(0);
        o.set_stats_persist_period_sec(0);
        o.set_log_level(LogLevel::Warn);
        o.set_max_log_file_size(MIB);
        o.set_keep_log_file_num(2);
        o.set_manifest_preallocation_size(64 << 10);
        Ok(o)
    }

    /// Settings of a store in it.
    pub fn store(&self) -> Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        table.set_block_size(8 << 10);
        table.set_bloom_filter(10.0, false);
        table.set_optimize_filters_for_memory(true);
        table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        // Index and filter are split into small blocks: only the part that a key needs is in the cache, so state may
        // be many times larger than the budget. The small top level of each stays in the cache.
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        table.set_metadata_block_size(8 << 10);
        table.set_pin_top_level_index_and_filter(true);
        let mut o = Options::default();
        o.set_block_based_table_factory(&table);
        o.set_compression_type(DBCompressionType::Lz4);
        o.set_write_buffer_size(self.write_buffer_bytes);
        o.set_arena_block_size(128 << 10);
        // Keys that are not in a write buffer (most of a batch's keys) are not searched there.
        o.set_memtable_prefix_bloom_ratio(0.02);
        o.set_memtable_whole_key_filtering(true);
        o.set_max_write_buffer_number(4);
        o.set_target_file_size_base(16 * MIB as u64);
        o.set_max_bytes_for_level_base(64 * MIB as u64);
        o
    }
}
