//! Clients' registrations: opened and ended by logged commands, kept alive by heartbeats that only memory knows.

mod manager;
mod session;
mod table;
#[cfg(test)]
mod tests;

pub use manager::Sessions;
pub use session::{Report, Session};
pub use table::SessionTable;
