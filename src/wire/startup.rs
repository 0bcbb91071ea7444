//! The packets of a connection's start, which have no type byte (PostgreSQL manual, section 55.2.1 and 55.2.10 ff.).

use bytes::Bytes;

use super::{Malformed, Reader};

/// The longest startup packet that PostgreSQL takes (`MAX_STARTUP_PACKET_LENGTH`), in bytes.
pub const STARTUP_BYTES_MAX: usize = 10_000;

/// A packet of a connection's start.
#[derive(Clone, PartialEq, Eq)]
pub enum StartupPacket {
    /// Asks for TLS.
    SslRequest,
    /// Asks for GSSAPI encryption.
    GssEncRequest,
    /// Asks to cancel another session's statement.
    CancelRequest(CancelKey),
    /// Starts a session.
    Startup(Startup),
}

/// Key of a session's backend, from BackendKeyData: 4 bytes in protocol 3.0, 4 to 256 in 3.2.
/// (PostgreSQL manual, section 55.2.8 "Canceling Requests in Progress".)
#[derive(Clone, PartialEq, Eq)]
pub struct CancelKey {
    /// The backend's process id.
    pub pid: i32,
    /// The secret.
    pub secret: Bytes,
}

/// A StartupMessage.
#[derive(Clone, PartialEq, Eq)]
pub struct Startup {
    /// The protocol's minor version; the major version is 3.
    pub minor: u16,
    /// Names and values in the order given, as bytes: their encoding is not known yet.
    pub parameters: Vec<(Bytes, Bytes)>,
}

/// Newest minor version of protocol 3 that pgveil knows.
const MINOR_MAX: u16 = 2;

/// Newest version that pgveil knows, as NegotiateProtocolVersion gives it.
pub const VERSION_MAX: u32 = 0x0003_0002;

/// Before the names of options that extend the protocol.
const EXTENSION: &[u8] = b"_pq_.";

/// What a startup asks of the protocol that pgveil does not know. It is not passed on: a server that knows it would go on
/// to speak what pgveil can not follow.
#[derive(Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The packet without it.
    pub packet: Bytes,
    /// The protocol's version in the packet, as NegotiateProtocolVersion gives it: major in the upper 16 bits.
    pub version: u32,
    /// The options that were left out, in their order.
    pub options: Vec<Bytes>,
}

impl Startup {
    /// What is asked of the protocol that pgveil does not know, if anything.
    pub fn unknown(&self) -> Option<Unknown> {
        let (left_out, known): (Vec<_>, Vec<_>) =
            self.parameters.iter().partition(|(name, _)| name.starts_with(EXTENSION));
        if left_out.is_empty() && self.minor <= MINOR_MAX {
            return None;
        }
        let version = (3 << 16) | u32::from(self.minor.min(MINOR_MAX));
        let packet = packet(version, known.into_iter());
        Some(Unknown { packet, version, options: left_out.into_iter().map(|(name, _)| name.clone()).collect() })
    }

    /// The packet.
    pub fn packet(&self) -> Bytes {
        packet((3 << 16) | u32::from(self.minor), self.parameters.iter())
    }

    /// The last value given for a parameter: PostgreSQL lets a later one win.
    pub fn parameter(&self, name: &str) -> Option<&Bytes> {
        self.parameters.iter().rev().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value)
    }
}

fn packet<'a>(version: u32, parameters: impl Iterator<Item = &'a (Bytes, Bytes)>) -> Bytes {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        for text in [name, value] {
            body.extend_from_slice(text);
            body.push(0);
        }
    }
    body.push(0);
    let length = u32::try_from(body.len().saturating_add(4)).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &body].concat().into()
}

/// What is wrong with a startup packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartupFault {
    /// A length that no startup packet has.
    #[error("invalid length of startup packet")]
    Length,
    /// A protocol that is not PostgreSQL's version 3.
    #[error("unsupported frontend protocol {0}.{1}: server supports 3.0 to 3.2")]
    Protocol(u16, u16),
    /// A cancel request without a key that could be one. Cancel requests are never answered.
    #[error("malformed CancelRequest message")]
    CancelRequest,
    /// A body that is not shaped as it must be.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// The length of the packet at the start of `bytes`, its length word included; `None`: not all of it is there.
pub fn packet_length(bytes: &[u8]) -> Result<Option<usize>, StartupFault> {
    let Some(&word) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(word)).map_err(|_| StartupFault::Length)?;
    if !(8..=STARTUP_BYTES_MAX).contains(&length) {
        return Err(StartupFault::Length);
    }
    Ok((bytes.len() >= length).then_some(length))
}

impl StartupPacket {
    /// Decode one whole packet, length word included.
    pub fn decode(packet: &[u8]) -> Result<Self, StartupFault> {
        let mut reader = Reader::new(packet, "startup");
        reader.u32()?;
        let (major, minor) = (reader.i16()?.cast_unsigned(), reader.i16()?.cast_unsigned());
        match (major, minor) {
            (1234, 5679) => {
                reader.end()?;
                Ok(Self::SslRequest)
            }
            (1234, 5680) => {
                reader.end()?;
                Ok(Self::GssEncRequest)
            }
            (1234, 5678) => {
                let pid = reader.i32().map_err(|_| StartupFault::CancelRequest)?;
                let secret = reader.rest();
                if !(4..=256).contains(&secret.len()) {
                    return Err(StartupFault::CancelRequest);
                }
                Ok(Self::CancelRequest(CancelKey { pid, secret: Bytes::copy_from_slice(secret) }))
            }
            (3, minor) => Ok(Self::Startup(Startup { minor, parameters: parameters(reader)? })),
            (major, minor) => Err(StartupFault::Protocol(major, minor)),
        }
    }
}

fn parameters(mut reader: Reader<'_>) -> Result<Vec<(Bytes, Bytes)>, Malformed> {
    let mut parameters = Vec::new();
    loop {
        let name = reader.string()?;
        if name.is_empty() {
            reader.end()?;
            return Ok(parameters);
        }
        let value = reader.string()?;
        parameters.push((Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(body: &[u8]) -> Vec<u8> {
        let mut packet = u32::try_from(body.len() + 4).unwrap().to_be_bytes().to_vec();
        packet.extend(body);
        packet
    }

    #[test]
    fn a_startup_message_keeps_order_and_later_values_win() {
        let bytes = packet(b"\0\x03\0\0user\0ann\0user\0bob\0\0");
        assert_eq!(packet_length(&bytes), Ok(Some(bytes.len())));
        let Ok(StartupPacket::Startup(startup)) = StartupPacket::decode(&bytes) else { panic!("not a startup") };
        assert_eq!(startup.parameter("user").map(|value| value.as_ref()), Some(&b"bob"[..]));
        assert_eq!(startup.parameters.len(), 2);
    }

    #[test]
    fn what_is_not_known_of_the_protocol_is_left_out() {
        let decoded = |bytes: &[u8]| match StartupPacket::decode(bytes) {
            Ok(StartupPacket::Startup(startup)) => startup,
            _ => panic!("not a startup"),
        };
        for known in [&b"\0\x03\0\0user\0ann\0\0"[..], b"\0\x03\0\x02user\0ann\0\0"] {
            assert!(decoded(&packet(known)).unknown().is_none());
        }
        let grease = b"\0\x03\x27\x0fuser\0ann\0_pq_.a\0x\0database\0shop\0_pq_.b\0\0\0";
        let Some(unknown) = decoded(&packet(grease)).unknown() else { panic!("all of it is known") };
        assert_eq!(unknown.packet, packet(b"\0\x03\0\x02user\0ann\0database\0shop\0\0"));
        assert_eq!((unknown.version, unknown.options), (0x0003_0002, vec!["_pq_.a".into(), "_pq_.b".into()]));
        let option = b"\0\x03\0\0user\0ann\0_pq_.a\0x\0\0";
        let Some(unknown) = decoded(&packet(option)).unknown() else { panic!("all of it is known") };
        assert_eq!((unknown.packet.as_ref(), unknown.version), (&packet(b"\0\x03\0\0user\0ann\0\0")[..], 0x0003_0000));
    }

    #[test]
    fn lengths_out_of_range_are_refused_at_once() {
        for length in [0_u32, 3, 7, 10_001, 0x7fff_ffff, u32::MAX] {
            assert_eq!(packet_length(&length.to_be_bytes()), Err(StartupFault::Length), "{length}");
        }
        assert_eq!(packet_length(&8_u32.to_be_bytes()), Ok(None));
    }

    #[test]
    fn bytes_after_the_last_parameter_are_malformed() {
        let bytes = packet(b"\0\x03\0\0user\0ann\0\0x");
        assert!(matches!(StartupPacket::decode(&bytes), Err(StartupFault::Malformed(_))));
    }

    #[test]
    fn other_protocols_are_named() {
        let bytes = packet(b"\0\x02\0\0user\0ann\0\0");
        assert!(matches!(StartupPacket::decode(&bytes), Err(StartupFault::Protocol(2, 0))));
    }
}
