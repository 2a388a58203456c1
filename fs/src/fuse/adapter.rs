//! What the kernel asks, as operations of the file system.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenAccMode, OpenFlags, PollEvents, PollFlags,
    PollNotifier, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow,
    WriteFlags,
};
use tokio::sync::watch;

use super::request_runner::{RequestRunner, Subject};
use crate::filesystem::{AttributeChange, BlobStore, FileAttributes, FileSystem, FsError, Inode, OpenMode};

/// How long the kernel believes a committed name and its attributes. Of a file being written it believes nothing.
const COMMITTED_TTL: Duration = Duration::from_secs(1);
/// Largest WRITE request.
const WRITE_LIMIT_BYTES: u32 = 1 << 20;
/// Reads ahead and other requests without a waiting caller that the kernel may have under way.
const BACKGROUND_REQUESTS: u16 = 128;
/// Buffer size that programs are advised to use.
const PREFERRED_BLOCK_BYTES: u32 = 1 << 20;
/// Unit of `statfs`.
const STATFS_BLOCK_BYTES: u32 = 4096;
/// Unit of `st_blocks`.
const STAT_BLOCK_BYTES: u64 = 512;
/// Writes up to this are done on the thread that read them, if nothing is in their way.
const INLINE_WRITE_LIMIT_BYTES: usize = 64 << 10;

/// Capabilities wanted of the kernel, each one optional. The write-back cache is not among them: it would merge
/// writes and hide their errors.
const CAPABILITIES: [InitFlags; 8] = [
    InitFlags::FUSE_ATOMIC_O_TRUNC,
    InitFlags::FUSE_HANDLE_KILLPRIV_V2,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_MAX_PAGES,
    InitFlags::FUSE_ASYNC_DIO,
    InitFlags::FUSE_EXPLICIT_INVAL_DATA,
];

/// The kernel's side of the file system.
pub(super) struct Adapter<S: BlobStore> {
    pub(super) files: Arc<FileSystem<S>>,
    pub(super) runner: RequestRunner,
    pub(super) ended: watch::Sender<bool>,
}

impl<S: BlobStore> Adapter<S> {
    fn on_inode(operation: &'static str, inode: INodeNo) -> Subject {
        Subject { operation, on: format!("inode {}", Inode::from_raw(inode.0)) }
    }

    fn on_name(operation: &'static str, name: &OsStr) -> Subject {
        Subject { operation, on: name.display().to_string() }
    }

    fn run_empty(
        &self,
        subject: Subject,
        operation: impl Future<Output = Result<(), FsError>> + Send + 'static,
        reply: ReplyEmpty,
    ) {
        self.runner.run(subject, operation, move |result| match result {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(&error)),
        });
    }
}

impl<S: BlobStore> Filesystem for Adapter<S> {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for capability in CAPABILITIES {
            if let Err(missing) = config.add_capabilities(capability) {
                tracing::info!(?missing, "this kernel lacks a capability");
            }
        }
        let refused = [
            config.set_max_write(WRITE_LIMIT_BYTES).err(),
            config.set_max_background(BACKGROUND_REQUESTS).err().map(u32::from),
        ];
        for nearest in refused.into_iter().flatten() {
            tracing::info!(nearest, "a limit was not accepted");
        }
        if config.set_time_granularity(Duration::from_nanos(1)).is_err() {
            tracing::info!("times are not kept to the nanosecond");
        }
        Ok(())
    }

    fn destroy(&mut self) {
        self.ended.send_replace(true);
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (files, name) = (self.files.clone(), name.to_owned());
        let subject = Self::on_name("lookup", &name);
        let operation = async move {
            in_directory(parent)?;
            files.look_up(&name).await
        };
        self.runner.run(subject, operation, move |found| answer_entry(found, reply));
    }

    fn forget(&self, _request: &Request, inode: INodeNo, lookups: u64) {
        self.files.forget(Inode::from_raw(inode.0), lookups);
    }

    fn getattr(&self, _request: &Request, inode: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        let files = self.files.clone();
        let operation = async move { files.attributes(Inode::from_raw(inode.0)).await };
        self.runner.run(Self::on_inode("getattr", inode), operation, move |found| answer_attributes(found, reply));
    }

    fn setattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mtime = mtime.map(|time| match time {
            TimeOrNow::SpecificTime(time) => time,
            TimeOrNow::Now => SystemTime::now(),
        });
        let change = AttributeChange { mode, uid, gid, mtime, size_bytes: size };
        let files = self.files.clone();
        let operation = async move { files.change(Inode::from_raw(inode.0), change).await };
        self.runner.run(Self::on_inode("setattr", inode), operation, move |found| answer_attributes(found, reply));
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        let (files, name) = (self.files.clone(), name.to_owned());
        let owner = (request.uid(), request.gid());
        let subject = Self::on_name("mknod", &name);
        let operation = async move {
            in_directory(parent)?;
            if mode & nix::libc::S_IFMT != nix::libc::S_IFREG {
                return Err(FsError::NotPermitted { what: "a special file" });
            }
            files.make_file(&name, mode, owner).await
        };
        self.runner.run(subject, operation, move |made| answer_entry(made, reply));
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(errno(&FsError::NotPermitted { what: "a directory" }));
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(errno(&FsError::NotPermitted { what: "a symbolic link" }));
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(errno(&FsError::NotPermitted { what: "a second link" }));
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(errno(&FsError::NotDirectory));
    }

    fn readlink(&self, _: &Request, _: INodeNo, reply: ReplyData) {
        reply.error(Errno::EINVAL);
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (files, name) = (self.files.clone(), name.to_owned());
        let subject = Self::on_name("unlink", &name);
        let operation = async move {
            in_directory(parent)?;
            files.unlink(&name).await
        };
        self.run_empty(subject, operation, reply);
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (files, from, to) = (self.files.clone(), name.to_owned(), new_name.to_owned());
        let subject = Subject { operation: "rename", on: format!("{} to {}", from.display(), to.display()) };
        let operation = async move {
            in_directory(parent)?;
            in_directory(new_parent)?;
            if !RenameFlags::RENAME_NOREPLACE.contains(flags) {
                return Err(FsError::InvalidArgument { why: "names cannot be exchanged" });
            }
            files.rename(&from, &to, !flags.is_empty()).await
        };
        self.run_empty(subject, operation, reply);
    }

    fn open(&self, request: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (files, mode) = (self.files.clone(), open_mode(flags, request));
        let operation = async move { files.open(Inode::from_raw(inode.0), mode).await };
        self.runner.run(Self::on_inode("open", inode), operation, move |opened| match opened {
            Ok(opened) => reply.opened(FileHandle(opened.handle), page_flags(opened.keeps_pages)),
            Err(error) => reply.error(errno(&error)),
        });
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (files, name) = (self.files.clone(), name.to_owned());
        let owner = (request.uid(), request.gid());
        let mode_of_open = open_mode(OpenFlags(flags), request);
        let subject = Self::on_name("create", &name);
        let operation = async move {
            in_directory(parent)?;
            files.create(&name, mode, owner, mode_of_open).await
        };
        self.runner.run(subject, operation, move |created| match created {
            Ok(created) => reply.created(
                &time_to_live(&created.file),
                &attributes(&created.file),
                Generation(0),
                FileHandle(created.opened.handle),
                page_flags(created.opened.keeps_pages),
            ),
            Err(error) => reply.error(errno(&error)),
        });
    }

    fn read(
        &self,
        _request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let files = self.files.clone();
        let operation = async move { files.read(handle.0, offset, size as usize).await };
        self.runner.run(Self::on_inode("read", inode), operation, move |read| match read {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(errno(&error)),
        });
    }

    fn write(
        &self,
        _request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let files = self.files.clone();
        let drops_privileges = write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        let length = data.len();
        let data = Bytes::copy_from_slice(data);
        let operation = async move { files.write(handle.0, offset, data, drops_privileges).await };
        let answer = move |written: Result<(), FsError>| match written {
            Ok(()) => reply.written(u32::try_from(length).expect("a request is shorter than its limit")),
            Err(error) => reply.error(errno(&error)),
        };
        let subject = Self::on_inode("write", inode);
        if length <= INLINE_WRITE_LIMIT_BYTES {
            self.runner.run(subject, operation, answer);
        } else {
            self.runner.run_in_task(subject, operation, answer);
        }
    }

    fn flush(&self, request: &Request, inode: INodeNo, handle: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        let (files, pid) = (self.files.clone(), request.pid());
        let operation = async move { files.flush(handle.0, pid).await };
        self.run_empty(Self::on_inode("flush", inode), operation, reply);
    }

    fn fsync(&self, _request: &Request, inode: INodeNo, handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        let files = self.files.clone();
        let operation = async move { files.sync(handle.0).await };
        self.run_empty(Self::on_inode("fsync", inode), operation, reply);
    }

    fn release(
        &self,
        _request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let files = self.files.clone();
        let operation = async move { files.release(handle.0).await };
        self.run_empty(Self::on_inode("release", inode), operation, reply);
    }

    fn opendir(&self, _request: &Request, _inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(self.files.open_directory()), FopenFlags::empty());
    }

    fn readdir(&self, _: &Request, inode: INodeNo, handle: FileHandle, position: u64, mut reply: ReplyDirectory) {
        let files = self.files.clone();
        let operation = async move { files.read_directory(handle.0, position).await };
        self.runner.run(Self::on_inode("readdir", inode), operation, move |read| match read {
            Ok(entries) => {
                for entry in entries {
                    let inode = INodeNo(entry.file.inode.raw());
                    if reply.add(inode, entry.next_position, kind(&entry.file), &entry.name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(errno(&error)),
        });
    }

    fn readdirplus(
        &self,
        _: &Request,
        inode: INodeNo,
        handle: FileHandle,
        position: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let files = self.files.clone();
        let known = files.clone();
        let operation = async move { files.read_directory(handle.0, position).await };
        self.runner.run(Self::on_inode("readdirplus", inode), operation, move |read| match read {
            Ok(entries) => {
                for entry in entries {
                    let (ttl, attr) = (time_to_live(&entry.file), attributes(&entry.file));
                    let inode = INodeNo(entry.file.inode.raw());
                    // The kernel may ask for it as soon as it has the answer, so that it is counted before.
                    let counted = known.remember(&entry);
                    let is_full = reply.add(inode, entry.next_position, &entry.name, &ttl, &attr, Generation(0));
                    if is_full || counted.is_err() {
                        known.forget(entry.file.inode, u64::from(entry.is_file()));
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(errno(&error)),
        });
    }

    fn releasedir(&self, _: &Request, _inode: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        match self.files.release_directory(handle.0) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        // Every change of a name is durable when it is answered.
        reply.ok();
    }

    fn statfs(&self, _request: &Request, inode: INodeNo, reply: ReplyStatfs) {
        let files = self.files.clone();
        let operation = async move { files.capacity().await };
        self.runner.run(Self::on_inode("statfs", inode), operation, move |capacity| match capacity {
            Ok(capacity) => {
                let total = capacity.total_bytes / u64::from(STATFS_BLOCK_BYTES);
                let free = capacity.free_bytes / u64::from(STATFS_BLOCK_BYTES);
                reply.statfs(total, free, free, capacity.keys, 0, STATFS_BLOCK_BYTES, 255, STATFS_BLOCK_BYTES);
            }
            Err(error) => reply.error(errno(&error)),
        });
    }

    fn setxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: &[u8], _: i32, _: u32, reply: ReplyEmpty) {
        reply.error(errno(&FsError::Unsupported { what: "an extended attribute" }));
    }

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        // The kernel remembers this answer and asks never again.
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(errno(&FsError::Unsupported { what: "an extended attribute" }));
    }

    fn fallocate(&self, _: &Request, _: INodeNo, _: FileHandle, _: u64, _: u64, _: i32, reply: ReplyEmpty) {
        reply.error(errno(&FsError::Unsupported { what: "reserving room" }));
    }

    fn lseek(&self, _: &Request, _: INodeNo, _: FileHandle, _: i64, _: i32, reply: ReplyLseek) {
        // The kernel then takes the whole file for data.
        reply.error(Errno::ENOSYS);
    }

    fn copy_file_range(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        // The kernel then reads and writes.
        reply.error(Errno::ENOSYS);
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn poll(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: PollNotifier,
        _: PollEvents,
        _: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(Errno::ENOSYS);
    }
}

fn in_directory(parent: INodeNo) -> Result<(), FsError> {
    if parent.0 == Inode::ROOT.raw() { Ok(()) } else { Err(FsError::NotDirectory) }
}

fn open_mode(flags: OpenFlags, request: &Request) -> OpenMode {
    OpenMode {
        writes: flags.acc_mode() != OpenAccMode::O_RDONLY,
        appends: flags.0 & nix::libc::O_APPEND != 0,
        truncates: flags.0 & nix::libc::O_TRUNC != 0,
        is_exclusive: flags.0 & nix::libc::O_EXCL != 0,
        caller: request.pid(),
    }
}

fn page_flags(keeps_pages: bool) -> FopenFlags {
    if keeps_pages { FopenFlags::FOPEN_KEEP_CACHE } else { FopenFlags::empty() }
}

fn errno(error: &FsError) -> Errno {
    Errno::from_i32(error.errno() as i32)
}

fn answer_entry(found: Result<FileAttributes, FsError>, reply: ReplyEntry) {
    match found {
        Ok(file) => reply.entry(&time_to_live(&file), &attributes(&file), Generation(0)),
        Err(error) => reply.error(errno(&error)),
    }
}

fn answer_attributes(found: Result<FileAttributes, FsError>, reply: ReplyAttr) {
    match found {
        Ok(file) => reply.attr(&time_to_live(&file), &attributes(&file)),
        Err(error) => reply.error(errno(&error)),
    }
}

const fn time_to_live(file: &FileAttributes) -> Duration {
    if file.is_committed { COMMITTED_TTL } else { Duration::ZERO }
}

fn kind(file: &FileAttributes) -> FileType {
    if file.inode == Inode::ROOT { FileType::Directory } else { FileType::RegularFile }
}

fn attributes(file: &FileAttributes) -> FileAttr {
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
