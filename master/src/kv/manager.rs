use std::sync::Arc;

use bytes::Bytes;
use cairn_proto::records::Key;
use cairn_proto::{Refusal, wire};

use crate::failure::Failure;
use crate::keys;
use crate::ledger::Ledger;
use crate::requests::{RequestId, Requests};
use crate::store::{Expected, StoreSession};

/// Longest value. The service is for small ones: all of them go through the log of every master.
pub(super) const VALUE_LIMIT_BYTES: usize = 1 << 20;

/// Reads and changes values.
///
/// Changes are blind: a command writes or appends without looking at the value, so those of one key are ordered by the
/// log alone and none is planned again because of another.
pub struct Values {
    ledger: Ledger,
    requests: Arc<Requests>,
}

impl Values {
    /// For the state of one election.
    pub fn new(ledger: Ledger, requests: Arc<Requests>) -> Self {
        Self { ledger, requests }
    }

    /// The value of a key at some moment between call and answer.
    pub async fn get(&self, request: wire::GetValueRequest) -> Result<wire::GetValueResponse, Failure> {
        let key = checked(request.key)?;
        let view = self.ledger.linearizable_view().await?;
        let value = view.get(&keys::value(&key))?.map(|found| found.value);
        Ok(wire::GetValueResponse { value, applied_index: view.applied_index() })
    }

    /// Sets the value of a key.
    pub async fn put(&self, request: wire::PutValueRequest) -> Result<wire::PutValueResponse, Failure> {
        let id = RequestId::try_from(request.request)?;
        let key = checked(request.key)?;
        check_length(&key, request.value.len())?;
        let plan = |session: &mut StoreSession| {
            session.put(keys::value(&key), request.value.clone());
            Ok(wire::PutValueResponse::default())
        };
        self.requests.run(id, plan).await
    }

    /// Adds to the end of the value of a key.
    pub async fn append(&self, request: wire::AppendValueRequest) -> Result<wire::AppendValueResponse, Failure> {
        let id = RequestId::try_from(request.request)?;
        let key = checked(request.key)?;
        check_length(&key, request.suffix.len())?;
        self.requests.run(id, |session| plan_append(session, &key, &request.suffix)).await
    }
}

/// The length is checked on the view to refuse for good, and again where the command applies, since others append
/// meanwhile.
fn plan_append(session: &mut StoreSession, key: &Key, suffix: &Bytes) -> Result<wire::AppendValueResponse, Failure> {
    let place = keys::value(key);
    let length = session.view().get(&place)?.map_or(0, |found| found.value.len());
    check_length(key, length + suffix.len())?;
    let room = (VALUE_LIMIT_BYTES - suffix.len()) as u64;
    session.require(place.clone(), Expected::AtMostBytes(room));
    session.append(place, suffix.clone());
    Ok(wire::AppendValueResponse::default())
}

fn checked(key: String) -> Result<Key, Refusal> {
    Key::try_from(key).map_err(|error| Refusal::InvalidKey { why: error.to_string() })
}

fn check_length(key: &Key, length: usize) -> Result<(), Refusal> {
    if length > VALUE_LIMIT_BYTES {
        return Err(Refusal::ValueTooLong { key: key.as_str().to_owned(), limit: VALUE_LIMIT_BYTES.to_string() });
    }
    Ok(())
}
