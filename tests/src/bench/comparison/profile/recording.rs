use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use inferno::collapse::Collapse;
use inferno::collapse::perf::{Folder, Options};
use nix::libc::O_NONBLOCK;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::super::subject::SubjectError;
use crate::wait;

/// Samples a second of each processor: enough for shares of a row of some seconds, and no multiple of what the kernel does
/// at regular times.
const SAMPLES_A_SECOND: u32 = 299;
/// How much of a stack each sample keeps, which callers are found in afterwards.
const STACK_BYTES: u32 = 16 << 10;
/// For `perf` to do what it is told.
const ORDER_DEADLINE: Duration = Duration::from_secs(20);
/// What it answers when it has.
const DONE: &str = "ack";
/// The program.
const PERF: &str = "perf";
/// Files of a recording: the samples, and what the program said.
const DATA: &str = "data";
const SAID: &str = "said";

/// All processors, being sampled by `perf`, which is told by a pipe when to begin and when to end.
pub(super) struct Recording {
    program: PathBuf,
    perf: Child,
    orders: File,
    answers: File,
    folder: PathBuf,
}

impl Recording {
    /// Returns once samples are taken. Uses a folder `perf` in `scene`, anew.
    pub(super) fn start(scene: &Path) -> Result<Self, SubjectError> {
        Self::start_by(Path::new(PERF), scene)
    }

    fn start_by(program: &Path, scene: &Path) -> Result<Self, SubjectError> {
        let (program, folder) = (program.to_path_buf(), scene.join("perf"));
        let (perf, orders, answers) = spawn(&program, &folder).map_err(|error| failed(&error))?;
        let mut recording = Self { program, perf, orders, answers, folder };
        recording.order("enable")?;
        Ok(recording)
    }

    /// Ends it; returns each stack that was met, with how often, as a line: frames from the outermost on with `;` between
    /// them, then the number. The first is the name of the thread, `-` and the id of its process.
    pub(super) fn finish(mut self) -> Result<String, SubjectError> {
        self.order("disable")?;
        self.order("stop")?;
        let ended = self.perf.wait().map_err(|error| failed(&error))?;
        if !ended.success() {
            return Err(failed(&self.said()));
        }
        let (ended, stacks) = fold(&self.program, &self.folder).map_err(|error| failed(&error))?;
        if !ended.success() {
            return Err(failed(&self.said()));
        }
        fs::remove_dir_all(&self.folder).map_err(|error| failed(&error))?;
        String::from_utf8(stacks).map_err(|error| failed(&error))
    }

    fn order(&mut self, order: &str) -> Result<(), SubjectError> {
        writeln!(self.orders, "{order}").map_err(|error| failed(&error))?;
        let mut answer = String::new();
        let perf = &mut self.perf;
        let done = wait::within(ORDER_DEADLINE, || {
            let heard = hear(&self.answers, &mut answer);
            let gone = perf.try_wait().is_ok_and(|ended| ended.is_some());
            (heard.is_err() || answer.contains(DONE) || gone).then_some(heard)
        });
        done.transpose().map_err(|error| failed(&error))?;
        if answer.contains(DONE) { Ok(()) } else { Err(failed(&self.said())) }
    }

    /// What `perf` has to say.
    fn said(&self) -> String {
        match fs::read_to_string(self.folder.join(SAID)) {
            Ok(said) if said.is_empty() => "no answer".to_owned(),
            Ok(said) => said,
            Err(error) => format!("no answer, and what it said cannot be read: {error}"),
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // It has ended by itself unless something failed.
        if self.perf.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.perf.kill().expect("the child is ours to end");
            self.perf.wait().expect("the child is ours to wait for");
        }
    }
}

fn failed(said: &dyn std::fmt::Display) -> SubjectError {
    SubjectError::failed("perf (Debian's package `linux-perf`, as root)", said)
}

/// Adds what has arrived, if anything has.
fn hear(mut answers: &File, answer: &mut String) -> io::Result<()> {
    let mut part = [0; 16];
    match answers.read(&mut part) {
        Ok(length) => answer.push_str(&String::from_utf8_lossy(&part[..length])),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Starts `perf`, which samples nothing yet.
fn spawn(program: &Path, folder: &Path) -> io::Result<(Child, File, File)> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let (orders, answers) = (folder.join("orders"), folder.join("answers"));
    for pipe in [&orders, &answers] {
        mkfifo(pipe, Mode::S_IRUSR | Mode::S_IWUSR)?;
    }
    let mut command = Command::new(program);
    command.args(["record", "--all-cpus", "--delay=-1", "--freq", &SAMPLES_A_SECOND.to_string()]);
    command.arg(format!("--call-graph=dwarf,{STACK_BYTES}"));
    command.arg(format!("--control=fifo:{},{}", orders.display(), answers.display()));
    command.arg("--output").arg(folder.join(DATA));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(folder.join(SAID))?);
    let perf = command.spawn()?;
    // Open for both, so that neither side waits for the other to open it.
    let open = |pipe: &Path| OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(pipe);
    Ok((perf, open(&orders)?, open(&answers)?))
}

/// How the program ended that reads the samples, and their stacks.
fn fold(program: &Path, folder: &Path) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut command = Command::new(program);
    // Inlined callers would be looked up one by one, by another program.
    command
        .args(["script", "--no-inline", "--fields=comm,pid,tid,time,event,ip,sym,dso", "--input"])
        .arg(folder.join(DATA));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(folder.join(SAID))?);
    let mut script = command.spawn()?;
    let mut options = Options::default();
    options.include_pid = true;
    let mut stacks = Vec::new();
    if let Some(output) = script.stdout.take() {
        Folder::from(options).collapse(BufReader::new(output), &mut stacks)?;
    }
    Ok((script.wait()?, stacks))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use super::Recording;

    /// Does as it is told, and met one stack twice.
    const WILLING: &str = r#"
        if [ "$1" = script ]; then
            for time in 1.0 2.0; do
                printf 'cairn  12/13  %s: cycles: \n\t  1f inner (/bin/x)\n\t  2f outer (/bin/x)\n\n' "$time"
            done
            exit
        fi
        for word in "$@"; do case "$word" in --control=fifo:*) pipes=${word#--control=fifo:} ;; esac; done
        exec 3<>"${pipes%,*}" 4<>"${pipes#*,}"
        while read -r order <&3; do echo ack >&4; if [ "$order" = stop ]; then exit; fi; done
    "#;

    fn program(folder: &Path, text: &str) -> PathBuf {
        let program = folder.join("perf-program");
        fs::write(&program, format!("#!/bin/bash\n{text}")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    #[test]
    fn stacks_are_told_with_thread_process_and_number() {
        let folder = tempfile::tempdir().unwrap();
        let recording = Recording::start_by(&program(folder.path(), WILLING), folder.path()).unwrap();
        assert_eq!(recording.finish().unwrap(), "cairn-12;outer;inner 2\n");
        assert!(!folder.path().join("perf").exists());
    }

    #[test]
    fn what_is_refused_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let refused = Recording::start_by(&program(folder.path(), "echo no such event >&2; exit 1"), folder.path());
        let said = refused.map(drop).unwrap_err().to_string();
        assert!(said.contains("no such event") && said.contains("linux-perf"), "{said}");
    }

    #[test]
    fn samples_that_cannot_be_read_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let unwilling = WILLING.replacen(
            "if [ \"$1\" = script ]; then",
            "if [ \"$1\" = script ]; then echo no samples >&2; exit 1;",
            1,
        );
        let recording = Recording::start_by(&program(folder.path(), &unwilling), folder.path()).unwrap();
        let said = recording.finish().unwrap_err().to_string();
        assert!(said.contains("no samples"), "{said}");
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let folder = tempfile::tempdir().unwrap();
        let said = Recording::start_by(Path::new("/no/such/program"), folder.path()).map(drop).unwrap_err().to_string();
        assert!(said.contains("linux-perf"), "{said}");
    }
}
