use crate::client::ClientError;

/// Why an operation of the file system failed. `errno.rs` says what a program sees of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FsError {
    /// No such name.
    #[error("no such file")]
    NotFound,
    /// The name exists and must not.
    #[error("the file exists")]
    Exists,
    /// A name that is too long for a directory entry.
    #[error("a file name has at most {limit_bytes} bytes, this one {length_bytes}")]
    NameTooLong {
        /// Bytes of the name.
        length_bytes: usize,
        /// Bytes that a name may have.
        limit_bytes: usize,
    },
    /// A name that is not UTF-8.
    #[error("file names are UTF-8, this one is not")]
    NameNotUtf8,
    /// A name that can be no key.
    #[error("no valid file name: {why}")]
    InvalidName {
        /// What is wrong with it.
        why: String,
    },
    /// What this file system never does.
    #[error("{what}: the directory is flat and keeps regular files only")]
    NotPermitted {
        /// What was asked for.
        what: &'static str,
    },
    /// What this file system does not do.
    #[error("{what} is not supported")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// A file without such an extended attribute.
    #[error("no such attribute")]
    NoAttribute,
    /// The process that wrote the file was killed, and the mount keeps nothing of such files.
    #[error("signal {signal} killed the writer; what it wrote since the last commit is given up")]
    WriterKilled {
        /// The signal.
        signal: u32,
    },
    /// An argument without meaning.
    #[error("{why}")]
    InvalidArgument {
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file, or a hole in it, larger than can be written.
    #[error("{length_bytes} bytes are more than the {limit_bytes} that {what} may have")]
    TooLarge {
        /// File or hole.
        what: &'static str,
        /// The length asked for.
        length_bytes: u64,
        /// The largest length.
        limit_bytes: u64,
    },
    /// No such handle, or one that was not opened for this.
    #[error("the handle is not open for this")]
    BadHandle,
    /// The directory, where a file is needed.
    #[error("it is the directory")]
    IsDirectory,
    /// A file, where the directory is needed.
    #[error("it is not the directory")]
    NotDirectory,
    /// The name may stand for another file now. The kernel looks the name up again by itself and repeats the call.
    #[error("the name may stand for another file now; look it up again")]
    LookAgain,
    /// Someone else re-pointed the key, so what was written here cannot be committed.
    #[error("key {key:?} was changed by someone else; write the file again")]
    Replaced {
        /// The key.
        key: String,
    },
    /// An earlier operation on the file broke off half way.
    #[error("an earlier operation on the file broke off half way; write it again")]
    Unfinished,
    /// The request took longer than its deadline; it goes on, and its outcome is unknown.
    #[error("no answer in {deadline_ms} ms; the operation goes on, its outcome is unknown")]
    DeadlinePassed {
        /// The deadline.
        deadline_ms: u64,
    },
    /// The operation panicked.
    #[error("internal error: {why}")]
    Internal {
        /// What is known of it.
        why: String,
    },
    /// The store below says no.
    #[error(transparent)]
    Store(#[from] ClientError),
}

impl FsError {
    /// Whether it is no failure but an everyday answer, which goes into no log.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        matches!(self, Self::NotFound | Self::Exists | Self::LookAgain | Self::NoAttribute)
    }
}
