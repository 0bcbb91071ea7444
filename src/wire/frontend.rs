//! The client's messages that pgveil has to understand.

use super::{Format, Malformed, Reader};
use crate::catalog::Oid;

/// Whether the protocol has a message of that type for a client that is logged in.
pub fn is_message(tag: u8) -> bool {
    matches!(tag, b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'F') || may_be_in_copy(tag)
}

/// Whether a client may send it while the server reads the data of its COPY.
pub fn may_be_in_copy(tag: u8) -> bool {
    matches!(tag, b'd' | b'c' | b'f' | b'S' | b'H' | b'X')
}

/// Query: the text without its NUL.
pub fn query(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(body, "Query");
    let text = reader.string()?;
    reader.end()?;
    Ok(text)
}

/// FunctionCall: the OID of the function.
pub fn called(body: &[u8]) -> Result<Oid, Malformed> {
    Reader::new(body, "FunctionCall").u32().map(Oid)
}

/// The start of a FunctionCall, to the number of its arguments; the rest need not be all there.
pub struct CallHead<'a> {
    /// Its bytes.
    pub start: &'a [u8],
    /// The format code of the first argument, where one is given.
    first: Option<i16>,
    /// The number of arguments.
    arguments: usize,
    rest: &'a [u8],
}

impl<'a> CallHead<'a> {
    /// Decode the start of a body.
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "FunctionCall");
        reader.u32()?;
        let formats = reader.u16()?;
        let first = if formats == 0 { None } else { Some(reader.i16()?) };
        reader.take(usize::from(formats).saturating_sub(1).saturating_mul(2))?;
        let arguments = usize::from(reader.u16()?);
        let rest = reader.rest();
        let start = body.get(..body.len().saturating_sub(rest.len())).unwrap_or_default();
        Ok(Self { start, first, arguments, rest })
    }

    /// Whether the server takes a body that is there whole for malformed before it has read any of its values
    /// (`parse_fcall_arguments` in fastpath.c).
    pub fn fails_unread(&self) -> bool {
        let mut reader = Reader::new(self.rest, "FunctionCall");
        if self.arguments == 0 {
            // The format of the result.
            return reader.i16().is_err() || reader.end().is_err();
        }
        reader.value().is_err() || self.first.is_some_and(|first| format(first).is_err())
    }
}

/// Parse.
pub struct Parse<'a> {
    /// The statement's name; empty: the unnamed one.
    pub name: &'a [u8],
    /// The text without its NUL.
    pub text: &'a [u8],
    /// The rest: number of parameter types and the types, undecoded.
    pub types: &'a [u8],
}

impl<'a> Parse<'a> {
    /// The name at the start of a body, which need not be all there.
    pub fn name(body: &'a [u8]) -> Result<&'a [u8], Malformed> {
        Reader::new(body, "Parse").string()
    }

    /// Decode a body.
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "Parse");
        let (name, text) = (reader.string()?, reader.string()?);
        let types = reader.rest();
        let count = reader.count()?;
        reader.take(count.saturating_mul(4))?;
        reader.end()?;
        Ok(Self { name, text, types })
    }
}

/// The names at the start of a Bind, which need not be all there.
pub struct BindHead<'a> {
    /// The portal's name; empty: the unnamed one.
    pub portal: &'a [u8],
    /// The statement's name; empty: the unnamed one.
    pub statement: &'a [u8],
}

impl<'a> BindHead<'a> {
    /// Decode the start of a body.
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "Bind");
        Ok(Self { portal: reader.string()?, statement: reader.string()? })
    }
}

/// The parameters of a Bind.
#[derive(Clone, Copy)]
pub struct BindParameters<'a> {
    formats: &'a [u8],
    values: Reader<'a>,
    count: usize,
}

impl<'a> BindParameters<'a> {
    /// Decode a whole body as far as its last parameter.
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "Bind");
        reader.string()?;
        reader.string()?;
        let formats = reader.count()?;
        let formats = reader.take(formats.saturating_mul(2))?;
        let count = reader.count()?;
        let values = reader;
        for _ in 0..count {
            reader.value()?;
        }
        Ok(Self { formats, values, count })
    }

    /// The parameter of that number, from 1: its format, and its value unless it is NULL; `None`: there is none.
    pub fn parameter(&self, number: u32) -> Option<(Format, Option<&'a [u8]>)> {
        let position = usize::try_from(number).ok()?.checked_sub(1)?;
        if position >= self.count {
            return None;
        }
        let mut values = self.values;
        for _ in 0..position {
            values.value().ok()?;
        }
        // One format is for all of them, none is text.
        let code = match self.formats.len() / 2 {
            0 => 0,
            1 => self.code(0)?,
            _ => self.code(position)?,
        };
        Some((format(code).ok()?, values.value().ok()?))
    }

    fn code(&self, position: usize) -> Option<i16> {
        let start = position.checked_mul(2)?;
        let bytes = self.formats.get(start..start.checked_add(2)?)?;
        Some(i16::from_be_bytes(bytes.try_into().ok()?))
    }
}

/// Every parameter of a Bind.
pub struct BindValues<'a> {
    formats: Vec<Format>,
    values: Vec<Option<&'a [u8]>>,
    /// All that follows the names, as it came.
    pub rest: &'a [u8],
    /// The formats of results, with their number before them, as they came.
    pub results: &'a [u8],
}

impl<'a> BindValues<'a> {
    /// Decode a whole body.
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "Bind");
        reader.string()?;
        reader.string()?;
        let rest = reader.rest();
        let count = reader.count()?;
        let mut formats = Vec::new();
        for _ in 0..count {
            formats.push(format(reader.i16()?)?);
        }
        let count = reader.count()?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(reader.value()?);
        }
        let results = reader.rest();
        let count = reader.count()?;
        reader.take(count.saturating_mul(2))?;
        reader.end()?;
        Ok(Self { formats, values, rest, results })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.values.len()
    }

    /// The value of the parameter of that number (from 1) and its format; `None`: it has no value.
    pub fn value(&self, number: usize) -> Option<(Option<&'a [u8]>, Format)> {
        let at = number.checked_sub(1)?;
        let value = *self.values.get(at)?;
        // No format: all are text; one: it is that of all.
        let format = match self.formats.as_slice() {
            [] => Format::Text,
            [only] => *only,
            formats => *formats.get(at)?,
        };
        Some((value, format))
    }
}

/// What Describe and Close are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}

/// Describe or Close: the sort of thing and its name.
pub fn subject(body: &[u8]) -> Result<(Subject, &[u8]), Malformed> {
    let mut reader = Reader::new(body, "Describe or Close");
    let subject = match reader.u8()? {
        b'S' => Subject::Statement,
        b'P' => Subject::Portal,
        _ => return Err(Malformed("Describe or Close")),
    };
    let name = reader.string()?;
    reader.end()?;
    Ok((subject, name))
}

/// Execute: the portal's name and the row limit (0: none).
pub fn execute(body: &[u8]) -> Result<(&[u8], i32), Malformed> {
    let mut reader = Reader::new(body, "Execute");
    let portal = reader.string()?;
    let limit = reader.i32()?;
    reader.end()?;
    Ok((portal, limit))
}

/// A format code: 0 is text, 1 is binary.
pub fn format(code: i16) -> Result<Format, Malformed> {
    match code {
        0 => Ok(Format::Text),
        1 => Ok(Format::Binary),
        _ => Err(Malformed("format code")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_with_bytes_after_its_nul_is_malformed() {
        assert_eq!(query(b"SELECT 1\0"), Ok(&b"SELECT 1"[..]));
        assert!(query(b"SELECT 1\0Q").is_err());
        assert!(query(b"SELECT 1").is_err());
    }

    #[test]
    fn parameters_of_a_bind_have_their_formats() {
        let values = b"\0\x02\0\0\0\x01a\xff\xff\xff\xff";
        let body = |formats: &[u8]| [b"p\0s\0", formats, &values[..], b"\0\0"].concat();
        for (formats, first, second) in [
            (&b"\0\0"[..], Format::Text, Format::Text),
            (b"\0\x01\0\x01", Format::Binary, Format::Binary),
            (b"\0\x02\0\0\0\x01", Format::Text, Format::Binary),
        ] {
            let body = body(formats);
            let parameters = BindParameters::decode(&body).unwrap();
            assert_eq!(parameters.parameter(1), Some((first, Some(&b"a"[..]))));
            assert_eq!(parameters.parameter(2), Some((second, None)));
            assert_eq!((parameters.parameter(0), parameters.parameter(3)), (None, None));
        }
        assert!(BindParameters::decode(b"p\0s\0\0\0\0\x01\0\0\0\x02a").is_err());
        assert!(BindParameters::decode(b"p\0s\0\0\0").is_err());
    }

    #[test]
    fn a_call_whose_first_argument_is_malformed_fails_before_any_is_read() {
        let one = |rest: &[u8]| [b"\0\0\x05\x75\0\0\0\x01", rest].concat();
        for (body, fails) in [
            (one(b"\0\0\0\x015\0\0"), false),
            (one(b"\xff\xff\xff\xff\0\0"), false),
            // what is behind the first value is read after it
            (one(b"\0\0\0\x015"), false),
            (one(b"\0\0\0\x025"), true),
            (one(b"\xff\xff\xff\xfe\0\0"), true),
            (one(b"\0\0"), true),
            (b"\0\0\x05\x75\0\x01\0\x02\0\x01\0\0\0\x015\0\0".to_vec(), true),
            (b"\0\0\x05\x75\0\x01\0\x01\0\x01\0\0\0\x015\0\0".to_vec(), false),
            (b"\0\0\x05\x75\0\0\0\0\0\0".to_vec(), false),
            (b"\0\0\x05\x75\0\0\0\0\0".to_vec(), true),
            (b"\0\0\x05\x75\0\0\0\0\0\0!".to_vec(), true),
        ] {
            let head = CallHead::decode(&body).unwrap();
            assert_eq!(head.fails_unread(), fails, "{body:?}");
            assert!(head.start.ends_with(&[0, u8::from(head.arguments == 1)]));
        }
        assert!(CallHead::decode(b"\0\0\x05\x75\0\x02\0\0\0").is_err());
    }

    #[test]
    fn a_parse_counts_its_types() {
        assert!(Parse::decode(b"s\0SELECT $1\0\0\x01\0\0\0\x17").is_ok());
        assert!(Parse::decode(b"s\0SELECT $1\0\0\x02\0\0\0\x17").is_err());
        assert!(Parse::decode(b"s\0SELECT $1\0\xff\xff").is_err());
    }
}
