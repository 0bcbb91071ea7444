//! A cursor over the body of one frame that can not leave it.

/// A body that is shorter, longer or otherwise shaped than its message type says. Says nothing of the contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0} message")]
pub struct Malformed(pub &'static str);

/// Reads one message body front to back.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    left: &'a [u8],
    message: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader of this body; `message` names it in errors.
    pub fn new(body: &'a [u8], message: &'static str) -> Self {
        Self { left: body, message }
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, left) = self.left.split_at_checked(count).ok_or(Malformed(self.message))?;
        self.left = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, left) = self.left.split_first_chunk::<N>().ok_or(Malformed(self.message))?;
        self.left = left;
        Ok(*taken)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    /// A 16-bit integer in network byte order.
    pub fn i16(&mut self) -> Result<i16, Malformed> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    /// A 16-bit unsigned integer in network byte order.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// A 16-bit count: negative ones are malformed.
    pub fn count(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.i16()?).map_err(|_| Malformed(self.message))
    }

    /// A 32-bit integer in network byte order.
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// A 32-bit unsigned integer in network byte order.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// A value with its length before it; −1 is NULL, other negative lengths are malformed.
    pub fn value(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| Malformed(self.message))?;
                self.take(length).map(Some)
            }
        }
    }

    /// A string, without the NUL that ends it.
    pub fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self.left.iter().position(|&byte| byte == 0).ok_or(Malformed(self.message))?;
        let text = self.take(end)?;
        self.take(1)?;
        Ok(text)
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.left
    }

    /// Nothing may be left.
    pub fn end(self) -> Result<(), Malformed> {
        if self.left.is_empty() { Ok(()) } else { Err(Malformed(self.message)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_never_leaves_its_body() {
        let mut reader = Reader::new(b"ab\0\0\x05", "test");
        assert_eq!(reader.string(), Ok(&b"ab"[..]));
        assert_eq!(reader.i16(), Ok(5));
        assert_eq!(reader.u8(), Err(Malformed("test")));
        assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn negative_lengths_other_than_null_are_malformed() {
        let mut reader = Reader::new(&[0xff; 8], "test");
        assert_eq!(reader.value(), Ok(None));
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xfe], "test");
        assert_eq!(reader.value(), Err(Malformed("test")));
        let mut reader = Reader::new(&[0x7f, 0xff, 0xff, 0xff, 1], "test");
        assert_eq!(reader.value(), Err(Malformed("test")));
    }
}
