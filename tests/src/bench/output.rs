use std::path::Path;
use std::{fs, io};

/// Writes what a benchmark found into a folder, which is made if missing: `name.md` for people and `name.json` for
/// programs.
pub(super) fn write(folder: &Path, name: &str, markdown: &str, json: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(format!("{name}.md")), markdown)?;
    fs::write(folder.join(format!("{name}.json")), json)
}
