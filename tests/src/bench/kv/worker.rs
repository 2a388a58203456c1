use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::error::KvError;
use super::service_client::ServiceClient;
use super::tokens::{TOKEN_BYTES, Tally, parse, tally, token};

/// Keys that each client sets in turn.
const KEYS_PER_CLIENT: u64 = 16;
/// Appends to one key, so that its value stays small.
const APPENDS_PER_KEY: u64 = 64;

/// What clients do in one measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Set values.
    Put,
    /// Read what was set, linearizably.
    Get,
    /// Add to values.
    Append,
}

impl fmt::Display for Work {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Append => "append",
        })
    }
}

/// A client that remembers what it was told, and so knows a wrong answer. It alone uses its keys.
#[derive(Debug)]
pub(super) struct Worker {
    client: ServiceClient,
    /// Different from that of every other client since the cluster started.
    id: u64,
    value_bytes: usize,
    puts: u64,
    gets: u64,
    appends: u64,
    last_change: u64,
}

impl Worker {
    pub(super) fn new(client: ServiceClient, id: u64, value_bytes: usize) -> Self {
        Self { client, id, value_bytes, puts: 0, gets: 0, appends: 0, last_change: 0 }
    }

    /// Sends one request and checks its answer.
    pub(super) async fn step(&mut self, work: Work) -> Result<(), KvError> {
        match work {
            Work::Put => self.put().await,
            Work::Get => self.get().await,
            Work::Append => self.append().await,
        }
    }

    async fn put(&mut self) -> Result<(), KvError> {
        let key = self.put_key(self.puts % KEYS_PER_CLIENT);
        let change = self.client.put(&key, token(self.id, self.puts, self.value_bytes)).await?;
        self.puts += 1;
        self.check_order("put", change)
    }

    async fn append(&mut self) -> Result<(), KvError> {
        let key = self.append_key(self.appends / APPENDS_PER_KEY);
        let change = self.client.append(&key, token(self.id, self.appends, TOKEN_BYTES)).await?;
        self.appends += 1;
        self.check_order("append", change)
    }

    /// The answer to an earlier request, given again, tells an earlier place.
    fn check_order(&mut self, what: &'static str, change: u64) -> Result<(), KvError> {
        if change <= self.last_change {
            return Err(KvError::wrong(what, format!("change {change} after {}", self.last_change)));
        }
        self.last_change = change;
        Ok(())
    }

    async fn get(&mut self) -> Result<(), KvError> {
        let place = self.gets % KEYS_PER_CLIENT;
        let found = self.client.get(&self.put_key(place)).await?;
        self.gets += 1;
        let number = found.and_then(|entry| parse(&entry.value));
        let expected = self.last_put(place).map(|number| (self.id, number));
        if number == expected {
            return Ok(());
        }
        Err(KvError::wrong("get", format!("{number:?} where {expected:?} was put last")))
    }

    /// Reads all that this work changed and counts what was not applied once.
    pub(super) async fn check(&mut self, work: Work) -> Result<Tally, KvError> {
        let mut sum = Tally::default();
        match work {
            Work::Get => {}
            Work::Put => {
                for place in 0..KEYS_PER_CLIENT {
                    sum.add(self.check_puts(place).await?);
                }
            }
            Work::Append => {
                for place in 0..self.appends.div_ceil(APPENDS_PER_KEY) {
                    sum.add(self.check_appends(place).await?);
                }
            }
        }
        Ok(sum)
    }

    async fn check_puts(&mut self, place: u64) -> Result<Tally, KvError> {
        let newest = self.last_put(place);
        let confirmed = newest.map_or(0, |number| number / KEYS_PER_CLIENT + 1);
        let Some(entry) = self.client.get(&self.put_key(place)).await? else {
            return Ok(Tally { lost: confirmed, doubled: 0 });
        };
        let lost = u64::from(parse(&entry.value) != newest.map(|number| (self.id, number)));
        let changes = entry.changes.unwrap_or(confirmed);
        Ok(Tally { lost: lost.max(confirmed.saturating_sub(changes)), doubled: changes.saturating_sub(confirmed) })
    }

    async fn check_appends(&mut self, place: u64) -> Result<Tally, KvError> {
        let found = self.client.get(&self.append_key(place)).await?;
        let value = found.map(|entry| entry.value).unwrap_or_default();
        let appended: Range<u64> = place * APPENDS_PER_KEY..self.appends.min((place + 1) * APPENDS_PER_KEY);
        tally(self.id, appended, &value).ok_or_else(|| KvError::wrong("get", "bytes that nobody appended"))
    }

    /// The last put that went to one of the keys.
    fn last_put(&self, place: u64) -> Option<u64> {
        let beyond = self.puts.checked_sub(place + 1)?;
        Some(place + beyond / KEYS_PER_CLIENT * KEYS_PER_CLIENT)
    }

    fn put_key(&self, place: u64) -> String {
        format!("bench/{:08}/put/{place:02}", self.id)
    }

    fn append_key(&self, place: u64) -> String {
        format!("bench/{:08}/append/{place:06}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::Worker;
    use crate::bench::kv::etcd_client::EtcdClient;
    use crate::bench::kv::service_client::ServiceClient;

    #[tokio::test]
    async fn puts_go_to_the_keys_in_turn() {
        let client = ServiceClient::Etcd(EtcdClient::connect("127.0.0.1:1").unwrap());
        let mut worker = Worker::new(client, 0, 16);
        assert_eq!(worker.last_put(0), None);
        worker.puts = 17;
        assert_eq!([worker.last_put(0), worker.last_put(1), worker.last_put(15)], [Some(16), Some(1), Some(15)]);
        worker.puts = 16;
        assert_eq!(worker.last_put(0), Some(0));
    }
}
