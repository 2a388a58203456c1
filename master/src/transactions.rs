//! Open writes. They live in memory only: what they reserve and which names they hold is told again by the clients'
//! heartbeats after an election, and what they must never do afterwards is decided by records.

mod aborting;
mod naming;
mod opening;
mod replacing;
mod reservation;
mod table;
#[cfg(test)]
mod tests;
mod transaction;

pub use aborting::{AbortRequest, Aborter};
pub use naming::{NamedTransaction, Namer};
pub use opening::{OpenRequest, Opener};
pub use replacing::ReplaceRequest;
pub use reservation::reserved_bytes;
pub use table::{Begun, NameClaim, TransactionTable};
pub use transaction::OpenTransaction;
