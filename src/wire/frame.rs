//! Frames: one type byte, a length that counts itself, a body.

/// The longest frame body that PostgreSQL itself sends or takes (`MaxAllocSize`, 1 GB − 1), in bytes.
pub const BODY_BYTES_MAX: usize = 0x3fff_ffff;

/// Bytes before the body.
pub const HEADER_BYTES: usize = 5;

/// The start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The message type.
    pub tag: u8,
    /// The length of the body, in bytes.
    pub body: usize,
}

/// A length that no frame has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid frame length {0}")]
pub struct InvalidLength(pub u32);

impl Header {
    /// Read the header at the start of `bytes`; `None`: it is not all there yet.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, InvalidLength> {
        let Some(&[tag, a, b, c, d]) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        // Widened before it is compared: a length near 2^32 must not wrap (the class of CVE-2026-107348).
        let body = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
        match body {
            Some(body) if body <= BODY_BYTES_MAX => Ok(Some(Self { tag, body })),
            _ => Err(InvalidLength(length)),
        }
    }

    /// The length of the whole frame, in bytes.
    pub fn frame(self) -> usize {
        self.body.saturating_add(HEADER_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_before_they_are_used() {
        assert_eq!(Header::read(b"Q\0\0\0"), Ok(None));
        assert_eq!(Header::read(b"Q\0\0\0\x04"), Ok(Some(Header { tag: b'Q', body: 0 })));
        for length in [0_u32, 3, 0x4000_0004, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            let mut bytes = vec![b'Q'];
            bytes.extend(length.to_be_bytes());
            assert_eq!(Header::read(&bytes), Err(InvalidLength(length)));
        }
    }
}
