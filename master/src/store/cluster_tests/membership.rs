//! The group changes while commands go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::raft::ELECTION_TIMEOUT_MIN_MS;
use super::super::{
    AdministrationError, ChangeError, Epoch, LogOptions, MemberState, ReplicatedStore, Standing, Store,
};
use super::harness::{Cluster, LONG_LEASE, elected_of};
use super::put;

const PATIENCE: Duration = Duration::from_secs(20);
/// Before that, nobody stands for election for having heard nothing.
const SHORTEST_ELECTION_TIMEOUT: Duration = Duration::from_millis(ELECTION_TIMEOUT_MIN_MS);

/// Commits one command after the other by whichever master is elected, until it is told to stop; returns how many.
struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Writer {
    fn start(stores: Vec<Arc<ReplicatedStore>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut written = 0;
            while !stopped.load(Ordering::Relaxed) {
                for store in &stores {
                    let Some(epoch) = elected_of(&store.standing().borrow()) else { continue };
                    if store.commit(epoch, put("key/counter", &written.to_string())).await.is_ok() {
                        written += 1;
                    }
                }
                tokio::task::yield_now().await;
            }
            written
        });
        Self { stop, task }
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        timeout(PATIENCE, self.task).await.expect("the writer stops").unwrap()
    }
}

async fn add(cluster: &mut Cluster) -> usize {
    let (number, address) = cluster.start_joining().await;
    let id = cluster.change(|store| {
        let address = address.clone();
        async move { store.add_master(&address).await }
    });
    assert_eq!(id.await.unwrap(), number as u64 + 1);
    number
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, AdministrationError>) -> String {
    match answer {
        Err(AdministrationError::Change(ChangeError::Refused { why })) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_grows_from_one_to_three_to_five_while_writes_go_on() {
    let mut cluster = Cluster::start_with(1, LogOptions::default(), LONG_LEASE).await;
    let (elected, epoch) = cluster.steady().await;
    let writer = Writer::start(vec![Arc::clone(&elected)]);
    for size in 2..=5 {
        let number = add(&mut cluster).await;
        cluster.voters(0, size).await;
        cluster.without_elections();
        let applied = elected.view().unwrap().applied_index();
        timeout(PATIENCE, cluster.store(number).wait_applied(applied)).await.expect("the new master follows");
    }
    let written = writer.stop().await;
    assert!(written > 0);
    assert_eq!(elected.lease().unwrap().epoch, epoch.0, "growing costs no election");
    println!("{written} commands while the group grew to five");

    // The two that came last make a majority with one other.
    cluster.kill(1).await;
    cluster.kill(2).await;
    elected.commit(epoch, put("key/a", "1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_master_is_replaced_and_comes_back_refused_and_harmless() {
    let mut cluster = Cluster::start_with(3, LogOptions::default(), LONG_LEASE).await;
    let (elected, epoch) = cluster.steady().await;
    let leader = cluster.number_of(&elected);
    let (dead, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let writer = Writer::start(vec![Arc::clone(&elected)]);
    let left_in_term = cluster.store(dead).group().term();
    cluster.kill(dead).await;
    add(&mut cluster).await;
    cluster.without_elections();
    cluster.voters(leader, 4).await;
    let id = dead as u64 + 1;
    cluster.change(|store| async move { store.remove_master(id).await }).await.unwrap();
    cluster.voters(leader, 3).await;
    cluster.change(|store| async move { store.remove_master(id).await }).await.expect("removed is removed");

    cluster.restart(dead).await;
    let back = cluster.store(dead);
    let fatal = timeout(PATIENCE, back.fatal()).await.expect("it is not told").why;
    assert!(fatal.contains("was removed"), "{fatal}");
    assert!(writer.stop().await > 0);
    assert_eq!(back.group().term(), left_in_term, "the removed master stood for election");
    elected.commit(epoch, put("key/a", "1")).await.unwrap();
    assert!(matches!(*back.standing().borrow(), Standing::Following { .. }));
    assert!(back.members_status().len() == 3 && cluster.store(other).members_status().len() == 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_master_under_its_old_id_is_refused_and_harmless() {
    let mut cluster = Cluster::start_with(3, LogOptions::default(), LONG_LEASE).await;
    let (elected, epoch) = cluster.steady().await;
    let wiped = (cluster.number_of(&elected) + 1) % 3;
    elected.commit(epoch, put("key/a", "1")).await.unwrap();
    cluster.kill(wiped).await;
    cluster.wipe(wiped);
    cluster.restart(wiped).await;
    let fatal = timeout(PATIENCE, cluster.store(wiped).fatal()).await.expect("it is not told").why;
    assert!(fatal.contains("another disk"), "{fatal}");
    let refused = cluster.ask_for_vote(wiped, {
        let header = cluster.header(cluster.number_of(&elected), wiped);
        let known = elected.members_status().into_iter().find(|status| status.member.id == wiped as u64 + 1).unwrap();
        cairn_proto::wire::RaftHeader { target_disk: known.disk.to_wire(), ..header }
    });
    assert_eq!(refused.await.unwrap_err().code(), tonic::Code::FailedPrecondition, "it votes for a disk that is gone");
    elected.commit(epoch, put("key/a", "2")).await.unwrap();
    assert_eq!(cluster.store(wiped).group().term(), 0, "it stood for election");
    assert_eq!(cluster.store(wiped).view().unwrap().applied_index(), 0, "it took part");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_group_begins_only_when_all_its_masters_answer() {
    let mut cluster = Cluster::start_with(3, LogOptions::default(), LONG_LEASE).await;
    let (elected, epoch) = cluster.steady().await;
    elected.commit(epoch, put("key/a", "1")).await.unwrap();
    let id = elected.cluster();
    drop(elected);
    for number in 0..3 {
        cluster.kill(number).await;
    }
    // Two blank disks are a majority of a new group, but the third knows of the old one.
    cluster.wipe(0);
    cluster.wipe(1);
    cluster.restart(0).await;
    cluster.restart(1).await;
    let nobody = timeout(Duration::from_secs(2), cluster.elected());
    assert!(nobody.await.is_err(), "a second group was founded");
    cluster.restart(2).await;
    let fatal = timeout(PATIENCE, cluster.store(0).fatal()).await.expect("it is not told").why;
    assert!(fatal.contains("another disk"), "{fatal}");
    assert_eq!(cluster.store(2).cluster(), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_never_used_again_and_unfit_masters_are_not_added() {
    let mut cluster = Cluster::start_with(1, LogOptions::default(), LONG_LEASE).await;
    let (elected, _) = cluster.steady().await;
    let number = add(&mut cluster).await;
    cluster.without_elections();
    cluster.voters(0, 2).await;
    cluster.change(|store| async move { store.remove_master(2).await }).await.unwrap();
    cluster.kill(number).await;
    cluster.wipe(number);
    cluster.restart(number).await;
    let address = cluster.address(number);
    let refused = refusal(elected.add_master(&address).await);
    assert!(refused.contains("id 3"), "{refused}");
    let fatal = timeout(PATIENCE, cluster.store(number).fatal()).await.expect("it is not told").why;
    assert!(fatal.contains("used before"), "{fatal}");
    assert_eq!(elected.add_master(&cluster.address(0)).await.unwrap(), 1, "a member is a member");
    let nobody = elected.add_master("127.0.0.1:1").await;
    assert!(matches!(nobody, Err(AdministrationError::NoMaster { .. })), "{nobody:?}");
    assert!(refusal(elected.remove_master(1).await).contains("only one"));
    assert!(refusal(elected.remove_master(9).await).contains("no master 9"));
}

/// Has a master elected by request, after an epoch, so that it leads Raft as well. Only a machine that stands still on
/// the way, for so long that the others stand for election, may have them elect somebody else first.
async fn chosen(cluster: &Cluster, successor: u64, mut epoch: Epoch) -> (Arc<ReplicatedStore>, Epoch) {
    for _ in 0..5 {
        cluster.lead_raft(cluster.number_of(&cluster.elected().await.0)).await;
        let asked = Instant::now();
        cluster.change(|store| async move { store.transfer_to(successor).await }).await.unwrap();
        let (elected, later) = cluster.elected_after(epoch).await;
        if cluster.number_of(&elected) as u64 + 1 == successor && *elected.group().leads().borrow() {
            return (elected, later);
        }
        let took = asked.elapsed();
        assert!(took >= SHORTEST_ELECTION_TIMEOUT, "another than master {successor} after {took:?}");
        epoch = later;
    }
    panic!("master {successor} is never elected");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_elected_master_can_be_chosen_and_be_removed() {
    let cluster = Cluster::start_with(3, LogOptions::default(), LONG_LEASE).await;
    let (elected, epoch) = cluster.elected().await;
    let successor = ((cluster.number_of(&elected) + 1) % 3) as u64 + 1;
    let (chosen, later) = chosen(&cluster, successor, epoch).await;
    cluster.commit(put("key/a", "1")).await;

    cluster.lead_raft(cluster.number_of(&chosen)).await;
    cluster.change(|store| async move { store.remove_master(successor).await }).await.unwrap();
    let (next, last) = cluster.elected_after(later).await;
    assert_ne!(cluster.number_of(&next) as u64 + 1, successor);
    cluster.commit(put("key/a", "2")).await;
    assert_eq!(next.members_status().len(), 2);
    let fatal = timeout(PATIENCE, chosen.fatal()).await.expect("it is not told").why;
    assert!(fatal.contains("was removed"), "{fatal}");
    assert!(last > Epoch(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_waits_for_answers_before_it_refuses_a_removal() {
    let mut cluster = Cluster::start_with(3, LogOptions::default(), LONG_LEASE).await;
    let (elected, epoch) = cluster.elected().await;
    let removed = cluster.number_of(&elected);
    let (next, late) = ((removed + 1) % 3, (removed + 2) % 3);
    cluster.kill(late).await;
    let (chosen, _) = chosen(&cluster, next as u64 + 1, epoch).await;
    let unheard = chosen.members_status().into_iter().find(|status| status.member.id == late as u64 + 1).unwrap();
    assert_eq!(unheard.state, MemberState::Unreachable);

    let removing = tokio::spawn(async move { chosen.remove_master(removed as u64 + 1).await });
    cluster.restart(late).await;
    removing.await.unwrap().unwrap();
    assert_eq!(cluster.store(next).members_status().len(), 2);
}
