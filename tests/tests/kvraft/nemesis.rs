use std::time::Duration;

use cairn_tests::store_group::StoreGroup;
use rand::RngExt;
use tokio::time::{Instant, sleep, timeout_at};

/// How long a partition lasts.
const PARTITION: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_millis(1200);
/// How long a master is down.
const DOWN: Duration = Duration::from_millis(300);

/// Puts every master into one of two groups by a fair coin, again and again until `end`.
pub(crate) async fn repartition(group: &StoreGroup, end: Instant) {
    while Instant::now() < end {
        let (one, other) = split(&group.ids());
        group.network().partition(&[&one, &other]);
        let lasts = rand::rng().random_range(PARTITION);
        sleep(lasts).await;
    }
}

/// Two groups by a fair coin. Coins that put every master into the same one part nobody, and are thrown again: a run
/// has time for two partitions only, and of those both would be none once in 256 runs.
fn split(masters: &[u64]) -> (Vec<u64>, Vec<u64>) {
    loop {
        let (one, other): (Vec<u64>, Vec<u64>) = masters.iter().partition(|_| rand::rng().random_bool(0.5));
        if !one.is_empty() && !other.is_empty() {
            return (one, other);
        }
    }
}

/// Ends the elected master, if there is one before `end`, and starts it again.
pub(crate) async fn crash_elected(group: &mut StoreGroup, end: Instant) {
    let directory = group.directory().clone();
    let Ok(elected) = timeout_at(end, directory.elected()).await else { return };
    group.crash(elected).await;
    sleep(DOWN).await;
    group.restart(elected).await;
}

/// Ends every master, and starts all of them again after a second.
pub(crate) async fn crash_all(group: &mut StoreGroup) {
    for id in group.ids() {
        group.crash(id).await;
    }
    sleep(Duration::from_secs(1)).await;
    for id in group.ids() {
        group.restart(id).await;
    }
}
