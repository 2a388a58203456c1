//! How long sessions live.

use std::time::Duration;

use cairn_proto::Refusal;

use crate::fakes::{World, refusal};
use crate::keys;
use crate::store::CommitError;

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_a_session_alive_and_silence_ends_it() {
    let world = World::new(1).await;
    let session = world.session().await;
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(9)).await;
        world.tenure.expire_sessions().await.unwrap();
        world.heartbeat(session).unwrap();
    }
    tokio::time::advance(Duration::from_secs(10)).await;
    world.tenure.expire_sessions().await.unwrap();
    let refused = refusal(world.heartbeat(session));
    assert_eq!(refused, Refusal::SessionExpired { session: session.to_string() });
    assert_eq!((world.count(keys::SESSIONS), world.count(keys::REVOCATIONS)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_new_master_grants_a_full_timeout() {
    let world = World::new(1).await;
    let session = world.session().await;
    tokio::time::advance(Duration::from_secs(9)).await;
    let world = world.elect_again().await;
    tokio::time::advance(Duration::from_secs(9)).await;
    world.tenure.expire_sessions().await.unwrap();
    world.heartbeat(session).unwrap();
    tokio::time::advance(Duration::from_secs(10)).await;
    world.tenure.expire_sessions().await.unwrap();
    assert!(world.heartbeat(session).is_err());
}

#[tokio::test(start_paused = true)]
async fn numbers_of_sessions_are_never_used_again() {
    let world = World::new(1).await;
    let first = world.session().await;
    world.tenure.close_session(first).await.unwrap();
    world.tenure.close_session(first).await.unwrap();
    let world = world.elect_again().await;
    assert!(world.session().await > first);
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_end_did_not_commit_lives_on() {
    let world = World::new(1).await;
    let session = world.session().await;
    world.store.fail_next(CommitError::Unavailable { why: "no leader".to_owned() });
    assert!(world.tenure.close_session(session).await.is_err());
    world.heartbeat(session).unwrap();
    assert_eq!(world.count(keys::SESSIONS), 1);
}
