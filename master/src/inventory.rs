//! What nodes say they keep, and what the records say of it.

mod claim;
mod listed_chunk;
mod listing;

pub use claim::{Claim, claim_on};
pub use listed_chunk::ListedChunk;
pub use listing::{ListError, ListedPage, list_page, list_range};
