use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::console;

/// What is done sooner than this needs no bar.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// A progress bar with rate and time left, on a terminal and for longer work only.
pub(crate) struct Progress {
    bar: ProgressBar,
    started: Instant,
    may_show: bool,
}

impl Progress {
    /// For `total` bytes; `None` where the end is not known, as when reading standard input.
    pub(crate) fn new(subject: &str, total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden()).with_style(style(total.is_some()));
        bar.set_message(subject.to_owned());
        Self { bar, started: Instant::now(), may_show: console::draws() }
    }

    /// For things that are counted, of which nobody knows how many there are.
    pub(crate) fn counting(subject: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{pos} {msg}").expect("the template is a constant");
        let bar = bar.with_style(style).with_message(subject.to_owned());
        Self { bar, started: Instant::now(), may_show: console::draws() }
    }

    /// So many are done.
    pub(crate) fn set(&mut self, done: u64) {
        self.bar.set_position(done);
        self.show_in_time();
    }

    /// Counts bytes as done.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.bar.inc(bytes as u64);
        self.show_in_time();
    }

    fn show_in_time(&mut self) {
        if self.may_show && self.started.elapsed() > SHOWN_AFTER {
            self.may_show = false;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Starts over from the beginning.
    pub(crate) fn restart(&mut self) {
        self.bar.reset();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(end_is_known: bool) -> ProgressStyle {
    let template = if end_is_known {
        "{msg} {bytes}/{total_bytes} [{wide_bar}] {binary_bytes_per_sec} ETA {eta}"
    } else {
        "{msg} {bytes} {binary_bytes_per_sec}"
    };
    ProgressStyle::with_template(template).expect("the template is a constant")
}
