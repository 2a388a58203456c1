use clap::ValueEnum;
use serde::Serialize;

/// What is measured, in the order in which it is. `DESIGN.md` says what each does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "`DESIGN.md` has a table of them")]
pub enum Row {
    MediumStored,
    Write,
    WriteSynced,
    WriteStreams,
    WriteHuge,
    Create,
    CreateThreads,
    CreateSynced,
    CreateSyncedThreads,
    Delete,
    DeleteThreads,
    ReadCold,
    ReadWarm,
    ReadStreams,
    ReadRandom,
    ReadRandomSmall,
    ReadSmall,
    ReadSmallThreads,
    ListNames,
    ListStat,
    StatStorm,
    ReadTwoLost,
}

/// What the figure of a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Speed of bytes.
    #[serde(rename = "MiB/s")]
    Mib,
    /// Speed of files, entries or calls.
    #[serde(rename = "files/s")]
    Files,
    /// Disk space for each byte that was written; less is better.
    #[serde(rename = "stored/byte")]
    Stored,
}

/// The state of a subject that a row needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// As it was started.
    Started,
    /// All daemons and the mount started again, nothing of it in memory.
    Cold,
    /// The same, and then two nodes killed.
    TwoLost,
}

impl Row {
    /// All of them.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::MediumStored => "disk bytes per user byte, 300 KiB files",
            Self::Write => "write sequential",
            Self::WriteSynced => "write sequential, synced",
            Self::WriteStreams => "write 4 streams, synced",
            Self::WriteHuge => "write huge file, synced, once",
            Self::Create => "create 4 KiB, 1 thread",
            Self::CreateThreads => "create 4 KiB, 16 threads",
            Self::CreateSynced => "create 4 KiB, synced, 1 thread",
            Self::CreateSyncedThreads => "create 4 KiB, synced, 16 threads",
            Self::Delete => "delete, 1 thread",
            Self::DeleteThreads => "delete, 16 threads",
            Self::ReadCold => "read cold",
            Self::ReadWarm => "read warm",
            Self::ReadStreams => "read 4 streams cold",
            Self::ReadRandom => "read random 128 KiB cold",
            Self::ReadRandomSmall => "read random 4 KiB cold",
            Self::ReadSmall => "read 4 KiB files cold, 1 thread",
            Self::ReadSmallThreads => "read 4 KiB files cold, 16 threads",
            Self::ListNames => "list names",
            Self::ListStat => "list with stat",
            Self::StatStorm => "stat storm, 16 threads",
            Self::ReadTwoLost => "read cold, two nodes dead",
        }
    }

    /// What its figure is.
    pub fn unit(self) -> Unit {
        match self {
            Self::MediumStored => Unit::Stored,
            Self::Write
            | Self::WriteSynced
            | Self::WriteStreams
            | Self::WriteHuge
            | Self::ReadCold
            | Self::ReadWarm
            | Self::ReadStreams
            | Self::ReadRandom
            | Self::ReadRandomSmall
            | Self::ReadTwoLost => Unit::Mib,
            _ => Unit::Files,
        }
    }

    pub(super) fn phase(self) -> Phase {
        match self {
            Self::ReadTwoLost => Phase::TwoLost,
            row if row < Self::ReadCold => Phase::Started,
            _ => Phase::Cold,
        }
    }

    /// Rows whose files it works on. Each is before it in the order.
    pub(super) fn needs(self) -> &'static [Self] {
        match self {
            Self::Delete => &[Self::Create],
            Self::DeleteThreads => &[Self::CreateThreads],
            Self::ReadCold => &[Self::WriteSynced],
            Self::ReadWarm | Self::ReadTwoLost => &[Self::WriteSynced, Self::ReadCold],
            Self::ReadStreams => &[Self::WriteStreams],
            Self::ReadRandom | Self::ReadRandomSmall => &[Self::Write],
            Self::ReadSmall => &[Self::CreateSynced],
            Self::ReadSmallThreads => &[Self::CreateSyncedThreads],
            Self::ListNames | Self::ListStat | Self::StatStorm => &[Self::CreateSynced, Self::CreateSyncedThreads],
            _ => &[],
        }
    }

    /// Bytes of the files of a row that promises them on stable storage; `None` where nothing is promised.
    pub(super) fn synced_file_bytes(self) -> Option<u64> {
        match self {
            Self::WriteSynced | Self::WriteStreams | Self::WriteHuge => Some(1 << 20),
            Self::CreateSynced | Self::CreateSyncedThreads => Some(4096),
            _ => None,
        }
    }

    /// Whether each of its files waits for a change of its own that is committed before the next one begins. Of threads that
    /// delete the kernel lets one at a time into a directory.
    pub(super) fn commits_one_by_one(self) -> bool {
        matches!(self, Self::CreateSynced | Self::Delete | Self::DeleteThreads)
    }

    /// Whether it writes what users store, so that bytes written to disk can be told for each byte of it.
    pub(super) fn writes(self) -> bool {
        self < Self::Delete
    }

    /// Whether it is measured in the first round alone.
    pub(super) fn is_once(self) -> bool {
        self == Self::WriteHuge
    }
}

impl Unit {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mib => "MiB/s",
            Self::Files => "files/s",
            Self::Stored => "bytes",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Row;

    #[test]
    fn what_a_row_needs_is_measured_before_it() {
        for row in Row::all() {
            assert!(row.needs().iter().all(|needed| needed < row && needed.phase() <= row.phase()), "{row:?}");
        }
    }

    #[test]
    fn the_order_of_rows_enters_each_state_once() {
        let phases: Vec<_> = Row::all().iter().map(|row| row.phase()).collect();
        assert!(phases.is_sorted(), "{phases:?}");
    }
}
