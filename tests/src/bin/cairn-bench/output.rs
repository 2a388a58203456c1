use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cairn_tests::binary::profile_directory;

/// Writes a report into the folder that was given, or `bench` beside this program, and shows it.
pub(crate) fn publish(
    given: Option<PathBuf>,
    markdown: &str,
    write: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let folder = given.unwrap_or_else(|| profile_directory().join("bench"));
    write(&folder)?;
    writeln!(io::stdout(), "\n{markdown}\nwritten to {}", folder.display())
}

/// Shows a figure as soon as it is there.
pub(crate) fn show(line: fmt::Arguments<'_>) {
    writeln!(io::stdout(), "{line}").expect("standard output is open");
}
