use std::sync::Arc;

use bytes::Bytes;
use cairn_master::store::{Command, CommitError, Epoch, Expected, ReadError, ReplicatedStore, Store};
use tokio::time::Instant;

use crate::history::Action;

/// What a clerk asks of a master.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) client: u64,
    /// Counts the client's requests; a higher one is only sent when all lower ones were answered.
    pub(super) sequence: u64,
    pub(super) key: String,
    pub(super) action: Action,
}

/// Why a request has no answer here and now.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotServed {
    #[error("not elected")]
    NotElected,
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The service that a clerk uses: the right one, or one with a fault that tests must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Service {
    /// Linearizable, and each write once.
    #[default]
    Right,
    /// Every master answers gets from what it has applied.
    StaleReads,
    /// Writes are applied as often as they arrive.
    Repeats,
}

/// A key-value service on one master's store. A write is one command with a mark of the client's sequence, on the
/// condition that the mark is as it was read: so it applies once. A get comes after a command of its own, which shows
/// that this master was still the elected one.
pub(super) struct KeyValueService {
    store: Arc<ReplicatedStore>,
    service: Service,
}

impl KeyValueService {
    pub(super) fn new(store: Arc<ReplicatedStore>, service: Service) -> Self {
        Self { store, service }
    }

    pub(super) async fn serve(&self, request: Request) -> Result<Bytes, NotServed> {
        let key = format!("test/key/{}", request.key);
        match &request.action {
            Action::Get => self.get(&request, &key).await,
            Action::Put(_) | Action::Append(_) => self.write(&request, &key).await,
        }
    }

    async fn get(&self, request: &Request, key: &str) -> Result<Bytes, NotServed> {
        if self.service != Service::StaleReads {
            let mut command = Command::new();
            command.put(format!("test/read/{}", request.client), "");
            self.store.commit(self.epoch()?, command).await?;
        }
        let value = self.store.view()?.get(key.as_bytes())?;
        Ok(value.map(|stored| stored.value).unwrap_or_default())
    }

    async fn write(&self, request: &Request, key: &str) -> Result<Bytes, NotServed> {
        let mark = format!("test/client/{}", request.client);
        let sequence = &request.sequence.to_be_bytes()[..];
        let known = self.store.view()?.get(mark.as_bytes())?;
        // Eight bytes in network order compare as the numbers do.
        if self.service != Service::Repeats && known.as_ref().is_some_and(|known| *known.value >= *sequence) {
            return Ok(Bytes::new());
        }
        let expected = known.map_or(Expected::Absent, |known| Expected::Version(known.version));
        let mut command = Command::new();
        command.put_if(mark, sequence.to_vec(), expected);
        match &request.action {
            Action::Get => {}
            Action::Put(value) => drop(command.put(key.to_owned(), value.clone())),
            Action::Append(suffix) => drop(command.append(key.to_owned(), suffix.clone())),
        }
        self.store.commit(self.epoch()?, command).await?;
        Ok(Bytes::new())
    }

    fn epoch(&self) -> Result<Epoch, NotServed> {
        self.store.standing().borrow().epoch_at(Instant::now()).ok_or(NotServed::NotElected)
    }
}
