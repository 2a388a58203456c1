use std::time::{SystemTime, UNIX_EPOCH};

use cairn_proto::records::{Attributes, KeyEntry};

use super::{FsError, Inode};

/// Set-user-id and set-group-id.
const PRIVILEGE_BITS: u32 = 0o6000;
/// Bits of a mode that are permissions.
const PERMISSION_BITS: u32 = 0o7777;

/// What `stat` shows of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileAttributes {
    /// The inode.
    pub inode: Inode,
    /// The number that `stat` shows: of a file being written, that of the bytes it was opened over.
    pub shown_inode: Inode,
    /// Length.
    pub size_bytes: u64,
    /// Permissions, owner, group and modification time.
    pub attributes: Attributes,
    /// Whether a name leads to it.
    pub has_name: bool,
    /// Whether another mount can see the same under this inode: it may then be cached.
    pub is_committed: bool,
    /// Whether a change of it will be told: it may then be believed for long.
    pub is_followed: bool,
}

impl FileAttributes {
    /// Of a committed file.
    pub(super) fn of_entry(entry: &KeyEntry) -> Result<Self, FsError> {
        let inode = Inode::of_serial(entry.serial)?;
        Ok(Self {
            inode,
            shown_inode: inode,
            size_bytes: entry.size_bytes,
            attributes: entry.attributes,
            has_name: true,
            is_committed: true,
            is_followed: false,
        })
    }
}

/// What `chmod`, `chown`, `utimens` and `truncate` ask for. The access time is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttributeChange {
    /// Permissions.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Modification time.
    pub mtime: Option<SystemTime>,
    /// Length.
    pub size_bytes: Option<u64>,
}

impl AttributeChange {
    /// Whether anything but the length is to change.
    pub(super) const fn changes_attributes(&self) -> bool {
        self.mode.is_some() || self.uid.is_some() || self.gid.is_some() || self.mtime.is_some()
    }

    /// `attributes` with the change.
    pub(super) fn applied_to(&self, attributes: Attributes) -> Attributes {
        let changes_owner = self.uid.is_some() || self.gid.is_some();
        let kept = if changes_owner { without_privileges(attributes) } else { attributes };
        let changed = Attributes {
            mode: self.mode.map_or(kept.mode, |mode| mode & PERMISSION_BITS),
            uid: self.uid.unwrap_or(attributes.uid),
            gid: self.gid.unwrap_or(attributes.gid),
            ..attributes
        };
        self.mtime.map_or(changed, |time| with_mtime(changed, time))
    }
}

/// Of a new file.
pub(super) fn new_attributes(mode: u32, uid: u32, gid: u32) -> Attributes {
    touched(Attributes { mode: mode & PERMISSION_BITS, uid, gid, ..Attributes::default() })
}

/// As a write leaves them.
pub(super) fn touched(attributes: Attributes) -> Attributes {
    with_mtime(attributes, SystemTime::now())
}

/// Without the bits that lend the owner's rights, which a write by another user takes away.
pub(super) const fn without_privileges(attributes: Attributes) -> Attributes {
    Attributes { mode: attributes.mode & !PRIVILEGE_BITS, ..attributes }
}

fn with_mtime(attributes: Attributes, time: SystemTime) -> Attributes {
    let (seconds, nanoseconds) = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos()),
        // Before 1970 the seconds count down and the nanoseconds up.
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => (-seconds, 0),
                nanoseconds => (-seconds - 1, 1_000_000_000 - nanoseconds),
            }
        }
    };
    Attributes { mtime_seconds: seconds, mtime_nanoseconds: nanoseconds, ..attributes }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{Attributes, with_mtime};

    #[test]
    fn times_before_1970_have_positive_nanoseconds() {
        let time = UNIX_EPOCH - Duration::from_millis(1_250);
        let attributes = with_mtime(Attributes::default(), time);
        assert_eq!((attributes.mtime_seconds, attributes.mtime_nanoseconds), (-2, 750_000_000));
    }
}
