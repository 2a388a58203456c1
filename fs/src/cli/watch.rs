use std::convert::Infallible;

use cairn_proto::records::{KeyChange, KeyEvent};
use clap::Args;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::ls::mtime;
use super::shutdown::StopSignals;
use super::{ExitStatus, Failure, console};
use crate::client::{Client, WatchEvent};

/// `cairn watch`: prints each change of a key, until it is interrupted.
///
/// Says `cairn: watch: ready` on standard error when every change from then on will be printed, and says there, too, when
/// changes were missed.
#[derive(Debug, Args)]
pub(crate) struct WatchArguments {
    /// Shell pattern over whole keys (`*`, `?`, `[..]`, `{a,b}`) [default: every key]
    pattern: Option<String>,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// What `watch --json` prints for each change. The last four are null where the key was removed.
#[derive(Debug, Serialize)]
struct PrintedChange<'a> {
    index: u64,
    key: &'a str,
    change: &'static str,
    uuid: Option<String>,
    serial: Option<u64>,
    size: Option<u64>,
    mtime: Option<String>,
}

impl WatchArguments {
    pub(crate) fn subject(&self) -> String {
        self.pattern.as_ref().map_or_else(|| "watch".to_owned(), |pattern| format!("watch {pattern}"))
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let stop = StopSignals::listen()?;
        tokio::select! {
            () = stop.first() => Ok(ExitStatus::Done),
            outcome = self.cluster.with_client("watch", async |client| self.follow(client).await) => match outcome? {},
        }
    }

    async fn follow(&self, client: &Client) -> Result<Infallible, Failure> {
        let mut watch = client.watch(self.pattern.as_deref().unwrap_or_default());
        let mut is_cut_off = false;
        loop {
            let event = watch.next().await?;
            let was_cut_off = std::mem::replace(&mut is_cut_off, event == WatchEvent::CutOff);
            match event {
                WatchEvent::Begun { .. } => console::message("cairn: watch: ready"),
                WatchEvent::HistoryLost { .. } => {
                    console::message("cairn: watch: changes were missed; list the keys again; ready");
                }
                WatchEvent::CutOff => console::message("cairn: watch: no master answers; trying on"),
                WatchEvent::Changes { changes, .. } => {
                    if was_cut_off {
                        console::message("cairn: watch: a master answers; nothing was missed");
                    }
                    self.print(&changes)?;
                }
            }
        }
    }

    fn print(&self, changes: &[KeyChange]) -> Result<(), Failure> {
        for change in changes {
            if self.json {
                console::json(&PrintedChange::new(change))?;
            } else {
                console::line(format_args!("{:<10} {}", name(&change.event), change.key))?;
            }
        }
        console::flush()
    }
}

impl<'a> PrintedChange<'a> {
    fn new(change: &'a KeyChange) -> Self {
        let entry = change.event.entry();
        Self {
            index: change.index,
            key: change.key.as_str(),
            change: name(&change.event),
            uuid: entry.map(|entry| entry.blob.to_string()),
            serial: entry.map(|entry| entry.serial),
            size: entry.map(|entry| entry.size_bytes),
            mtime: entry.map(|entry| mtime(&entry.attributes)),
        }
    }
}

const fn name(event: &KeyEvent) -> &'static str {
    match event {
        KeyEvent::Created(_) => "created",
        KeyEvent::Replaced(_) => "replaced",
        KeyEvent::Attributes(_) => "attributes",
        KeyEvent::Removed => "removed",
    }
}

#[cfg(test)]
mod tests {
    use super::PrintedChange;
    use cairn_proto::ids::BlobId;
    use cairn_proto::records::{Attributes, Key, KeyChange, KeyEntry, KeyEvent};

    #[test]
    fn the_fields_that_programs_read_are_these() {
        let attributes =
            Attributes { mode: 0o644, uid: 1000, gid: 100, mtime_seconds: 1_700_000_000, mtime_nanoseconds: 42 };
        let entry = KeyEntry { blob: BlobId::from_bytes([2; 16]), serial: 7, size_bytes: 12_345, attributes };
        let json = |event| {
            let change = KeyChange { index: 9, key: Key::try_from("a b").unwrap(), event };
            serde_json::to_string(&PrintedChange::new(&change)).unwrap()
        };
        let rest = r#""uuid":"02020202-0202-0202-0202-020202020202","serial":7,"size":12345,"mtime":"2023-11-14T22:13:20.000000042Z"}"#;
        for (event, change) in [
            (KeyEvent::Created(entry), "created"),
            (KeyEvent::Replaced(entry), "replaced"),
            (KeyEvent::Attributes(entry), "attributes"),
        ] {
            assert_eq!(json(event), format!(r#"{{"index":9,"key":"a b","change":"{change}",{rest}"#));
        }
        assert_eq!(
            json(KeyEvent::Removed),
            r#"{"index":9,"key":"a b","change":"removed","uuid":null,"serial":null,"size":null,"mtime":null}"#
        );
    }
}
