use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Lines of a log that are shown when its daemon failed.
const SHOWN_LINES: usize = 10;
/// Bytes read to find them.
const READ_BYTES: u64 = 16 << 10;

/// The last lines that were written to the log at `path` behind the first `from` bytes.
pub(crate) fn log_tail(path: &Path, from: u64) -> String {
    match read_end(path, from) {
        Ok(text) => last_lines(&text),
        Err(error) => format!("  (cannot read it: {error})"),
    }
}

fn read_end(path: &Path, from: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(READ_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(READ_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    if shown.is_empty() {
        return "  (nothing was written)".to_owned();
    }
    shown.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::log_tail;
    use std::fmt::Write;

    #[test]
    fn only_the_last_lines_of_this_run_are_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut text = "of an earlier run\n".to_owned();
        let from = text.len() as u64;
        (1..=12).for_each(|number| writeln!(text, "line {number}").unwrap());
        std::fs::write(file.path(), &text).unwrap();
        let tail = log_tail(file.path(), from);
        assert!(tail.starts_with("  line 3\n") && tail.ends_with("  line 12"), "{tail}");
        let all = log_tail(file.path(), from + 70);
        assert!(!all.contains("earlier"), "{all}");
    }

    #[test]
    fn an_empty_or_missing_log_says_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(log_tail(file.path(), 0).contains("nothing was written"));
        assert!(log_tail(&file.path().join("no"), 0).contains("cannot read it"));
    }
}
