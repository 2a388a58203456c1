//! Goal: what people type works on the mount as on a local directory: same output, same exit code, same files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use cairn_tests::{COMMAND_DEADLINE, ClusterOptions, DevCluster, Machine, fuse, tools, wait};

/// From a commit on one mount until another shows it.
const VISIBLE_DEADLINE: Duration = Duration::from_secs(10);

struct Row {
    what: &'static str,
    script: &'static str,
    /// A program that may be missing on a small machine.
    needs: Option<&'static str>,
}

const fn row(what: &'static str, script: &'static str) -> Row {
    Row { what, script, needs: None }
}

const fn row_with(needs: &'static str, what: &'static str, script: &'static str) -> Row {
    Row { what, script, needs: Some(needs) }
}

const ROWS: &[Row] = &[
    row("write and read", "echo hello > f; cat f"),
    row("empty file", ": > f; touch g; wc -c f g"),
    row("overwrite", "seq 100000 > f; echo new > f; cat f"),
    row("overwrite by cp", "seq 100000 > f; echo new > g; cp g f; cat f"),
    row("append", "echo a > f; echo b >> f; seq 50000 >> f; echo c >> f; md5sum < f"),
    row("append to nothing", "echo a >> f; cat f"),
    row("subshell with forks", "( echo a; /bin/echo b; echo c ) > f; cat f"),
    row("group with forks", "{ echo a; /bin/echo b; (echo c); } > f; cat f"),
    row("loop with forks", "for n in $(seq 20); do /bin/echo line $n; done > f; cat f"),
    row("descriptor kept open", "exec 3> f; for n in $(seq 20); do echo line $n >&3; done; exec 3>&-; cat f"),
    row("read while open for writing", "exec 3> f; echo a >&3; cat f; /bin/echo b >&3; cat f; exec 3>&-; cat f"),
    row("writer in the background", "{ echo a; (sleep 1; echo late) & } > f; cat f; wait; cat f"),
    row("rename", "echo a > f; mv f g; cat g; test -e f; echo $?"),
    row("rename over", "echo a > f; echo b > g; mv -f g f; cat f; ls"),
    row("rename without replacing", "echo a > f; echo b > g; mv -n f g; cat g"),
    row("rename while open for writing", "exec 3> f; echo a >&3; mv f g; echo b >&3; exec 3>&-; cat g; ls"),
    row("remove", "echo a > f; rm f; cat f; ls"),
    row("remove while open for writing", "exec 3> f; echo a >&3; rm f; echo b >&3; exec 3>&-; ls"),
    row("remove while open for reading", "seq 100000 > f; exec 3< f; rm f; md5sum <&3; exec 3<&-; ls"),
    row("noclobber", "set -C; echo a > f; echo b > f; echo $?; cat f"),
    row("dd in odd blocks", "seq 200000 | dd of=f bs=1001 iflag=fullblock status=none; md5sum < f"),
    row(
        "dd into the middle",
        "seq 100000 > f; printf XYZ | dd of=f bs=1 seek=70000 conv=notrunc status=none; md5sum < f",
    ),
    row("dd past the end", "printf end | dd of=f bs=1 seek=300000 status=none; md5sum < f; wc -c < f"),
    row("dd with fsync", "seq 50000 | dd of=f bs=64k iflag=fullblock conv=fsync status=none; md5sum < f"),
    row("dd by offset", "seq 200000 > f; dd if=f bs=7 skip=10000 count=1000 status=none | md5sum"),
    row(
        "dd over nothing but what is new",
        "seq 9 > f; seq 5 | dd of=f conv=excl status=none || echo refused; seq 5 | dd of=g conv=excl status=none; cat f g",
    ),
    row(
        "dd over nothing but what is old",
        "seq 9 > f; seq 5 | dd of=f conv=nocreat status=none; seq 5 | dd of=g conv=nocreat status=none || echo refused; cat f; ls",
    ),
    row(
        "dd over holes",
        "{ head -c 70000 /dev/zero; seq 1000; head -c 500000 /dev/zero; } > f; dd if=f of=g bs=4096 conv=sparse status=none; cmp f g && wc -c < g",
    ),
    row("dd with fdatasync", "seq 50000 | dd of=f bs=4k iflag=fullblock conv=fdatasync status=none; md5sum < f"),
    row("dd at the end", "seq 9 > f; seq 5 | dd of=f oflag=append conv=notrunc status=none; cat f"),
    row(
        "writer that outlives its shell",
        "mkdir -p \"$ELSEWHERE\"; mkfifo \"$ELSEWHERE/go\"; bash -c '{ echo a; (read go < \"$ELSEWHERE/go\"; echo late) & } > f'; cat f; echo > \"$ELSEWHERE/go\"; timeout 20 bash -c 'until grep -q late f; do :; done'; cat f",
    ),
    row(
        "truncate",
        "seq 100000 > f; truncate -s 100001 f; md5sum < f; truncate -s 400000 f; md5sum < f; truncate -s 0 f; wc -c < f",
    ),
    row(
        "sparse copy",
        "truncate -s 5M h; printf x | dd of=h bs=1 seek=3000000 conv=notrunc status=none; cp --sparse=always h f; md5sum < f",
    ),
    row("copy within", "seq 100000 > f; cp f g; cmp f g && echo same"),
    row("copy within over an existing file", "seq 100000 > f; seq 7 > g; cp f g; echo more >> g; md5sum f g"),
    row(
        "copy within from a file that is written",
        "exec 3> f; seq 50000 >&3; cp f g; echo more >&3; cp f h; exec 3>&-; md5sum f g h",
    ),
    row(
        "copy with attributes",
        "echo a > f; chmod 640 f; touch -d '2001-02-03 04:05:06 UTC' f; cp -p f g; stat -c '%a %Y' g",
    ),
    row("install", "echo a > f; install -m 600 f g; stat -c '%a %s' g; cat g"),
    row("change mode and times", "echo a > f; chmod 604 f; touch -d @1000000000 f; stat -c '%a %Y %s %F' f"),
    row(
        "tar in and out",
        "seq 1000 > f; seq 90000 > g; tar --mtime=@0 -cf t.tar f g; rm f g; tar xf t.tar; md5sum f g; tar tf t.tar",
    ),
    row("gzip", "seq 100000 > f; gzip -n f; ls; gunzip f.gz; md5sum < f"),
    row("sort in place", "seq 100000 | tac > f; sort -n -o f f; md5sum < f"),
    row("sed in place", "seq 1000 > f; sed -i 's/9/nine/' f; md5sum < f; ls"),
    row("tee to several", "seq 1000 | tee f g > h; md5sum f g h"),
    row("head and tail", "seq 100000 > f; head -c 12345 f | md5sum; tail -c 4321 f | md5sum; tail -n 2 f"),
    row("split", "seq 100000 > f; split -b 100000 f part-; cat part-* | cmp - f && ls"),
    row("names that are odd", "echo a > 'with space'; echo b > ünïcode; echo c > '100%25'; echo d > ./-dash; ls"),
    row("hidden names", "echo a > .hidden; ls -A; cat .hidden"),
    row(
        "read and write through one descriptor",
        "echo abcdef > f; exec 4<> f; read -n 3 -u 4 x; echo XY >&4; exec 4>&-; cat f",
    ),
    row("what is not there", "cat missing; echo $?; rm missing; echo $?; mv missing x; echo $?"),
    row_with(
        "rsync",
        "rsync in and again",
        "mkdir -p \"$ELSEWHERE\"; seq 50000 > \"$ELSEWHERE/f\"; rsync -t \"$ELSEWHERE/f\" . && seq 60000 > \"$ELSEWHERE/f\" && rsync -t \"$ELSEWHERE/f\" . && md5sum < f; ls -A",
    ),
    row_with(
        "rsync",
        "rsync in place",
        "mkdir -p \"$ELSEWHERE\"; seq 50000 > \"$ELSEWHERE/f\"; rsync --inplace \"$ELSEWHERE/f\" . && md5sum < f; ls -A",
    ),
    row_with(
        "python3",
        "python writes around a child",
        "python3 -c \"import subprocess; f = open('f', 'w'); f.write('a'); f.flush(); subprocess.run(['echo', 'b'], stdout=f); f.write('c'); f.close()\"; cat f",
    ),
    row_with(
        "python3",
        "shared mapping",
        "truncate -s 8192 f; python3 -c \"import mmap; f = open('f', 'r+b'); m = mmap.mmap(f.fileno(), 0); m[4090:4100] = b'0123456789'; m.flush(); m.close(); f.close()\"; md5sum < f",
    ),
    row_with(
        "python3",
        "shared mapping of a closed file",
        "truncate -s 8192 f; python3 -c \"import mmap, os; f = os.open('f', os.O_RDWR); m = mmap.mmap(f, 0); os.close(f); m[4090:4100] = b'0123456789'; m.close()\"; md5sum < f",
    ),
];

/// All a script did that somebody can see.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    code: Option<i32>,
    output: String,
    files: BTreeMap<String, Vec<u8>>,
}

fn outcome(script: &str, folder: &Path, elsewhere: &Path) -> Outcome {
    let script = format!("export LC_ALL=C.UTF-8 ELSEWHERE='{}'; umask 022; {script}", elsewhere.display());
    let finished = tools::shell(&script, folder, COMMAND_DEADLINE);
    Outcome { code: finished.code(), output: finished.text(), files: files_in(folder).unwrap() }
}

fn files_in(folder: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let named = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        let name = entry.file_name().into_string().expect("the scripts use UTF-8 names");
        Ok((name, fs::read(entry.path())?))
    };
    fs::read_dir(folder)?.map(named).collect()
}

/// Within the deadline. On the way there a name may be listed that is gone when it is read.
fn is_seen_by(mount: &Path, expected: &BTreeMap<String, Vec<u8>>) -> bool {
    let seen = || files_in(mount).ok().filter(|files| files == expected);
    wait::within(VISIBLE_DEADLINE, seen).is_some()
}

fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

#[test]
fn what_people_type_does_the_same_on_the_mount_as_on_a_local_directory() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small().mounted());
    let (mount, second) = (cluster.mount_path(), cluster.mount("second"));
    let mut different = Vec::new();
    for (number, row) in ROWS.iter().enumerate() {
        if let Some(program) = row.needs.filter(|program| !tools::is_installed(program)) {
            fuse::notice(&format!("skipped {:?}: {program} is not installed", row.what));
            continue;
        }
        let local = cluster.folder(&format!("local-{number}"));
        let elsewhere = |side: &str| cluster.folder("elsewhere").join(format!("{number}-{side}"));
        let expected = outcome(row.script, &local, &elsewhere("local"));
        let found = outcome(row.script, &mount, &elsewhere("mount"));
        if found != expected {
            different.push(format!(
                "{}: `{}`\n  local: {}\n  mount: {}",
                row.what,
                row.script,
                shown(&expected),
                shown(&found)
            ));
        } else if !is_seen_by(second.path(), &expected.files) {
            different.push(format!("{}: a second mount shows {:?}", row.what, files_in(second.path())));
        }
        empty(&mount);
    }
    assert!(different.is_empty(), "{} of {} rows differ:\n{}", different.len(), ROWS.len(), different.join("\n"));
}

fn shown(outcome: &Outcome) -> String {
    let files: Vec<String> =
        outcome.files.iter().map(|(name, bytes)| format!("{name} ({} bytes)", bytes.len())).collect();
    format!("code {:?}, {:?}, files {files:?}", outcome.code, outcome.output)
}
