use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A TCP address that is held for a daemon, whether that listens there or not.
///
/// It is bound by a socket that never listens, and that allows sharing from then on only: a daemon (which sets the same
/// option, as every listener of the standard library does) can listen there, again and again, while nobody else can
/// hold the address, and the kernel gives the port to no outgoing connection.
#[derive(Debug)]
pub struct HeldAddress {
    address: SocketAddr,
    _socket: Socket,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    AtOnce,
    Afterwards,
}

impl HeldAddress {
    /// Holds an address that nobody uses; where its port is 0, one that the kernel picks.
    pub fn hold(wanted: SocketAddr) -> io::Result<Self> {
        Self::bind(wanted, Sharing::Afterwards)
    }

    /// Holds an address where nobody listens. Connections of an earlier listener may still linger there; another one may
    /// hold it as well in this way.
    pub fn hold_again(wanted: SocketAddr) -> io::Result<Self> {
        Self::bind(wanted, Sharing::AtOnce)
    }

    /// Holds a loopback address that the kernel picks.
    pub fn on_loopback() -> io::Result<Self> {
        Self::hold(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn bind(wanted: SocketAddr, sharing: Sharing) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(wanted), Type::STREAM, None)?;
        socket.set_reuse_address(sharing == Sharing::AtOnce)?;
        socket.bind(&wanted.into())?;
        socket.set_reuse_address(true)?;
        let address = socket.local_addr()?.as_socket().expect("an internet socket has an internet address");
        Ok(Self { address, _socket: socket })
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use super::HeldAddress;

    fn assert_taken(address: SocketAddr) {
        assert_eq!(HeldAddress::hold(address).unwrap_err().kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn a_held_address_can_be_listened_at_again_and_again_and_is_nobody_elses() {
        let held = HeldAddress::on_loopback().unwrap();
        for _ in 0..3 {
            assert_taken(held.address());
            let listener = TcpListener::bind(held.address()).unwrap();
            assert_taken(held.address());
            let connected = TcpStream::connect(held.address()).unwrap();
            // The end that closes first keeps the port busy for a minute, as a killed daemon does.
            drop(listener.accept().unwrap());
            drop(connected);
        }
    }

    #[test]
    fn where_connections_linger_an_address_can_be_held_again_unless_somebody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(HeldAddress::hold_again(address).unwrap_err().kind(), ErrorKind::AddrInUse);
        let connected = TcpStream::connect(address).unwrap();
        drop(listener.accept().unwrap());
        drop((connected, listener));
        assert_taken(address);
        let held = HeldAddress::hold_again(address).unwrap();
        TcpListener::bind(held.address()).unwrap();
    }
}
