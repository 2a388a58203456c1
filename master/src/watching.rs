//! Watchers of keys: each is told the changes of the keys that match its pattern, in the order of the log.

mod key_change;
#[cfg(test)]
mod tests;
mod watch_request;
mod watcher;
mod watchers;

pub use watch_request::WatchRequest;
pub use watcher::Watcher;
pub use watchers::Watchers;
