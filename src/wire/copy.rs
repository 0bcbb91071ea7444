//! Rows of COPY: in text and CSV format a line of fields, in binary format fields with their lengths.
//!
//! (PostgreSQL manual, "COPY", section "File Formats"; `copyto.c`.) PostgreSQL sends each row as one CopyData message. A
//! message that is not exactly one row is malformed: what it holds is then not known to be what it seems.

use std::fmt;

use bytes::{BufMut, BytesMut};

use super::{Malformed, Reader};

/// What binary COPY data begins with.
pub(super) const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// The bit of the flags that says that rows have OIDs (before PostgreSQL 12); no other is known.
const FLAGS_KNOWN: i32 = 0;

/// How the rows of one COPY are written.
#[derive(Clone, PartialEq, Eq)]
pub enum CopyFormat {
    /// `FORMAT text`
    Text {
        /// What is between fields.
        delimiter: u8,
        /// What stands for NULL, in the client's encoding.
        null: Box<[u8]>,
    },
    /// `FORMAT csv`
    Csv {
        /// What is between fields.
        delimiter: u8,
        /// What values are quoted with.
        quote: u8,
        /// What stands before a quote in a quoted value.
        escape: u8,
        /// What stands for NULL, in the client's encoding.
        null: Box<[u8]>,
        /// For each column: whether values other than NULL are quoted always.
        force_quote: Box<[bool]>,
    },
    /// `FORMAT binary`
    Binary,
}

impl fmt::Debug for CopyFormat {
    /// Without the strings of the statement.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Text { .. } => "Text",
            Self::Csv { .. } => "Csv",
            Self::Binary => "Binary",
        })
    }
}

/// What a CopyData message from the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyPiece {
    /// One row; in binary format the header of the data may stand before it.
    Row,
    /// No row: the header or the trailer of binary data, or both.
    Frame,
}

/// CopyInResponse, CopyOutResponse: whether the format is binary, and how many columns there are.
pub fn response(body: &[u8]) -> Result<(bool, usize), Malformed> {
    let mut reader = Reader::new(body, "CopyResponse");
    let binary = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(Malformed("CopyResponse")),
    };
    let count = reader.count()?;
    for _ in 0..count {
        if reader.i16()? != i16::from(binary) {
            return Err(Malformed("CopyResponse"));
        }
    }
    reader.end()?;
    Ok((binary, count))
}

/// Binary data without the header, if it begins with one; whether it does.
pub fn behind_header(body: &[u8]) -> Result<(bool, &[u8]), Malformed> {
    let Some(rest) = body.strip_prefix(SIGNATURE) else { return Ok((false, body)) };
    let mut reader = Reader::new(rest, "CopyData");
    if reader.i32()? != FLAGS_KNOWN {
        return Err(Malformed("CopyData"));
    }
    let extension = usize::try_from(reader.i32()?).map_err(|_| Malformed("CopyData"))?;
    reader.take(extension)?;
    Ok((true, reader.rest()))
}

/// Whether this is the end of binary data: a number of fields of −1.
pub fn is_trailer(rest: &[u8]) -> bool {
    rest == (-1_i16).to_be_bytes()
}

impl CopyFormat {
    /// What a CopyData message is.
    pub fn piece(&self, body: &[u8]) -> Result<CopyPiece, Malformed> {
        match self {
            Self::Text { .. } | Self::Csv { .. } => Ok(CopyPiece::Row),
            Self::Binary => {
                let (headed, rest) = behind_header(body)?;
                let frame = is_trailer(rest) || (headed && rest.is_empty());
                Ok(if frame { CopyPiece::Frame } else { CopyPiece::Row })
            }
        }
    }

    /// The fields of a line as they are written, of text and CSV format.
    pub fn fields<'a>(&'a self, line: &'a [u8]) -> Result<Fields<'a>, Malformed> {
        let rest = line.strip_suffix(b"\n").ok_or(Malformed("CopyData"))?;
        Ok(Fields { format: self, rest: Some(rest) })
    }

    /// Whether a line is the header with these names (in the client's encoding; empty where one is not known). Names
    /// that are not of ASCII alone may be in another encoding and are not compared.
    pub fn check_header(&self, line: &[u8], names: &[impl AsRef<[u8]>]) -> Result<(), Malformed> {
        let fault = Malformed("header of COPY");
        let mut fields = self.fields(line)?;
        let mut buffer = Vec::new();
        for name in names {
            let (name, written) = (name.as_ref(), fields.next().ok_or(fault)??);
            let read = self.value(written, &mut buffer).unwrap_or(written);
            if !name.is_empty() && name.is_ascii() && read != name {
                return Err(fault);
            }
        }
        if fields.next().is_some() { Err(fault) } else { Ok(()) }
    }

    /// What a field as written stands for; `None`: NULL. `buffer` is for values that have to be unescaped.
    pub fn value<'a>(&self, written: &'a [u8], buffer: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        match self {
            Self::Text { null, .. } => {
                if *written == **null {
                    return None;
                }
                if !written.contains(&b'\\') {
                    return Some(written);
                }
                unescape_text(written, buffer);
                Some(buffer)
            }
            Self::Csv { quote, escape, null, .. } => {
                let Some(inside) = written.strip_prefix(&[*quote]).and_then(|rest| rest.strip_suffix(&[*quote])) else {
                    return (*written != **null).then_some(written);
                };
                buffer.clear();
                let mut bytes = inside.iter();
                while let Some(&byte) = bytes.next() {
                    // What is escaped is a quote or an escape: [`Fields`] has seen to it.
                    let byte = if byte == *escape { bytes.next().copied().unwrap_or(byte) } else { byte };
                    buffer.push(byte);
                }
                Some(buffer)
            }
            Self::Binary => Some(written),
        }
    }

    /// Whether NULL is told apart from every value for certain. In text format the string for NULL can be that of a
    /// value, but for strings with a backslash sequence that no value is written with.
    pub fn null_is_apart(&self) -> bool {
        match self {
            Self::Text { delimiter, null } => {
                let mut bytes = null.iter();
                while let Some(byte) = bytes.next() {
                    if *byte == b'\\' {
                        match bytes.next() {
                            Some(b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'\\') => {}
                            Some(escaped) if escaped == delimiter => {}
                            Some(_) | None => return true,
                        }
                    }
                }
                false
            }
            Self::Csv { .. } | Self::Binary => true,
        }
    }

    /// Write a value, or NULL, as PostgreSQL would: `CopyAttributeOutText`, `CopyAttributeOutCSV`. `single`: the line has
    /// no other field.
    pub fn write(&self, position: usize, value: Option<&[u8]>, single: bool, out: &mut BytesMut) {
        match (self, value) {
            (Self::Text { null, .. } | Self::Csv { null, .. }, None) => out.put_slice(null),
            (Self::Text { delimiter, .. }, Some(value)) => escape_text(value, *delimiter, out),
            (Self::Csv { delimiter, quote, escape, null, force_quote }, Some(value)) => {
                let special = |byte: &u8| matches!(byte, b'\r' | b'\n') || byte == delimiter || byte == quote;
                let quoted = force_quote.get(position) == Some(&true)
                    || *value == **null
                    || (single && value == b"\\.")
                    || value.iter().any(special);
                if !quoted {
                    out.put_slice(value);
                    return;
                }
                out.put_u8(*quote);
                for byte in value {
                    if byte == quote || byte == escape {
                        out.put_u8(*escape);
                    }
                    out.put_u8(*byte);
                }
                out.put_u8(*quote);
            }
            (Self::Binary, value) => out.put_slice(value.unwrap_or_default()),
        }
    }

    /// What is between two fields, and at the end of a line.
    pub fn delimiter(&self) -> u8 {
        match self {
            Self::Text { delimiter, .. } | Self::Csv { delimiter, .. } => *delimiter,
            Self::Binary => 0,
        }
    }
}

/// The fields of a line, one after the other, as they are written.
pub struct Fields<'a> {
    format: &'a CopyFormat,
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<&'a [u8], Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let end = match self.format {
            CopyFormat::Text { delimiter, .. } => text_end(rest, *delimiter),
            CopyFormat::Csv { delimiter, quote, escape, .. } => csv_end(rest, *delimiter, *quote, *escape),
            CopyFormat::Binary => None,
        };
        let Some((field, behind)) = end.and_then(|end| rest.split_at_checked(end)) else {
            return Some(Err(Malformed("CopyData")));
        };
        // What is behind a field is its delimiter, or nothing.
        self.rest = behind.split_first().map(|(_, rest)| rest);
        Some(Ok(field))
    }
}

/// Where the field at the start of the line ends; `None`: PostgreSQL does not write lines like this.
fn text_end(line: &[u8], delimiter: u8) -> Option<usize> {
    let mut at = 0_usize;
    while let Some(&byte) = line.get(at) {
        match byte {
            b'\\' if at.saturating_add(1) < line.len() => at = at.saturating_add(2),
            b'\\' | b'\n' | b'\r' => return None,
            _ if byte == delimiter => return Some(at),
            _ => at = at.saturating_add(1),
        }
    }
    Some(line.len())
}

/// The same for CSV.
fn csv_end(line: &[u8], delimiter: u8, quote: u8, escape: u8) -> Option<usize> {
    if line.first() != Some(&quote) {
        let end = line.iter().position(|byte| *byte == delimiter).unwrap_or(line.len());
        let field = line.get(..end)?;
        let plain = !field.iter().any(|byte| *byte == quote || matches!(byte, b'\r' | b'\n'));
        return plain.then_some(end);
    }
    let mut at = 1_usize;
    loop {
        let byte = *line.get(at)?;
        let next = line.get(at.saturating_add(1)).copied();
        if byte == escape && next.is_some_and(|next| next == quote || next == escape) {
            at = at.saturating_add(2);
        } else if byte == quote {
            at = at.saturating_add(1);
            return next.is_none_or(|next| next == delimiter).then_some(at);
        } else if byte == escape {
            return None;
        } else {
            at = at.saturating_add(1);
        }
    }
}

fn unescape_text(written: &[u8], buffer: &mut Vec<u8>) {
    buffer.clear();
    let mut bytes = written.iter();
    while let Some(&byte) = bytes.next() {
        let byte = match byte {
            b'\\' => match bytes.next() {
                Some(b'b') => 0x08,
                Some(b'f') => 0x0c,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 0x0b,
                Some(&other) => other,
                None => b'\\',
            },
            _ => byte,
        };
        buffer.push(byte);
    }
}

fn escape_text(value: &[u8], delimiter: u8, out: &mut BytesMut) {
    for &byte in value {
        let escaped = match byte {
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0b => b'v',
            b'\\' => b'\\',
            _ if byte == delimiter => delimiter,
            _ => {
                out.put_u8(byte);
                continue;
            }
        };
        out.put_slice(&[b'\\', escaped]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(delimiter: u8, null: &str) -> CopyFormat {
        CopyFormat::Text { delimiter, null: null.as_bytes().into() }
    }

    fn csv(delimiter: u8, quote: u8, escape: u8, null: &str) -> CopyFormat {
        CopyFormat::Csv { delimiter, quote, escape, null: null.as_bytes().into(), force_quote: Box::new([]) }
    }

    /// Lines as PostgreSQL 15 wrote them, and the values that they were written of.
    #[test]
    fn lines_are_taken_apart_as_they_were_put_together() {
        let plain = csv(b',', b'"', b'"', "");
        for (format, line, values) in [
            (text(b'\t', "\\N"), "1\tAda\t\\N\t\n", vec![Some("1"), Some("Ada"), None, Some("")]),
            (text(b'\t', "\\N"), "a\\tb\tc\\\\d\\ne\\rf\\vg\n", vec![Some("a\tb"), Some("c\\d\ne\rf\x0bg")]),
            (text(b'X', "Y"), "a\\XbXYXc\\tY\n", vec![Some("aXb"), None, Some("c\tY")]),
            (text(b'\t', ""), "\t\n", vec![None, None]),
            (
                plain.clone(),
                "1,\"a,\"\"b\"\"\",,\"\",\"x\ny\"\n",
                vec![Some("1"), Some("a,\"b\""), None, Some(""), Some("x\ny")],
            ),
            (
                csv(b';', b'~', b'~', "NULL"),
                "~a;b~;NULL;~NULL~;~a~~~\n",
                vec![Some("a;b"), None, Some("NULL"), Some("a~")],
            ),
            (csv(b',', b'"', b'\\', ""), "\"a\\\"\\\\b\",a\\b\n", vec![Some("a\"\\b"), Some("a\\b")]),
            (plain, "\"\\.\"\n", vec![Some("\\.")]),
        ] {
            let mut again = BytesMut::new();
            let mut buffer = Vec::new();
            let fields: Vec<_> = format.fields(line.as_bytes()).unwrap().map(Result::unwrap).collect();
            for (position, (field, value)) in fields.iter().zip(&values).enumerate() {
                assert_eq!(format.value(field, &mut buffer), value.map(str::as_bytes), "{line}");
                if position > 0 {
                    again.put_u8(format.delimiter());
                }
                format.write(position, value.map(str::as_bytes), values.len() == 1, &mut again);
            }
            assert_eq!(fields.len(), values.len(), "{line}");
            again.put_u8(b'\n');
            assert_eq!(String::from_utf8_lossy(&again), line);
        }
    }

    #[test]
    fn what_is_not_one_line_is_malformed() {
        for (format, line) in [
            (text(b'\t', "\\N"), "a"),
            (text(b'\t', "\\N"), "a\nb\n"),
            (text(b'\t', "\\N"), "a\\\n"),
            (csv(b',', b'"', b'"', ""), "a\nb\n"),
            (csv(b',', b'"', b'"', ""), "\"a\n"),
            (csv(b',', b'"', b'"', ""), "\"a\"b\n"),
            (csv(b',', b'"', b'"', ""), "a\"b\n"),
            (csv(b',', b'"', b'\\', ""), "\"a\\b\"\n"),
        ] {
            let fields = format.fields(line.as_bytes()).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            assert!(fields.is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_string_for_null_is_apart_from_values_only_where_no_value_is_written_so() {
        for (null, apart) in [
            ("\\N", true),
            ("", false),
            ("NULL", false),
            ("\\n", false),
            ("\\\\", false),
            ("a\\", true),
            ("\\|", false),
        ] {
            assert_eq!(text(b'|', null).null_is_apart(), apart, "{null}");
        }
        assert!(csv(b',', b'"', b'"', "NULL").null_is_apart());
    }

    #[test]
    fn binary_data_has_a_header_rows_and_a_trailer() {
        let header = [SIGNATURE, &[0; 8]].concat();
        for (body, expected) in [
            (header.clone(), Ok(CopyPiece::Frame)),
            ([&header[..], b"\xff\xff"].concat(), Ok(CopyPiece::Frame)),
            (b"\xff\xff".to_vec(), Ok(CopyPiece::Frame)),
            ([&header[..], b"\0\x01\xff\xff\xff\xff"].concat(), Ok(CopyPiece::Row)),
            (b"\0\x01\xff\xff\xff\xff".to_vec(), Ok(CopyPiece::Row)),
            ([SIGNATURE, &[0, 1, 0, 0, 0, 0, 0, 0]].concat(), Err(Malformed("CopyData"))),
            ([SIGNATURE, &[0, 0, 0, 0, 0, 0, 0, 9]].concat(), Err(Malformed("CopyData"))),
        ] {
            assert_eq!(CopyFormat::Binary.piece(&body), expected);
        }
    }

    fn formats() -> impl Strategy<Value = CopyFormat> {
        let marks = prop::sample::subsequence(b",;|~\"'\\X\t".to_vec(), 3).prop_shuffle();
        (marks, prop::sample::select(vec!["", "\\N", "NULL", "#"]), any::<(bool, bool, bool)>()).prop_map(
            |(marks, null, (is_csv, same, forced))| {
                if is_csv {
                    let escape = if same { marks[1] } else { marks[2] };
                    let (null, force_quote) = (null.as_bytes().into(), Box::new([forced, false, forced]));
                    CopyFormat::Csv { delimiter: marks[0], quote: marks[1], escape, null, force_quote }
                } else {
                    text(if marks[0] == b'\\' { b'X' } else { marks[0] }, null)
                }
            },
        )
    }

    /// Whether the server takes such options.
    fn is_allowed(format: &CopyFormat) -> bool {
        match format {
            CopyFormat::Text { delimiter, null } => !null.contains(delimiter),
            CopyFormat::Csv { delimiter, quote, null, .. } => !null.contains(delimiter) && !null.contains(quote),
            CopyFormat::Binary => true,
        }
    }

    proptest! {
        /// What is written reads as what was meant, wherever PostgreSQL's own output would.
        #[test]
        fn what_is_written_reads_back(
            format in formats(),
            values in prop::collection::vec(prop::option::of("[a-cN#XU,;|~\"'\\\\\t\n\r .]{0,6}"), 1..4),
        ) {
            prop_assume!(is_allowed(&format));
            let mut line = BytesMut::new();
            for (position, value) in values.iter().enumerate() {
                if position > 0 {
                    line.put_u8(format.delimiter());
                }
                format.write(position, value.as_ref().map(String::as_bytes), values.len() == 1, &mut line);
            }
            line.put_u8(b'\n');
            let fields: Vec<_> = format.fields(&line).unwrap().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(fields.len(), values.len());
            let mut buffer = Vec::new();
            for (field, value) in fields.into_iter().zip(&values) {
                let read = format.value(field, &mut buffer).map(<[u8]>::to_vec);
                let meant = value.as_ref().map(|value| value.as_bytes().to_vec());
                if let CopyFormat::Text { null, .. } = &format && meant.as_deref() == Some(&**null) {
                    // In text format a value can look like NULL.
                    continue;
                }
                prop_assert_eq!(read, meant);
            }
        }

        #[test]
        fn no_bytes_panic(format in formats(), body in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = format.fields(&body).map(|fields| fields.take(100).count());
            let _ = CopyFormat::Binary.piece(&body);
            let _ = response(&body);
        }
    }
}
