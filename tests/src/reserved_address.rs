//! Addresses for daemons that a test starts, stops and starts again.

use std::fmt::{Display, Formatter};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A loopback address that is nobody else's until this is dropped, whether a daemon listens there or not.
///
/// Its socket is bound alone and lets others share only afterwards. So a daemon (whose listener allows sharing, as
/// every listener of the standard library does) can listen there, while the kernel hands the port neither to another
/// reservation nor to an outgoing connection.
#[derive(Debug)]
pub struct ReservedAddress {
    address: SocketAddr,
    _socket: Socket,
}

impl ReservedAddress {
    /// An address at a port that the kernel picks.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn pick() -> Self {
        Self::reserve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("the machine has a free port")
    }

    fn reserve(wanted: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&wanted.into())?;
        socket.set_reuse_address(true)?;
        let address = socket.local_addr()?.as_socket().expect("an internet socket has an internet address");
        Ok(Self { address, _socket: socket })
    }
}

impl Display for ReservedAddress {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::path::{Path, PathBuf};

    use super::ReservedAddress;
    use crate::bare_cluster::{BareCluster, Program};

    fn assert_taken(address: &str) {
        let second = ReservedAddress::reserve(address.parse().unwrap());
        assert_eq!(second.unwrap_err().kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn a_reserved_address_can_be_listened_at_again_and_again_and_is_nobody_elses() {
        let reserved = ReservedAddress::pick();
        let address = reserved.to_string();
        for _ in 0..3 {
            assert_taken(&address);
            let listener = TcpListener::bind(&address).unwrap();
            assert_taken(&address);
            let connected = TcpStream::connect(&address).unwrap();
            // The end that closes first keeps the port busy for a minute, as a killed daemon does.
            drop(listener.accept().unwrap());
            drop(connected);
        }
    }

    #[test]
    fn daemons_of_a_cluster_have_their_addresses_to_themselves_before_they_run() {
        let mut cluster = BareCluster::of_masters(3, "1+0", Program::Cairn);
        cluster.add_node("node-1", Program::Cairn);
        cluster.add_node("node-2", Program::Cairn);
        let listening = listening(cluster.root());
        assert_eq!(listening.len(), 5);
        for address in &listening {
            assert_taken(address);
        }
    }

    /// Where the daemons of the configurations in a folder will listen.
    fn listening(folder: &Path) -> Vec<String> {
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let configs = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
        let listen = |path: PathBuf| {
            let config: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
            config["listen"].as_str().unwrap().to_owned()
        };
        configs.map(listen).collect()
    }
}
