use std::time::Duration;

use cairn_master::store::LogLimits;
use cairn_tests::Machine;
use cairn_tests::history::History;
use cairn_tests::linearizability::{STEPS_LIMIT, check};
use cairn_tests::network::Rates;
use cairn_tests::recording_client::RecordingClient;
use cairn_tests::scale::Scale;
use cairn_tests::store_group::{GroupOptions, PATIENCE, StoreGroup};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use crate::load::{Load, Orders, chance};
use crate::nemesis::{crash_all, crash_elected, repartition};
use crate::{LONG_LOG, SHORT_LOG, SHORT_LOG_ENTRIES};

/// What a run of the generic test is like.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fault of its own, and all go together")]
pub(crate) struct Generic {
    pub(crate) servers: u64,
    pub(crate) clients: u64,
    /// The network loses and delays requests.
    pub(crate) unreliable: bool,
    /// The elected master crashes under load, and all masters at the end of each iteration.
    pub(crate) crashes: bool,
    /// Masters are put into two groups at random, again and again.
    pub(crate) partitions: bool,
    /// The log is kept short.
    pub(crate) snapshots: bool,
}

impl Generic {
    pub(crate) const RELIABLE: Self =
        Self { servers: 5, clients: 5, unreliable: false, crashes: false, partitions: false, snapshots: false };

    pub(crate) fn limits(&self) -> LogLimits {
        if self.snapshots { SHORT_LOG } else { LONG_LOG }
    }

    /// Every client has a key of its own. It appends tokens to it or reads it, and each read must be what it appended so
    /// far. After each iteration another client reads every key.
    pub(crate) async fn run(self) {
        let _machine = Machine::alone();
        let scale = Scale::from_environment();
        let options = GroupOptions { size: self.servers, limits: self.limits(), seed: rand::random() };
        println!("seed of the network {}", options.seed);
        let mut group = StoreGroup::start(&options).await;
        group.elected().await;
        let history = History::default();
        let reader = RecordingClient::new(0, group.client(0).await, &history);
        for iteration in 0..u64::from(scale.iterations) {
            let clients = connect(&group, iteration * self.clients, self.clients, &history).await;
            let load = Load::start(clients, append_and_read);
            self.fault(&mut group, &load, scale.iteration).await;
            let written = timeout(PATIENCE, load.ended()).await.expect("every operation is answered in the end");
            for Written { key, value } in written {
                assert_eq!(reader.get(&key).await, value, "key {key:?} after iteration {iteration}");
            }
            self.check_logs(&group);
        }
        self.check_faults(&group, u64::from(scale.iterations));
        check(&history.operations(), STEPS_LIMIT).unwrap();
    }

    /// One iteration of load and faults, after which the network is whole and all masters run.
    pub(crate) async fn fault<T: Send + 'static>(&self, group: &mut StoreGroup, load: &Load<T>, lasts: Duration) {
        group.network().set_rates(if self.unreliable { Rates::UNRELIABLE } else { Rates::RELIABLE });
        load.under_way().await;
        let end = Instant::now() + lasts;
        if self.crashes {
            crash_elected(group, end).await;
        }
        if self.partitions {
            repartition(group, end).await;
        }
        tokio::time::sleep_until(end).await;
        load.stop();
        if self.partitions {
            group.network().heal();
            sleep(Duration::from_secs(1)).await;
        }
        if self.crashes {
            crash_all(group).await;
        }
    }

    /// No master keeps more of the log than the limits say, once it has had a moment to purge.
    pub(crate) fn check_logs(&self, group: &StoreGroup) {
        if !self.snapshots {
            return;
        }
        for store in group.ids().into_iter().filter_map(|id| group.store(id)) {
            let entries = store.log_size().entries();
            assert!(entries <= SHORT_LOG_ENTRIES, "{entries} entries in the log of {}", store.master_id());
        }
    }

    /// A run in which the faults did not happen shows nothing.
    pub(crate) fn check_faults(&self, group: &StoreGroup, iterations: u64) {
        let troubles = group.network().troubles();
        println!("{troubles:?}, {} crashes", group.crashes());
        if self.unreliable {
            assert!(troubles.requests_lost > 0 && troubles.answers_lost > 0, "void: nothing was lost");
        }
        if self.partitions {
            assert!(troubles.cut_off > 0, "void: no partition met a request");
        }
        if self.crashes {
            assert!(group.crashes() > iterations * self.servers, "void: no master crashed under load");
        }
    }
}

/// Clients with the next ids after `last_id`, each with a connection and a session of its own.
pub(crate) async fn connect(group: &StoreGroup, last_id: u64, clients: u64, history: &History) -> Vec<RecordingClient> {
    let connecting = (last_id + 1..=last_id + clients)
        .map(|id| async move { RecordingClient::new(id, group.client(id).await, history) });
    join_all(connecting).await
}

/// What a client left behind.
pub(crate) struct Written {
    key: String,
    value: String,
}

async fn append_and_read(client: RecordingClient, orders: Orders) -> Written {
    let key = format!("k{}", client.id());
    let mut value = String::new();
    client.put(&key, "").await;
    let mut appended = 0;
    while orders.go_on() {
        if chance(50) {
            let token = format!("x {} {appended} y", client.id());
            appended += 1;
            value.push_str(&token);
            client.append(&key, token).await;
        } else {
            assert_eq!(client.get(&key).await, value, "client {}", client.id());
        }
    }
    Written { key, value }
}
