//! What the file system says, in the words of the kernel.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{Errno, FileAttr, FileType, FopenFlags, Generation, INodeNo, ReplyAttr, ReplyEntry, ReplyStatfs};

use crate::filesystem::{Capacity, FileAttributes, FsError, Inode, OpenMode, OpenedDirectory, Pages};

/// How long the kernel believes a committed name and its attributes. Of a file being written it believes nothing.
const COMMITTED_TTL: Duration = Duration::from_secs(1);
/// The same while a change of them would be told.
const FOLLOWED_TTL: Duration = Duration::from_mins(10);
/// Buffer size that programs are advised to use.
const PREFERRED_BLOCK_BYTES: u32 = 1 << 20;
/// Unit of `st_blocks`.
const STAT_BLOCK_BYTES: u64 = 512;
/// Unit of `statfs`.
const STATFS_BLOCK_BYTES: u32 = 4096;

/// `bypasses`: whether the kernel can bypass pages.
pub(super) fn open_flags(pages: Pages, mode: OpenMode, bypasses: bool) -> FopenFlags {
    let mut flags = match pages {
        Pages::Kept => FopenFlags::FOPEN_KEEP_CACHE,
        Pages::Bypassed if bypasses => FopenFlags::FOPEN_DIRECT_IO,
        Pages::Renewed | Pages::Bypassed => FopenFlags::empty(),
    };
    // Whoever only reads has nothing to commit: closing need not ask.
    flags.set(FopenFlags::FOPEN_NOFLUSH, !mode.writes && !mode.truncates);
    flags
}

pub(super) fn listing_flags(opened: &OpenedDirectory) -> FopenFlags {
    let mut flags = FopenFlags::empty();
    flags.set(FopenFlags::FOPEN_CACHE_DIR, opened.caches);
    flags.set(FopenFlags::FOPEN_KEEP_CACHE, opened.keeps);
    flags
}

pub(super) fn errno(error: &FsError) -> Errno {
    Errno::from_i32(error.errno() as i32)
}

pub(super) fn answer_entry(found: Result<FileAttributes, FsError>, reply: ReplyEntry) {
    match found {
        Ok(file) => reply.entry(&time_to_live(&file), &attributes(&file), Generation(0)),
        Err(error) => reply.error(errno(&error)),
    }
}

pub(super) fn answer_attributes(found: Result<FileAttributes, FsError>, reply: ReplyAttr) {
    match found {
        // An entry must have the number that the kernel asks by; here it takes what programs are to see.
        Ok(file) => {
            let shown = FileAttr { ino: INodeNo(file.shown_inode.raw()), ..attributes(&file) };
            reply.attr(&time_to_live(&file), &shown);
        }
        Err(error) => reply.error(errno(&error)),
    }
}

pub(super) const fn time_to_live(file: &FileAttributes) -> Duration {
    match (file.is_committed, file.is_followed) {
        (false, _) => Duration::ZERO,
        (true, false) => COMMITTED_TTL,
        (true, true) => FOLLOWED_TTL,
    }
}

pub(super) fn kind(file: &FileAttributes) -> FileType {
    if file.inode == Inode::ROOT { FileType::Directory } else { FileType::RegularFile }
}

pub(super) fn attributes(file: &FileAttributes) -> FileAttr {
    let changed = modified(file);
    FileAttr {
        ino: INodeNo(file.inode.raw()),
        size: file.size_bytes,
        blocks: file.size_bytes.div_ceil(STAT_BLOCK_BYTES),
        atime: changed,
        mtime: changed,
        ctime: changed,
        crtime: changed,
        kind: kind(file),
        perm: u16::try_from(file.attributes.mode & 0o7777).expect("twelve bits"),
        nlink: u32::from(file.has_name),
        uid: file.attributes.uid,
        gid: file.attributes.gid,
        rdev: 0,
        blksize: PREFERRED_BLOCK_BYTES,
        flags: 0,
    }
}

fn modified(file: &FileAttributes) -> SystemTime {
    let whole = Duration::from_secs(file.attributes.mtime_seconds.unsigned_abs());
    let seconds =
        if file.attributes.mtime_seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    let nanoseconds = Duration::from_nanos(u64::from(file.attributes.mtime_nanoseconds));
    seconds.and_then(|seconds| seconds.checked_add(nanoseconds)).unwrap_or(UNIX_EPOCH)
}

pub(super) fn answer_capacity(capacity: Result<Capacity, FsError>, reply: ReplyStatfs) {
    match capacity {
        Ok(capacity) => {
            let total = capacity.total_bytes / u64::from(STATFS_BLOCK_BYTES);
            let free = capacity.free_bytes / u64::from(STATFS_BLOCK_BYTES);
            reply.statfs(total, free, free, capacity.keys, 0, STATFS_BLOCK_BYTES, 255, STATFS_BLOCK_BYTES);
        }
        Err(error) => reply.error(errno(&error)),
    }
}

#[cfg(test)]
mod tests {
    use fuser::FopenFlags;

    use super::open_flags;
    use crate::filesystem::{OpenMode, Pages};

    #[test]
    fn only_closing_what_may_have_been_written_is_asked_about() {
        let (reads, writes) = (OpenMode::default(), OpenMode { writes: true, ..OpenMode::default() });
        let flags = |mode| open_flags(Pages::Renewed, mode, true);
        assert_eq!(flags(reads), FopenFlags::FOPEN_NOFLUSH);
        assert_eq!(flags(writes), FopenFlags::empty());
        assert_eq!(flags(OpenMode { truncates: true, ..reads }), FopenFlags::empty());
    }

    #[test]
    fn pages_are_bypassed_where_the_kernel_can() {
        let flags = |pages, bypasses| open_flags(pages, OpenMode { writes: true, ..OpenMode::default() }, bypasses);
        assert_eq!(flags(Pages::Bypassed, true), FopenFlags::FOPEN_DIRECT_IO);
        assert_eq!(flags(Pages::Bypassed, false), FopenFlags::empty());
        assert_eq!(flags(Pages::Kept, true), FopenFlags::FOPEN_KEEP_CACHE);
    }
}
