//! Goal: whatever arrives on a port, the daemon goes on serving.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use cairn_tests::{ClusterOptions, DevCluster, Machine, resident, tools, workload};

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const WRITE_DEADLINE: Duration = Duration::from_secs(5);
/// What garbage may cost a daemon in memory.
const MEMORY_LIMIT_BYTES: u64 = 256 << 20;

/// What strangers send: noise, another protocol, the right protocol with noise behind it, a frame that claims
/// 16 MiB, a gRPC request to nowhere cut off in the middle, nothing at all.
fn messages() -> Vec<Vec<u8>> {
    let frame =
        |length: [u8; 3], kind: u8, flags: u8, stream: u8| [&length[..], &[kind, flags, 0, 0, 0, stream]].concat();
    let settings = frame([0, 0, 0], 4, 0, 0);
    let with_preface = |rest: &[u8]| [HTTP2_PREFACE, &settings, rest].concat();
    vec![
        workload::random_bytes(1, 64 << 10),
        b"GET / HTTP/1.1\r\nHost: cairn\r\n\r\n".to_vec(),
        with_preface(&workload::random_bytes(2, 64 << 10)),
        with_preface(&frame([255, 255, 255], 0, 0, 1)),
        with_preface(&[frame([0, 1, 0], 1, 4, 1), workload::random_bytes(3, 256)].concat()),
        Vec::new(),
    ]
}

#[test]
fn garbage_on_any_port_disturbs_nobody() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let file = workload::random_file(&cluster.folder("source"), "file", 2_000_000, 1);
    cluster.run(&["put", file.path.to_str().unwrap(), "before"]).expect_success();
    let daemons = cluster.daemons();
    let mut open = Vec::new();
    for daemon in &daemons {
        let address = daemon.address.as_deref().expect("masters and nodes have an address");
        for message in messages() {
            let mut connection = TcpStream::connect(address).unwrap_or_else(|error| panic!("{}: {error}", daemon.name));
            connection.set_write_timeout(Some(WRITE_DEADLINE)).unwrap();
            // The daemon may hang up before it has read all; that is its right.
            let sent = connection.write_all(&message).and_then(|()| connection.shutdown(Shutdown::Write));
            if sent.is_ok() {
                open.push(connection);
            }
        }
    }
    assert!(!open.is_empty(), "no daemon took any connection");
    for daemon in &daemons {
        let process = cluster.process(&daemon.name);
        assert_eq!(u32::try_from(process.id()).ok(), daemon.pid, "{} was restarted", daemon.name);
        assert!(process.is_alive(), "{} died", daemon.name);
        assert!(resident::peak_bytes(process) < MEMORY_LIMIT_BYTES, "{} swallowed memory", daemon.name);
        assert!(!cluster.log(&daemon.name).contains("panicked"), "{} panicked", daemon.name);
    }
    cluster.run(&["put", file.path.to_str().unwrap(), "file"]).expect_success();
    tools::assert_got(&cluster, &file);
}
