//! Places segments on nodes: pure functions from candidates and randomness to a placement.

mod candidate;
mod capacity;
mod domains;
mod placement;
mod spread;
mod transfer;

pub use candidate::{Candidate, Score};
pub use capacity::placeable_bytes;
pub use domains::{first_level_broken, is_spread_as_well};
pub use placement::{CannotPlace, Placement, most_holes, place, place_beside};
pub use transfer::plan_transfer;
