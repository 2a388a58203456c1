use std::ffi::OsStr;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenAccMode, OpenFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};
use parking_lot::RwLock;

use super::files::{File, Files, ROOT};

/// What a mount of Cairn agrees on with the kernel.
const CAPABILITIES: [InitFlags; 6] = [
    InitFlags::FUSE_ATOMIC_O_TRUNC,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_MAX_PAGES,
    InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
];
const WRITE_LIMIT_BYTES: u32 = 1 << 20;
const BACKGROUND_REQUESTS: u16 = 128;
/// Nobody else changes anything.
const TIME_TO_LIVE: Duration = Duration::from_hours(1);
const BLOCK_BYTES: u64 = 512;

/// Every answer is given at once, by the thread that read the request. A handle is the file's number.
#[derive(Debug, Default)]
pub(super) struct Adapter(RwLock<Files>);

impl Adapter {
    /// A file, also one that has lost its name: it stays open as an empty one.
    fn file(&self, inode: INodeNo) -> File {
        self.0.read().file(inode.0).unwrap_or_default()
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let lacking = |_| io::Error::other("the kernel lacks what is compared");
        for capability in CAPABILITIES {
            config.add_capabilities(capability).map_err(lacking)?;
        }
        config.set_max_write(WRITE_LIMIT_BYTES).map_err(|_| lacking(InitFlags::empty()))?;
        config.set_max_background(BACKGROUND_REQUESTS).map_err(|_| lacking(InitFlags::empty()))?;
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.0.read().named(name) {
            Some((number, file)) => reply.entry(&TIME_TO_LIVE, &attributes(number, &file), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = if inode.0 == ROOT { directory() } else { attributes(inode.0, &self.file(inode)) };
        reply.attr(&TIME_TO_LIVE, &found);
    }

    fn create(&self, _: &Request, _: INodeNo, name: &OsStr, _: u32, _: u32, flags: i32, reply: ReplyCreate) {
        let number = self.0.write().create(name);
        let made = attributes(number, &self.file(INodeNo(number)));
        reply.created(&TIME_TO_LIVE, &made, Generation(0), FileHandle(number), open_flags(OpenFlags(flags)));
    }

    fn open(&self, _: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if flags.0 & nix::libc::O_TRUNC != 0 {
            self.file(inode).write().clear();
        }
        reply.opened(FileHandle(inode.0), open_flags(flags));
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let file = self.file(inode);
        let bytes = file.read();
        let start = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
        let end = bytes.len().min(start.saturating_add(size as usize));
        reply.data(&bytes[start..end]);
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match (overwrite(&mut self.file(inode).write(), offset, data), u32::try_from(data.len())) {
            (true, Ok(length)) => reply.written(length),
            _ => reply.error(Errno::EINVAL),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.0.write().remove(name);
        if removed { reply.ok() } else { reply.error(Errno::ENOENT) }
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, position: u64, mut reply: ReplyDirectory) {
        for (number, name, _) in self.0.read().behind(position.max(ROOT)) {
            if reply.add(INodeNo(number), number, FileType::RegularFile, name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(&self, _: &Request, _: INodeNo, _: FileHandle, position: u64, mut reply: ReplyDirectoryPlus) {
        for (number, name, file) in self.0.read().behind(position.max(ROOT)) {
            let found = attributes(number, file);
            if reply.add(INodeNo(number), number, name, &TIME_TO_LIVE, &found, Generation(0)) {
                break;
            }
        }
        reply.ok();
    }
}

/// As a mount of Cairn has it: what is only written goes past the kernel's pages.
fn open_flags(flags: OpenFlags) -> FopenFlags {
    let only_writes = flags.acc_mode() == OpenAccMode::O_WRONLY;
    if only_writes { FopenFlags::FOPEN_DIRECT_IO } else { FopenFlags::FOPEN_KEEP_CACHE }
}

fn directory() -> FileAttr {
    FileAttr { kind: FileType::Directory, perm: 0o755, ..attributes(ROOT, &File::default()) }
}

fn attributes(number: u64, file: &File) -> FileAttr {
    let size = file.read().len() as u64;
    let time: SystemTime = UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(BLOCK_BYTES),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: FileType::RegularFile,
        perm: 0o644,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: WRITE_LIMIT_BYTES,
        flags: 0,
    }
}

/// Writes at an offset that is not behind the end. False: it is, and nothing is written.
fn overwrite(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) -> bool {
    let Some(start) = usize::try_from(offset).ok().filter(|start| *start <= bytes.len()) else { return false };
    let (over, further) = data.split_at(data.len().min(bytes.len() - start));
    bytes[start..start + over.len()].copy_from_slice(over);
    bytes.extend_from_slice(further);
    true
}

#[cfg(test)]
mod tests {
    use super::overwrite;

    #[test]
    fn bytes_are_written_over_others_and_behind_them() {
        let mut bytes = Vec::new();
        assert!(overwrite(&mut bytes, 0, b"abcdef") && overwrite(&mut bytes, 4, b"1234"));
        assert!(!overwrite(&mut bytes, 9, b"behind the end") && !overwrite(&mut bytes, u64::MAX, b""));
        assert!(overwrite(&mut bytes, 1, b"-") && overwrite(&mut bytes, 8, b"."));
        assert_eq!(bytes, b"a-cd1234.");
    }
}
