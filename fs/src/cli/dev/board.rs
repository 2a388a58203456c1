use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::daemon::Daemon;
use crate::cli::console;

/// How often the marks of rows that are not ready turn.
const TURN_EVERY: Duration = Duration::from_millis(100);

/// The start board: one row for each daemon. On a terminal rows change in place; elsewhere a line is
/// written when one becomes ready.
pub(crate) struct Board {
    bars: MultiProgress,
    rows: BTreeMap<String, Row>,
}

struct Row {
    bar: ProgressBar,
    address: String,
    ready: bool,
}

impl Board {
    pub(crate) fn new<'a>(daemons: impl IntoIterator<Item = &'a Daemon>) -> Self {
        let bars = MultiProgress::new();
        let style = ProgressStyle::with_template(" {prefix:10} {spinner} {msg}").expect("the template is a constant");
        let row = |daemon: &Daemon| {
            let bar = bars.add(ProgressBar::new_spinner().with_style(style.clone()).with_prefix(daemon.name.clone()));
            bar.set_message("starting");
            if console::draws() {
                bar.enable_steady_tick(TURN_EVERY);
            }
            (daemon.name.clone(), Row { bar, address: daemon.address.clone(), ready: false })
        };
        let rows = daemons.into_iter().map(row).collect();
        Self { bars, rows }
    }

    /// Shows a daemon as ready, with a remark such as "elected".
    pub(crate) fn ready(&mut self, daemon: &Daemon, remark: &str) {
        let Some(row) = self.rows.get_mut(&daemon.name) else { return };
        if row.ready {
            return;
        }
        row.ready = true;
        let text = ready_text(&row.address, remark);
        if console::draws() {
            row.bar.set_style(ProgressStyle::with_template(" {prefix:10} {msg}").expect("the template is a constant"));
            row.bar.finish_with_message(text);
        } else {
            console::message(format_args!(" {:10} {text}", daemon.name));
        }
    }

    /// Whether a daemon is on the board and not ready yet.
    pub(crate) fn is_waiting_for(&self, daemon: &Daemon) -> bool {
        self.rows.get(&daemon.name).is_some_and(|row| !row.ready)
    }

    /// Names of the daemons that are not ready yet.
    pub(crate) fn waiting(&self) -> Vec<&str> {
        self.rows.iter().filter(|(_, row)| !row.ready).map(|(name, _)| name.as_str()).collect()
    }

    /// Takes away the rows that are not ready, so that what follows is not drawn over.
    pub(crate) fn close(self) {
        for row in self.rows.values().filter(|row| !row.ready) {
            row.bar.finish_and_clear();
        }
        drop(self.bars);
    }
}

fn ready_text(address: &str, remark: &str) -> String {
    let text = format!("ready  {address}");
    if remark.is_empty() { text } else { format!("{text} ({remark})") }
}

#[cfg(test)]
mod tests {
    use super::{Board, ready_text};
    use crate::cli::dev::daemon::daemons;
    use crate::cli::dev::directory::ClusterDirectory;
    use crate::cli::dev::settings::RequestedSettings;
    use std::path::Path;

    #[test]
    fn what_is_not_ready_is_waited_for() {
        let request = RequestedSettings { masters: Some(1), ..RequestedSettings::default() };
        let all = daemons(&ClusterDirectory::at(Path::new("/d")).unwrap(), &request.create(7000).unwrap());
        let mut board = Board::new(&all[..3]);
        board.ready(&all[1], "");
        board.ready(&all[6], "not on this board");
        assert_eq!(board.waiting(), ["master-1", "node-2"]);
        assert!(board.is_waiting_for(&all[0]) && !board.is_waiting_for(&all[1]) && !board.is_waiting_for(&all[6]));
        board.close();
    }

    #[test]
    fn a_remark_stands_behind_the_address() {
        assert_eq!(ready_text("127.0.0.1:7001", "elected"), "ready  127.0.0.1:7001 (elected)");
        assert_eq!(ready_text("127.0.0.1:7011", ""), "ready  127.0.0.1:7011");
    }
}
