//! Keys that are written once.

use bytes::Bytes;
use cairn_proto::{Refusal, wire};

use super::{blob_precondition, request_id};
use crate::blobs::Overwrite;
use crate::fakes::{World, refusal, settings};
use crate::tenure::Settings;

async fn write_once() -> World {
    World::with_settings(6, Settings { overwrite: Overwrite::Worm, ..settings() }).await
}

fn exists(key: &str) -> Refusal {
    Refusal::KeyExists { key: key.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn clients_are_told() {
    let told =
        async |world: World| world.tenure.open_session(wire::OpenSessionRequest::default()).await.unwrap().write_once;
    assert!(told(write_once().await).await);
    assert!(!told(World::new(6).await).await);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_exists_is_neither_opened_nor_committed_again() {
    let world = write_once().await;
    let session = world.session().await;
    let opened = world.open(session, 2, "a", false).await.unwrap();
    let late = world.written(session, 2, "a", &opened, 9000);
    let first = world.put(session, 1, "a").await;
    assert_eq!(refusal(world.open(session, 3, "a", false).await), exists("a"));
    assert_eq!(refusal(world.tenure.blobs().commit(late).await), exists("a"));
    assert_eq!(world.look_up("a").await.unwrap().entry.unwrap().blob, first.blob);
}

#[tokio::test(start_paused = true)]
async fn a_session_commits_its_own_file_again_and_nobody_elses() {
    let world = write_once().await;
    let session = world.session().await;
    let first = world.put(session, 1, "a").await;
    let again = async |session, sequence, blob: &Bytes| {
        let opened = world.open(session, sequence, "other", false).await.unwrap();
        let request = world.written(session, sequence, "a", &opened, 30_000);
        let request = wire::CommitBlobRequest { precondition: Some(blob_precondition(blob)), ..request };
        world.tenure.blobs().commit(request.clone()).await.map(|_| request)
    };
    let second = again(session, 2, &first.blob).await.unwrap();
    let stranger = world.session().await;
    assert_eq!(refusal(again(stranger, 1, &second.blob).await), exists("a"));
    assert_eq!(world.look_up("a").await.unwrap().entry.unwrap().blob, second.blob);
}

#[tokio::test(start_paused = true)]
async fn no_rename_replaces_and_a_deleted_key_is_free() {
    let world = write_once().await;
    let session = world.session().await;
    let (first, _) = (world.put(session, 1, "a").await, world.put(session, 2, "b").await);
    let rename = async |sequence, from: &str, to: &str| {
        let (request, from, to) = (Some(request_id(session, sequence)), from.to_owned(), to.to_owned());
        world.tenure.blobs().rename(wire::RenameRequest { request, from, to, no_replace: false }).await
    };
    assert_eq!(refusal(rename(3, "b", "a").await), exists("a"));
    rename(4, "a", "a").await.unwrap();
    assert_eq!(world.look_up("a").await.unwrap().entry.unwrap().blob, first.blob);
    world.delete(session, 5, "a").await.unwrap();
    rename(6, "b", "a").await.unwrap();
    world.put(session, 7, "b").await;
}
