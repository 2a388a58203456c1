//! From the synchronous calls of the kernel's loop threads to asynchronous operations, and back to one answer each.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;

use crate::filesystem::FsError;

/// An operation that ends in a result, a panic included.
type Guarded<T> = Pin<Box<dyn Future<Output = std::thread::Result<Result<T, FsError>>> + Send>>;

/// What an operation is about, for the log.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) operation: &'static str,
    pub(super) on: String,
}

/// Runs each request to its one answer: on the calling thread if it need not wait, else in a task; with
/// [`FsError::DeadlinePassed`] after the deadline, while the operation itself goes on to its end. A panic ends the
/// operation and no thread.
#[derive(Debug, Clone)]
pub(super) struct RequestRunner {
    runtime: Handle,
    deadline: Duration,
}

impl RequestRunner {
    pub(super) const fn new(runtime: Handle, deadline: Duration) -> Self {
        Self { runtime, deadline }
    }

    /// Runs an operation that often need not wait.
    pub(super) fn run<T: Send + 'static>(
        &self,
        subject: Subject,
        operation: impl Future<Output = Result<T, FsError>> + Send + 'static,
        answer: impl FnOnce(Result<T, FsError>) + Send + 'static,
    ) {
        let mut operation: Guarded<T> = Box::pin(AssertUnwindSafe(operation).catch_unwind());
        let within_runtime = self.runtime.enter();
        let polled = operation.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(within_runtime);
        match polled {
            Poll::Ready(result) => answer(logged(&subject, outcome(result))),
            Poll::Pending => self.spawn(subject, operation, answer),
        }
    }

    /// Runs an operation that takes time even if it need not wait.
    pub(super) fn run_in_task<T: Send + 'static>(
        &self,
        subject: Subject,
        operation: impl Future<Output = Result<T, FsError>> + Send + 'static,
        answer: impl FnOnce(Result<T, FsError>) + Send + 'static,
    ) {
        self.spawn(subject, Box::pin(AssertUnwindSafe(operation).catch_unwind()), answer);
    }

    fn spawn<T: Send + 'static>(
        &self,
        subject: Subject,
        mut operation: Guarded<T>,
        answer: impl FnOnce(Result<T, FsError>) + Send + 'static,
    ) {
        let deadline = self.deadline;
        self.runtime.spawn(async move {
            if let Ok(result) = tokio::time::timeout(deadline, operation.as_mut()).await {
                answer(logged(&subject, outcome(result)));
                return;
            }
            let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
            answer(logged(&subject, Err(FsError::DeadlinePassed { deadline_ms })));
            // Breaking it off could leave a file half changed, and a commit is never broken off.
            if outcome(operation.await).is_ok() {
                let Subject { operation, on } = subject;
                tracing::warn!(operation, on, "succeeded after its deadline");
            }
        });
    }
}

fn outcome<T>(result: std::thread::Result<Result<T, FsError>>) -> Result<T, FsError> {
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let why = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(FsError::Internal { why: why.unwrap_or_else(|| "a panic without a message".to_owned()) })
    })
}

fn logged<T>(subject: &Subject, result: Result<T, FsError>) -> Result<T, FsError> {
    if let Err(error) = &result
        && !error.is_ordinary()
    {
        let Subject { operation, on } = subject;
        tracing::warn!(operation, on, errno = %error.errno(), reason = %error, "a request failed");
    }
    result
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::runtime::Handle;
    use tokio::sync::oneshot;

    use super::{FsError, RequestRunner, Subject};

    fn subject() -> Subject {
        Subject { operation: "test", on: "nothing".to_owned() }
    }

    #[tokio::test]
    async fn what_need_not_wait_is_answered_on_the_calling_thread() {
        let runner = RequestRunner::new(Handle::current(), Duration::from_secs(1));
        let here = std::thread::current().id();
        let (sender, mut receiver) = oneshot::channel();
        runner.run(subject(), async { Ok(7) }, move |result| {
            sender.send((result, std::thread::current().id())).unwrap();
        });
        assert_eq!(receiver.try_recv(), Ok((Ok(7), here)));
    }

    #[tokio::test(start_paused = true)]
    async fn s42_a_request_is_answered_at_its_deadline_and_goes_on() {
        let runner = RequestRunner::new(Handle::current(), Duration::from_secs(30));
        let (answered, answer) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        let operation = async move {
            tokio::time::sleep(Duration::from_mins(1)).await;
            ended.send(()).unwrap();
            Ok(())
        };
        runner.run(subject(), operation, |result| answered.send(result).unwrap());
        assert_eq!(answer.await, Ok(Err(FsError::DeadlinePassed { deadline_ms: 30_000 })));
        end.await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let runner = RequestRunner::new(Handle::current(), Duration::from_secs(1));
        let (sender, mut receiver) = oneshot::channel();
        let operation = async { if std::hint::black_box(true) { panic!("broken") } else { Ok(()) } };
        runner.run(subject(), operation, |result| sender.send(result).unwrap());
        assert_eq!(receiver.try_recv(), Ok(Err(FsError::Internal { why: "broken".to_owned() })));
    }
}
