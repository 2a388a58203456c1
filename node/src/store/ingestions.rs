use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// Tables on their way into the database, counted so that a store is not left while one still holds it.
#[derive(Default)]
pub(crate) struct Ingestions {
    running: Mutex<usize>,
    ended: Condvar,
}

/// One table on its way; counted until it is dropped.
pub(crate) struct Ingestion {
    all: Arc<Ingestions>,
}

impl Ingestions {
    pub(crate) fn begin(self: &Arc<Self>) -> Ingestion {
        *self.running.lock() += 1;
        Ingestion { all: Arc::clone(self) }
    }

    /// Returns when none is running.
    pub(crate) fn wait(&self) {
        let mut running = self.running.lock();
        self.ended.wait_while(&mut running, |running| *running > 0);
    }
}

impl Drop for Ingestion {
    fn drop(&mut self) {
        *self.all.running.lock() -= 1;
        self.all.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::Ingestions;

    #[test]
    fn waiting_ends_with_the_last_one() {
        let ingestions = Arc::new(Ingestions::default());
        ingestions.wait();
        let ingestion = ingestions.begin();
        let ended = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let ended = Arc::clone(&ended);
            move || {
                ended.store(true, Ordering::SeqCst);
                drop(ingestion);
            }
        });
        ingestions.wait();
        assert!(ended.load(Ordering::SeqCst));
        thread.join().unwrap();
    }
}
