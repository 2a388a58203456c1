//! What a command does to the state: a pure function, the same on every master.

mod overlay;
#[cfg(test)]
mod tests;

pub use overlay::Overlay;

use bytes::{BufMut, Bytes, BytesMut};
use cairn_proto::wire;
use prost::Message;

use super::{Epoch, Expected, LEASE_KEY, Operation, RECORD_FORMAT, ReadError, Versioned};

/// State that a command is applied to.
pub trait State {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError>;

    /// The epoch in the lease record, if there is one.
    fn epoch(&self) -> Result<Option<Epoch>, ReadError> {
        let Some(stored) = self.get(LEASE_KEY)? else { return Ok(None) };
        decode_lease(&stored.value).map(|lease| Some(Epoch(lease.epoch)))
    }
}

/// A write that applying leads to; `None` removes the key.
pub type Write = (Bytes, Option<Versioned>);

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// Its writes, each key once.
    Writes(Vec<Write>),
    /// A condition did not hold: nothing is written.
    ConditionFailed {
        /// Position of the operation, from 0.
        operation: usize,
    },
    /// It was proposed under an epoch that is not the current one: nothing is written.
    Deposed,
}

/// Applies `operations`, proposed under `epoch`, at log index `index`.
///
/// A command whose first operation is a `PutIf` of the lease needs no epoch: its condition is the check.
/// Any other write of the lease counts as proposed by nobody.
pub fn apply(state: &dyn State, epoch: Epoch, operations: &[Operation], index: u64) -> Result<Applied, ReadError> {
    if !takes_lease(operations) && (writes_lease(operations) || state.epoch()? != Some(epoch)) {
        return Ok(Applied::Deposed);
    }
    let mut overlay = Overlay::new(state);
    for (position, operation) in operations.iter().enumerate() {
        if !step(&mut overlay, operation, index)? {
            return Ok(Applied::ConditionFailed { operation: position });
        }
    }
    Ok(Applied::Writes(overlay.into_writes()))
}

/// The lease in its stored form: format version, then the message.
pub(crate) fn encode_lease(lease: &wire::LeaderLease) -> Bytes {
    let mut value = BytesMut::with_capacity(1 + lease.encoded_len());
    value.put_u8(RECORD_FORMAT);
    value.put(lease.encode_to_vec().as_slice());
    value.freeze()
}

/// The lease from its stored form.
pub(crate) fn decode_lease(value: &[u8]) -> Result<wire::LeaderLease, ReadError> {
    match value.split_first() {
        Some((&RECORD_FORMAT, message)) => wire::LeaderLease::decode(message)
            .map_err(|error| ReadError::Damaged { what: format!("the leader lease: {error}") }),
        Some((format, _)) => Err(ReadError::Damaged { what: format!("a leader lease of format {format}") }),
        None => Err(ReadError::Damaged { what: "an empty leader lease".to_owned() }),
    }
}

/// Whether a command is a conditional write of the lease.
pub(crate) fn takes_lease(operations: &[Operation]) -> bool {
    matches!(operations.first(), Some(Operation::PutIf { key, .. }) if key == LEASE_KEY)
}

fn writes_lease(operations: &[Operation]) -> bool {
    operations.iter().any(|operation| match operation {
        Operation::Put { key, .. }
        | Operation::PutIf { key, .. }
        | Operation::Delete { key }
        | Operation::Append { key, .. } => key == LEASE_KEY,
        Operation::If { .. } | Operation::PutAtIndex { .. } => false,
    })
}

/// One operation; false if its condition does not hold.
fn step(overlay: &mut Overlay<'_>, operation: &Operation, index: u64) -> Result<bool, ReadError> {
    match operation {
        Operation::Put { key, value } => overlay.put(key.clone(), value.clone(), index),
        Operation::PutIf { key, value, expected } => {
            if !holds(overlay, key, expected)? {
                return Ok(false);
            }
            overlay.put(key.clone(), value.clone(), index);
        }
        Operation::If { key, expected } => return holds(overlay, key, expected),
        Operation::Delete { key } => overlay.delete(key.clone()),
        Operation::Append { key, suffix } => {
            let before = overlay.get(key)?.map(|stored| stored.value).unwrap_or_default();
            overlay.put(key.clone(), joined(&before, suffix), index);
        }
        Operation::PutAtIndex { prefix, value } => {
            overlay.put(joined(prefix, &index.to_be_bytes()), value.clone(), index);
        }
    }
    Ok(true)
}

fn holds(overlay: &Overlay<'_>, key: &[u8], expected: &Expected) -> Result<bool, ReadError> {
    let stored = overlay.get(key)?;
    Ok(match (stored, expected) {
        (None, Expected::Absent) | (Some(_), Expected::Present) => true,
        (Some(stored), Expected::Version(version)) => stored.version == *version,
        (Some(stored), Expected::Value(value)) => stored.value == *value,
        (stored, Expected::AtMostBytes(limit)) => {
            stored.is_none_or(|stored| u64::try_from(stored.value.len()).is_ok_and(|length| length <= *limit))
        }
        (None, _) | (Some(_), Expected::Absent) => false,
    })
}

/// What appending makes of a value.
pub(super) fn joined(front: &[u8], back: &[u8]) -> Bytes {
    let mut joined = BytesMut::with_capacity(front.len() + back.len());
    joined.extend_from_slice(front);
    joined.extend_from_slice(back);
    joined.freeze()
}
