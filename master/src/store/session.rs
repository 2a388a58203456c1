//! A session: what one commit will read and write, before it is committed.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;

use super::apply::joined;
use super::{Command, Expected, ReadError, Versioned, View};

/// The version of a value that its session has not committed yet.
const UNCOMMITTED: u64 = u64::MAX;

/// Uncommitted writes over one view. Its own reads see them; nobody else does before the commit.
///
/// Each key that is read through it is a condition of the commit: that nobody has written the key since. So what was
/// decided from what was read is still true where the command applies, or nothing of it applies.
pub struct StoreSession {
    view: Box<dyn View>,
    /// The version found at each key that was read; `None` where there was nothing.
    read: Mutex<BTreeMap<Bytes, Option<u64>>>,
    conditions: Vec<(Bytes, Expected)>,
    writes: BTreeMap<Bytes, Write>,
    writes_at_index: Vec<(Bytes, Bytes)>,
}

/// What becomes of a key.
enum Write {
    Put(Bytes),
    Delete,
    Append(Bytes),
}

impl StoreSession {
    /// Nothing written over `view`.
    pub fn new(view: Box<dyn View>) -> Self {
        Self {
            view,
            read: Mutex::default(),
            conditions: Vec::new(),
            writes: BTreeMap::new(),
            writes_at_index: Vec::new(),
        }
    }

    /// The state without the session's writes. What is read there is no condition of the commit.
    pub fn view(&self) -> &dyn View {
        &*self.view
    }

    /// Writes a key.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.writes.insert(key.into(), Write::Put(value.into()));
    }

    /// Removes a key.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        self.writes.insert(key.into(), Write::Delete);
    }

    /// Adds to the end of a value.
    pub fn append(&mut self, key: impl Into<Bytes>, suffix: impl Into<Bytes>) {
        let (key, suffix) = (key.into(), suffix.into());
        let write = match self.writes.remove(&key) {
            None => Write::Append(suffix),
            Some(Write::Append(before)) => Write::Append(joined(&before, &suffix)),
            Some(Write::Put(before)) => Write::Put(joined(&before, &suffix)),
            Some(Write::Delete) => Write::Put(suffix),
        };
        self.writes.insert(key, write);
    }

    /// Writes under `prefix` followed by the log index of the commit in network order. The key is not known before, so
    /// no read sees it.
    pub fn put_at_index(&mut self, prefix: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.writes_at_index.push((prefix.into(), value.into()));
    }

    /// A further condition of the commit.
    pub fn require(&mut self, key: impl Into<Bytes>, expected: Expected) {
        self.conditions.push((key.into(), expected));
    }

    /// Takes back every write and further condition. What was read stays a condition.
    pub fn discard(&mut self) {
        self.conditions.clear();
        self.writes.clear();
        self.writes_at_index.clear();
    }

    /// Whether a commit would change anything.
    pub fn has_writes(&self) -> bool {
        !self.writes.is_empty() || !self.writes_at_index.is_empty()
    }

    /// Everything as one command: conditions first, then the writes, each key once.
    pub fn into_command(self) -> Command {
        let mut read = self.read.into_inner();
        let mut command = Command::new();
        for (key, expected) in self.conditions {
            command.require(key, expected);
        }
        let mut writes = Command::new();
        for (key, write) in self.writes {
            let expected = read.remove(&key).map(unchanged);
            match (write, expected) {
                (Write::Put(value), Some(expected)) => {
                    writes.put_if(key, value, expected);
                }
                (Write::Put(value), None) => {
                    writes.put(key, value);
                }
                (Write::Delete, expected) => {
                    require_if_read(&mut command, &key, expected);
                    writes.delete(key);
                }
                (Write::Append(suffix), expected) => {
                    require_if_read(&mut command, &key, expected);
                    writes.append(key, suffix);
                }
            }
        }
        for (key, version) in read {
            command.require(key, unchanged(version));
        }
        for (prefix, value) in self.writes_at_index {
            writes.put_at_index(prefix, value);
        }
        command.extend(writes);
        command
    }

    fn read(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        let found = self.view.get(key)?;
        let version = found.as_ref().map(|found| found.version);
        self.read.lock().insert(Bytes::copy_from_slice(key), version);
        Ok(found)
    }
}

impl View for StoreSession {
    fn applied_index(&self) -> u64 {
        self.view.applied_index()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        match self.writes.get(key) {
            None => self.read(key),
            Some(Write::Append(suffix)) => Ok(Some(appended(self.read(key)?, suffix))),
            Some(Write::Put(value)) => Ok(Some(uncommitted(value.clone()))),
            Some(Write::Delete) => Ok(None),
        }
    }

    /// Unlike [`Self::get`], a scan makes no condition of what it finds.
    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Versioned)>, ReadError> {
        if start >= end {
            return Ok(Vec::new());
        }
        let range = Bytes::copy_from_slice(start)..Bytes::copy_from_slice(end);
        let own: Vec<_> = self.writes.range(range).collect();
        // As many more as the session may have removed.
        let below = self.view.scan(start, end, limit.saturating_add(own.len()))?;
        let mut found: BTreeMap<Bytes, Versioned> = below.into_iter().collect();
        for (key, write) in own {
            match write {
                Write::Put(value) => found.insert(key.clone(), uncommitted(value.clone())),
                Write::Append(suffix) => found.insert(key.clone(), appended(self.view.get(key)?, suffix)),
                Write::Delete => found.remove(key),
            };
        }
        Ok(found.into_iter().take(limit).collect())
    }
}

fn require_if_read(command: &mut Command, key: &Bytes, expected: Option<Expected>) {
    if let Some(expected) = expected {
        command.require(key.clone(), expected);
    }
}

fn unchanged(version: Option<u64>) -> Expected {
    version.map_or(Expected::Absent, Expected::Version)
}

fn uncommitted(value: Bytes) -> Versioned {
    Versioned { version: UNCOMMITTED, value }
}

fn appended(before: Option<Versioned>, suffix: &[u8]) -> Versioned {
    uncommitted(joined(&before.map(|before| before.value).unwrap_or_default(), suffix))
}
