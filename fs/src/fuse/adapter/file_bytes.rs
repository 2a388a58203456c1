use bytes::Bytes;
use fuser::{Errno, FileHandle, INodeNo, ReplyData, ReplyWrite};

use super::Adapter;
use super::answers::errno;
use crate::filesystem::{BlobStore, CopyRange, FsError};

/// Writes up to this are done on the thread that read them, if nothing is in their way.
const INLINE_WRITE_LIMIT_BYTES: usize = 64 << 10;

/// Requests on the bytes of an open file.
impl<S: BlobStore> Adapter<S> {
    pub(super) fn read_bytes(&self, inode: INodeNo, handle: FileHandle, offset: u64, size: u32, reply: ReplyData) {
        let files = self.files.clone();
        let operation = async move { files.read(handle.0, offset, size as usize).await };
        self.runner.run(Self::on_inode("read", inode), operation, move |read| match read {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(errno(&error)),
        });
    }

    pub(super) fn write_bytes(
        &self,
        (inode, handle): (INodeNo, FileHandle),
        offset: u64,
        data: &[u8],
        drops_privileges: bool,
        reply: ReplyWrite,
    ) {
        let files = self.files.clone();
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

    /// Where bytes would have to move, the kernel is told to do that itself.
    pub(super) fn copy_bytes(&self, inode: INodeNo, range: CopyRange, drops_privileges: bool, reply: ReplyWrite) {
        let files = self.files.clone();
        // An answer has 32 bits for its length.
        let range = CopyRange { length: range.length.min(u64::from(u32::MAX)), ..range };
        let operation = async move { files.copy(range, drops_privileges).await };
        self.runner.run(Self::on_inode("copy_file_range", inode), operation, move |copied| match copied {
            Ok(Some(copied)) => reply.written(u32::try_from(copied).expect("no more than was asked for")),
            Ok(None) => reply.error(Errno::EOPNOTSUPP),
            Err(error) => reply.error(errno(&error)),
        });
    }
}
