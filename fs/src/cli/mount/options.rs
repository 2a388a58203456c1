use std::str::FromStr;

use bytesize::ByteSize;
use cairn_codec::Layout;

use crate::filesystem::KilledWriter;

/// Words that `mount -t` and fstab add and that ask for nothing here.
const WITHOUT_MEANING: &[&str] = &["rw", "defaults", "auto", "noauto", "nofail", "user", "_netdev", "nodev", "nosuid"];

/// One word of `-o`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MountOption {
    /// Other users may use the mount.
    AllowOther,
    /// Layout of new files.
    Layout(Layout),
    /// Memory for cells that were read.
    CacheSize(ByteSize),
    /// Memory for cells that are being written.
    WriteMemory(ByteSize),
    /// What becomes of a file whose writer is killed.
    OnKilledWriter(KilledWriter),
    /// Extended attributes tell what a file is in the store.
    Attributes,
    /// Accepted for the sake of fstab.
    WithoutMeaning,
}

/// A word of `-o` that means nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidOption {
    /// No such option.
    #[error(
        "unknown mount option {0:?}; known are allow_other, layout=N+M, cache_size=SIZE, write_memory=SIZE, \
         on_killed_writer=commit|abort, xattrs"
    )]
    Unknown(String),
    /// Its value is wrong.
    #[error("mount option {option}: {why}")]
    Value {
        /// The option.
        option: String,
        /// What is wrong.
        why: String,
    },
}

impl FromStr for MountOption {
    type Err = InvalidOption;

    fn from_str(word: &str) -> Result<Self, InvalidOption> {
        match word.split_once('=') {
            None if word == "allow_other" => Ok(Self::AllowOther),
            None if word == "xattrs" => Ok(Self::Attributes),
            None if WITHOUT_MEANING.contains(&word) => Ok(Self::WithoutMeaning),
            Some(("layout", value)) => parse("layout", value).map(Self::Layout),
            Some(("cache_size", value)) => parse("cache_size", value).map(Self::CacheSize),
            Some(("write_memory", value)) => parse("write_memory", value).map(Self::WriteMemory),
            Some(("on_killed_writer", "commit")) => Ok(Self::OnKilledWriter(KilledWriter::Commits)),
            Some(("on_killed_writer", "abort")) => Ok(Self::OnKilledWriter(KilledWriter::Aborts)),
            Some(("on_killed_writer", value)) => Err(InvalidOption::Value {
                option: "on_killed_writer".to_owned(),
                why: format!("{value:?} is neither commit nor abort"),
            }),
            _ => Err(InvalidOption::Unknown(word.to_owned())),
        }
    }
}

fn parse<T: FromStr<Err: std::fmt::Display>>(option: &str, value: &str) -> Result<T, InvalidOption> {
    value.parse().map_err(|why: T::Err| InvalidOption::Value { option: option.to_owned(), why: why.to_string() })
}

#[cfg(test)]
mod tests {
    use super::{InvalidOption, KilledWriter, MountOption};
    use bytesize::ByteSize;

    #[test]
    fn options_are_read_as_written() {
        assert_eq!("allow_other".parse(), Ok(MountOption::AllowOther));
        assert_eq!("layout=6+3".parse(), Ok(MountOption::Layout("6+3".parse().unwrap())));
        assert_eq!("cache_size=20M".parse(), Ok(MountOption::CacheSize(ByteSize::mb(20))));
        assert_eq!("write_memory=1GiB".parse(), Ok(MountOption::WriteMemory(ByteSize::gib(1))));
        assert_eq!("on_killed_writer=abort".parse(), Ok(MountOption::OnKilledWriter(KilledWriter::Aborts)));
        assert_eq!("xattrs".parse(), Ok(MountOption::Attributes));
        assert_eq!("_netdev".parse(), Ok(MountOption::WithoutMeaning));
    }

    #[test]
    fn what_would_be_ignored_is_refused_instead() {
        assert!(matches!("ro".parse::<MountOption>(), Err(InvalidOption::Unknown(_))));
        assert!(matches!("layout".parse::<MountOption>(), Err(InvalidOption::Unknown(_))));
        let error = "layout=200+100".parse::<MountOption>().unwrap_err();
        assert!(error.to_string().starts_with("mount option layout: "), "{error}");
        assert!(matches!("on_killed_writer=ask".parse::<MountOption>(), Err(InvalidOption::Value { .. })));
        assert!(matches!("cache_size=big".parse::<MountOption>(), Err(InvalidOption::Value { .. })));
    }
}
