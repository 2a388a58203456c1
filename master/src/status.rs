//! What people and `statfs` want to know of the cluster.

mod census;
mod census_taker;
mod domains;
mod holdings;
#[cfg(test)]
mod tests;

pub use census::{Census, take_census};
pub use census_taker::CensusTaker;
pub use domains::{Domains, Level, Locality};
pub use holdings::{Held, Holdings};
