use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use cairn_proto::transport::HeldAddress;

/// Ports that a base port stands for: P+1 to P+9 masters, P+11 to P+90 storage nodes.
pub(crate) const PORTS_PER_CLUSTER: u16 = 100;
/// Where the search for free ports starts.
pub(crate) const FIRST_BASE_PORT: u16 = 7000;
/// And ends: above lie the ports that the system hands out to clients.
const LAST_BASE_PORT: u16 = 32_600;

/// A port that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PortError {
    /// Somebody else has it.
    #[error("port {port} is not free: {source}")]
    Taken {
        /// The port.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing free was found.
    #[error("no free ports from {FIRST_BASE_PORT} to {LAST_BASE_PORT}")]
    NoneFree,
}

/// Loopback ports held for daemons that are about to listen on them: two clusters starting at once never pick the same.
#[derive(Debug)]
pub(crate) struct PortReservation {
    _held: Vec<HeldAddress>,
}

impl PortReservation {
    /// Holds all `ports`, or none of them.
    pub(crate) fn hold(ports: impl IntoIterator<Item = u16>) -> Result<Self, PortError> {
        Self::hold_each(ports, HeldAddress::hold)
    }

    /// Checks that nobody listens on `ports`. Connections of an earlier life of the cluster may still
    /// linger there and do no harm.
    pub(crate) fn hold_again(ports: impl IntoIterator<Item = u16>) -> Result<Self, PortError> {
        Self::hold_each(ports, HeldAddress::hold_again)
    }

    fn hold_each(
        ports: impl IntoIterator<Item = u16>,
        hold: impl Fn(SocketAddr) -> io::Result<HeldAddress>,
    ) -> Result<Self, PortError> {
        let hold = |port| {
            hold(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map_err(|source| PortError::Taken { port, source })
        };
        Ok(Self { _held: ports.into_iter().map(hold).collect::<Result<_, _>>()? })
    }

    /// Holds the ports of the first base port where all are free.
    pub(crate) fn find(ports: impl Fn(u16) -> Vec<u16>) -> Result<(u16, Self), PortError> {
        (FIRST_BASE_PORT..=LAST_BASE_PORT)
            .step_by(PORTS_PER_CLUSTER.into())
            .find_map(|base| Self::hold(ports(base)).ok().map(|held| (base, held)))
            .ok_or(PortError::NoneFree)
    }
}

#[cfg(test)]
mod tests {
    use super::{PortError, PortReservation};
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn a_held_port_can_be_listened_on_but_not_held_twice() {
        let (port, held) = PortReservation::find(|base| vec![base]).unwrap();
        assert!(matches!(PortReservation::hold([port]), Err(PortError::Taken { .. })));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(matches!(PortReservation::hold([port]), Err(PortError::Taken { .. })));
        drop((held, listener));
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_held() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(matches!(PortReservation::hold([port]), Err(PortError::Taken { .. })));
        let error = PortReservation::hold_again([port]).unwrap_err();
        assert!(error.to_string().contains(&port.to_string()));
    }

    #[test]
    fn the_search_passes_over_a_base_with_a_taken_port() {
        let (first, held) = PortReservation::find(|base| vec![base + 1]).unwrap();
        let (second, _) = PortReservation::find(|base| vec![base + 1]).unwrap();
        assert!(second > first);
        drop(held);
    }
}
