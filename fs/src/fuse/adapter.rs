//! What the kernel asks, as operations of the file system.

mod agreement;
mod answers;
mod extended_attributes;
mod file_bytes;
mod listing;
mod names;

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, INodeNo, IoctlFlags, KernelConfig, LockOwner,
    OpenAccMode, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use tokio::sync::watch;

use super::request_runner::{RequestRunner, Subject};
use crate::filesystem::{AttributeChange, BlobStore, CopyRange, FileSystem, FsError, Inode, OpenMode};
use agreement::agree;
use answers::{answer_attributes, answer_capacity, errno, listing_flags, open_flags};

/// The kernel's side of the file system.
pub(super) struct Adapter<S: BlobStore> {
    pub(super) files: Arc<FileSystem<S>>,
    pub(super) runner: RequestRunner,
    pub(super) ended: watch::Sender<bool>,
    pub(super) shows_extended_attributes: bool,
    /// Whether the kernel keeps pages and requests past them consistent.
    pub(super) bypasses_pages: bool,
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
        self.bypasses_pages = agree(config);
        Ok(())
    }

    fn destroy(&mut self) {
        self.ended.send_replace(true);
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.look_up(request.pid(), parent, name, reply);
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
        let owner = (request.uid(), request.gid());
        self.make_file(parent, name, mode, owner, reply);
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
        self.remove_name(parent, name, reply);
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
        self.rename_name((parent, name), (new_parent, new_name), flags, reply);
    }

    fn open(&self, request: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (files, mode, bypasses) = (self.files.clone(), open_mode(flags, request), self.bypasses_pages);
        let operation = async move { files.open(Inode::from_raw(inode.0), mode).await };
        self.runner.run(Self::on_inode("open", inode), operation, move |opened| match opened {
            Ok(opened) => reply.opened(FileHandle(opened.handle), open_flags(opened.pages, mode, bypasses)),
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
        let owner = (request.uid(), request.gid());
        self.create_file(parent, name, (mode, owner), open_mode(OpenFlags(flags), request), reply);
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
        self.read_bytes(inode, handle, offset, size, reply);
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
        let drops_privileges = write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        self.write_bytes((inode, handle), offset, data, drops_privileges, reply);
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
        let opened = self.files.open_directory();
        reply.opened(FileHandle(opened.handle), listing_flags(&opened));
    }

    fn readdir(&self, _: &Request, inode: INodeNo, handle: FileHandle, position: u64, reply: ReplyDirectory) {
        self.list(inode, handle, position, reply);
    }

    fn readdirplus(&self, _: &Request, inode: INodeNo, handle: FileHandle, position: u64, reply: ReplyDirectoryPlus) {
        self.list_with_attributes(inode, handle, position, reply);
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
        self.runner.run(Self::on_inode("statfs", inode), operation, move |found| answer_capacity(found, reply));
    }

    fn setxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: &[u8], _: i32, _: u32, reply: ReplyEmpty) {
        reply.error(errno(&FsError::Unsupported { what: "an extended attribute" }));
    }

    fn getxattr(&self, _: &Request, inode: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        self.extended_attribute(inode, name, size, reply);
    }

    fn listxattr(&self, _: &Request, inode: INodeNo, size: u32, reply: ReplyXattr) {
        self.extended_attribute_names(inode, size, reply);
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
        request: &Request,
        _inode_in: INodeNo,
        handle_in: FileHandle,
        offset_in: u64,
        inode_out: INodeNo,
        handle_out: FileHandle,
        offset_out: u64,
        length: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let range =
            CopyRange { from: handle_in.0, from_offset: offset_in, to: handle_out.0, to_offset: offset_out, length };
        self.copy_bytes(inode_out, range, request.uid() != 0, reply);
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

fn open_mode(flags: OpenFlags, request: &Request) -> OpenMode {
    OpenMode {
        writes: flags.acc_mode() != OpenAccMode::O_RDONLY,
        only_writes: flags.acc_mode() == OpenAccMode::O_WRONLY,
        appends: flags.0 & nix::libc::O_APPEND != 0,
        truncates: flags.0 & nix::libc::O_TRUNC != 0,
        is_exclusive: flags.0 & nix::libc::O_EXCL != 0,
        caller: request.pid(),
    }
}
