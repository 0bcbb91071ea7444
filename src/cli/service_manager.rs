//! Tells the service manager how far the process is (`sd_notify(3)`): `READY=1`, `STOPPING=1`.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The socket that the service manager gave us, if any.
pub(super) struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl ServiceManager {
    /// `path`: the variable `NOTIFY_SOCKET`. A name that starts with `@` is an abstract one.
    pub(super) fn new(path: Option<OsString>) -> Self {
        let address = path.and_then(|path| match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name).ok(),
            None => SocketAddr::from_pathname(path).ok(),
        });
        Self { socket: address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address))) }
    }

    /// Serving.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// Ending.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.socket {
            // A service manager that does not listen is no reason to stop serving.
            let _unheard = socket.send_to_addr(state.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_hears_of_each_step() {
        let name = format!("pgveil-test-{}", uuid::Uuid::now_v7());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let service = ServiceManager::new(Some(format!("@{name}").into()));
        service.ready();
        service.stopping();
        for expected in ["READY=1", "STOPPING=1"] {
            let mut heard = [0; 64];
            let length = manager.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], expected.as_bytes());
        }
    }
}
