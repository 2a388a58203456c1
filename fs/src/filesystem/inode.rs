//! Inode numbers: one space for the directory, committed blobs and write sessions.

use std::fmt;

use super::FsError;

/// Set in the numbers of write sessions, which are counted by the mount and mean nothing elsewhere.
const SESSION_BIT: u64 = 1 << 63;
/// Added to a blob's serial, so that no blob gets the number of the directory (1) or none (0).
const COMMITTED_OFFSET: u64 = 16;

/// Number of an inode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inode(u64);

impl Inode {
    /// The directory.
    pub const ROOT: Self = Self(1);

    /// As the kernel gives it back.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// As the kernel gets it.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Of the committed blob with this serial. It stands for the same bytes for ever and on every mount.
    pub fn of_serial(serial: u64) -> Result<Self, FsError> {
        serial
            .checked_add(COMMITTED_OFFSET)
            .filter(|number| number & SESSION_BIT == 0)
            .map(Self)
            .ok_or_else(|| FsError::Internal { why: format!("blob serial {serial} is no inode number") })
    }

    /// Of the `number`th write session of this mount.
    pub const fn of_session(number: u64) -> Self {
        Self(number | SESSION_BIT)
    }
}

impl fmt::Display for Inode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & SESSION_BIT == 0 { self.0.fmt(formatter) } else { write!(formatter, "w{}", self.0 & !SESSION_BIT) }
    }
}

impl fmt::Debug for Inode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::Inode;

    #[test]
    fn numbers_of_the_three_kinds_never_meet() {
        let smallest = Inode::of_serial(0).unwrap();
        let largest = Inode::of_serial((1 << 63) - 17).unwrap();
        assert!(Inode::ROOT < smallest);
        assert!(largest < Inode::of_session(0));
        assert!(Inode::of_serial((1 << 63) - 16).is_err());
    }
}
