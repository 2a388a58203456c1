use std::ffi::OsStr;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use fuser::{INodeNo, Notifier};

use super::MountError;
use crate::filesystem::{Inode, NameCache};

/// Names that wait to be forgotten by the kernel. Above that they are left to age.
const FORGOTTEN_NAMES_LIMIT: usize = 1024;

/// Tells the kernel to forget names. The kernel takes the directory's lock for it, so that it happens on a thread of
/// its own, which no request waits for.
pub(super) struct KernelNames {
    names: SyncSender<String>,
}

impl KernelNames {
    pub(super) fn start(notifier: Notifier, path: &Path) -> Result<Self, MountError> {
        let (names, forgotten) = sync_channel(FORGOTTEN_NAMES_LIMIT);
        std::thread::Builder::new()
            .name("kernel-names".to_owned())
            .spawn(move || Self::work(&notifier, &forgotten))
            .map_err(|source| MountError::Mount { path: path.to_path_buf(), source })?;
        Ok(Self { names })
    }

    fn work(notifier: &Notifier, forgotten: &Receiver<String>) {
        while let Ok(name) = forgotten.recv() {
            if let Err(error) = notifier.inval_entry(INodeNo(Inode::ROOT.raw()), OsStr::new(&name)) {
                tracing::debug!(name, %error, "the kernel cannot forget a name");
            }
        }
    }
}

impl NameCache for KernelNames {
    fn forget_name(&self, name: &str) {
        // A name that finds no room is believed for its time to live, which is what that time is for.
        if self.names.try_send(name.to_owned()).is_err() {
            tracing::trace!(name, "too many names to forget");
        }
    }
}
