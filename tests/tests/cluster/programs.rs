//! Goal: programs that people trust with their files find on the mount what they rely on.

use std::path::Path;
use std::process::Command;

use cairn_tests::{COMMAND_DEADLINE, ClusterOptions, DevCluster, Finished, Machine, fuse, tools, wait};
use nix::unistd::Uid;

/// What several writers of one database add.
const INSERTS: &str = "for writer in 1 2 3 4; do
    (for row in $(seq 10); do sqlite3 db '.timeout 50000' \"insert into t values($writer * 100 + $row)\" || exit 1; done) &
    writers=\"$writers $!\"
done
for writer in $writers; do wait $writer || exit 1; done";
/// Rows acknowledged before a mount is killed.
const ACKNOWLEDGED_ROWS: usize = 5;

fn cluster(programs: &[&str]) -> Option<(Machine, DevCluster)> {
    if !fuse::is_usable() {
        return None;
    }
    for program in programs {
        tools::assert_installed(program);
    }
    Some((Machine::shared(), DevCluster::start(ClusterOptions::small().mounted())))
}

#[track_caller]
fn succeeds(script: &str, folder: &Path) -> String {
    let script = format!("set -e -o pipefail; export LC_ALL=C.UTF-8; umask 022; {script}");
    tools::shell(&script, folder, tools::BULK_DEADLINE).expect_success().text()
}

fn fio(how: &str, block: &str, further: &str, folder: &Path) -> Finished {
    let script = format!(
        "fio --name={how}-{block} --filename={how}-{block} --rw={how} --bs={block} --size=6M --ioengine=psync \
         --fallocate=none --verify=crc32c --verify_state_save=0 --verify_fatal=1 {further}"
    );
    tools::shell(&script, folder, tools::BULK_DEADLINE)
}

#[test]
fn fio_finds_the_blocks_it_wrote_in_any_order_and_size() {
    let Some((_machine, cluster)) = cluster(&["fio"]) else { return };
    let (mount, second) = (cluster.mount_path(), cluster.mount("second"));
    for how in ["write", "randwrite"] {
        for block in ["4k", "24k", "96k", "1m"] {
            fio(how, block, "--do_verify=0", &mount).expect_success();
            fio(how, block, "--verify_only", second.path()).expect_success();
        }
    }
    succeeds("printf XYZ | dd of=write-4k bs=1 seek=3000000 conv=notrunc status=none", &mount);
    let spoilt = fio("write", "4k", "--verify_only", &mount).expect_failure();
    assert!(spoilt.stderr.contains("verify"), "{spoilt}");
}

#[test]
fn a_git_repository_travels_as_an_archive_and_needs_directories_otherwise() {
    let Some((_machine, cluster)) = cluster(&["git"]) else { return };
    let (mount, second, work) = (cluster.mount_path(), cluster.mount("second"), cluster.folder("work"));
    let git =
        "export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null; git=(git -c user.name=a -c user.email=a@b)";
    let make = "\"${git[@]}\" init -q source
        for n in $(seq 20); do
            seq $((n * 1000)) > source/numbers
            \"${git[@]}\" -C source add numbers
            \"${git[@]}\" -C source commit -q -m $n
        done
        \"${git[@]}\" clone -q --bare source bare.git";
    succeeds(&format!("{git}; {make}; tar -cf '{}/bare.tar' bare.git", mount.display()), &work);
    let unpack = "mkdir back; tar -C back -xf bare.tar";
    let unpack = unpack.replace("bare.tar", &second.path().join("bare.tar").display().to_string());
    let check = "git -C back/bare.git fsck --full --strict; git -C back/bare.git rev-list --count --all";
    assert_eq!(succeeds(&format!("{unpack}; {check}"), &work), "20\n");

    for command in ["init -q here", "clone -q --bare \"$SOURCE\" here.git"] {
        let script = format!("export SOURCE='{}/source'; git {command}", work.display());
        let refused = tools::shell(&script, &mount, COMMAND_DEADLINE).expect_failure();
        assert!(refused.stderr.contains("Operation not permitted"), "{refused}");
    }
    assert_eq!(succeeds("ls -A", &mount), "bare.tar\n", "what was refused left something behind");
}

#[test]
fn vim_writes_with_swap_file_and_backup_and_starts_programs_meanwhile() {
    let Some((_machine, cluster)) = cluster(&["vim"]) else { return };
    let (mount, scripts) = (cluster.mount_path(), cluster.folder("scripts"));
    let script = "set swapfile directory=. updatecount=1
        %s/2/two/
        preserve
        call system('ls -A > \"$SCRIPTS/while-open\"')
        write
        set backup backupdir=. backupext=~
        %s/3/three/
        write
        quit";
    std::fs::write(scripts.join("edit.vim"), script).unwrap();
    let edit = format!(
        "export SCRIPTS='{}'; seq 3 > f; vim -u NONE -N -i NONE -es -S \"$SCRIPTS/edit.vim\" f",
        scripts.display()
    );
    succeeds(&edit, &mount);
    assert_eq!(std::fs::read_to_string(scripts.join("while-open")).unwrap(), ".f.swp\nf\n");
    assert_eq!(
        succeeds("cat f; echo; cat f~; ls -A", cluster.mount("second").path()),
        "1\ntwo\nthree\n\n1\ntwo\n3\nf\nf~\n"
    );
    succeeds("printf '%s\\n' '%s/one/1/e' '$s/$/!/' w q | vim -u NONE -N -i NONE -n -es f", &mount);
    assert_eq!(succeeds("tail -n 1 f", &mount), "three!\n");
}

#[test]
fn s52_locks_exclude_programs_of_one_mount_and_s53_so_do_transactions() {
    let Some((_machine, cluster)) = cluster(&["sqlite3", "flock"]) else { return };
    let mount = cluster.mount_path();
    let locked = "exec 3> lock; flock 3; flock -n lock true && exit 1; echo excluded; flock -u 3; flock -n lock true";
    assert_eq!(succeeds(locked, &mount), "excluded\n");
    succeeds("sqlite3 db 'create table t(a)'", &mount);
    succeeds(INSERTS, &mount);
    let count = "sqlite3 db 'select count(distinct a) from t; pragma integrity_check'";
    assert_eq!(succeeds(count, &mount), "40\nok\n");
    assert_eq!(succeeds(count, cluster.mount("second").path()), "40\nok\n");
}

#[test]
fn s53_what_a_database_acknowledged_outlives_its_mount() {
    let Some((_machine, cluster)) = cluster(&["sqlite3"]) else { return };
    let (first, acknowledged) = (cluster.mount("first"), cluster.folder("acknowledged").join("rows"));
    succeeds("sqlite3 db 'create table t(a)'", first.path());
    let script = format!(
        "row=0; while sqlite3 db \"insert into t values($((++row)))\"; do echo $row >> '{}'; done",
        acknowledged.display()
    );
    let rows = || std::fs::read_to_string(&acknowledged).unwrap_or_default().lines().count();
    std::thread::scope(|scope| {
        let inserts = scope.spawn(|| tools::shell(&script, first.path(), tools::BULK_DEADLINE));
        let enough = wait::within(COMMAND_DEADLINE, || (rows() >= ACKNOWLEDGED_ROWS).then_some(()));
        first.process().kill();
        let ended = inserts.join().expect("the inserts end with their mount");
        assert!(enough.is_some(), "{} rows: {ended}", rows());
    });
    let check = "sqlite3 db 'pragma integrity_check; select count(*) from t'";
    let text = succeeds(check, &cluster.mount_path());
    let kept: usize = text.strip_prefix("ok\n").and_then(|count| count.trim().parse().ok()).expect("a sound database");
    // The last one may have been committed although nobody was told.
    assert!((rows()..=rows() + 1).contains(&kept), "{kept} rows of {}", rows());
}

#[test]
fn s53_of_two_mounts_that_write_a_database_the_later_is_refused() {
    let Some((_machine, cluster)) = cluster(&["sqlite3"]) else { return };
    let (mount, second) = (cluster.mount_path(), cluster.mount("second"));
    succeeds("sqlite3 db 'create table t(a)'", &mount);
    let between = format!(".shell sqlite3 '{}/db' 'insert into t values(2)' && echo inserted", second.path().display());
    let script = r#"printf '%s\n' 'begin;' 'insert into t values(1);' "$BETWEEN" 'commit;' | sqlite3 -bail db"#;
    let mut later = Command::new("bash");
    later.args(["-c", script]).env("BETWEEN", between).current_dir(&mount);
    let later = Finished::of(&mut later, COMMAND_DEADLINE).expect_failure();
    assert_eq!(later.text(), "inserted\n", "{later}");
    assert!(later.stderr.contains("disk I/O error"), "{later}");
}

#[test]
fn s47_rsync_of_a_whole_folder_transfers_nothing_the_second_time() {
    let Some((_machine, cluster)) = cluster(&["rsync"]) else { return };
    let (mount, source) = (cluster.mount_path(), cluster.folder("source"));
    let make = "for n in $(seq 300); do
            seq $n > f$n
            chmod $((400 + n % 8 * 10 + n % 7)) f$n
            touch -d @$((1000000000 + n * 1000)) f$n
        done
        if [ $(id -u) = 0 ]; then for n in $(seq 300); do chown $((n % 5)):$((n % 3)) f$n; done; fi
        chmod 750 .; touch -d @1100000000 .";
    succeeds(make, &source);
    let rsync = format!("rsync -a --itemize-changes '{}/' .", source.display());
    let first = succeeds(&rsync, &mount);
    assert_eq!(first.lines().filter(|line| line.starts_with(">f+++++++++ ")).count(), 300, "{first}");
    assert_eq!(succeeds(&rsync, &mount), "", "the second run changes nothing");
    let attributes = "stat -c '%n %a %u %g %Y' .; stat -c '%n %a %u %g %s %Y' *; cat *";
    assert_eq!(succeeds(attributes, &mount), succeeds(attributes, &source));
    let seen = "stat -c '%n %a %u %g %s %Y' *; cat *";
    assert_eq!(succeeds(seen, cluster.mount("second").path()), succeeds(seen, &source));
}

#[test]
fn tar_keeps_mode_owner_and_time_of_what_it_unpacks() {
    let Some((_machine, cluster)) = cluster(&["setpriv"]) else { return };
    if !Uid::effective().is_root() {
        fuse::notice("skipped: owners are given away by root alone");
        return;
    }
    let mount = cluster.mount_with("open", &["-o", "allow_other"]);
    let source = cluster.folder("source");
    let make = "seq 9 > a; seq 99 > b; : > c; chmod 4751 a; chmod 600 b; chmod 444 c; chown 12:34 a b; chown 56:78 c
        touch -d @1000000000 a; touch -d @-5 b; touch -d '2030-01-02 03:04:05.678 UTC' c; chmod 777 .";
    succeeds(make, &source);
    let unpack = format!("tar -C '{}' --format=posix -cf all.tar .; tar -xpf all.tar", source.display());
    succeeds(&unpack, mount.path());
    let attributes = "stat -c '%n %a %u %g %s %.3Y' a b c; cat a b c";
    assert_eq!(succeeds(attributes, mount.path()), succeeds(attributes, &source));

    // Relative to its folder, which it is in already: it may not pass through those around it.
    let local = cluster.folder("local");
    succeeds(&format!("chmod 777 .; cp '{}/all.tar' .", mount.path().display()), &local);
    let other = "rm -f a b c; chmod 644 all.tar
        setpriv --reuid 1234 --regid 99 --clear-groups tar -xf all.tar ./a ./b ./c
        stat -c '%n %a %u %g %s %.3Y' a b c; cat a b c";
    let unpacked = succeeds(other, mount.path());
    assert!(unpacked.contains("b 600 1234 99 "), "{unpacked}");
    assert_eq!(unpacked, succeeds(other, &local));
}
