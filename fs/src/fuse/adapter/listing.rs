use fuser::{FileHandle, Generation, INodeNo, ReplyDirectory, ReplyDirectoryPlus};

use super::Adapter;
use super::answers::{attributes, errno, kind, time_to_live};
use crate::filesystem::BlobStore;

/// Requests that list the directory.
impl<S: BlobStore> Adapter<S> {
    pub(super) fn list(&self, inode: INodeNo, handle: FileHandle, position: u64, mut reply: ReplyDirectory) {
        let files = self.files.clone();
        let operation = async move { files.read_directory(handle.0, position, false).await };
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

    pub(super) fn list_with_attributes(
        &self,
        inode: INodeNo,
        handle: FileHandle,
        position: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let files = self.files.clone();
        let known = files.clone();
        let operation = async move { files.read_directory(handle.0, position, true).await };
        self.runner.run(Self::on_inode("readdirplus", inode), operation, move |read| match read {
            Ok(entries) => {
                for entry in entries {
                    // The kernel may ask for it as soon as it has the answer, so that it is counted before.
                    let counted = known.remember(&entry);
                    let file = counted.as_ref().map_or(entry.file, |file| *file);
                    let (ttl, attr) = (time_to_live(&file), attributes(&file));
                    let inode = INodeNo(file.inode.raw());
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
}
