use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::{MOUNTED_AT, MountFailure};
use crate::cli::log_tail::log_tail;

/// Runs this same command line once more without `--daemon`, as a process that stays; returns when it says
/// that it is mounted, or has failed. Its standard output is the pipe by which it says so.
pub(crate) async fn start(log: &Path) -> Result<(), MountFailure> {
    let (log_file, log_start) = open_log(log).map_err(MountFailure::file("open", log))?;
    let mut child = spawn(log_file).map_err(MountFailure::Start)?;
    let said = child.stdout.take().expect("it was asked for");
    if says_mounted(said).await.map_err(MountFailure::Start)? {
        return Ok(());
    }
    let status = child.wait().await.map_err(MountFailure::Start)?;
    Err(MountFailure::Background { exit_code: status.code(), log: log.to_owned(), tail: log_tail(log, log_start) })
}

fn open_log(path: &Path) -> std::io::Result<(File, u64)> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = File::options().create(true).append(true).open(path)?;
    file.flush()?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

fn spawn(log: File) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(in_foreground(std::env::args_os().skip(1)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0)
        .spawn()
}

fn in_foreground(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    arguments.filter(|argument| argument != "--daemon").collect()
}

async fn says_mounted(out: ChildStdout) -> std::io::Result<bool> {
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line).await?;
    Ok(line.starts_with(MOUNTED_AT))
}

/// Where the log of a mount goes when nothing else is said: the user's folder for state.
pub(crate) fn default_log(mount_point: &Path, variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let state = variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")));
    let name = mount_point.to_string_lossy().trim_start_matches('/').replace('/', "-");
    state.unwrap_or_else(std::env::temp_dir).join("cairn").join(format!("mount-{name}.log"))
}

#[cfg(test)]
mod tests {
    use super::{default_log, in_foreground};
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    #[test]
    fn the_process_that_stays_has_the_same_arguments_but_one() {
        let arguments = ["mount", "/mnt", "--daemon", "-o", "allow_other"].map(OsString::from);
        assert_eq!(in_foreground(arguments.into_iter()), ["mount", "/mnt", "-o", "allow_other"]);
    }

    #[test]
    fn every_mount_point_has_a_log_of_its_own() {
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/h/me"));
        assert_eq!(
            default_log(Path::new("/mnt/blobs"), home),
            Path::new("/h/me/.local/state/cairn/mount-mnt-blobs.log")
        );
    }
}
