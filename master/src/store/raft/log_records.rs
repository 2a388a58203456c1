//! The bytes of the log: keys and values of its RocksDB instance.
//!
//! Key `e` and the index in network order -> `Entry`; `v` -> `RaftVote`; `c` -> `LogId` of the last entry known to
//! be committed; `p` -> `LogId` of the last entry purged; `j` -> number of the last record of the journal that the
//! instance holds, 8 bytes in network order.

use std::io;

use cairn_proto::wire;
use prost::Message;
use rocksdb::DB;

use super::convert::{log_id_from_wire, log_id_to_wire, vote_from_wire, vote_to_wire};
use super::entry_convert::{entry_from_wire, entry_to_wire};
use super::{Entry, LogId, Vote};

pub(super) const VOTE_KEY: &[u8] = b"v";
pub(super) const COMMITTED_KEY: &[u8] = b"c";
pub(super) const PURGED_KEY: &[u8] = b"p";
pub(super) const JOURNALED_KEY: &[u8] = b"j";
pub(super) const ENTRY_PREFIX: u8 = b'e';
const ENTRY_KEY_BYTES: usize = 1 + size_of::<u64>();

pub(super) fn entry_key(index: u64) -> [u8; ENTRY_KEY_BYTES] {
    let mut key = [ENTRY_PREFIX; ENTRY_KEY_BYTES];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

pub(super) fn index_of(key: &[u8]) -> io::Result<u64> {
    let index = key.strip_prefix(&[ENTRY_PREFIX]).and_then(|index| <[u8; 8]>::try_from(index).ok());
    index.map(u64::from_be_bytes).ok_or_else(|| damaged(&format!("entry key {key:?}")))
}

pub(super) fn encode_entry(entry: &Entry) -> Vec<u8> {
    entry_to_wire(entry).encode_to_vec()
}

/// An entry that does not decode, or stands under another's key, is an error and never an absent one.
pub(super) fn decode_entry(index: u64, value: &[u8]) -> io::Result<Entry> {
    let message = wire::Entry::decode(value).map_err(|error| damaged(&format!("entry {index}: {error}")))?;
    let entry = entry_from_wire(message).map_err(|error| damaged(&format!("entry {index}: {error}")))?;
    if entry.log_id.index != index {
        return Err(damaged(&format!("entry {index}: it says it is {}", entry.log_id.index)));
    }
    Ok(entry)
}

pub(super) fn encode_vote(vote: &Vote) -> Vec<u8> {
    vote_to_wire(vote).encode_to_vec()
}

pub(super) fn encode_log_id(log_id: &LogId) -> Vec<u8> {
    log_id_to_wire(log_id).encode_to_vec()
}

/// The stored vote; one that does not decode is an error and never an absent one.
pub(super) fn read_vote(db: &DB) -> io::Result<Option<Vote>> {
    let Some(value) = db.get_pinned(VOTE_KEY).map_err(database)? else { return Ok(None) };
    let vote = wire::RaftVote::decode(&value[..]).map_err(|error| damaged(&format!("the vote: {error}")))?;
    Ok(Some(vote_from_wire(&vote)))
}

pub(super) fn read_log_id(db: &DB, key: &[u8]) -> io::Result<Option<LogId>> {
    let Some(value) = db.get_pinned(key).map_err(database)? else { return Ok(None) };
    let log_id = wire::LogId::decode(&value[..]).map_err(|error| damaged(&format!("a log id: {error}")))?;
    Ok(Some(log_id_from_wire(&log_id)))
}

pub(super) fn database(error: rocksdb::Error) -> io::Error {
    io::Error::other(error)
}

pub(super) fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the Raft log is damaged: {what}"))
}
