//! How large the tests are: small enough for every change, or the figures the project promises.

use std::time::Duration;

/// Sizes of the end-to-end tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Size of the big file.
    pub big_file_bytes: u64,
    /// All bytes of the files that lose their nodes.
    pub repaired_bytes: u64,
    /// Files in a tree.
    pub tree_files: usize,
    /// Size of each of the four files that are written at once.
    pub parallel_file_bytes: u64,
    /// How often a test of the key-value service loads and faults its group.
    pub iterations: u32,
    /// How long it does so each time.
    pub iteration: Duration,
    /// Puts after which the log and the snapshot must still be small.
    pub puts: u64,
    /// Keys that a listing shows.
    pub listed_keys: u32,
    /// How often the power of a disk is cut.
    pub power_cuts: u32,
    /// Bits that flip in tables.
    pub bit_flips: u32,
    /// How long masters are killed and started again.
    pub kill_masters: Duration,
    /// How often the elected master is killed while there is work in the background.
    pub master_kills: u32,
    /// Small files that nodes share.
    pub small_files: u64,
    /// How long the elected master is stopped: longer than its lease and the buffer.
    pub stop_master: Duration,
}

const MIB: u64 = 1 << 20;

/// For every change: minutes on two cores.
pub const EVERY_CHANGE: Scale = Scale {
    big_file_bytes: 256 * MIB,
    repaired_bytes: 256 * MIB,
    tree_files: 200,
    parallel_file_bytes: 512 * MIB,
    iterations: 1,
    iteration: Duration::from_secs(2),
    puts: 10_000,
    listed_keys: 5_000,
    power_cuts: 2,
    bit_flips: 60,
    kill_masters: Duration::from_secs(10),
    master_kills: 5,
    small_files: 2_000,
    stop_master: Duration::from_secs(7),
};
/// The promised figures.
pub const FULL: Scale = Scale {
    big_file_bytes: 1024 * MIB,
    repaired_bytes: 5 * 1024 * MIB,
    tree_files: 1000,
    parallel_file_bytes: 2048 * MIB,
    iterations: 3,
    iteration: Duration::from_secs(5),
    puts: 100_000,
    listed_keys: 1_000_000,
    power_cuts: 50,
    bit_flips: 1000,
    kill_masters: Duration::from_mins(2),
    master_kills: 50,
    small_files: 10_000,
    stop_master: Duration::from_secs(30),
};

impl Scale {
    /// [`FULL`] where `CAIRN_FULL=1` is set, [`EVERY_CHANGE`] otherwise.
    #[must_use]
    pub fn from_environment() -> Self {
        if std::env::var_os("CAIRN_FULL").is_some_and(|value| value == "1") { FULL } else { EVERY_CHANGE }
    }
}
