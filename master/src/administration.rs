//! The life of a storage node in an administrator's hands: what lies on each, whether one can be emptied or removed, and
//! the orders for it.

mod drain_plan;
mod listing;
mod manager;
mod removal;
mod telling;
#[cfg(test)]
mod tests;

pub use drain_plan::{DrainHindrance, DrainPlan, DrainPlanner};
pub use manager::NodeAdministration;
pub use removal::{RemovalCost, RemovalHindrance, take_removal_cost};
