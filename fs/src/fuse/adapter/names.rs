use std::ffi::OsStr;

use fuser::{FileHandle, Generation, INodeNo, RenameFlags, ReplyCreate, ReplyEmpty, ReplyEntry};

use super::Adapter;
use super::answers::{answer_entry, attributes, errno, open_flags, time_to_live};
use crate::filesystem::{BlobStore, FsError, Inode, OpenMode};
use crate::fuse::request_runner::Subject;

/// Requests on the names of the one directory.
impl<S: BlobStore> Adapter<S> {
    pub(super) fn look_up(&self, caller: u32, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (files, name) = (self.files.clone(), name.to_owned());
        let subject = Self::on_name("lookup", &name);
        let operation = async move {
            in_directory(parent)?;
            files.look_up(&name, caller).await
        };
        self.runner.run(subject, operation, move |found| answer_entry(found, reply));
    }

    pub(super) fn make_file(&self, parent: INodeNo, name: &OsStr, mode: u32, owner: (u32, u32), reply: ReplyEntry) {
        let (files, name) = (self.files.clone(), name.to_owned());
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

    pub(super) fn create_file(
        &self,
        parent: INodeNo,
        name: &OsStr,
        (mode, owner): (u32, (u32, u32)),
        mode_of_open: OpenMode,
        reply: ReplyCreate,
    ) {
        let (files, name) = (self.files.clone(), name.to_owned());
        let (subject, bypasses) = (Self::on_name("create", &name), self.bypasses_pages);
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
                // A new file is written, whatever it was opened for.
                open_flags(created.opened.pages, OpenMode { writes: true, ..mode_of_open }, bypasses),
            ),
            Err(error) => reply.error(errno(&error)),
        });
    }

    pub(super) fn remove_name(&self, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (files, name) = (self.files.clone(), name.to_owned());
        let subject = Self::on_name("unlink", &name);
        let operation = async move {
            in_directory(parent)?;
            files.unlink(&name).await
        };
        self.run_empty(subject, operation, reply);
    }

    pub(super) fn rename_name(
        &self,
        (parent, name): (INodeNo, &OsStr),
        (new_parent, new_name): (INodeNo, &OsStr),
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
}

fn in_directory(parent: INodeNo) -> Result<(), FsError> {
    if parent.0 == Inode::ROOT.raw() { Ok(()) } else { Err(FsError::NotDirectory) }
}
