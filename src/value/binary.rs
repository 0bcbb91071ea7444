//! Taking binary forms apart.

use super::ValueError;

/// The bytes as they are, if there are so many.
pub(super) fn sized<const N: usize>(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    fixed::<N>(bytes).map(|bytes| bytes.to_vec())
}

/// The bytes as an array, if there are so many.
pub(super) fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], ValueError> {
    let mut reader = Reader::new(bytes);
    let taken = reader.array::<N>()?;
    reader.end()?;
    Ok(taken)
}

/// A binary form, read from its beginning.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// Nothing must be left.
    pub(super) fn end(&self) -> Result<(), ValueError> {
        if self.rest.is_empty() { Ok(()) } else { Err(ValueError::binary()) }
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], ValueError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(ValueError::short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Bytes up to a zero byte, which is read as well.
    pub(super) fn terminated(&mut self) -> Result<&'a [u8], ValueError> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or_else(ValueError::short)?;
        let taken = self.bytes(end)?;
        self.u8()?;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(ValueError::short)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, ValueError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, ValueError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, ValueError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, ValueError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ValueError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, ValueError> {
        self.array().map(i64::from_be_bytes)
    }
}
