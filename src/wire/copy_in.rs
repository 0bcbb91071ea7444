//! Rows of COPY data on its way to the server, which come in pieces of any size.
//!
//! What is read here decides whether values may be stored, so it has to read as the server does (`copyfromparse.c`): line
//! ends of any sort, escapes by numbers, quotes anywhere in a CSV field, a last line without its end. What the server
//! would reject may be read in any way, for nothing of it is stored.

use super::copy::{CopyFormat, behind_header, is_trailer};
use super::{Malformed, Reader};

/// A row's fields; `None`: NULL.
pub type CopiedRow = Vec<Option<Vec<u8>>>;

/// Reads rows: [`CopyReader::push`] what has come, then call [`CopyReader::next_row`] until there is none.
pub struct CopyReader {
    format: CopyFormat,
    row_bytes_max: usize,
    /// What has come and is not read.
    pending: Vec<u8>,
    /// How much of it was searched for the end of its first line.
    searched: usize,
    quoted: bool,
    escaped: bool,
    /// The line before ended with a carriage return: a newline now belongs to that.
    returned: bool,
    /// Nothing was read yet.
    start: bool,
    /// Nothing more will come, or what comes counts no more.
    end: bool,
    header: bool,
}

impl CopyReader {
    /// A reader of data in that format, whose first line is no row if `header`. Rows are at most `row_bytes_max` bytes.
    pub fn new(format: CopyFormat, header: bool, row_bytes_max: usize) -> Self {
        Self {
            format,
            row_bytes_max,
            pending: Vec::new(),
            searched: 0,
            quoted: false,
            escaped: false,
            returned: false,
            start: true,
            end: false,
            header,
        }
    }

    /// The body of a CopyData message.
    pub fn push(&mut self, data: &[u8]) {
        self.pending.extend_from_slice(data);
    }

    /// CopyDone: a last line need not have an end.
    pub fn finish(&mut self) {
        self.end = true;
    }

    /// The next row that is there whole.
    ///
    /// # Errors
    /// A row that is longer than the bound, and binary data that is not what it should be.
    pub fn next_row(&mut self) -> Result<Option<CopiedRow>, Malformed> {
        if self.format == CopyFormat::Binary {
            return self.next_tuple();
        }
        loop {
            let Some(line) = self.next_line()? else { return Ok(None) };
            if !std::mem::take(&mut self.header) {
                return Ok(Some(self.fields(&line)));
            }
        }
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>, Malformed> {
        if self.returned && self.pending.first() == Some(&b'\n') {
            self.pending.remove(0);
            self.returned = false;
        }
        while let Some(&byte) = self.pending.get(self.searched) {
            if self.ends_line(byte) {
                let mut line: Vec<u8> = self.pending.drain(..=self.searched).collect();
                line.pop();
                (self.searched, self.quoted, self.escaped) = (0, false, false);
                self.returned = byte == b'\r';
                return Ok(Some(line));
            }
            self.returned = false;
            self.searched = self.searched.saturating_add(1);
        }
        if self.pending.len() > self.row_bytes_max {
            return Err(Malformed("CopyData"));
        }
        if !self.end || self.pending.is_empty() {
            return Ok(None);
        }
        self.searched = 0;
        Ok(Some(std::mem::take(&mut self.pending)))
    }

    /// Whether this byte is the end of the line; if not, it is remembered what it means for the next ones.
    fn ends_line(&mut self, byte: u8) -> bool {
        match &self.format {
            CopyFormat::Csv { quote, escape, .. } => {
                let own_escape = escape != quote;
                if self.quoted && own_escape && byte == *escape {
                    self.escaped = !self.escaped;
                }
                if byte == *quote && !self.escaped {
                    self.quoted = !self.quoted;
                }
                if !own_escape || byte != *escape {
                    self.escaped = false;
                }
                !self.quoted && matches!(byte, b'\n' | b'\r')
            }
            CopyFormat::Text { .. } => {
                let escaped = std::mem::replace(&mut self.escaped, false);
                self.escaped = !escaped && byte == b'\\';
                !escaped && matches!(byte, b'\n' | b'\r')
            }
            CopyFormat::Binary => false,
        }
    }

    fn fields(&self, line: &[u8]) -> CopiedRow {
        match &self.format {
            CopyFormat::Text { delimiter, null } => text_fields(line, *delimiter, null),
            CopyFormat::Csv { delimiter, quote, escape, null, .. } => {
                csv_fields(line, *delimiter, *quote, *escape, null)
            }
            CopyFormat::Binary => Vec::new(),
        }
    }

    fn next_tuple(&mut self) -> Result<Option<CopiedRow>, Malformed> {
        let wait = |reader: &Self| match reader.end || reader.pending.len() > reader.row_bytes_max {
            true if !reader.pending.is_empty() => Err(Malformed("CopyData")),
            _ => Ok(None),
        };
        if self.start {
            match behind_header(&self.pending) {
                Ok((true, rest)) => {
                    let header = self.pending.len().saturating_sub(rest.len());
                    self.pending.drain(..header);
                    self.start = false;
                }
                _ => return wait(self),
            }
        }
        if self.pending.get(..2).is_some_and(is_trailer) {
            // What is behind it the server does not take.
            self.pending.clear();
            return Ok(None);
        }
        let mut reader = Reader::new(&self.pending, "CopyData");
        let Ok(count) = reader.count() else { return wait(self) };
        let mut row = Vec::new();
        for _ in 0..count {
            match reader.value() {
                Ok(value) => row.push(value.map(<[u8]>::to_vec)),
                Err(_) => return wait(self),
            }
        }
        let read = self.pending.len().saturating_sub(reader.rest().len());
        self.pending.drain(..read);
        Ok(Some(row))
    }
}

/// `CopyReadAttributesText`.
fn text_fields(line: &[u8], delimiter: u8, null: &[u8]) -> CopiedRow {
    let mut row = Vec::new();
    let mut rest = line;
    loop {
        let (mut end, mut value) = (0_usize, Vec::new());
        while let Some(&byte) = rest.get(end).filter(|byte| **byte != delimiter) {
            let behind = rest.get(end.saturating_add(1)..).unwrap_or_default();
            let (read, taken) = if byte == b'\\' { unescaped(behind) } else { (byte, 0) };
            value.push(read);
            end = end.saturating_add(1).saturating_add(taken);
        }
        let written = rest.get(..end).unwrap_or(rest);
        row.push((written != null).then_some(value));
        match rest.get(end.saturating_add(1)..) {
            Some(behind) if end < rest.len() => rest = behind,
            _ => return row,
        }
    }
}

/// What a backslash before these bytes stands for, and how many of them it takes.
fn unescaped(behind: &[u8]) -> (u8, usize) {
    let number = |digits: &[u8], radix: u32| {
        digits.iter().fold(0_u32, |sum, digit| {
            sum.wrapping_mul(radix).wrapping_add(char::from(*digit).to_digit(radix).unwrap_or_default())
        })
    };
    let byte = |value: u32| u8::try_from(value & 0xff).unwrap_or_default();
    let digits = |from: &[u8], radix: u32, most: usize| {
        from.iter().take(most).take_while(|digit| char::from(**digit).is_digit(radix)).count()
    };
    match behind {
        [] => (b'\\', 0),
        [b'0'..=b'7', ..] => {
            let count = digits(behind, 8, 3);
            (byte(number(behind.get(..count).unwrap_or_default(), 8)), count)
        }
        [b'x', hex @ ..] if digits(hex, 16, 2) > 0 => {
            let count = digits(hex, 16, 2);
            (byte(number(hex.get(..count).unwrap_or_default(), 16)), count.saturating_add(1))
        }
        [b'b', ..] => (0x08, 1),
        [b'f', ..] => (0x0c, 1),
        [b'n', ..] => (b'\n', 1),
        [b'r', ..] => (b'\r', 1),
        [b't', ..] => (b'\t', 1),
        [b'v', ..] => (0x0b, 1),
        [other, ..] => (*other, 1),
    }
}

/// `CopyReadAttributesCSV`.
fn csv_fields(line: &[u8], delimiter: u8, quote: u8, escape: u8, null: &[u8]) -> CopiedRow {
    let mut row = Vec::new();
    let (mut value, mut inside, mut saw_quote) = (Vec::new(), false, false);
    let mut bytes = line.iter().copied().peekable();
    loop {
        let byte = bytes.next();
        match byte {
            Some(byte) if inside => {
                let follows = bytes.peek().copied().filter(|next| *next == escape || *next == quote);
                match follows {
                    Some(next) if byte == escape => {
                        value.push(next);
                        bytes.next();
                    }
                    _ if byte == quote => inside = false,
                    _ => value.push(byte),
                }
            }
            Some(byte) if byte == quote => (inside, saw_quote) = (true, true),
            Some(byte) if byte != delimiter => value.push(byte),
            Some(_) | None => {
                let field = std::mem::take(&mut value);
                row.push((std::mem::take(&mut saw_quote) || *field != *null).then_some(field));
                if byte.is_none() {
                    return row;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use proptest::prelude::*;

    use super::*;

    fn text() -> CopyFormat {
        CopyFormat::Text { delimiter: b'\t', null: b"\\N"[..].into() }
    }

    fn csv(escape: u8) -> CopyFormat {
        CopyFormat::Csv { delimiter: b',', quote: b'"', escape, null: b""[..].into(), force_quote: Box::new([]) }
    }

    /// All rows, where the data comes in pieces of that size.
    fn rows(format: &CopyFormat, header: bool, data: &[u8], piece: usize) -> Result<Vec<CopiedRow>, Malformed> {
        let mut reader = CopyReader::new(format.clone(), header, 10_000);
        let mut rows = Vec::new();
        for piece in data.chunks(piece.max(1)) {
            reader.push(piece);
            while let Some(row) = reader.next_row()? {
                rows.push(row);
            }
        }
        reader.finish();
        while let Some(row) = reader.next_row()? {
            rows.push(row);
        }
        Ok(rows)
    }

    #[test]
    fn data_is_read_as_the_server_reads_it() {
        type Expected<'a> = &'a [&'a [Option<&'a str>]];
        let cases: [(CopyFormat, bool, &str, Expected<'_>); 8] = [
            (text(), false, "1\tAda\n2\t\\N\n", &[&[Some("1"), Some("Ada")], &[Some("2"), None]]),
            (text(), false, "a\\x41\\101\\tb\\\\\\N\r\nlast", &[&[Some("aAA\tb\\N")], &[Some("last")]]),
            (text(), false, "a\\\nb\rc", &[&[Some("a\nb")], &[Some("c")]]),
            (text(), true, "id\tname\n1\t\n", &[&[Some("1"), Some("")]]),
            (
                csv(b'"'),
                true,
                "id,name\r\n1,\"a,\"\"b\"\"\n\"\r\n,\"\"\r\n",
                &[&[Some("1"), Some("a,\"b\"\n")], &[None, Some("")]],
            ),
            (csv(b'"'), false, "a\"b,c\"d,e", &[&[Some("ab,cd"), Some("e")]]),
            (csv(b'\\'), false, "\"a\\\"\nb\\\\\",c\\d\n", &[&[Some("a\"\nb\\"), Some("c\\d")]]),
            (csv(b'"'), false, "one\n\ntwo", &[&[Some("one")], &[None], &[Some("two")]]),
        ];
        for (format, header, data, expected) in cases {
            let expected: Vec<CopiedRow> = expected
                .iter()
                .map(|row| row.iter().map(|value| value.map(|value| value.as_bytes().to_vec())).collect())
                .collect();
            for piece in 1..=data.len() {
                assert_eq!(rows(&format, header, data.as_bytes(), piece).unwrap(), expected, "{data:?} by {piece}");
            }
        }
    }

    #[test]
    fn binary_data_is_read_from_its_header_to_its_trailer() {
        let mut data = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\x02xx".to_vec();
        data.extend(b"\0\x02\0\0\0\x03Ada\xff\xff\xff\xff\0\x01\0\0\0\0\xff\xff");
        let expected = vec![vec![Some(b"Ada".to_vec()), None], vec![Some(Vec::new())]];
        for piece in 1..=data.len() {
            assert_eq!(rows(&CopyFormat::Binary, false, &data, piece).unwrap(), expected, "by {piece}");
        }
        assert!(rows(&CopyFormat::Binary, false, &data[..data.len() - 5], 7).is_err());
        assert!(rows(&CopyFormat::Binary, false, b"no header at all", 7).is_err());
    }

    #[test]
    fn rows_are_bounded() {
        assert!(rows(&text(), false, &[b'x'; 20_000], 1_000).is_err());
        assert_eq!(rows(&text(), false, &b"x\n".repeat(20_000), 1_000).unwrap().len(), 20_000);
    }

    proptest! {
        /// What is written as PostgreSQL writes it is read, however it is cut.
        #[test]
        fn what_the_server_writes_is_read(
            table in prop::collection::vec(prop::collection::vec(prop::option::of("[a-c,\"\\\\\t\n\r .]{0,5}"), 2), 0..4),
            piece in 1_usize..9, format in prop::sample::select(vec![text(), csv(b'"'), csv(b'\\')]),
        ) {
            let mut data = BytesMut::new();
            for row in &table {
                for (position, value) in row.iter().enumerate() {
                    if position > 0 {
                        data.put_u8(format.delimiter());
                    }
                    format.write(position, value.as_ref().map(String::as_bytes), false, &mut data);
                }
                data.put_u8(b'\n');
            }
            let read = rows(&format, false, &data, piece).unwrap();
            let meant: Vec<CopiedRow> =
                table.into_iter().map(|row| row.into_iter().map(|value| value.map(String::into_bytes)).collect()).collect();
            prop_assert_eq!(read, meant);
        }
    }
}
