use bytes::Bytes;

use super::Store;
use super::change::{Change, LoggedFamily};
use super::error::StoreError;
use super::writer::Durability;

impl Store {
    /// A record of the node itself, by name.
    pub fn system_record(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.workshop.database.record(LoggedFamily::System, name.as_bytes())
    }

    /// Keeps a record of the node itself that may be lost in a crash.
    pub async fn note_system_record(&self, name: &str, value: Bytes) -> Result<(), StoreError> {
        let change = Change::Put { family: LoggedFamily::System, key: name.as_bytes().to_vec(), value };
        self.write(vec![change], Durability::Buffered).await
    }

    /// Keeps a record of the node itself; on stable storage on return.
    pub async fn keep_system_record(&self, name: &str, value: Bytes) -> Result<(), StoreError> {
        let change = Change::Put { family: LoggedFamily::System, key: name.as_bytes().to_vec(), value };
        self.write(vec![change], Durability::Synced).await
    }
}
