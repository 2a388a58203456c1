use std::cell::OnceCell;
use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::{Epoch, LEASE_KEY, ReadError, Versioned};
use super::{State, Write, decode_lease};

/// Writes not yet made, over the state they will be made to.
pub struct Overlay<'a> {
    below: &'a dyn State,
    writes: BTreeMap<Bytes, Option<Versioned>>,
    /// The epoch in the state below, once it was asked for.
    epoch_below: OnceCell<Option<Epoch>>,
}

impl<'a> Overlay<'a> {
    /// No writes over `below`.
    pub fn new(below: &'a dyn State) -> Self {
        Self { below, writes: BTreeMap::new(), epoch_below: OnceCell::new() }
    }

    /// Writes a key at a log index.
    pub fn put(&mut self, key: Bytes, value: Bytes, index: u64) {
        self.writes.insert(key, Some(Versioned { version: index, value }));
    }

    /// Removes a key.
    pub fn delete(&mut self, key: Bytes) {
        self.writes.insert(key, None);
    }

    /// Takes over writes that were made on top of this.
    pub fn absorb(&mut self, writes: Vec<Write>) {
        self.writes.extend(writes);
    }

    /// The writes, each key once, in key order.
    pub fn into_writes(self) -> Vec<Write> {
        self.writes.into_iter().collect()
    }
}

impl State for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        match self.writes.get(key) {
            Some(written) => Ok(written.clone()),
            None => self.below.get(key),
        }
    }

    /// The lease is seldom written, and looked at by each command.
    fn epoch(&self) -> Result<Option<Epoch>, ReadError> {
        if let Some(written) = self.writes.get(LEASE_KEY) {
            let Some(stored) = written else { return Ok(None) };
            return decode_lease(&stored.value).map(|lease| Some(Epoch(lease.epoch)));
        }
        if let Some(epoch) = self.epoch_below.get() {
            return Ok(*epoch);
        }
        let epoch = self.below.epoch()?;
        Ok(*self.epoch_below.get_or_init(|| epoch))
    }
}
