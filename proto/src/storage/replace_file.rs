use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Ends the name of a file that is yet to take another's place.
const DRAFT_ENDING: &str = ".new";

/// Makes the names in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Replaces a file as a whole; contents and name are on stable storage when it returns. A crash leaves the old contents
/// or the new ones, and perhaps a draft: the file's name with `.new` behind it.
pub fn replace_file(path: &Path, contents: &[u8]) -> io::Result<()> {
    let draft = draft_of(path);
    let mut file = File::create(&draft)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn draft_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(DRAFT_ENDING);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::replace_file;

    #[test]
    fn a_file_is_replaced_whatever_a_crash_left_of_its_draft() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("name.toml");
        replace_file(&path, b"first").unwrap();
        fs::write(dir.path().join("name.toml.new"), b"half of a longer dra").unwrap();
        replace_file(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
