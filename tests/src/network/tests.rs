use std::time::Duration;

use tokio::time::Instant;

use super::{Lost, Network, Place, Rates};

const CLIENT: Place = Place::Client(1);
const MASTERS: [Place; 3] = [Place::Master(1), Place::Master(2), Place::Master(3)];

async fn passes(network: &Network, from: Place, to: Place) -> bool {
    network.carry(from, to, async {}).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn the_rates_of_loss_and_delay_are_those_that_were_set() {
    const REQUESTS: u32 = 10_000;
    let network = Network::new(1);
    network.set_rates(Rates::UNRELIABLE);
    let (mut executed, mut answered) = (0, 0);
    let started = Instant::now();
    for _ in 0..REQUESTS {
        let request = network.carry(CLIENT, MASTERS[0], async { executed += 1 });
        answered += u32::from(request.await.is_ok());
    }
    let mean = started.elapsed() / REQUESTS;
    assert!((8_900..9_100).contains(&executed), "{executed} executed");
    assert!((8_000..8_200).contains(&answered), "{answered} answered");
    assert!((Duration::from_millis(12)..Duration::from_millis(15)).contains(&mean), "{mean:?}");
    let troubles = network.troubles();
    assert_eq!(troubles.passed, u64::from(answered));
    assert_eq!(troubles.requests_lost, u64::from(REQUESTS - executed));
    assert_eq!(troubles.answers_lost, u64::from(executed - answered));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_loses_the_same_requests() {
    let losses = async |seed| {
        let network = Network::new(seed);
        network.set_rates(Rates::UNRELIABLE);
        let mut lost = Vec::new();
        for number in 0..100 {
            if !passes(&network, CLIENT, MASTERS[0]).await {
                lost.push(number);
            }
        }
        lost
    };
    assert_eq!(losses(7).await, losses(7).await);
    assert_ne!(losses(7).await, losses(8).await);
}

#[tokio::test(start_paused = true)]
async fn a_partition_cuts_masters_of_different_groups_and_no_client() {
    let network = Network::new(1);
    network.partition(&[&[1], &[2, 3]]);
    assert!(!passes(&network, MASTERS[0], MASTERS[1]).await);
    assert!(!passes(&network, MASTERS[2], MASTERS[0]).await);
    assert!(passes(&network, MASTERS[1], MASTERS[2]).await);
    assert!(passes(&network, CLIENT, MASTERS[0]).await);
    network.partition(&[&[1, 2], &[3]]);
    assert!(passes(&network, MASTERS[0], MASTERS[1]).await);
    assert!(!passes(&network, MASTERS[1], MASTERS[2]).await);
    network.heal();
    assert!(passes(&network, MASTERS[1], MASTERS[2]).await);
}

#[tokio::test(start_paused = true)]
async fn a_link_cut_one_way_loses_requests_there_and_answers_back() {
    let network = Network::new(1);
    network.cut(MASTERS[0], MASTERS[1]);
    let mut executed = false;
    assert_eq!(network.carry(MASTERS[0], MASTERS[1], async { executed = true }).await, Err(Lost));
    assert!(!executed);
    // The request comes through, its answer does not.
    assert_eq!(network.carry(MASTERS[1], MASTERS[0], async { executed = true }).await, Err(Lost));
    assert!(executed);
    assert_eq!(network.troubles().cut_off, 2);
}
