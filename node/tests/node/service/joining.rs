use std::path::Path;
use std::time::Duration;

use cairn_node::{Config, JoinError, RunError, RunningNode};
use cairn_proto::Refusal;
use cairn_proto::ids::ClusterId;
use cairn_proto::transport::HeldAddress;
use tokio::time::timeout;

use super::cluster::{Answer, FakeMaster, TestNode, config};
use crate::fixtures::SESSION;

#[tokio::test]
async fn the_first_join_settles_the_cluster_and_later_ones_name_it() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = ClusterId::generate();
    let master = FakeMaster::start(Answer::Accept(cluster)).await;
    let node = TestNode::start_with(dir.path(), &master).await;
    let first = master.join(1).await;
    assert!(first.cluster.is_empty());
    let info = first.node.unwrap();
    assert_eq!((info.name.as_str(), info.address.parse().unwrap()), ("node-1", node.address));
    assert!(info.devices[0].limit_bytes > 0);
    node.stop().await.unwrap();
    assert_eq!(master.leaves()[0].node, info.id);

    let node = TestNode::start_with(dir.path(), &master).await;
    let second = master.join(2).await;
    assert_eq!(second.cluster, cluster.to_wire());
    let again = second.node.unwrap();
    assert_eq!((again.id, again.incarnation), (info.id, info.incarnation));
    assert_ne!(again.boot, info.boot);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_node_whose_data_is_wiped_joins_as_a_new_incarnation() {
    let dir = tempfile::tempdir().unwrap();
    let master = FakeMaster::start(Answer::Accept(ClusterId::generate())).await;
    TestNode::start_with(dir.path(), &master).await.stop().await.unwrap();
    std::fs::remove_dir_all(dir.path().join("db")).unwrap();
    TestNode::start_with(dir.path(), &master).await.stop().await.unwrap();
    let (before, after) = (master.join(1).await.node.unwrap(), master.join(2).await.node.unwrap());
    assert_eq!(before.id, after.id);
    assert_ne!(before.incarnation, after.incarnation);
}

#[tokio::test]
async fn a_node_at_the_address_of_one_that_is_gone_is_known_as_itself() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let held = HeldAddress::on_loopback().unwrap();
    let master = FakeMaster::start(Answer::Accept(ClusterId::generate())).await;
    let at = |dir: &Path| Config { listen: held.address(), ..config(dir, &[master.address.to_string()]) };
    TestNode::start_as(at(dirs[0].path()), &master).await.stop().await.unwrap();
    let mut node = TestNode::start_as(at(dirs[1].path()), &master).await;
    assert_eq!(node.address, held.address());
    node.admit(SESSION).await.expect("an order for the node that is there is obeyed");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn the_elected_master_is_found_by_name_and_past_dead_ones() {
    let dir = tempfile::tempdir().unwrap();
    let elected = FakeMaster::start(Answer::Accept(ClusterId::generate())).await;
    let refusal = Refusal::NotElected { elected: elected.address.to_string() };
    let other = FakeMaster::start(Answer::Refuse(refusal)).await;
    // Bound and not listening: nothing else gets this port, and nothing answers.
    let dead = tokio::net::TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let masters = [dead.local_addr().unwrap().to_string(), other.address.to_string()];
    let node = RunningNode::start(config(dir.path(), &masters)).await.unwrap();
    let run = tokio::spawn(node.run_until(std::future::pending()));
    timeout(Duration::from_secs(20), elected.join(1)).await.unwrap();
    run.abort();
}

#[tokio::test]
async fn a_node_of_another_cluster_ends_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let refusal = Refusal::ForeignCluster { ours: "a".to_owned(), theirs: "b".to_owned() };
    let master = FakeMaster::start(Answer::Refuse(refusal.clone())).await;
    let node = RunningNode::start(config(dir.path(), &[master.address.to_string()])).await.unwrap();
    let ended = timeout(Duration::from_secs(20), node.run_until(std::future::pending())).await.unwrap();
    match ended {
        Err(RunError::Join(JoinError::Refused { refusal: theirs, .. })) => assert_eq!(theirs, refusal),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_node_that_no_master_asks_joins_again() {
    let dir = tempfile::tempdir().unwrap();
    let master = FakeMaster::start(Answer::Accept(ClusterId::generate())).await;
    let node = TestNode::start_with(dir.path(), &master).await;
    timeout(Duration::from_secs(20), master.join(2)).await.unwrap();
    master.answer(Answer::Refuse(Refusal::NotElected { elected: String::new() }));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_planned_stop_is_announced_with_its_length() {
    let dir = tempfile::tempdir().unwrap();
    let master = FakeMaster::start(Answer::Accept(ClusterId::generate())).await;
    TestNode::start_with(dir.path(), &master).await.stop().await.unwrap();
    let planned_stop = Some(Duration::from_mins(5));
    let planned = Config { planned_stop, ..config(dir.path(), &[master.address.to_string()]) };
    TestNode::start_as(planned, &master).await.stop().await.unwrap();
    assert_eq!(master.leaves().iter().map(|leave| leave.maintenance_ms).collect::<Vec<_>>(), [0, 300_000]);
}

#[tokio::test]
async fn a_second_node_on_the_same_directory_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(dir.path()).await;
    let second = RunningNode::start(config(dir.path(), &["127.0.0.1:1".to_owned()])).await;
    let error = second.err().expect("the directory is in use");
    assert!(error.to_string().contains("in use by another node process"), "{error}");
    node.stop().await.unwrap();
}
