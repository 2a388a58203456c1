//! What a commit, a deletion and a rename do to the state, and when they are refused.

mod write_once;

use std::time::Duration;

use bytes::Bytes;
use cairn_proto::ids::{BlobId, IncarnationId, NodeId, SegmentId, SessionId};
use cairn_proto::{Refusal, wire};

use crate::fakes::{World, kept, refusal};
use crate::keys;
use crate::store::{Epoch, Store};

fn blob_precondition(blob: &Bytes) -> wire::Precondition {
    wire::Precondition { condition: Some(wire::precondition::Condition::Blob(blob.clone())) }
}

fn absent() -> wire::Precondition {
    wire::Precondition { condition: Some(wire::precondition::Condition::Absent(wire::Absent {})) }
}

fn request_id(session: SessionId, sequence: u64) -> wire::RequestId {
    wire::RequestId { client: session.0, sequence, lowest_unanswered: sequence }
}

async fn prepared(nodes: u8) -> (World, SessionId, wire::CommitBlobRequest) {
    let world = World::new(nodes).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let request = world.written(session, 1, "a", &opened, 20_000);
    (world, session, request)
}

#[tokio::test(start_paused = true)]
async fn a_committed_blob_is_found_whole_and_listed() {
    let (world, _, request) = prepared(6).await;
    assert!(matches!(refusal(world.look_up("a").await), Refusal::KeyNotFound { .. }));
    let reply = world.tenure.blobs().commit(request.clone()).await.unwrap();
    let found = world.look_up("a").await.unwrap();
    assert_eq!(found.entry, reply.entry);
    let blob = found.blob.unwrap();
    assert_eq!((&blob.id, blob.size_bytes, &blob.extents), (&request.blob, 20_000, &request.extents));
    assert_eq!(found.segments.len(), 1);
    assert_eq!((found.segments[0].uses, found.segments[0].version), (1, 1));
    assert_eq!(found.nodes.len(), 6);
    let page =
        world.tenure.blobs().list(wire::ListRequest { pattern: "?".into(), ..Default::default() }).await.unwrap();
    assert_eq!(page.keys, [wire::ListedKey { key: "a".into(), entry: reply.entry }]);
    assert!(world.tenure.transactions().is_empty(), "the commit ends the transaction");
}

#[tokio::test(start_paused = true)]
async fn a_segment_kept_with_its_record_needs_no_node() {
    let world = World::new(6).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let request = kept(session, 1, "a", &opened, b"some bytes");
    world.tenure.blobs().commit(request.clone()).await.unwrap();
    let world = world.elect_again().await;
    let found = world.look_up("a").await.unwrap();
    assert_eq!((&found.segments[0].contents[..], found.segments[0].uses), (&b"some bytes"[..], 1));
    assert!(found.nodes.is_empty());
    assert_eq!((world.count(keys::REPAIRS), world.count(keys::GARBAGE)), (0, 0));
    assert!(world.tenure.transactions().is_empty(), "the commit ends the transaction");
}

#[tokio::test(start_paused = true)]
async fn a_kept_segment_whose_bytes_were_changed_on_the_way_is_refused() {
    let world = World::new(6).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let mut request = kept(session, 1, "a", &opened, b"some bytes");
    sealed(&mut request).contents = Bytes::from_static(b"same bytes");
    assert!(matches!(refusal(world.tenure.blobs().commit(request).await), Refusal::InvalidRequest { .. }));
    assert_eq!((world.count(keys::BLOBS), world.count(keys::SEGMENTS)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_commit_applies_once_also_across_an_election() {
    let (world, _, request) = prepared(6).await;
    let first = world.tenure.blobs().commit(request.clone()).await.unwrap();
    assert_eq!(world.tenure.blobs().commit(request.clone()).await.unwrap(), first);
    let world = world.elect_again().await;
    assert_eq!(world.tenure.blobs().commit(request).await.unwrap(), first);
    assert_eq!((world.count(keys::BLOBS), world.count(keys::DELETED)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_commit_is_recognised_by_its_blob_when_its_session_is_gone() {
    let (world, session, request) = prepared(6).await;
    let first = world.tenure.blobs().commit(request.clone()).await.unwrap();
    world.tenure.close_session(session).await.unwrap();
    assert_eq!(world.tenure.blobs().commit(request).await.unwrap(), first);
}

#[tokio::test(start_paused = true)]
async fn a_commit_after_its_session_ended_never_runs() {
    let (world, _, request) = prepared(6).await;
    tokio::time::advance(Duration::from_secs(11)).await;
    world.tenure.expire_sessions().await.unwrap();
    let refused = refusal(world.tenure.blobs().commit(request).await);
    assert!(matches!(refused, Refusal::SessionExpired { .. }), "{refused}");
    assert_eq!((world.count(keys::BLOBS), world.count(keys::SEGMENTS), world.count(keys::KEYS)), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_deposed_master_commits_nothing() {
    let (world, _, request) = prepared(6).await;
    world.store.depose(Epoch(9));
    assert!(world.tenure.blobs().commit(request).await.is_err());
    assert_eq!((world.count(keys::BLOBS), world.count(keys::SEGMENTS)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_commit_checks_its_precondition() {
    let (world, session, mut request) = prepared(6).await;
    request.precondition = Some(blob_precondition(&BlobId::generate().to_wire()));
    let refused = refusal(world.tenure.blobs().commit(request.clone()).await);
    assert_eq!(refused, Refusal::KeyNotFound { key: "a".into() });
    let old = world.put(session, 2, "a").await;
    request.request = Some(request_id(session, 3));
    let refused = refusal(world.tenure.blobs().commit(request.clone()).await);
    assert_eq!(refused, Refusal::KeyChanged { key: "a".into() });
    (request.request, request.precondition) = (Some(request_id(session, 4)), Some(absent()));
    let refused = refusal(world.tenure.blobs().commit(request.clone()).await);
    assert_eq!(refused, Refusal::KeyExists { key: "a".into() });
    (request.request, request.precondition) = (Some(request_id(session, 5)), Some(blob_precondition(&old.blob)));
    world.tenure.blobs().commit(request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn replacing_a_blob_marks_the_old_one_deleted_at_that_index() {
    let (world, session, _) = prepared(6).await;
    let old = world.put(session, 2, "a").await;
    let new = world.put(session, 3, "a").await;
    let found = world.look_up("a").await.unwrap();
    let (entry, index) = (found.entry.unwrap(), found.applied_index);
    assert_eq!(entry.blob, new.blob);
    let target = Some(wire::look_up_request::Target::Blob(old.blob));
    let request = wire::LookUpRequest { target, min_applied_index: 0, entry_only: false };
    let blob = world.tenure.blobs().look_up(request).await.unwrap().blob.unwrap();
    assert_eq!((blob.state(), blob.deleted_index), (wire::BlobState::Deleted, index));
    assert_ne!(blob.serial, entry.serial);
    assert_eq!(world.count(keys::DELETED), 1);
}

#[tokio::test(start_paused = true)]
async fn an_append_shares_the_sealed_rows() {
    let (world, session, _) = prepared(6).await;
    let first = world.put(session, 2, "a").await;
    let opened = world.open(session, 3, "a", false).await.unwrap();
    let mut append = world.written(session, 3, "a", &opened, 5000);
    let row = 4 * 4096;
    let shared = wire::Extent { rows: 1, length_bytes: row, ..first.extents[0].clone() };
    append.extents.insert(0, shared);
    append.size_bytes += row;
    append.precondition = Some(blob_precondition(&first.blob));
    world.tenure.blobs().commit(append).await.unwrap();
    let found = world.look_up("a").await.unwrap();
    let uses: Vec<(bool, u64)> =
        found.segments.iter().map(|segment| (segment.id == first.extents[0].segment, segment.uses)).collect();
    assert_eq!(uses, [(true, 2), (false, 1)]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_blob_needs_no_segment_and_ends_its_exclusive_transaction() {
    let world = World::new(6).await;
    let session = world.session().await;
    world.open(session, 1, "a", true).await.unwrap();
    let request = wire::CommitBlobRequest {
        request: Some(request_id(session, 1)),
        key: "a".into(),
        precondition: Some(absent()),
        blob: BlobId::generate().to_wire(),
        digest: vec![0; 32].into(),
        attributes: Some(wire::Attributes::default()),
        ..Default::default()
    };
    world.tenure.blobs().commit(request).await.unwrap();
    assert_eq!(world.look_up("a").await.unwrap().blob.unwrap().size_bytes, 0);
    assert!(world.tenure.transactions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn holes_are_committed_and_queued_for_repair_in_the_same_command() {
    let (world, _, mut request) = prepared(6).await;
    let sealed = request.sealed.as_mut().unwrap();
    (sealed.chunks[2].node, sealed.chunks[2].incarnation) = (Bytes::new(), Bytes::new());
    world.tenure.blobs().commit(request).await.unwrap();
    assert_eq!(world.count(keys::REPAIRS), 1);
    assert_eq!(world.count(keys::GARBAGE), 1, "the node that did not seal in time is cleared");
}

#[tokio::test(start_paused = true)]
async fn more_holes_than_one_less_than_the_code_chunks_are_refused() {
    let (world, _, mut request) = prepared(6).await;
    for chunk in &mut request.sealed.as_mut().unwrap().chunks[2..4] {
        (chunk.node, chunk.incarnation) = (Bytes::new(), Bytes::new());
    }
    let refused = refusal(world.tenure.blobs().commit(request).await);
    assert!(matches!(refused, Refusal::TooFewNodes { .. }), "{refused}");
    assert_eq!(world.count(keys::BLOBS), 0);
}

#[tokio::test(start_paused = true)]
async fn a_chunk_without_cells_is_no_hole() {
    let world = World::new(6).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let mut request = world.written(session, 1, "a", &opened, 100);
    for chunk in &mut request.sealed.as_mut().unwrap().chunks[1..4] {
        (chunk.node, chunk.incarnation) = (Bytes::new(), Bytes::new());
    }
    world.tenure.blobs().commit(request).await.unwrap();
    assert_eq!(world.count(keys::REPAIRS), 0);
}

async fn refused_when(change: impl FnOnce(&World, &mut wire::CommitBlobRequest)) -> Refusal {
    let (world, _, mut request) = prepared(6).await;
    change(&world, &mut request);
    let refused = refusal(world.tenure.blobs().commit(request).await);
    assert_eq!((world.count(keys::BLOBS), world.count(keys::SEGMENTS), world.count(keys::KEYS)), (0, 0, 0));
    refused
}

fn sealed(request: &mut wire::CommitBlobRequest) -> &mut wire::Segment {
    request.sealed.as_mut().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_cannot_be_right_is_refused() {
    let invalid = |refusal: Refusal| assert!(matches!(refusal, Refusal::InvalidRequest { .. }), "{refusal}");
    invalid(refused_when(|_, request| sealed(request).chunks[1] = sealed(request).chunks[0].clone()).await);
    invalid(refused_when(|_, request| sealed(request).chunks[1].node = NodeId::generate().to_wire()).await);
    invalid(refused_when(|_, request| sealed(request).chunks[0].cells -= 1).await);
    invalid(refused_when(|_, request| sealed(request).chunks[5].length_bytes -= 1).await);
    invalid(refused_when(|_, request| sealed(request).transaction.as_mut().unwrap().session += 1).await);
    invalid(refused_when(|_, request| sealed(request).uses = 1).await);
    invalid(refused_when(|_, request| request.extents[0].segment = SegmentId::generate().to_wire()).await);
    invalid(refused_when(|_, request| request.size_bytes += 1).await);
    invalid(refused_when(|_, request| request.extents = vec![request.extents[0].clone(); 65]).await);
    let layout = refused_when(|_, request| sealed(request).layout.as_mut().unwrap().cell_size_bytes = 5).await;
    assert!(matches!(layout, Refusal::InvalidLayout { .. }), "{layout}");
}

#[tokio::test(start_paused = true)]
async fn a_chunk_in_another_life_of_its_node_is_refused() {
    let life = IncarnationId::generate().to_wire();
    let refused = refused_when(|_, request| sealed(request).chunks[3].incarnation = life).await;
    assert!(matches!(refused, Refusal::WrongIncarnation { .. }), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_node_wiped_between_the_seal_and_the_commit_is_noticed() {
    let (world, _, request) = prepared(6).await;
    world.nodes.with(2, |node| node.incarnation = IncarnationId::generate());
    world.tenure.nodes().join(None, world.nodes.info(2)).await.unwrap();
    let refused = refusal(world.tenure.blobs().commit(request).await);
    assert!(matches!(refused, Refusal::WrongIncarnation { .. }), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_segment_is_committed_by_one_blob_only() {
    let (world, session, request) = prepared(6).await;
    world.tenure.blobs().commit(request.clone()).await.unwrap();
    let again = wire::CommitBlobRequest {
        request: Some(request_id(session, 2)),
        key: "b".into(),
        blob: BlobId::generate().to_wire(),
        ..request.clone()
    };
    assert!(matches!(refusal(world.tenure.blobs().commit(again).await), Refusal::InvalidRequest { .. }));
    let other = wire::CommitBlobRequest { request: Some(request_id(session, 3)), key: "b".into(), ..request };
    let refused = refusal(world.tenure.blobs().commit(other).await);
    assert!(matches!(refused, Refusal::InvalidRequest { .. }), "a blob id is never used twice: {refused}");
}

#[tokio::test(start_paused = true)]
async fn an_aborted_transaction_cannot_be_committed_even_by_the_next_master() {
    let (world, session, request) = prepared(6).await;
    let abort = wire::AbortTransactionRequest {
        transaction: Some(wire::TransactionId { session: session.0, sequence: 1 }),
        segment: request.sealed.as_ref().unwrap().id.clone(),
        nodes: Vec::new(),
    };
    world.tenure.abort_transaction(abort.clone().try_into().unwrap()).await.unwrap();
    world.tenure.abort_transaction(abort.try_into().unwrap()).await.unwrap();
    let world = world.elect_again().await;
    assert!(matches!(refusal(world.tenure.blobs().commit(request).await), Refusal::InvalidRequest { .. }));
    assert_eq!((world.count(keys::BLOBS), world.count(keys::GARBAGE)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_abort_after_the_commit_changes_nothing() {
    let (world, session, request) = prepared(6).await;
    world.tenure.blobs().commit(request.clone()).await.unwrap();
    let abort = wire::AbortTransactionRequest {
        transaction: Some(wire::TransactionId { session: session.0, sequence: 1 }),
        segment: request.sealed.as_ref().unwrap().id.clone(),
        nodes: request.sealed.unwrap().chunks.iter().map(|chunk| chunk.node.clone()).collect(),
    };
    world.tenure.abort_transaction(abort.try_into().unwrap()).await.unwrap();
    assert_eq!(world.count(keys::GARBAGE), 0);
    assert!(world.look_up("a").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_deletion_removes_the_key_once() {
    let (world, session, _) = prepared(6).await;
    world.put(session, 2, "a").await;
    world.delete(session, 3, "a").await.unwrap();
    assert!(matches!(refusal(world.look_up("a").await), Refusal::KeyNotFound { .. }));
    world.delete(session, 3, "a").await.unwrap();
    assert_eq!(refusal(world.delete(session, 4, "a").await), Refusal::KeyNotFound { key: "a".into() });
    world.put(session, 5, "a").await;
    assert!(world.delete(session, 4, "a").await.is_err(), "a refusal stays one");
    assert!(world.look_up("a").await.is_ok());
}

fn rename(session: SessionId, sequence: u64, from: &str, to: &str, no_replace: bool) -> wire::RenameRequest {
    wire::RenameRequest { request: Some(request_id(session, sequence)), from: from.into(), to: to.into(), no_replace }
}

#[tokio::test(start_paused = true)]
async fn a_rename_moves_the_entry_and_retires_what_it_replaces() {
    let (world, session, _) = prepared(6).await;
    let a = world.put(session, 2, "a").await;
    world.put(session, 3, "b").await;
    let blobs = world.tenure.blobs();
    let refused = refusal(blobs.rename(rename(session, 4, "a", "b", true)).await);
    assert_eq!(refused, Refusal::KeyExists { key: "b".into() });
    blobs.rename(rename(session, 5, "a", "b", false)).await.unwrap();
    assert_eq!(world.look_up("b").await.unwrap().entry.unwrap().blob, a.blob);
    assert!(world.look_up("a").await.is_err());
    assert_eq!((world.count(keys::KEYS), world.count(keys::DELETED)), (1, 1));
    blobs.rename(rename(session, 6, "b", "b", false)).await.unwrap();
    assert_eq!((world.count(keys::KEYS), world.count(keys::DELETED)), (1, 1));
    let refused = refusal(blobs.rename(rename(session, 7, "a", "c", false)).await);
    assert_eq!(refused, Refusal::KeyNotFound { key: "a".into() });
}

#[tokio::test(start_paused = true)]
async fn attributes_change_only_for_the_blob_they_were_read_with() {
    let (world, session, _) = prepared(6).await;
    let old = world.put(session, 2, "a").await;
    let attributes = wire::Attributes { mode: 0o600, mtime_seconds: 5, ..Default::default() };
    let request = |sequence, blob: &Bytes| wire::SetAttributesRequest {
        request: Some(request_id(session, sequence)),
        key: "a".into(),
        blob: blob.clone(),
        attributes: Some(attributes),
    };
    let reply = world.tenure.blobs().set_attributes(request(3, &old.blob)).await.unwrap();
    assert_eq!(world.look_up("a").await.unwrap().entry, reply.entry);
    assert_eq!(reply.entry.unwrap().attributes, Some(attributes));
    world.put(session, 4, "a").await;
    let refused = refusal(world.tenure.blobs().set_attributes(request(5, &old.blob)).await);
    assert_eq!(refused, Refusal::KeyChanged { key: "a".into() });
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_for_what_the_client_has_seen() {
    let (world, session, _) = prepared(6).await;
    world.put(session, 2, "a").await;
    let seen = world.store.view().unwrap().applied_index();
    let request = |min_applied_index| wire::LookUpRequest {
        target: Some(wire::look_up_request::Target::Key("a".into())),
        min_applied_index,
        entry_only: true,
    };
    let answer = world.tenure.blobs().look_up(request(seen)).await.unwrap();
    assert!(answer.applied_index >= seen && answer.blob.is_none());
    let refused = refusal(world.tenure.blobs().look_up(request(seen + 1)).await);
    assert!(matches!(refused, Refusal::NotReady { .. }), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn eight_writers_of_one_key_leave_one_whole_version() {
    let world = World::new(6).await;
    let mut writing = tokio::task::JoinSet::new();
    let tenure = &world.tenure;
    for _ in 0..8 {
        let session = world.session().await;
        let opened = world.open(session, 1, "a", false).await.unwrap();
        let request = world.written(session, 1, "a", &opened, 9000);
        let tenure = std::sync::Arc::clone(tenure);
        writing.spawn(async move { tenure.blobs().commit(request).await.unwrap() });
    }
    let mut serials = std::collections::HashSet::new();
    while let Some(reply) = writing.join_next().await {
        serials.insert(reply.unwrap().entry.unwrap().serial);
    }
    assert_eq!(serials.len(), 8);
    assert_eq!((world.count(keys::KEYS), world.count(keys::BLOBS), world.count(keys::DELETED)), (1, 8, 7));
    assert!(world.look_up("a").await.is_ok());
}
