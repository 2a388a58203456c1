//! Changes made elsewhere, as the store tells them.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::records::{Key, KeyChange, KeyEntry, KeyEvent};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, poll};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::kernel::{CALLER, Kernel, READ, WRITE};
use crate::client::{ClientError, WatchEvent};
use crate::filesystem::fake_store::Call;
use crate::filesystem::{BlobStore, Forgotten, FsError, Inode, NameCache, OpenedDirectory};

/// Of a file that no test has.
const MARKER_SERIAL: u64 = 1 << 40;
const PATIENCE: Duration = Duration::from_secs(20);

/// What the kernel was told to forget because of changes made elsewhere.
struct Told(Sender<Forgotten>);

impl NameCache for Told {
    fn forget_name(&self, _name: &str) {}

    fn forget(&self, what: Forgotten) -> BoxFuture<'_, ()> {
        self.0.send(what).map(|sent| sent.expect("the test listens")).boxed()
    }
}

struct Followed {
    kernel: Kernel,
    forgotten: Receiver<Forgotten>,
    index: u64,
    _following: AbortOnDropHandle<()>,
}

impl Followed {
    /// A mount that follows the store, which has told it that it begins.
    async fn new() -> Self {
        let mut followed = Self::unbegun().await;
        followed.tell(WatchEvent::Begun { applied_index: 0 });
        followed.settle().await;
        followed
    }

    async fn unbegun() -> Self {
        let kernel = Kernel::new();
        let (told, forgotten) = channel(1000);
        kernel.files.set_name_cache(Arc::new(Told(told)));
        let files = kernel.files.clone();
        let following = AbortOnDropHandle::new(tokio::spawn(async move { files.follow().await }));
        while !kernel.store.is_watched() {
            tokio::task::yield_now().await;
        }
        Self { kernel, forgotten, index: 0, _following: following }
    }

    fn tell(&self, event: WatchEvent) {
        self.kernel.store.tell(&Ok(event));
    }

    /// Tells a change, and returns its index.
    fn change(&mut self, name: &str, event: KeyEvent) -> u64 {
        self.index += 1;
        let changes = vec![KeyChange { index: self.index, key: Key::try_from(name).unwrap(), event }];
        self.tell(WatchEvent::Changes { changes, applied_index: self.index });
        self.index
    }

    /// What is forgotten because of what was told so far.
    async fn settle(&mut self) -> Vec<Forgotten> {
        let marker = Forgotten::Attributes(Inode::of_serial(MARKER_SERIAL).unwrap());
        // What is told later is forgotten later.
        let entry = KeyEntry { serial: MARKER_SERIAL, ..self.entry("marker").await };
        let key = Key::try_from("marker").unwrap();
        let changes = vec![KeyChange { index: u64::MAX, key, event: KeyEvent::Attributes(entry) }];
        self.tell(WatchEvent::Changes { changes, applied_index: self.index });
        let mut all = Vec::new();
        loop {
            let next = timeout(PATIENCE, self.forgotten.recv()).await.expect("it is told").unwrap();
            if next == marker {
                return all;
            }
            all.push(next);
        }
    }

    async fn entry(&self, name: &str) -> KeyEntry {
        self.kernel.store.put(name, b"x");
        self.kernel.store.entry(&Key::try_from(name).unwrap()).await.unwrap().unwrap()
    }

    /// Lists as `ls -l` does; says what the kernel may do.
    async fn ls_l(&self) -> OpenedDirectory {
        let files = &self.kernel.files;
        let opened = files.open_directory();
        let mut position = 0;
        loop {
            let entries = files.read_directory(opened.handle, position, true).await.unwrap();
            let Some(last) = entries.last() else { break };
            position = last.next_position;
        }
        files.release_directory(opened.handle).unwrap();
        opened
    }

    async fn is_believed_for_long(&self, name: &str) -> bool {
        self.kernel.files.look_up(OsStr::new(name), CALLER).await.unwrap().is_followed
    }
}

fn name(name: &str) -> Forgotten {
    Forgotten::Name(name.to_owned())
}

#[tokio::test]
async fn s50_names_are_believed_for_long_only_while_changes_are_told() {
    let mut here = Followed::unbegun().await;
    here.entry("f").await;
    assert!(!here.is_believed_for_long("f").await);
    let files = here.kernel.files.clone();
    let mut followed = files.followed().boxed();
    assert!(poll!(followed.as_mut()).is_pending());
    here.tell(WatchEvent::Begun { applied_index: 0 });
    timeout(PATIENCE, followed).await.unwrap();
    here.settle().await;
    assert!(here.is_believed_for_long("f").await);
    let inode = here.kernel.stat("f").await.unwrap().inode;
    here.kernel.files.look_up(OsStr::new("f"), CALLER).await.unwrap();
    assert!(here.kernel.files.attributes(inode).await.unwrap().is_followed);
    here.tell(WatchEvent::CutOff);
    // The next message ends it, and comes after all names are forgotten.
    assert_eq!(timeout(PATIENCE, here.forgotten.recv()).await.unwrap(), Some(name("f")));
    assert!(!here.is_believed_for_long("f").await);
    here.settle().await;
    assert!(here.is_believed_for_long("f").await);
}

#[tokio::test]
async fn s50_a_changed_name_is_forgotten_with_the_attributes_of_its_file() {
    let mut here = Followed::new().await;
    let (entry, other) = (here.entry("f").await, here.entry("g").await);
    let inode = here.kernel.files.look_up(OsStr::new("f"), CALLER).await.unwrap().inode;
    here.change("f", KeyEvent::Replaced(entry));
    assert_eq!(here.settle().await, [name("f"), Forgotten::Attributes(inode)]);
    here.change("g", KeyEvent::Removed);
    assert_eq!(here.settle().await, [name("g")], "nobody looked it up");
    here.change("g", KeyEvent::Attributes(other));
    assert_eq!(here.settle().await, [Forgotten::Attributes(Inode::of_serial(other.serial).unwrap())]);
}

#[tokio::test]
async fn s50_a_new_name_costs_the_kernel_nothing_unless_it_hides_another() {
    let mut here = Followed::new().await;
    let entry = here.entry("f").await;
    here.change("f", KeyEvent::Created(entry));
    assert_eq!(here.settle().await, []);
    here.change("a%2Fb", KeyEvent::Created(entry));
    assert_eq!(here.settle().await, [name("a%2Fb")]);
    here.change("a/b", KeyEvent::Removed);
    assert_eq!(here.settle().await, [name("a%2Fb")]);
}

#[tokio::test]
async fn s50_own_changes_and_files_being_written_are_not_forgotten_again() {
    let mut here = Followed::new().await;
    let entry = here.entry("f").await;
    here.kernel.store.own_change(here.index + 1);
    here.change("f", KeyEvent::Replaced(entry));
    assert_eq!(here.settle().await, []);
    let handle = here.kernel.open("g", WRITE).await.unwrap();
    here.change("g", KeyEvent::Replaced(entry));
    assert_eq!(here.settle().await, []);
    here.kernel.close(handle).await.unwrap();
}

#[tokio::test]
async fn s50_an_answer_that_was_asked_for_before_a_change_was_told_is_not_believed() {
    let mut here = Followed::new().await;
    let entry = here.entry("f").await;
    let opened = here.kernel.files.open_directory();
    let entries = here.kernel.files.read_directory(opened.handle, 0, true).await.unwrap();
    let listed = entries.iter().find(|entry| entry.name == "f").unwrap();
    assert!(here.kernel.files.remember(listed).unwrap().is_followed);
    here.change("f", KeyEvent::Replaced(entry));
    here.settle().await;
    assert!(!here.kernel.files.remember(listed).unwrap().is_followed);
}

#[tokio::test]
async fn s49_a_listing_is_kept_until_a_change_is_made_or_told() {
    let mut here = Followed::new().await;
    let entry = here.entry("f").await;
    assert!(here.ls_l().await.caches);
    assert!(here.ls_l().await.keeps);
    here.change("f", KeyEvent::Attributes(entry));
    here.settle().await;
    assert!(here.ls_l().await.keeps, "the names are the same");
    here.change("g", KeyEvent::Created(entry));
    here.settle().await;
    assert!(!here.ls_l().await.keeps);
    assert!(here.ls_l().await.keeps);
    here.kernel.put("own", b"x").await.unwrap();
    assert!(!here.ls_l().await.keeps);
    assert!(here.ls_l().await.keeps);
    here.kernel.rename("own", "renamed").await.unwrap();
    assert!(!here.ls_l().await.keeps);
    assert!(here.ls_l().await.keeps);
    here.kernel.unlink("renamed").await.unwrap();
    assert!(!here.ls_l().await.keeps);
}

#[tokio::test]
async fn s49_nothing_is_kept_while_a_file_is_written_here() {
    let here = Followed::new().await;
    here.entry("f").await;
    here.ls_l().await;
    let handle = here.kernel.open("new", WRITE).await.unwrap();
    let opened = here.ls_l().await;
    assert!(!opened.caches && !opened.keeps);
    here.kernel.close(handle).await.unwrap();
    assert!(!here.ls_l().await.keeps);
    assert!(here.ls_l().await.keeps);
}

#[tokio::test]
async fn s49_a_change_that_is_told_reaches_who_has_the_directory_open() {
    let mut here = Followed::new().await;
    let entry = here.entry("f").await;
    let opened = here.kernel.files.open_directory();
    assert!(opened.caches);
    here.change("g", KeyEvent::Created(entry));
    assert_eq!(here.settle().await[0], Forgotten::Listing);
    here.kernel.files.release_directory(opened.handle).unwrap();
    here.change("g", KeyEvent::Removed);
    assert_eq!(here.settle().await, [name("g")]);
}

#[tokio::test]
async fn s50_when_changes_were_missed_every_name_is_forgotten() {
    let mut here = Followed::new().await;
    for file in ["a", "b"] {
        here.entry(file).await;
        here.kernel.files.look_up(OsStr::new(file), CALLER).await.unwrap();
    }
    here.ls_l().await;
    assert!(here.ls_l().await.keeps);
    here.tell(WatchEvent::HistoryLost { applied_index: 50 });
    let mut forgotten = here.settle().await;
    forgotten.sort_by_key(|what| format!("{what:?}"));
    assert_eq!(forgotten, [name("a"), name("b")]);
    assert!(!here.ls_l().await.keeps);
    assert!(here.is_believed_for_long("a").await, "it is followed again");
}

#[tokio::test(start_paused = true)]
async fn s50_a_watch_that_is_refused_is_tried_again_and_meanwhile_nothing_is_believed_for_long() {
    let mut here = Followed::new().await;
    here.entry("f").await;
    assert!(here.is_believed_for_long("f").await);
    let why = "too many watchers".to_owned();
    here.kernel.store.tell(&Err(ClientError::Refused { what: "watch keys", why }));
    assert_eq!(timeout(PATIENCE, here.forgotten.recv()).await.unwrap(), Some(name("f")));
    assert!(!here.is_believed_for_long("f").await);
    here.settle().await;
    assert!(here.is_believed_for_long("f").await);
}

/// Reads `name` as a thread does that knows nothing of it yet; says how often the store was asked.
async fn requests_of_reading(here: &Followed, name: &str) -> (usize, usize) {
    let asked = || (here.kernel.store.calls(Call::Entry), here.kernel.store.calls(Call::Open));
    let before = asked();
    here.kernel.cat(name).await.unwrap();
    let after = asked();
    (after.0 - before.0, after.1 - before.1)
}

#[tokio::test]
async fn what_is_known_of_a_name_is_not_asked_for() {
    let here = Followed::new().await;
    let entry = here.entry("f").await;
    here.kernel.store.know("f", true);
    let asked = here.kernel.store.calls(Call::Entry);
    let file = here.kernel.stat("f").await.unwrap();
    assert_eq!((file.inode, file.is_followed), (Inode::of_serial(entry.serial).unwrap(), true));
    let kept = here.kernel.files.look_up(OsStr::new("f"), CALLER).await.unwrap();
    assert!(here.kernel.files.attributes(kept.inode).await.unwrap().is_followed);
    assert_eq!(here.kernel.store.calls(Call::Entry), asked);
    here.kernel.store.know("f", false);
    here.kernel.stat("f").await.unwrap();
    assert_eq!(here.kernel.store.calls(Call::Entry), asked + 1);
}

#[tokio::test]
async fn where_openings_follow_look_ups_one_request_serves_both() {
    let here = Followed::new().await;
    for file in 0..10 {
        here.entry(&file.to_string()).await;
    }
    for file in 0..4 {
        assert_eq!(requests_of_reading(&here, &file.to_string()).await, (1, 1));
    }
    here.kernel.store.know_what_is_opened();
    for file in 4..9 {
        assert_eq!(requests_of_reading(&here, &file.to_string()).await, (0, 1));
    }
    assert_eq!(requests_of_reading(&here, "8").await, (0, 1), "an opening of its own is asked for");
    here.tell(WatchEvent::CutOff);
    while here.kernel.files.look_up(OsStr::new("8"), CALLER).await.unwrap().is_followed {
        tokio::task::yield_now().await;
    }
    here.kernel.store.know("8", false);
    assert_eq!(requests_of_reading(&here, "8").await, (1, 1));
}

#[tokio::test]
async fn s50_a_blob_that_came_with_a_look_up_is_not_opened_once_another_is_told_of() {
    let here = Followed::new().await;
    here.kernel.store.know_what_is_opened();
    for file in ["a", "b", "c", "d", "f"] {
        here.entry(file).await;
        here.kernel.store.know(file, false);
    }
    for file in ["a", "b", "c", "d"] {
        here.kernel.cat(file).await.unwrap();
        here.kernel.store.know(file, false);
    }
    let found = here.kernel.files.look_up(OsStr::new("f"), CALLER).await.unwrap();
    here.kernel.store.put("f", b"theirs");
    here.kernel.store.know("f", false);
    assert_eq!(here.kernel.files.open(found.inode, READ).await, Err(FsError::LookAgain));
    assert_eq!(here.kernel.cat("f").await.unwrap(), b"theirs");
}
