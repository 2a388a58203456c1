use std::time::{Duration, SystemTime};

use bytesize::ByteSize;
use cairn_proto::records::{Attributes, Key, KeyEntry};
use clap::Args;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::{ExitStatus, Failure, console};
use crate::client::{Client, ClientError};

/// Keys asked for at a time.
const PAGE_KEYS: u32 = 1000;

/// `cairn ls`: lists keys in key order.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct LsArguments {
    /// Shell pattern over whole keys (`*`, `?`, `[..]`, `{a,b}`) [default: every key]
    pattern: Option<String>,

    /// Show mode, owner, group, size and modification time too
    #[arg(short)]
    long: bool,

    /// With -l, show sizes for people
    #[arg(short)]
    human: bool,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,

    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// What `ls --json` prints for each key.
#[derive(Debug, Serialize)]
struct ListedKey<'a> {
    key: &'a str,
    size: u64,
    mtime: String,
    uuid: String,
}

impl LsArguments {
    pub(crate) fn subject(&self) -> String {
        self.pattern.as_ref().map_or_else(|| "ls".to_owned(), |pattern| format!("ls {pattern}"))
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        self.cluster.with_client("ls", async |client| self.list(client).await).await?;
        Ok(ExitStatus::Done)
    }

    async fn list(&self, client: &Client) -> Result<(), Failure> {
        let pattern = self.pattern.as_deref().unwrap_or_default();
        let (mut after, mut found) = (None, false);
        loop {
            let page = client.list(pattern, after.as_ref(), PAGE_KEYS).await?;
            found |= !page.keys.is_empty();
            for (key, entry) in &page.keys {
                self.print(key, entry)?;
            }
            after = page.continue_after;
            if after.is_none() {
                break;
            }
        }
        console::flush()?;
        match &self.pattern {
            Some(pattern) if !found => Err(ClientError::KeyNotFound { key: pattern.clone() }.into()),
            _ => Ok(()),
        }
    }

    fn print(&self, key: &Key, entry: &KeyEntry) -> Result<(), Failure> {
        if self.json {
            console::json(&ListedKey::new(key, entry))
        } else if self.long {
            console::line(long_line(key, entry, self.human))
        } else {
            console::line(key)
        }
    }
}

impl<'a> ListedKey<'a> {
    fn new(key: &'a Key, entry: &KeyEntry) -> Self {
        Self {
            key: key.as_str(),
            size: entry.size_bytes,
            mtime: mtime(&entry.attributes),
            uuid: entry.blob.to_string(),
        }
    }
}

fn long_line(key: &Key, entry: &KeyEntry, human: bool) -> String {
    let attributes = &entry.attributes;
    let size =
        if human { ByteSize::b(entry.size_bytes).display().iec().to_string() } else { entry.size_bytes.to_string() };
    let (mode, time) = (mode_text(attributes.mode), mtime(attributes));
    // Whole seconds are enough for people.
    let time =
        time.split_once('.').map_or(time.as_str(), |(seconds, _)| seconds).trim_end_matches('Z').replace('T', " ");
    format!("{mode} {:>5} {:>5} {size:>12} {time} {key}", attributes.uid, attributes.gid)
}

/// Modification time as RFC 3339 in UTC.
pub(crate) fn mtime(attributes: &Attributes) -> String {
    let seconds = Duration::from_secs(u64::try_from(attributes.mtime_seconds).unwrap_or(0));
    let time = SystemTime::UNIX_EPOCH + seconds.min(LAST_SECOND);
    humantime::format_rfc3339(time + Duration::from_nanos(attributes.mtime_nanoseconds.into())).to_string()
}

/// The last second of the year 9999; no later one can be written.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

/// `rw-r--r--`, with a leading dash: there are only files.
fn mode_text(mode: u32) -> String {
    let class = |shift: u32, special: u32, mark: char| {
        let bits = mode >> shift;
        let execute = match (bits & 1 != 0, mode & special != 0) {
            (true, false) => 'x',
            (false, false) => '-',
            (true, true) => mark,
            (false, true) => mark.to_ascii_uppercase(),
        };
        [if bits & 4 != 0 { 'r' } else { '-' }, if bits & 2 != 0 { 'w' } else { '-' }, execute]
    };
    let classes = [class(6, 0o4000, 's'), class(3, 0o2000, 's'), class(0, 0o1000, 't')];
    std::iter::once('-').chain(classes.into_iter().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::{ListedKey, long_line, mode_text, mtime};
    use cairn_proto::ids::BlobId;
    use cairn_proto::records::{Attributes, Key, KeyEntry};

    fn entry() -> (Key, KeyEntry) {
        let attributes =
            Attributes { mode: 0o644, uid: 1000, gid: 100, mtime_seconds: 1_700_000_000, mtime_nanoseconds: 42 };
        let entry = KeyEntry { blob: BlobId::from_bytes([2; 16]), serial: 7, size_bytes: 12_345, attributes };
        (Key::try_from("a b").unwrap(), entry)
    }

    #[test]
    fn the_fields_that_programs_read_are_these() {
        let (key, entry) = entry();
        assert_eq!(
            serde_json::to_string(&ListedKey::new(&key, &entry)).unwrap(),
            r#"{"key":"a b","size":12345,"mtime":"2023-11-14T22:13:20.000000042Z","uuid":"02020202-0202-0202-0202-020202020202"}"#
        );
    }

    #[test]
    fn a_long_line_has_what_ls_has() {
        let (key, entry) = entry();
        assert_eq!(long_line(&key, &entry, false), "-rw-r--r--  1000   100        12345 2023-11-14 22:13:20 a b");
        assert!(long_line(&key, &entry, true).contains(" 12.1 KiB "));
    }

    #[test]
    fn modes_are_written_as_ls_does() {
        assert_eq!(mode_text(0o755), "-rwxr-xr-x");
        assert_eq!(mode_text(0o6711), "-rws--s--x");
        assert_eq!(mode_text(0o1640), "-rw-r----T");
        assert_eq!(mode_text(0), "----------");
    }

    #[test]
    fn times_outside_the_calendar_are_shown_at_its_edge() {
        let at = |mtime_seconds| mtime(&Attributes { mtime_seconds, ..Attributes::default() });
        assert_eq!(at(-5), "1970-01-01T00:00:00Z");
        assert_eq!(at(i64::MAX), "9999-12-31T23:59:59Z");
    }
}
