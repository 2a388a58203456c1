use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// Exit code of a process that was told twice to stop.
const STOPPED_TWICE: i32 = 130;

/// The signals that ask a process to stop: interrupt, terminate, hang-up.
#[derive(Debug)]
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl StopSignals {
    /// From now on these signals no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = || -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hangup: signal(SignalKind::hangup())?,
            })
        };
        listen().map_err(|source| Failure::System { action: "listen for signals", source })
    }

    /// Waits for the next of them.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }

    /// Waits for the first signal; the next one then ends the process at once.
    pub(crate) async fn first(mut self) {
        self.next().await;
        self.exit_at_next();
    }

    /// The next signal ends the process at once, whatever it is doing.
    pub(crate) fn exit_at_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            end_at_once(STOPPED_TWICE);
        });
    }
}

/// Ends the process with this code, and runs nothing of what is usually run at an exit: the destructors of `RocksDB`'s
/// statics abort a process that still has an instance open.
fn end_at_once(code: i32) -> ! {
    // SAFETY: nothing of the process runs afterwards that could rely on what is left undone.
    #[allow(unsafe_code)]
    unsafe {
        libc::_exit(code)
    }
}
