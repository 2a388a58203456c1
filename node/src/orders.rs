use std::sync::Arc;

use bytes::Bytes;
use cairn_proto::ids::{ClusterId, IncarnationId};
use cairn_proto::{Refusal, wire};
use tokio::sync::Mutex;

use crate::store::StoreError;
use crate::stores::Stores;

const RECORD: &str = "order-epochs";

/// Which master gave an order: the cluster's life, then the lease's. Higher wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Epochs {
    cluster: u64,
    lease: u64,
}

/// An order whose ids are ids; not checked against this node yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    cluster: ClusterId,
    epochs: Epochs,
    incarnation: Option<IncarnationId>,
}

/// The highest epochs that this node has obeyed. A deposed master's orders are refused for ever, because
/// an epoch is on stable storage before the first order under it is carried out.
pub(crate) struct Orders {
    highest: Mutex<Epochs>,
    stores: Arc<Stores>,
}

impl Epochs {
    /// Whether an order under `self` raises what was `seen`; refused if it is lower.
    fn judge(self, seen: Self) -> Result<bool, Refusal> {
        if self < seen {
            return Err(Refusal::StaleOrder { seen: format!("epoch {}.{}", seen.cluster, seen.lease) });
        }
        Ok(self > seen)
    }

    fn encode(self) -> Bytes {
        [self.cluster.to_be_bytes(), self.lease.to_be_bytes()].concat().into()
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).ok();
        let halves = bytes.split_at_checked(8).and_then(|(cluster, lease)| number(cluster).zip(number(lease)));
        let (cluster, lease) = halves
            .ok_or_else(|| StoreError::DamagedRecord { why: format!("order epochs of {} bytes", bytes.len()) })?;
        Ok(Self { cluster, lease })
    }
}

impl TryFrom<wire::Order> for Order {
    type Error = Refusal;

    fn try_from(order: wire::Order) -> Result<Self, Refusal> {
        Ok(Self {
            cluster: ClusterId::from_wire(&order.cluster)?,
            epochs: Epochs { cluster: order.cluster_epoch, lease: order.lease_epoch },
            incarnation: IncarnationId::from_wire_opt(&order.incarnation)?,
        })
    }
}

impl Order {
    /// Refuses an order for another cluster.
    pub(crate) fn require_cluster(&self, ours: Option<ClusterId>) -> Result<(), Refusal> {
        match ours {
            Some(ours) if ours == self.cluster => Ok(()),
            Some(ours) => Err(Refusal::ForeignCluster { ours: ours.to_string(), theirs: self.cluster.to_string() }),
            None => Err(Refusal::NotReady { why: "the node has not joined a cluster yet".to_owned() }),
        }
    }

    /// Refuses an order meant for another life of this node's data.
    pub(crate) fn require_incarnation(&self, ours: IncarnationId) -> Result<(), Refusal> {
        if self.incarnation == Some(ours) {
            Ok(())
        } else {
            Err(Refusal::WrongIncarnation { current: ours.to_string() })
        }
    }
}

impl Orders {
    /// A device that was formed since has none, and one may have missed the last when the process ended.
    pub(crate) fn open(stores: Arc<Stores>) -> Result<Self, StoreError> {
        let kept = stores.system_records(RECORD)?;
        let kept: Vec<Epochs> = kept.iter().map(|bytes| Epochs::decode(bytes)).collect::<Result<_, _>>()?;
        let highest = kept.into_iter().max().unwrap_or_default();
        Ok(Self { highest: Mutex::new(highest), stores })
    }

    /// Refuses a lower epoch than the highest seen; keeps a higher one durably before it returns.
    pub(crate) async fn obey(&self, order: &Order) -> Result<(), Refusal> {
        let mut highest = self.highest.lock().await;
        if order.epochs.judge(*highest)? {
            self.stores.keep_system_record(RECORD, order.epochs.encode()).await?;
            *highest = order.epochs;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Epochs;

    fn epochs(cluster: u64, lease: u64) -> Epochs {
        Epochs { cluster, lease }
    }

    #[test]
    fn a_lower_epoch_is_refused_and_a_higher_one_raises() {
        let seen = epochs(2, 5);
        assert!(epochs(2, 4).judge(seen).is_err());
        assert!(epochs(1, 9).judge(seen).is_err());
        assert_eq!(epochs(2, 5).judge(seen), Ok(false));
        assert_eq!(epochs(2, 6).judge(seen), Ok(true));
        assert_eq!(epochs(3, 0).judge(seen), Ok(true));
    }

    #[test]
    fn epochs_survive_storing() {
        assert_eq!(Epochs::decode(&epochs(7, u64::MAX).encode()).unwrap(), epochs(7, u64::MAX));
        assert!(Epochs::decode(&[0; 15]).is_err());
    }
}
