//! What watchers are told, in which order, and when they are told that they missed something.

use std::time::Duration;

use cairn_proto::records::Key;
use cairn_proto::wire::ChangeKind::{self, Attributes, Created, Removed, Replaced};
use cairn_proto::{Refusal, wire};
use tokio::time::{Instant, timeout};

use super::{WatchRequest, Watcher};
use crate::fakes::{World, refusal};
use crate::keys;
use crate::state::encode;
use crate::store::{Command, Epoch, Standing, Store};

fn watch(world: &World, pattern: &str, after_index: Option<u64>) -> Watcher {
    let request = wire::WatchRequest { pattern: pattern.to_owned(), after_index };
    world.tenure.watchers().admit(WatchRequest::try_from(request).unwrap()).unwrap()
}

fn told(message: &wire::WatchResponse) -> Vec<(&str, ChangeKind)> {
    message.changes.iter().map(|change| (change.key.as_str(), change.kind())).collect()
}

/// Messages up to the state of now, put together.
async fn catch_up(world: &World, watcher: &mut Watcher) -> wire::WatchResponse {
    let applied_index = world.store.view().unwrap().applied_index();
    let mut all = wire::WatchResponse::default();
    while all.applied_index < applied_index {
        let message = watcher.next().await.unwrap();
        all.changes.extend(message.changes);
        all.applied_index = message.applied_index;
    }
    all
}

async fn rename(world: &World, client: u64, sequence: u64, from: &str, to: &str) {
    let request = wire::RenameRequest {
        request: Some(wire::RequestId { client, sequence, lowest_unanswered: sequence }),
        from: from.to_owned(),
        to: to.to_owned(),
        no_replace: false,
    };
    world.tenure.blobs().rename(request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_change_is_told_once_in_the_order_of_the_log() {
    let world = World::new(6).await;
    let session = world.session().await;
    let mut watcher = watch(&world, "", None);
    world.put(session, 1, "a").await;
    let again = world.put(session, 2, "a").await;
    let attributes = wire::SetAttributesRequest {
        request: Some(wire::RequestId { client: session.0, sequence: 3, lowest_unanswered: 3 }),
        key: "a".to_owned(),
        blob: again.blob.clone(),
        attributes: Some(wire::Attributes { mode: 0o600, ..wire::Attributes::default() }),
    };
    world.tenure.blobs().set_attributes(attributes).await.unwrap();
    rename(&world, session.0, 4, "a", "b").await;
    world.delete(session, 5, "b").await.unwrap();
    assert!(world.delete(session, 6, "b").await.is_err(), "a refusal changes no key");
    let all = catch_up(&world, &mut watcher).await;
    let expected = [("a", Created), ("a", Replaced), ("a", Attributes), ("a", Removed), ("b", Created), ("b", Removed)];
    assert_eq!(told(&all), expected);
    assert_eq!(all.changes[1].entry.as_ref().unwrap().blob, again.blob);
    assert_eq!(all.changes[2].entry.as_ref().unwrap().attributes.unwrap().mode, 0o600);
    assert_eq!(all.changes[5].entry, None);
    assert!(all.changes.is_sorted_by_key(|change| change.index));
    assert_eq!(all.changes[3].index, all.changes[4].index, "a renaming is one command");
}

#[tokio::test(start_paused = true)]
async fn a_watcher_begins_with_how_far_the_state_is_and_hears_so_every_second() {
    let world = World::new(6).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    let mut watcher = watch(&world, "", None);
    let start = Instant::now();
    let begin = watcher.next().await.unwrap();
    assert_eq!((begin.changes.len(), begin.applied_index), (0, world.store.view().unwrap().applied_index()));
    assert_eq!(start.elapsed(), Duration::ZERO);
    let other = world.session().await;
    let progress = watcher.next().await.unwrap();
    assert_eq!((progress.changes.len(), progress.applied_index), (0, other.0), "no key changed");
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_without_waiting_for_the_next_progress() {
    let world = World::new(6).await;
    let session = world.session().await;
    let mut watcher = watch(&world, "", None);
    watcher.next().await.unwrap();
    let waiting = tokio::spawn(async move { timeout(Duration::from_millis(100), watcher.next()).await });
    tokio::task::yield_now().await;
    world.put(session, 1, "a").await;
    let message = waiting.await.unwrap().expect("the change wakes the watcher").unwrap();
    assert_eq!(told(&message), [("a", Created)]);
}

#[tokio::test(start_paused = true)]
async fn only_keys_that_match_are_told() {
    let world = World::new(6).await;
    let session = world.session().await;
    let mut watcher = watch(&world, "photo-*", None);
    for (sequence, key) in (1..).zip(["photo-1", "note", "photo-2", "a-photo-3"]) {
        world.put(session, sequence, key).await;
    }
    rename(&world, session.0, 5, "photo-1", "gone").await;
    let all = catch_up(&world, &mut watcher).await;
    assert_eq!(told(&all), [("photo-1", Created), ("photo-2", Created), ("photo-1", Removed)]);
    let malformed = wire::WatchRequest { pattern: "[a".to_owned(), after_index: None };
    assert!(matches!(WatchRequest::try_from(malformed), Err(Refusal::InvalidRequest { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_comes_back_goes_on_where_it_was_also_at_the_next_master() {
    let world = World::new(6).await;
    let session = world.session().await;
    let mut watcher = watch(&world, "", None);
    world.put(session, 1, "a").await;
    let seen = catch_up(&world, &mut watcher).await.applied_index;
    drop(watcher);
    world.put(session, 2, "b").await;
    let world = world.elect_again().await;
    world.put(session, 3, "c").await;
    let mut watcher = watch(&world, "", Some(seen));
    assert_eq!(told(&catch_up(&world, &mut watcher).await), [("b", Created), ("c", Created)]);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_has_seen_more_than_this_master_waits_for_it() {
    let world = World::new(6).await;
    let session = world.session().await;
    let ahead = world.store.view().unwrap().applied_index() + 1;
    let mut watcher = watch(&world, "", Some(ahead));
    assert!(timeout(Duration::from_secs(5), watcher.next()).await.is_err(), "nothing behind its place has happened");
    world.delete(session, 1, "nothing").await.unwrap_err();
    assert_eq!(watcher.next().await.unwrap().applied_index, ahead);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_whose_history_is_gone_is_told_so() {
    let world = World::new(6).await;
    let session = world.session().await;
    let mut watcher = watch(&world, "", None);
    watcher.next().await.unwrap();
    world.put(session, 1, "a").await;
    world.store.lose_history();
    let lost = world.store.view().unwrap().applied_index();
    let expected = Refusal::HistoryLost { lost: lost.to_string() };
    assert_eq!(refusal(watcher.next().await), expected);
    assert_eq!(refusal(watch(&world, "", Some(lost - 1)).next().await), expected);
    assert_eq!(watch(&world, "", Some(lost)).next().await.unwrap().applied_index, lost);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_is_too_slow_loses_the_history_and_holds_up_nobody() {
    let world = World::new(6).await;
    let (mut slow, mut quick) = (watch(&world, "", None), watch(&world, "", None));
    slow.next().await.unwrap();
    for _ in 0..70 {
        let mut command = Command::new();
        for number in 0..1000 {
            let key = Key::try_from(format!("key-{number}")).unwrap();
            command.put(keys::key(&key), encode(&wire::KeyEntry::default()));
        }
        world.store.commit(Epoch(1), command).await.unwrap();
        assert_eq!(catch_up(&world, &mut quick).await.changes.len(), 1000);
    }
    assert!(matches!(refusal(slow.next().await), Refusal::HistoryLost { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_watcher_ends_at_once_when_its_master_is_not_elected_any_more() {
    let world = World::new(6).await;
    let mut watcher = watch(&world, "", None);
    watcher.next().await.unwrap();
    let start = Instant::now();
    let elected = Some("other:1".to_owned());
    world.store.set_standing(Standing::Following { elected });
    assert_eq!(refusal(watcher.next().await), Refusal::NotElected { elected: "other:1".to_owned() });
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_after_the_lease_ran_out() {
    let world = World::new(6).await;
    let session = world.session().await;
    let mut watcher = watch(&world, "", None);
    watcher.next().await.unwrap();
    world.put(session, 1, "a").await;
    let Standing::Elected { serve_until, .. } = *world.store.standing().borrow() else { panic!("it is elected") };
    tokio::time::advance(serve_until - Instant::now()).await;
    assert!(matches!(refusal(watcher.next().await), Refusal::NotElected { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_busy_key_costs_one_message_for_many_changes_and_none_is_lost() {
    let world = World::new(6).await;
    let session = world.session().await;
    let mut watcher = watch(&world, "", None);
    watcher.next().await.unwrap();
    for sequence in 1..=20 {
        world.put(session, sequence, "a").await;
    }
    assert_eq!(watcher.next().await.unwrap().changes.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn watchers_above_the_limit_are_refused_until_one_is_gone() {
    let world = World::new(6).await;
    let mut all = Vec::new();
    let refused = loop {
        let request = WatchRequest::try_from(wire::WatchRequest::default()).unwrap();
        match world.tenure.watchers().admit(request) {
            Ok(watcher) => all.push(watcher),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, Refusal::TooManyWatchers { limit: all.len().to_string() });
    all.pop();
    all.push(watch(&world, "", None));
    assert_eq!(all.last_mut().unwrap().next().await.unwrap().changes, []);
}
