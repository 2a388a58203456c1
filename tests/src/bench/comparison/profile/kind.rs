/// What a processor did, by the functions that it was in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Bytes from one place in memory to another, in a program or between it and the kernel.
    Copying,
    /// Checksums, digests, and the code's arithmetic.
    Coding,
    /// Getting memory and giving it back, page faults among it.
    Memory,
    /// Putting threads to sleep and waking them.
    Switching,
    /// The kernel's files, its block devices, and waiting for them.
    Disk,
    /// The kernel's sockets.
    Sockets,
    /// The kernel's side of the mount.
    Fuse,
    /// The databases.
    Database,
    /// HTTP/2 and gRPC.
    Messages,
    /// Raft.
    Raft,
    /// Running tasks one after the other.
    Tasks,
    /// The rest of Cairn.
    Cairn,
    /// Anything else.
    Other,
}

/// What is looked for in the name of a function, from the innermost one outwards; the first that is found decides. After `^`
/// the name begins with it, which sets functions of the kernel and of C apart from paths that have such a word in them. What
/// stands for itself, wherever it is called from, comes before what calls it.
const SIGNS: [(Kind, &[&str]); 12] = [
    (
        Kind::Copying,
        &["^memcpy", "^__memcpy", "^memmove", "^__memmove", "^rep_movs", "^copy_", "^_copy_", "^__copy_", "^raw_copy_"],
    ),
    (Kind::Coding, &["crc32", "Crc32", "blake3", "reed_solomon", "gf2p8", "galois", "XXH", "sha256"]),
    (
        Kind::Memory,
        &[
            "malloc",
            "calloc",
            "realloc",
            "cfree",
            "^_int_free",
            "^unlink_chunk",
            "^operator new",
            "^operator delete",
            "page_fault",
            "^do_mmap",
            "munmap",
            "^madvise",
            "^memset",
            "^__memset",
            "alloc_pages",
            "free_pages",
            "^clear_page",
            "^clear_user_page",
            "folio_alloc",
            "^kmem_cache",
            "^kfree",
            "^__kmalloc",
        ],
    ),
    (
        Kind::Switching,
        &[
            "^schedule",
            "^__schedule",
            "^try_to_wake_up",
            "^wake_up",
            "^__wake_up",
            "futex",
            "eventfd",
            "^ep_",
            "^do_epoll",
        ],
    ),
    (
        Kind::Disk,
        &[
            "^ext4",
            "^xfs",
            "^btrfs",
            "^jbd2",
            "^blk_",
            "^submit_bio",
            "^virtio_queue_rq",
            "^vfs_fsync",
            "^do_fsync",
            "^generic_perform_write",
            "^filemap_",
            "^iomap_",
            "^page_cache_",
        ],
    ),
    (
        Kind::Sockets,
        &[
            "^tcp_",
            "^__tcp_",
            "^inet",
            "^sock_",
            "^skb_",
            "^__skb_",
            "^sk_",
            "^__sys_send",
            "^__sys_recv",
            "^net_rx",
            "^ip_",
            "^__ip_",
        ],
    ),
    (Kind::Fuse, &["^fuse_", "fuser"]),
    (Kind::Database, &["rocksdb"]),
    (Kind::Messages, &["h2::", "hyper", "tonic", "tower", "http::", "prost::", "cairn_proto::transport"]),
    (Kind::Raft, &["openraft", "cairn_master::store::raft"]),
    (Kind::Cairn, &["cairn_"]),
    (Kind::Tasks, &["tokio::"]),
];

impl Kind {
    /// In the order of tables.
    pub(super) const ALL: [Self; 13] = [
        Self::Copying,
        Self::Coding,
        Self::Memory,
        Self::Switching,
        Self::Disk,
        Self::Sockets,
        Self::Fuse,
        Self::Database,
        Self::Messages,
        Self::Raft,
        Self::Tasks,
        Self::Cairn,
        Self::Other,
    ];

    /// Of a stack: its functions from the outermost on, with `;` between them.
    pub(super) fn of(functions: &str) -> Self {
        functions.rsplit(';').find_map(Self::of_function).unwrap_or(Self::Other)
    }

    fn of_function(function: &str) -> Option<Self> {
        let has = |sign: &&str| match sign.strip_prefix('^') {
            Some(beginning) => function.starts_with(beginning),
            None => function.contains(*sign),
        };
        SIGNS.iter().find(|(_, signs)| signs.iter().any(has)).map(|(kind, _)| *kind)
    }

    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Copying => "copying",
            Self::Coding => "coding",
            Self::Memory => "memory",
            Self::Switching => "switching",
            Self::Disk => "disk",
            Self::Sockets => "sockets",
            Self::Fuse => "FUSE",
            Self::Database => "databases",
            Self::Messages => "gRPC",
            Self::Raft => "Raft",
            Self::Tasks => "tasks",
            Self::Cairn => "Cairn",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn the_innermost_function_that_says_something_decides() {
        assert_eq!(Kind::of("main;cairn_node::store;rocksdb::DBImpl::Get;__memmove_avx_unaligned"), Kind::Copying);
        assert_eq!(Kind::of("main;cairn_node::store;rocksdb::DBImpl::Get;Seek"), Kind::Database);
        assert_eq!(Kind::of("main;h2::codec;__libc_send;tcp_sendmsg;__schedule"), Kind::Switching);
        assert_eq!(Kind::of("main;h2::codec;__libc_send;tcp_sendmsg;_raw_spin_lock"), Kind::Sockets);
        assert_eq!(Kind::of("main;cairn_master::store::raft::log"), Kind::Raft);
        assert_eq!(Kind::of("main;tokio::runtime::scheduler;cairn_master::ledger"), Kind::Cairn);
        assert_eq!(Kind::of("main;tokio::runtime::scheduler::Context::run_task"), Kind::Tasks);
        assert_eq!(Kind::of("main;somebody"), Kind::Other);
    }

    #[test]
    fn every_kind_is_shown_once() {
        let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
