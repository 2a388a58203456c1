//! From keys to names in the directory, and back.

use std::ffi::OsStr;

use cairn_proto::records::Key;

use super::FsError;

/// Bytes that a name in a directory may have.
pub(super) const NAME_LIMIT_BYTES: usize = 255;

/// A name as the kernel gives it: the key of the same text.
pub(super) fn key_of(name: &OsStr) -> Result<Key, FsError> {
    if name.len() > NAME_LIMIT_BYTES {
        return Err(FsError::NameTooLong { length_bytes: name.len(), limit_bytes: NAME_LIMIT_BYTES });
    }
    let text = name.to_str().ok_or(FsError::NameNotUtf8)?;
    Key::try_from(text).map_err(|error| FsError::InvalidName { why: error.to_string() })
}

/// The name that a key is shown under; `None` if it has none (too long, even where nothing is escaped).
pub(super) fn name_of(key: &Key) -> Option<String> {
    let text = key.as_str();
    let name = if is_file_name(text) { text.to_owned() } else { escape(text) };
    (name.len() <= NAME_LIMIT_BYTES).then_some(name)
}

/// Whether the key is shown under a name other than itself.
pub(super) fn is_escaped(key: &Key) -> bool {
    !is_file_name(key.as_str())
}

/// The key that is shown under `name` by escaping; `None` if `name` is no such name.
pub(super) fn escaped_key(name: &Key) -> Option<Key> {
    let key = Key::try_from(unescape(name.as_str())?).ok()?;
    (is_escaped(&key) && name_of(&key)? == name.as_str()).then_some(key)
}

fn is_file_name(text: &str) -> bool {
    !text.contains('/') && text != "." && text != ".."
}

fn escape(text: &str) -> String {
    let only_dots = text.bytes().all(|byte| byte == b'.');
    let mut name = String::with_capacity(text.len() + 6);
    for character in text.chars() {
        match character {
            '/' => name.push_str("%2F"),
            '%' => name.push_str("%25"),
            '.' if only_dots => name.push_str("%2E"),
            other => name.push(other),
        }
    }
    name
}

fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('%');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let code = part.get(..2)?;
        text.push(match code {
            "2F" => '/',
            "25" => '%',
            "2E" => '.',
            _ => return None,
        });
        text.push_str(&part[2..]);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use cairn_proto::records::Key;
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::{FsError, escaped_key, is_escaped, key_of, name_of};

    fn key(text: &str) -> Key {
        Key::try_from(text).unwrap()
    }

    #[test]
    fn names_are_keys_unchanged() {
        assert_eq!(name_of(&key("100%25.txt")).as_deref(), Some("100%25.txt"));
        assert_eq!(key_of(OsStr::new("100%25.txt")), Ok(key("100%25.txt")));
    }

    #[test]
    fn keys_that_are_no_names_are_shown_escaped() {
        for (text, name) in [("a/b", "a%2Fb"), (".", "%2E"), ("..", "%2E%2E"), ("a/100%", "a%2F100%25")] {
            assert_eq!(name_of(&key(text)).as_deref(), Some(name));
            assert_eq!(escaped_key(&key(name)), Some(key(text)));
        }
    }

    #[test]
    fn a_key_too_long_for_a_name_has_none() {
        assert_eq!(name_of(&key(&"k".repeat(256))), None);
        assert!(name_of(&key(&"k".repeat(255))).is_some());
    }

    #[test]
    fn invalid_names_are_told_apart() {
        assert!(matches!(key_of(OsStr::new(&"k".repeat(256))), Err(FsError::NameTooLong { .. })));
        assert_eq!(key_of(OsStr::from_bytes(&[0xff])), Err(FsError::NameNotUtf8));
    }

    proptest! {
        #[test]
        fn escaping_is_undone_by_unescaping(text in "[a/.%2FE5]{1,12}") {
            let key = key(&text);
            let name = name_of(&key).unwrap();
            if is_escaped(&key) {
                prop_assert_eq!(escaped_key(&super::Key::try_from(name.as_str()).unwrap()), Some(key));
            } else {
                prop_assert_eq!(name, text);
            }
        }
    }
}
