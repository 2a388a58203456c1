use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cairn_proto::transport::HeldAddress;

use super::{BareCluster, Program};

#[test]
fn daemons_of_a_cluster_have_their_addresses_to_themselves_before_they_run() {
    let mut cluster = BareCluster::of_masters(3, "1+0", Program::Cairn);
    cluster.add_node("node-1", Program::Cairn);
    cluster.add_node("node-2", Program::Cairn);
    let listening = listening(cluster.root());
    assert_eq!(listening.len(), 5);
    for address in listening {
        assert_eq!(HeldAddress::hold(address).unwrap_err().kind(), ErrorKind::AddrInUse);
    }
}

/// Where the daemons of the configurations in a folder will listen.
fn listening(folder: &Path) -> Vec<SocketAddr> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let configs = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let listen = |path: PathBuf| {
        let config: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
        config["listen"].as_str().unwrap().parse().unwrap()
    };
    configs.map(listen).collect()
}
