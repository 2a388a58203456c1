use std::ffi::OsStr;
use std::path::Path;

use fuser::{INodeNo, Notifier};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::MountError;
use crate::filesystem::{Forgotten, Inode, NameCache};

/// What waits to be forgotten by the kernel. Above that, names are left to age, and changes made elsewhere wait.
const FORGOTTEN_LIMIT: usize = 1024;
/// An offset that means an inode's attributes and none of its bytes.
const ATTRIBUTES_ONLY: i64 = -1;
/// A length that means up to the end.
const TO_THE_END: i64 = 0;

/// Tells the kernel to forget names. The kernel takes the directory's lock for it, so that it happens on a thread of
/// its own, which no request waits for.
pub(super) struct KernelNames {
    queue: Sender<Forgotten>,
}

impl KernelNames {
    pub(super) fn start(notifier: Notifier, path: &Path) -> Result<Self, MountError> {
        let (queue, forgotten) = channel(FORGOTTEN_LIMIT);
        std::thread::Builder::new()
            .name("kernel-names".to_owned())
            .spawn(move || Self::work(&notifier, forgotten))
            .map_err(|source| MountError::Mount { path: path.to_path_buf(), source })?;
        Ok(Self { queue })
    }

    fn work(notifier: &Notifier, mut queue: Receiver<Forgotten>) {
        let root = INodeNo(Inode::ROOT.raw());
        while let Some(forgotten) = queue.blocking_recv() {
            let told = match &forgotten {
                Forgotten::Name(name) => notifier.inval_entry(root, OsStr::new(name)),
                Forgotten::Attributes(inode) => notifier.inval_inode(INodeNo(inode.raw()), ATTRIBUTES_ONLY, TO_THE_END),
                Forgotten::Listing => notifier.inval_inode(root, 0, TO_THE_END),
            };
            if let Err(error) = told {
                tracing::debug!(?forgotten, %error, "the kernel cannot forget it");
            }
        }
    }
}

impl NameCache for KernelNames {
    fn forget_name(&self, name: &str) {
        // A name that finds no room is believed for its time to live, which is what that time is for.
        if self.queue.try_send(Forgotten::Name(name.to_owned())).is_err() {
            tracing::trace!(name, "too many names to forget");
        }
    }

    fn forget(&self, what: Forgotten) -> BoxFuture<'_, ()> {
        async move {
            if self.queue.send(what).await.is_err() {
                tracing::debug!("the mount is gone, and what it knew with it");
            }
        }
        .boxed()
    }
}
