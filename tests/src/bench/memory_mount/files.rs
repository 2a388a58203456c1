use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;

/// Number of the directory; files have higher ones.
pub(super) const ROOT: u64 = 1;

/// The bytes of a file, for as long as somebody has it.
pub(super) type File = Arc<RwLock<Vec<u8>>>;

/// One directory: names, and files by number.
#[derive(Debug)]
pub(super) struct Files {
    by_name: HashMap<OsString, u64>,
    by_number: BTreeMap<u64, (OsString, File)>,
    last: u64,
}

impl Default for Files {
    fn default() -> Self {
        Self { by_name: HashMap::new(), by_number: BTreeMap::new(), last: ROOT }
    }
}

impl Files {
    /// Makes an empty file, or empties the one of that name.
    pub(super) fn create(&mut self, name: &OsStr) -> u64 {
        if let Some((number, file)) = self.named(name) {
            file.write().clear();
            return number;
        }
        self.last += 1;
        self.by_name.insert(name.to_owned(), self.last);
        self.by_number.insert(self.last, (name.to_owned(), File::default()));
        self.last
    }

    pub(super) fn named(&self, name: &OsStr) -> Option<(u64, File)> {
        let number = *self.by_name.get(name)?;
        Some((number, self.file(number)?))
    }

    pub(super) fn file(&self, number: u64) -> Option<File> {
        self.by_number.get(&number).map(|(_, file)| file.clone())
    }

    /// False: there is none of that name.
    pub(super) fn remove(&mut self, name: &OsStr) -> bool {
        let number = self.by_name.remove(name);
        number.is_some_and(|number| self.by_number.remove(&number).is_some())
    }

    /// The files with higher numbers than one.
    pub(super) fn behind(&self, number: u64) -> impl Iterator<Item = (u64, &OsStr, &File)> {
        let files = self.by_number.range((Bound::Excluded(number), Bound::Unbounded));
        files.map(|(number, (name, file))| (*number, name.as_os_str(), file))
    }
}

#[cfg(test)]
mod tests {
    use super::{Files, ROOT};
    use std::ffi::OsStr;

    #[test]
    fn names_lead_to_files_until_they_are_removed() {
        let mut files = Files::default();
        let [first, second] = ["b", "a"].map(|name| files.create(OsStr::new(name)));
        assert!(ROOT < first && first < second);
        assert_eq!(files.create(OsStr::new("a")), second);
        let listed = |files: &Files, behind| files.behind(behind).map(|(number, _, _)| number).collect::<Vec<_>>();
        assert_eq!(listed(&files, ROOT), [first, second]);
        assert_eq!(listed(&files, first), [second]);
        assert!(files.remove(OsStr::new("a")) && !files.remove(OsStr::new("a")));
        assert!(files.named(OsStr::new("a")).is_none() && files.file(second).is_none());
        assert_eq!(listed(&files, ROOT), [first]);
    }
}
