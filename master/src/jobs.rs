//! Background work of the elected master. Each job goes in rounds; what it has to do is in records, so an election
//! loses nothing.

mod collection;
mod dropping;
mod grace;
mod orphans;
mod rebalancing;
mod reconstruction;
mod revocation;
mod sweeping;
#[cfg(test)]
mod tests;

pub use collection::Collection;
pub use dropping::plan_drop;
pub use grace::Grace;
pub use orphans::OrphanSweep;
pub use rebalancing::Rebalancing;
pub(crate) use reconstruction::rebuilt_at;
pub use reconstruction::{Reconstruction, RepairSettings};
