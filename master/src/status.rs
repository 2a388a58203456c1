//! What people and `statfs` want to know of the cluster.

mod census;
mod census_taker;
mod holdings;
#[cfg(test)]
mod tests;

pub use census::{Census, Lives, take_census};
pub use census_taker::CensusTaker;
pub use holdings::{Held, Holdings};
