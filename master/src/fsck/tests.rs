//! What is told of a cluster that is well, and of every kind of damage.

use std::collections::BTreeSet;
use std::time::Duration;

use cairn_proto::Refusal;
use cairn_proto::ids::{BlobId, SegmentId, SessionId};
use cairn_proto::records::{Key, Segment};
use cairn_proto::wire::{self, FsckProblem, FsckProblemKind};
use tokio::sync::mpsc;

use super::MESSAGES;
use crate::fakes::{World, kept};
use crate::keys;
use crate::state::{State, encode};
use crate::store::{Command, Epoch, Store};

/// All that an inspection tells.
async fn look(world: &World) -> (Vec<FsckProblem>, wire::FsckProgress) {
    let inspection = world.tenure.inspector().begin().unwrap();
    let (sender, mut messages) = mpsc::channel(MESSAGES);
    let running = tokio::spawn(inspection.run(sender));
    let (mut problems, mut last) = (Vec::new(), wire::FsckProgress::default());
    while let Some(message) = messages.recv().await {
        let message = message.unwrap();
        problems.extend(message.problems);
        last = message.progress.unwrap();
    }
    running.await.unwrap();
    assert!(last.finished);
    (problems, last)
}

fn kinds(problems: &[FsckProblem]) -> Vec<FsckProblemKind> {
    let mut kinds: Vec<FsckProblemKind> = problems.iter().map(FsckProblem::kind).collect();
    kinds.sort_unstable_by_key(|kind| *kind as i32);
    kinds
}

fn segment(request: &wire::CommitBlobRequest) -> SegmentId {
    SegmentId::from_wire(&request.sealed.as_ref().unwrap().id).unwrap()
}

/// The number of the node that keeps a chunk.
fn keeper(request: &wire::CommitBlobRequest, chunk: usize) -> u8 {
    request.sealed.as_ref().unwrap().chunks[chunk].node[0]
}

async fn change(world: &World, write: impl FnOnce(&mut Command)) {
    let mut command = Command::new();
    write(&mut command);
    world.store.commit(Epoch(1), command).await.unwrap();
}

fn record(world: &World, id: SegmentId) -> Segment {
    let view = world.store.view().unwrap();
    State(view.as_ref()).segment(id).unwrap().unwrap().record
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_well_has_no_problem_whatever_is_under_way() {
    let world = World::new(6).await;
    let session = world.session().await;
    for sequence in 1..=7 {
        world.put(session, sequence, &format!("key {sequence}")).await;
    }
    let opened = world.open(session, 8, "kept", false).await.unwrap();
    world.tenure.blobs().commit(kept(session, 8, "kept", &opened, b"some bytes")).await.unwrap();
    let opened = world.open(session, 9, "open", false).await.unwrap();
    world.written(session, 9, "open", &opened, 20_000);
    world.delete(session, 10, "key 1").await.unwrap();
    let rename = wire::RenameRequest {
        request: Some(wire::RequestId { client: session.0, sequence: 11, lowest_unanswered: 11 }),
        from: "key 2".to_owned(),
        to: "other".to_owned(),
        no_replace: false,
    };
    world.tenure.blobs().rename(rename).await.unwrap();
    let (problems, progress) = look(&world).await;
    assert_eq!(problems, []);
    assert_eq!((progress.keys, progress.blobs, progress.segments), (7, 8, 8));
    assert_eq!((progress.chunks, progress.unchecked_chunks, progress.deleted_blobs), (8 * 6, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn chunks_that_are_missing_different_or_named_by_nothing_are_told_with_their_node_and_key() {
    let world = World::new(6).await;
    let session = world.session().await;
    let requests =
        [world.put(session, 1, "a").await, world.put(session, 2, "b").await, world.put(session, 3, "c").await];
    let [missing, different, _] = requests.each_ref().map(segment);
    world.nodes.with(keeper(&requests[0], 2), |node| node.sealed.remove(&missing));
    world.nodes.with(keeper(&requests[1], 4), |node| node.listed.get_mut(&different).unwrap().cells += 1);
    let orphan = SegmentId::generate();
    world.nodes.with(5, |node| node.sealed.insert(orphan, SessionId(999)));
    let (problems, _) = look(&world).await;
    let told: BTreeSet<(i32, String, Option<u32>, String)> = problems
        .iter()
        .map(|problem| (problem.kind, problem.key.clone(), problem.chunk_index, problem.node.clone()))
        .collect();
    let expected = BTreeSet::from([
        (FsckProblemKind::MissingChunk.into(), "a".to_owned(), Some(2), format!("node-{}", keeper(&requests[0], 2))),
        (FsckProblemKind::DifferentChunk.into(), "b".to_owned(), Some(4), format!("node-{}", keeper(&requests[1], 4))),
        (FsckProblemKind::Orphan.into(), String::new(), Some(0), "node-5".to_owned()),
    ]);
    assert_eq!(told, expected);
    world.tenure.reconstruction().round().await.unwrap();
    assert!(!kinds(&look(&world).await.0).contains(&FsckProblemKind::MissingChunk), "what was told is made again");
}

#[tokio::test(start_paused = true)]
async fn a_segment_with_too_few_chunks_is_lost() {
    let world = World::new(6).await;
    let session = world.session().await;
    let request = world.put(session, 1, "a").await;
    for chunk in 0..2 {
        world.nodes.with(keeper(&request, chunk), |node| node.sealed.clear());
    }
    assert_eq!(kinds(&look(&world).await.0), [FsckProblemKind::MissingChunk; 2]);
    world.nodes.with(keeper(&request, 2), |node| node.sealed.clear());
    let (problems, _) = look(&world).await;
    assert_eq!(
        kinds(&problems),
        [
            FsckProblemKind::MissingChunk,
            FsckProblemKind::MissingChunk,
            FsckProblemKind::MissingChunk,
            FsckProblemKind::LostSegment
        ]
    );
    assert!(problems.iter().all(|problem| problem.key == "a"));
}

#[tokio::test(start_paused = true)]
async fn a_hole_is_told_until_it_is_filled() {
    let world = World::new(6).await;
    let session = world.session().await;
    let mut opened = world.open(session, 1, "a", false).await.unwrap();
    opened.targets[1] = wire::NodeInfo::default();
    let request = world.written(session, 1, "a", &opened, 20_000);
    world.tenure.blobs().commit(request).await.unwrap();
    world.tenure.collection().round().await.unwrap();
    let (problems, _) = look(&world).await;
    assert_eq!((kinds(&problems), problems[0].chunk_index), (vec![FsckProblemKind::Hole], Some(1)));
    world.tenure.reconstruction().round().await.unwrap();
    assert_eq!(look(&world).await.0, []);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_do_not_answer_are_told_with_what_was_not_looked_at() {
    let world = World::new(6).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    world.put(session, 2, "b").await;
    world.delete(session, 3, "b").await.unwrap();
    world.nodes.with(3, |node| node.up = false);
    tokio::time::advance(Duration::from_secs(6)).await;
    world.hear_nodes().await;
    let (problems, progress) = look(&world).await;
    assert_eq!(kinds(&problems), [FsckProblemKind::UnreachableNode]);
    assert_eq!((problems[0].node.as_str(), progress.unchecked_chunks), ("node-3", 2));
    // What is to be deleted there waits for it.
    let mut job = world.tenure.collection();
    for _ in 0..3 {
        let _late = world.heartbeat(session);
        job.round().await.unwrap();
        tokio::time::advance(Duration::from_secs(8)).await;
        world.hear_nodes().await;
    }
    let (problems, progress) = look(&world).await;
    assert_eq!(kinds(&problems), [FsckProblemKind::UnreachableNode, FsckProblemKind::Garbage]);
    assert_eq!((progress.garbage_chunks, progress.unchecked_chunks), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn records_that_do_not_name_each_other_are_told() {
    let world = World::new(6).await;
    let session = world.session().await;
    let mut requests = Vec::new();
    for (sequence, key) in (1..).zip(["a", "b", "c", "d", "e"]) {
        requests.push(world.put(session, sequence, key).await);
    }
    let blob = |number: usize| BlobId::from_wire(&requests[number].blob).unwrap();
    let uses = Segment { uses: 2, ..record(&world, segment(&requests[2])) };
    let shorter = Segment { length_bytes: 10_000, ..record(&world, segment(&requests[4])) };
    change(&world, |command| {
        command.delete(keys::blob(blob(0)));
        command.delete(keys::key(&Key::try_from("b").unwrap()));
        command.put(keys::segment(uses.id), encode(&wire::Segment::from(&uses)));
        command.delete(keys::segment(segment(&requests[3])));
        command.put(keys::segment(shorter.id), encode(&wire::Segment::from(&shorter)));
        command.put(keys::blob(BlobId::generate()), &b"\x01\xff"[..]);
    })
    .await;
    let (problems, _) = look(&world).await;
    let expected = [
        // The segment of the blob that is gone, and the one that was changed.
        FsckProblemKind::WrongUses,
        FsckProblemKind::WrongUses,
        FsckProblemKind::KeyWithoutBlob,
        FsckProblemKind::BlobWithoutKey,
        FsckProblemKind::BlobWithoutSegment,
        FsckProblemKind::WrongExtents,
        FsckProblemKind::DamagedRecord,
    ];
    assert_eq!(kinds(&problems), expected, "{problems:#?}");
}

#[tokio::test(start_paused = true)]
async fn one_inspection_is_made_at_a_time() {
    let world = World::new(1).await;
    let first = world.tenure.inspector().begin().unwrap();
    assert!(matches!(world.tenure.inspector().begin(), Err(Refusal::NotReady { .. })));
    drop(first);
    look(&world).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_hangs_up_ends_the_inspection() {
    let world = World::new(6).await;
    let inspection = world.tenure.inspector().begin().unwrap();
    let (sender, messages) = mpsc::channel(MESSAGES);
    drop(messages);
    inspection.run(sender).await;
    assert!(world.tenure.inspector().begin().is_ok());
}
