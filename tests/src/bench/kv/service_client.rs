use bytes::Bytes;

use super::cairn_client::CairnClient;
use super::error::KvError;
use super::etcd_client::EtcdClient;

/// What a service has under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: Bytes,
    /// How often the key was changed, where the service counts that.
    pub(super) changes: Option<u64>,
}

/// One client of one service, with a connection of its own and one request under way.
#[derive(Debug)]
pub(super) enum ServiceClient {
    Cairn(CairnClient),
    Etcd(EtcdClient),
}

impl ServiceClient {
    /// Sets a value. Returns the place of the change in the order of all changes.
    pub(super) async fn put(&mut self, key: &str, value: Bytes) -> Result<u64, KvError> {
        match self {
            Self::Cairn(client) => client.put(key, value).await,
            Self::Etcd(client) => client.put(key, value).await,
        }
    }

    /// Reads a value, linearizably.
    pub(super) async fn get(&mut self, key: &str) -> Result<Option<Entry>, KvError> {
        match self {
            Self::Cairn(client) => client.get(key).await,
            Self::Etcd(client) => client.get(key).await,
        }
    }

    /// Adds to a value. Returns the place of the change in the order of all changes.
    pub(super) async fn append(&mut self, key: &str, suffix: Bytes) -> Result<u64, KvError> {
        match self {
            Self::Cairn(client) => client.append(key, suffix).await,
            Self::Etcd(_) => Err(KvError::wrong("append", "etcd has no such request")),
        }
    }
}
