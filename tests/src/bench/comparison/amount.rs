use std::time::Duration;

/// How much each row does at most.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Amount {
    /// Size of the big files.
    pub big_mib: u32,
    /// Size of the huge file.
    pub huge_mib: u32,
    /// Size of each of the files that are written and read at the same time.
    pub stream_mib: u32,
    /// Number of files of 4 KiB in each set.
    pub small_files: u32,
    /// Number of files of 300 KiB.
    pub medium_files: u32,
    /// Random reads of 128 KiB.
    pub random_reads: u32,
    /// Random reads of 4 KiB.
    pub random_small_reads: u32,
    /// Calls of `stat` in a storm.
    pub stats: u32,
    /// Disk space that has to be free: three copies of all that a round can write in its time.
    pub free_gib: u64,
    /// After so long a row ends with what it has done.
    pub row_limit: Duration,
    /// The same, for the row of the huge file.
    pub huge_limit: Duration,
}

impl Amount {
    /// What is promised to be measured.
    pub const FULL: Self = Self {
        big_mib: 1024,
        huge_mib: 8192,
        stream_mib: 512,
        small_files: 10_000,
        medium_files: 500,
        random_reads: 1000,
        random_small_reads: 4000,
        stats: 50_000,
        free_gib: 40,
        row_limit: Duration::from_secs(10),
        huge_limit: Duration::from_secs(30),
    };
    /// All of it, to see that it can be done.
    pub const QUICK: Self = Self {
        big_mib: 64,
        huge_mib: 256,
        stream_mib: 16,
        small_files: 400,
        medium_files: 50,
        random_reads: 100,
        random_small_reads: 200,
        stats: 2000,
        free_gib: 4,
        row_limit: Duration::from_secs(3),
        huge_limit: Duration::from_secs(5),
    };
}
