//! Changes that are made elsewhere.

use std::time::Duration;

use cairn_proto::records::{Key, KeyChange, KeyEvent};

use super::FileSystem;
use crate::client::WatchEvent;
use crate::filesystem::Inode;
use crate::filesystem::blob_store::{BlobStore, StoreWatch};
use crate::filesystem::file_name::{escaped_key, name_of};
use crate::filesystem::kernel_cache::Forgotten;

/// From a watch that was refused to the next try.
const REFUSED_WAIT: Duration = Duration::from_secs(5);

impl<S: BlobStore> FileSystem<S> {
    /// Follows the changes of the store, and has the kernel forget what they touch. Runs until dropped.
    pub async fn follow(&self) {
        let mut watch = self.store.watch();
        loop {
            match watch.next().await {
                Ok(event) => self.follow_event(event).await,
                Err(error) => {
                    tracing::warn!(%error, "changes made elsewhere are noticed late; trying again");
                    self.lose_track().await;
                    tokio::time::sleep(REFUSED_WAIT).await;
                }
            }
        }
    }

    /// Returns once changes of the store are told to [`FileSystem::follow`]: from then on the kernel may keep what it reads.
    pub async fn followed(&self) {
        self.kernel.followed().await;
    }

    async fn follow_event(&self, event: WatchEvent) {
        match event {
            WatchEvent::Begun { .. } => {}
            WatchEvent::Changes { changes, .. } => self.follow_changes(&changes).await,
            WatchEvent::HistoryLost { applied_index } => {
                tracing::info!(applied_index, "changes made elsewhere were missed; the kernel forgets every name");
                self.lose_track().await;
            }
            WatchEvent::CutOff => {
                tracing::warn!("no master tells of changes; until one does, names are believed for a second");
                self.lose_track().await;
                return;
            }
        }
        if !self.kernel.is_followed() {
            self.kernel.set_followed(true);
            tracing::info!("changes made elsewhere are told from now on");
        }
    }

    async fn follow_changes(&self, changes: &[KeyChange]) {
        let mut listing_changed = false;
        for change in changes.iter().filter(|change| !self.store.made_change(change.index)) {
            listing_changed |= change.event.changes_listing();
            // First what is still to be answered is kept from being believed, then what was believed is forgotten.
            if change.event.changes_listing() {
                self.kernel.names_changed();
            } else {
                self.kernel.entry_changed();
            }
            for what in self.touched(change) {
                self.have_forgotten(what).await;
            }
        }
        if listing_changed && self.kernel.has_readers() {
            self.have_forgotten(Forgotten::Listing).await;
        }
    }

    /// What the kernel may know that is not so any more.
    fn touched(&self, change: &KeyChange) -> Vec<Forgotten> {
        let attributes = |inode: Inode| Forgotten::Attributes(inode);
        let name = || name_of(&change.key).map(Forgotten::Name);
        match &change.event {
            KeyEvent::Attributes(entry) => Inode::of_serial(entry.serial).ok().map(attributes).into_iter().collect(),
            // The kernel keeps no missing names, but another key may have been shown under this one.
            KeyEvent::Created(_) => escaped_key(&change.key).and_then(|_| name()).into_iter().collect(),
            KeyEvent::Replaced(_) | KeyEvent::Removed => {
                // A file being written here keeps its name, and the kernel asks for it each time.
                let name = if self.sessions.bound(&change.key).is_some() { None } else { name() };
                name.into_iter().chain(self.inodes.of_key(&change.key).map(attributes)).collect()
            }
        }
    }

    /// Changes may be missed: nothing is believed for long from now on, and what was is forgotten.
    async fn lose_track(&self) {
        self.kernel.set_followed(false);
        let keys: Vec<Key> = self.inodes.keys();
        for name in keys.iter().filter_map(name_of) {
            self.have_forgotten(Forgotten::Name(name)).await;
        }
        if self.kernel.has_readers() {
            self.have_forgotten(Forgotten::Listing).await;
        }
    }

    async fn have_forgotten(&self, what: Forgotten) {
        if let Some(kernel) = self.kernel.kernel() {
            kernel.forget(what).await;
        }
    }
}
