//! The public key-value service: small values, linearizable, each change applied exactly once.

mod manager;
#[cfg(test)]
mod tests;

pub use manager::Values;
