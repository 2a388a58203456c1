use std::ffi::OsStr;

use fuser::{Errno, INodeNo, ReplyXattr};

use super::Adapter;
use super::answers::errno;
use crate::filesystem::{BlobStore, EXTENDED_ATTRIBUTES, FsError, Inode};

/// Requests for extended attributes. A mount without them says so once, and the kernel asks never again.
impl<S: BlobStore> Adapter<S> {
    pub(super) fn extended_attribute(&self, inode: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if !self.shows_extended_attributes {
            reply.error(Errno::ENOSYS);
            return;
        }
        let (files, subject) = (self.files.clone(), Self::on_inode("getxattr", inode));
        let name = name.to_str().map(str::to_owned);
        let operation = async move {
            let name = name.ok_or(FsError::NoAttribute)?;
            files.extended_attribute(Inode::from_raw(inode.0), &name).await
        };
        self.runner.run(subject, operation, move |value| match value {
            Ok(value) => answer(value.as_bytes(), size, reply),
            Err(error) => reply.error(errno(&error)),
        });
    }

    pub(super) fn extended_attribute_names(&self, inode: INodeNo, size: u32, reply: ReplyXattr) {
        if !self.shows_extended_attributes {
            reply.error(Errno::ENOSYS);
        } else if Inode::from_raw(inode.0) == Inode::ROOT {
            answer(&[], size, reply);
        } else {
            let names: Vec<u8> = EXTENDED_ATTRIBUTES.iter().flat_map(|name| name.bytes().chain([0])).collect();
            answer(&names, size, reply);
        }
    }
}

/// A size of 0 asks for the size.
fn answer(value: &[u8], size: u32, reply: ReplyXattr) {
    let length = u32::try_from(value.len()).expect("names and values are short");
    match size {
        0 => reply.size(length),
        size if size < length => reply.error(Errno::ERANGE),
        _ => reply.data(value),
    }
}
