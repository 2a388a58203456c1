use std::sync::Arc;

use tokio::sync::watch;

/// Carries the one failure after which this process must not go on, from any thread to the server loop.
///
/// After a failed sync the kernel may mark the lost pages clean, so that a second sync succeeds without
/// them being on the disk: only a new process, which reads what is there, may speak for the data again.
#[derive(Debug, Clone)]
pub struct Fatal {
    cause: Arc<watch::Sender<Option<String>>>,
    /// The device that speaks, of several.
    device: Option<String>,
}

impl Fatal {
    /// Nothing has failed yet.
    pub fn new() -> Self {
        Self { cause: Arc::new(watch::Sender::new(None)), device: None }
    }

    /// The same, for one device of several: it is named in the cause.
    #[must_use]
    pub fn of_device(&self, device: &str) -> Self {
        Self { cause: Arc::clone(&self.cause), device: Some(device.to_owned()) }
    }

    /// Ends the process; the first cause is the one reported.
    pub fn raise(&self, cause: impl Into<String>) {
        let cause = match &self.device {
            Some(device) => format!("device {device}: {}", cause.into()),
            None => cause.into(),
        };
        tracing::error!(%cause, "the node ends");
        self.cause.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(cause);
            is_first
        });
    }

    /// The cause, once there is one.
    pub fn cause(&self) -> Option<String> {
        self.cause.borrow().clone()
    }

    /// Returns when there is a cause.
    pub async fn raised(&self) -> String {
        let mut receiver = self.cause.subscribe();
        let cause = receiver.wait_for(Option::is_some).await.expect("the sender lives in self");
        cause.clone().expect("waited for it")
    }
}

impl Default for Fatal {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::Fatal;

    #[tokio::test]
    async fn the_first_cause_is_kept_and_wakes_who_waits() {
        let fatal = Fatal::new();
        let waiting = tokio::spawn({
            let fatal = fatal.clone();
            async move { fatal.raised().await }
        });
        fatal.of_device("slow").raise("first");
        fatal.raise("second");
        assert_eq!(waiting.await.unwrap(), "device slow: first");
        assert_eq!(fatal.raised().await, "device slow: first");
    }
}
