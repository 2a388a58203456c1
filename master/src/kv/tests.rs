//! What the key-value service promises.

use std::sync::Arc;

use bytes::Bytes;
use cairn_proto::ids::SessionId;
use cairn_proto::{Refusal, wire};

use super::Values;
use super::manager::VALUE_LIMIT_BYTES;
use crate::fakes::refusal;
use crate::keys;
use crate::ledger::Ledger;
use crate::records::SessionRecord;
use crate::requests::Requests;
use crate::state::encode;
use crate::store::{Command, Epoch, MemoryStore};

struct Service {
    store: Arc<MemoryStore>,
    values: Values,
    client: SessionId,
}

impl Service {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::elected());
        let ledger = Ledger::new(store.clone(), Epoch(1));
        let mut command = Command::new();
        command.put_at_index(keys::SESSIONS, encode(&SessionRecord::default()));
        let client = SessionId(ledger.commit(command).await.unwrap());
        Self { store, values: Values::new(ledger.clone(), Arc::new(Requests::new(ledger))), client }
    }

    fn id(&self, sequence: u64) -> wire::RequestId {
        wire::RequestId { client: self.client.0, sequence, lowest_unanswered: 1 }
    }

    fn append_request(&self, sequence: u64, suffix: &[u8]) -> wire::AppendValueRequest {
        let suffix = Bytes::copy_from_slice(suffix);
        wire::AppendValueRequest { request: Some(self.id(sequence)), key: "a".to_owned(), suffix }
    }

    fn put_request(&self, sequence: u64, value: &[u8]) -> wire::PutValueRequest {
        let value = Bytes::copy_from_slice(value);
        wire::PutValueRequest { request: Some(self.id(sequence)), key: "a".to_owned(), value }
    }

    async fn get(&self, key: &str) -> Option<Bytes> {
        self.values.get(wire::GetValueRequest { key: key.to_owned() }).await.unwrap().value
    }
}

#[tokio::test]
async fn values_are_set_added_to_and_read() {
    let service = Service::new().await;
    assert_eq!(service.get("a").await, None);
    service.values.append(service.append_request(1, b"x")).await.unwrap();
    service.values.append(service.append_request(2, b"y")).await.unwrap();
    assert_eq!(service.get("a").await.unwrap(), "xy");
    service.values.put(service.put_request(3, b"")).await.unwrap();
    assert_eq!(service.get("a").await.unwrap(), "");
    assert_eq!(service.get("b").await, None);
}

#[tokio::test]
async fn a_request_that_is_sent_again_applies_once() {
    let service = Service::new().await;
    let first = service.values.append(service.append_request(1, b"x")).await.unwrap();
    let again = service.values.append(service.append_request(1, b"x")).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(service.get("a").await.unwrap(), "x");
}

#[tokio::test]
async fn appends_of_one_key_at_once_all_apply() {
    let service = Arc::new(Service::new().await);
    let mut running = tokio::task::JoinSet::new();
    for sequence in 1..=64 {
        let service = Arc::clone(&service);
        running.spawn(async move { service.values.append(service.append_request(sequence, b"x")).await.map(drop) });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(service.get("a").await.unwrap().len(), 64);
}

#[tokio::test]
async fn a_client_without_a_record_changes_nothing() {
    let mut service = Service::new().await;
    service.client = SessionId(99);
    let refused = refusal(service.values.put(service.put_request(1, b"x")).await);
    assert!(matches!(refused, Refusal::SessionExpired { .. }), "{refused}");
    assert_eq!(service.get("a").await, None);
}

#[tokio::test]
async fn a_value_that_would_grow_too_long_is_refused_for_good() {
    let service = Service::new().await;
    let long = vec![b'x'; VALUE_LIMIT_BYTES];
    let refused = refusal(service.values.put(service.put_request(1, &[long.as_slice(), b"x"].concat())).await);
    assert!(matches!(refused, Refusal::ValueTooLong { .. }), "{refused}");
    service.values.put(service.put_request(1, &long[1..])).await.unwrap();
    let refused = refusal(service.values.append(service.append_request(2, b"xy")).await);
    assert!(matches!(refused, Refusal::ValueTooLong { .. }), "{refused}");
    service.values.put(service.put_request(3, b"")).await.unwrap();
    let refused = refusal(service.values.append(service.append_request(2, b"xy")).await);
    assert!(matches!(refused, Refusal::ValueTooLong { .. }), "a copy that came late ran: {refused}");
    assert_eq!(service.get("a").await.unwrap(), "");
}

#[tokio::test]
async fn invalid_keys_and_ids_are_refused() {
    let service = Service::new().await;
    let empty = wire::PutValueRequest { key: String::new(), ..service.put_request(1, b"x") };
    assert!(matches!(refusal(service.values.put(empty).await), Refusal::InvalidKey { .. }));
    let nameless = wire::PutValueRequest { request: None, ..service.put_request(1, b"x") };
    assert!(matches!(refusal(service.values.put(nameless).await), Refusal::InvalidRequest { .. }));
}

#[tokio::test]
async fn a_deposed_master_reads_nothing() {
    let service = Service::new().await;
    service.store.depose(Epoch(2));
    let refused = refusal(service.values.get(wire::GetValueRequest { key: "a".to_owned() }).await);
    assert!(matches!(refused, Refusal::NotElected { .. }), "{refused}");
}

#[tokio::test]
async fn a_master_that_does_not_lead_raft_reads_by_a_command() {
    let service = Service::new().await;
    service.values.put(service.put_request(1, b"x")).await.unwrap();
    service.store.lose_read_index();
    assert_eq!(service.get("a").await.unwrap(), "x");
    service.store.depose(Epoch(2));
    assert!(service.values.get(wire::GetValueRequest { key: "a".to_owned() }).await.is_err());
}
