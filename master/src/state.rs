//! Records read from one view of the replicated state, checked and typed.

use bytes::{BufMut, Bytes, BytesMut};
use cairn_proto::ids::{BlobId, ClusterId, NodeId, SegmentId, SessionId};
use cairn_proto::records::{Blob, BlobState, Key, KeyEntry, Node, Segment};
use cairn_proto::{Refusal, wire};
use prost::Message;

use crate::failure::{DamagedRecord, StateError};
use crate::keys;
use crate::records::{DeletedRecord, NumberRecord, SlotRecord};
use crate::store::{CLUSTER_KEY, LEASE_KEY, RECORD_FORMAT, View};

/// A record and the index of the command that last wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    /// Log index of the last write.
    pub version: u64,
    /// What was written.
    pub record: T,
}

/// The value that keeps `message`.
pub fn encode(message: &impl Message) -> Bytes {
    let mut value = BytesMut::with_capacity(1 + message.encoded_len());
    value.put_u8(RECORD_FORMAT);
    value.put_slice(&message.encode_to_vec());
    value.freeze()
}

/// The message that the value at `key` keeps.
pub fn decode<M: Message + Default>(key: &[u8], value: &[u8]) -> Result<M, DamagedRecord> {
    match value.split_first() {
        Some((&RECORD_FORMAT, message)) => M::decode(message).map_err(|error| damaged(key, &error)),
        Some((version, _)) => Err(damaged(key, &format!("format version {version} is not known to this program"))),
        None => Err(damaged(key, &"empty value")),
    }
}

/// The key whose entry lies at `at`.
pub fn key_text(at: &[u8]) -> Result<String, DamagedRecord> {
    let text = at.strip_prefix(keys::KEYS).and_then(|text| std::str::from_utf8(text).ok());
    let key = text.and_then(|text| Key::try_from(text).ok()).ok_or_else(|| damaged(at, &"not a key"))?;
    Ok(key.as_str().to_owned())
}

/// A complaint about the record at `key`.
pub fn damaged(key: &[u8], why: &impl ToString) -> DamagedRecord {
    DamagedRecord { key: key.escape_ascii().to_string(), why: why.to_string() }
}

fn checked<W, T>(key: &[u8], value: &[u8]) -> Result<T, DamagedRecord>
where
    W: Message + Default,
    T: TryFrom<W, Error = Refusal>,
{
    T::try_from(decode::<W>(key, value)?).map_err(|refusal| damaged(key, &refusal))
}

/// Typed reads of one view.
#[derive(Clone, Copy)]
pub struct State<'a>(pub &'a dyn View);

impl State<'_> {
    /// The message at `key`.
    pub fn message<M: Message + Default>(&self, key: &[u8]) -> Result<Option<Stored<M>>, StateError> {
        let Some(found) = self.0.get(key)? else { return Ok(None) };
        Ok(Some(Stored { version: found.version, record: decode(key, &found.value)? }))
    }

    fn record<W, T>(&self, key: &[u8]) -> Result<Option<Stored<T>>, StateError>
    where
        W: Message + Default,
        T: TryFrom<W, Error = Refusal>,
    {
        let Some(found) = self.0.get(key)? else { return Ok(None) };
        Ok(Some(Stored { version: found.version, record: checked::<W, T>(key, &found.value)? }))
    }

    /// What a key points at.
    pub fn entry(&self, key: &Key) -> Result<Option<Stored<KeyEntry>>, StateError> {
        self.record::<wire::KeyEntry, _>(&keys::key(key))
    }

    /// A blob. The index of its deletion is the version of the record: nothing writes it after its deletion.
    pub fn blob(&self, id: BlobId) -> Result<Option<Stored<Blob>>, StateError> {
        let mut found = self.record::<wire::Blob, Blob>(&keys::blob(id))?;
        if let Some(Stored { version, record }) = &mut found
            && let BlobState::Deleted { index, .. } = &mut record.state
        {
            *index = *version;
        }
        Ok(found)
    }

    /// A sealed segment.
    pub fn segment(&self, id: SegmentId) -> Result<Option<Stored<Segment>>, StateError> {
        self.record::<wire::Segment, _>(&keys::segment(id))
    }

    /// A registered node.
    pub fn node(&self, id: NodeId) -> Result<Option<Stored<Node>>, StateError> {
        self.record::<wire::NodeInfo, _>(&keys::node(id))
    }

    /// The reply kept in the slot of a request.
    pub fn slot(&self, client: SessionId, sequence: u64) -> Result<Option<Stored<SlotRecord>>, StateError> {
        self.message(&keys::slot(client, sequence))
    }

    /// The cluster's id, once it has one.
    pub fn cluster(&self) -> Result<Option<ClusterId>, StateError> {
        let Some(found) = self.0.get(CLUSTER_KEY)? else { return Ok(None) };
        let id = found.value.strip_prefix(&[RECORD_FORMAT]).unwrap_or_default();
        Ok(Some(ClusterId::from_wire(id).map_err(|error| damaged(CLUSTER_KEY, &error))?))
    }

    /// Who holds the lease, or held it last.
    pub fn lease(&self) -> Result<Option<wire::LeaderLease>, StateError> {
        Ok(self.message(LEASE_KEY)?.map(|found| found.record))
    }

    /// A number on its own.
    pub fn number(&self, key: &[u8]) -> Result<Option<Stored<u64>>, StateError> {
        let found = self.message::<NumberRecord>(key)?;
        Ok(found.map(|Stored { version, record }| Stored { version, record: record.value }))
    }

    /// Log index of the last write of `key`, if there is anything.
    pub fn version(&self, key: &[u8]) -> Result<Option<u64>, StateError> {
        Ok(self.0.get(key)?.map(|found| found.version))
    }

    /// Whether there is anything at `key`.
    pub fn exists(&self, key: &[u8]) -> Result<bool, StateError> {
        Ok(self.version(key)?.is_some())
    }

    /// Up to `limit` keys and values from `start` on that begin with `prefix`.
    pub fn page(&self, prefix: &[u8], start: &[u8], limit: usize) -> Result<Vec<(Bytes, Stored<Bytes>)>, StateError> {
        let found = self.0.scan(start.max(prefix), &keys::end_of(prefix), limit)?;
        Ok(found.into_iter().map(|(key, at)| (key, Stored { version: at.version, record: at.value })).collect())
    }

    /// Every session.
    pub fn sessions(&self) -> Result<Vec<SessionId>, StateError> {
        let mut ids = Vec::new();
        self.each(keys::SESSIONS, |key, _| {
            let id = keys::number_in(keys::SESSIONS, key).ok_or_else(|| damaged(key, &"not a session's key"))?;
            ids.push(SessionId(id));
            Ok(())
        })?;
        Ok(ids)
    }

    /// Every registered node.
    pub fn nodes(&self) -> Result<Vec<Stored<Node>>, StateError> {
        let mut nodes = Vec::new();
        self.each(keys::NODES, |key, found| {
            let record = checked::<wire::NodeInfo, Node>(key, &found.record)?;
            nodes.push(Stored { version: found.version, record });
            Ok(())
        })?;
        Ok(nodes)
    }

    /// Calls `visit` for everything under `prefix`, a page at a time.
    pub fn each(
        &self,
        prefix: &[u8],
        mut visit: impl FnMut(&[u8], &Stored<Bytes>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        const PAGE: usize = 1024;
        let mut start = Bytes::copy_from_slice(prefix);
        loop {
            let page = self.page(prefix, &start, PAGE)?;
            for (key, found) in &page {
                visit(key, found)?;
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => start = keys::successor(last),
                _ => return Ok(()),
            }
        }
    }
}

/// The segment kept in `value`.
pub fn decode_segment(key: &[u8], value: &[u8]) -> Result<Segment, DamagedRecord> {
    checked::<wire::Segment, _>(key, value)
}

/// The blob kept in `value`.
pub fn decode_blob(key: &[u8], value: &[u8]) -> Result<Blob, DamagedRecord> {
    checked::<wire::Blob, _>(key, value)
}

/// The entry kept in `value`.
pub fn decode_entry(key: &[u8], value: &[u8]) -> Result<wire::KeyEntry, DamagedRecord> {
    decode(key, value)
}

/// The blob that a deletion names.
pub fn decode_deleted(key: &[u8], value: &[u8]) -> Result<BlobId, DamagedRecord> {
    let record = decode::<DeletedRecord>(key, value)?;
    BlobId::from_wire(&record.blob).map_err(|error| damaged(key, &error))
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use crate::records::NumberRecord;

    #[test]
    fn a_record_carries_its_format_version() {
        let value = encode(&NumberRecord { value: 300 });
        assert_eq!(value[0], 1);
        assert_eq!(decode::<NumberRecord>(b"serial", &value).unwrap().value, 300);
    }

    #[test]
    fn a_record_of_another_format_is_refused() {
        let error = decode::<NumberRecord>(b"serial", &[2, 8, 1]).unwrap_err();
        assert!(error.to_string().contains("serial") && error.to_string().contains("version 2"), "{error}");
        assert!(decode::<NumberRecord>(b"serial", &[]).is_err());
        assert!(decode::<NumberRecord>(b"serial", &[1, 0xff]).is_err());
    }
}
