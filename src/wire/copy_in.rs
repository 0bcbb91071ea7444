//! Rows of COPY data on its way to the server, which come in pieces of any size.
//!
//! What is read here decides whether values may be stored, so it has to read as the server does (`copyfromparse.c`): line
//! ends of any sort, escapes by numbers, quotes anywhere in a CSV field, a last line without its end. What the server
//! would reject may be read in any way, for nothing of it is stored; what only some versions reject or pass over, as what
//! is behind `\.`, is read as rows.

use bytes::{Bytes, BytesMut};

use super::copy::{CopyFormat, SIGNATURE};

/// Why data can not be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFault {
    /// A row is longer than the bound.
    TooLong,
    /// Binary data that is not what it should be.
    Malformed,
}

/// A field of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopiedField<'a> {
    /// As it stands there, quotes included; nothing of binary data.
    pub raw: &'a [u8],
    /// As it is written, where it is not in quotes and not of binary data.
    pub written: Option<&'a [u8]>,
    /// What that stands for; of NULL, what it would stand for otherwise.
    pub value: &'a [u8],
    /// Whether it is NULL.
    pub is_null: bool,
}

/// Reads rows: [`CopyReader::push`] what has come, then call [`CopyReader::next_row`] until there is none. What was read
/// is handed on by [`CopyReader::take_read`].
pub struct CopyReader {
    format: CopyFormat,
    row_bytes_max: usize,
    /// What has come and was not handed on: what was read, then the row under way.
    pending: BytesMut,
    /// Where the row under way begins.
    start: usize,
    /// How far its end was looked for.
    at: usize,
    /// The row that was read last.
    row: std::ops::Range<usize>,
    /// Its number, that of its last line where it is one of lines, from 1.
    line: u64,
    scan: Scan,
    /// What follows a line that is over and belongs to it.
    behind: Behind,
    /// The first line is no row.
    header: bool,
    /// Nothing more will come.
    end: bool,
    /// What comes counts no more.
    over: bool,
    unescaped: Vec<u8>,
}

/// What the bytes before mean for the next ones.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Scan {
    quoted: bool,
    escaped: bool,
    /// Binary data: the header is read.
    headed: bool,
    /// Binary data: how many fields of the row are still to come, if it has begun.
    fields: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Nothing,
    /// The line ended with a carriage return.
    Newline,
    /// It ended with `\.`.
    LineEnd,
}

impl CopyReader {
    /// A reader of data in that format, whose first line is no row if `header`. Rows are at most `row_bytes_max` bytes.
    pub fn new(format: CopyFormat, header: bool, row_bytes_max: usize) -> Self {
        Self {
            header: header && format != CopyFormat::Binary,
            format,
            row_bytes_max,
            pending: BytesMut::new(),
            start: 0,
            at: 0,
            row: 0..0,
            line: 0,
            scan: Scan::default(),
            behind: Behind::Nothing,
            end: false,
            over: false,
            unescaped: Vec::new(),
        }
    }

    /// The body of a CopyData message, or a piece of one.
    pub fn push(&mut self, data: &[u8]) {
        self.pending.extend_from_slice(data);
    }

    /// CopyDone: a last line need not have an end.
    pub fn finish(&mut self) {
        self.end = true;
    }

    /// Look for the next row that is there whole; whether there is one.
    ///
    /// # Errors
    /// A row that is longer than the bound, and binary data that is not what it should be.
    pub fn next_row(&mut self) -> Result<bool, CopyFault> {
        let found = match self.format {
            CopyFormat::Binary => self.next_tuple()?,
            CopyFormat::Text { .. } | CopyFormat::Csv { .. } => self.next_line(),
        };
        if !found && self.pending.len().saturating_sub(self.start) > self.row_bytes_max {
            return Err(CopyFault::TooLong);
        }
        Ok(found)
    }

    /// The number of the row that was read last, from 1; of text and CSV data, that of its last line in the data.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// What of the data was read, to the end of the last row. The row is gone then.
    pub fn take_read(&mut self) -> Bytes {
        let read = std::mem::take(&mut self.start);
        self.at = self.at.saturating_sub(read);
        self.row = 0..0;
        self.pending.split_to(read).freeze()
    }

    /// What of the data was read: what is before the row that was read last, and what is behind it to its end. The row is gone
    /// then, for another goes in its place.
    pub fn take_around(&mut self) -> (Bytes, Bytes) {
        let row = std::mem::take(&mut self.row);
        let mut read = self.take_read();
        let before = read.split_to(row.start.min(read.len()));
        let behind = read.split_off(row.len().min(read.len()));
        (before, behind)
    }

    /// All that is left, when all rows are read.
    pub fn take_rest(&mut self) -> Bytes {
        (self.start, self.at, self.row) = (0, 0, 0..0);
        self.pending.split().freeze()
    }

    /// The fields of the row that was read last, with their positions from 0.
    pub fn fields(&mut self, mut visit: impl FnMut(usize, CopiedField<'_>)) {
        let mut buffer = std::mem::take(&mut self.unescaped);
        let row = self.pending.get(self.row.clone()).unwrap_or_default();
        match &self.format {
            CopyFormat::Text { delimiter, null } => text_fields(row, *delimiter, null, &mut buffer, &mut visit),
            CopyFormat::Csv { delimiter, quote, escape, null, .. } => {
                csv_fields(row, [*delimiter, *quote, *escape], null, &mut buffer, &mut visit);
            }
            CopyFormat::Binary => binary_fields(row, &mut visit),
        }
        self.unescaped = buffer;
    }

    fn next_line(&mut self) -> bool {
        while let Some(&byte) = self.pending.get(self.at) {
            if self.at == self.start && self.belongs_to_last(byte) {
                self.at = self.at.saturating_add(1);
                self.start = self.at;
                continue;
            }
            let here = self.at;
            self.at = here.saturating_add(1);
            let Some(ends) = self.ends_line(byte) else { continue };
            // The backslash of `\.` is the line's no more.
            let line = self.start..here.saturating_sub(usize::from(ends == Behind::LineEnd));
            self.behind = ends;
            if self.line_is_row(line) {
                return true;
            }
        }
        if !self.end || self.start >= self.pending.len() {
            return false;
        }
        let line = self.start..self.pending.len();
        self.behind = Behind::Nothing;
        self.line_is_row(line)
    }

    /// Whether a byte at the start of a line is part of the end of the line before.
    fn belongs_to_last(&mut self, byte: u8) -> bool {
        let (belongs, behind) = match (self.behind, byte) {
            (Behind::Newline | Behind::LineEnd, b'\n') => (true, Behind::Nothing),
            (Behind::LineEnd, b'\r') => (true, Behind::Newline),
            (Behind::Nothing | Behind::Newline | Behind::LineEnd, _) => (false, Behind::Nothing),
        };
        self.behind = behind;
        belongs
    }

    /// A line is over: it is the row that was read last, unless it is none.
    fn line_is_row(&mut self, line: std::ops::Range<usize>) -> bool {
        self.start = self.at;
        (self.scan.quoted, self.scan.escaped) = (false, false);
        self.line = self.line.saturating_add(1);
        let marker = line.is_empty() && self.behind == Behind::LineEnd;
        if marker {
            return false;
        }
        self.row = line;
        !std::mem::take(&mut self.header)
    }

    /// Whether this byte is the end of the line, and what may follow; if not, it is remembered what it means for the
    /// next ones.
    fn ends_line(&mut self, byte: u8) -> Option<Behind> {
        match &self.format {
            CopyFormat::Csv { quote, escape, .. } => {
                let own_escape = escape != quote;
                if self.scan.quoted && own_escape && byte == *escape {
                    self.scan.escaped = !self.scan.escaped;
                }
                if byte == *quote && !self.scan.escaped {
                    self.scan.quoted = !self.scan.quoted;
                }
                if byte != *escape {
                    self.scan.escaped = false;
                }
                if self.scan.quoted {
                    self.line = self.line.saturating_add(u64::from(byte == b'\n'));
                    return None;
                }
            }
            CopyFormat::Text { .. } => {
                if std::mem::replace(&mut self.scan.escaped, false) {
                    return (byte == b'.').then_some(Behind::LineEnd);
                }
                self.scan.escaped = byte == b'\\';
            }
            CopyFormat::Binary => return None,
        }
        match byte {
            b'\n' => Some(Behind::Nothing),
            b'\r' => Some(Behind::Newline),
            _ => None,
        }
    }

    /// The header, a row, or the trailer. What was looked at is not looked at again.
    fn next_tuple(&mut self) -> Result<bool, CopyFault> {
        if self.over || (!self.scan.headed && !self.read_header()?) {
            return Ok(self.passed());
        }
        let left = match self.scan.fields {
            Some(left) => left,
            None => match self.integer::<2>().map(i16::from_be_bytes) {
                None => return Ok(false),
                // What is behind the trailer the server does not take.
                Some(-1) => {
                    self.over = true;
                    return Ok(self.passed());
                }
                Some(count) => {
                    self.at = self.at.saturating_add(2);
                    usize::try_from(count).map_err(|_| CopyFault::Malformed)?
                }
            },
        };
        for left in (0..left).rev() {
            self.scan.fields = Some(left.saturating_add(1));
            let length = match self.integer::<4>().map(i32::from_be_bytes) {
                None => return Ok(false),
                Some(-1) => 0,
                Some(length) => usize::try_from(length).map_err(|_| CopyFault::Malformed)?,
            };
            let end = self.at.saturating_add(4).saturating_add(length);
            if end.saturating_sub(self.start) > self.row_bytes_max {
                return Err(CopyFault::TooLong);
            }
            if end > self.pending.len() {
                return Ok(false);
            }
            self.at = end;
        }
        self.scan.fields = None;
        self.line = self.line.saturating_add(1);
        self.row = self.start..self.at;
        self.start = self.at;
        Ok(true)
    }

    /// What came counts no more, or is not there: nothing of it is a row.
    fn passed(&mut self) -> bool {
        if self.over {
            (self.start, self.at) = (self.pending.len(), self.pending.len());
        }
        false
    }

    /// The header of binary data, if it is there whole.
    fn read_header(&mut self) -> Result<bool, CopyFault> {
        let there = self.pending.len().min(SIGNATURE.len());
        if self.pending.get(..there) != SIGNATURE.get(..there) {
            return Err(CopyFault::Malformed);
        }
        self.at = SIGNATURE.len();
        let flags = self.integer::<4>();
        self.at = self.at.saturating_add(4);
        let extension = self.integer::<4>().map(i32::from_be_bytes);
        self.at = self.at.saturating_add(4);
        let (Some(flags), Some(extension)) = (flags, extension) else { return Ok(false) };
        let extension = usize::try_from(extension).map_err(|_| CopyFault::Malformed)?;
        let end = self.at.saturating_add(extension);
        if flags != [0; 4] || end > self.row_bytes_max {
            return Err(CopyFault::Malformed);
        }
        if end > self.pending.len() {
            return Ok(false);
        }
        (self.at, self.start, self.scan.headed) = (end, end, true);
        Ok(true)
    }

    /// The bytes of an integer at the place that was reached, if they are there.
    fn integer<const N: usize>(&self) -> Option<[u8; N]> {
        self.pending.get(self.at..)?.first_chunk::<N>().copied()
    }
}

/// `CopyReadAttributesText`.
fn text_fields(
    line: &[u8],
    delimiter: u8,
    null: &[u8],
    buffer: &mut Vec<u8>,
    visit: &mut impl FnMut(usize, CopiedField<'_>),
) {
    let mut rest = line;
    for position in 0.. {
        let mut end = 0_usize;
        let mut escapes = false;
        while let Some(&byte) = rest.get(end).filter(|byte| **byte != delimiter) {
            escapes |= byte == b'\\';
            // What is behind a backslash is no delimiter.
            end = end.saturating_add(if byte == b'\\' { 2 } else { 1 });
        }
        let written = rest.get(..end).unwrap_or(rest);
        let value = if escapes {
            unescape(written, buffer);
            &buffer[..]
        } else {
            written
        };
        visit(position, CopiedField { raw: written, written: Some(written), value, is_null: written == null });
        match rest.get(end.saturating_add(1)..) {
            Some(behind) if end < rest.len() => rest = behind,
            _ => return,
        }
    }
}

/// What a field of text format stands for.
fn unescape(written: &[u8], value: &mut Vec<u8>) {
    value.clear();
    let mut at = 0_usize;
    while let Some(&byte) = written.get(at) {
        at = at.saturating_add(1);
        if byte != b'\\' {
            value.push(byte);
            continue;
        }
        let behind = written.get(at..).unwrap_or_default();
        // The server drops a backslash that nothing follows.
        let Some((byte, taken)) = unescaped(behind) else { return };
        value.push(byte);
        at = at.saturating_add(taken);
    }
}

/// What a backslash before these bytes stands for, and how many of them it takes; `None`: for nothing.
fn unescaped(behind: &[u8]) -> Option<(u8, usize)> {
    let number = |digits: &[u8], radix: u32| {
        digits.iter().fold(0_u32, |sum, digit| {
            sum.wrapping_mul(radix).wrapping_add(char::from(*digit).to_digit(radix).unwrap_or_default())
        })
    };
    let byte = |value: u32| u8::try_from(value & 0xff).unwrap_or_default();
    let digits = |from: &[u8], radix: u32, most: usize| {
        from.iter().take(most).take_while(|digit| char::from(**digit).is_digit(radix)).count()
    };
    Some(match behind {
        [] => return None,
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
    })
}

/// `CopyReadAttributesCSV`.
fn csv_fields(
    line: &[u8],
    [delimiter, quote, escape]: [u8; 3],
    null: &[u8],
    value: &mut Vec<u8>,
    visit: &mut impl FnMut(usize, CopiedField<'_>),
) {
    value.clear();
    let (mut inside, mut saw_quote, mut position, mut start) = (false, false, 0_usize, 0_usize);
    let mut bytes = line.iter().copied().enumerate().peekable();
    loop {
        let next = bytes.next();
        match next {
            Some((_, byte)) if inside => {
                let follows = bytes.peek().map(|(_, next)| *next).filter(|next| *next == escape || *next == quote);
                match follows {
                    Some(next) if byte == escape => {
                        value.push(next);
                        bytes.next();
                    }
                    _ if byte == quote => inside = false,
                    _ => value.push(byte),
                }
            }
            // The delimiter first: a quote that is the same means nothing.
            Some((_, byte)) if byte != delimiter => match byte == quote {
                true => (inside, saw_quote) = (true, true),
                false => value.push(byte),
            },
            Some(_) | None => {
                let end = next.map_or(line.len(), |(end, _)| end);
                let raw = line.get(start..end).unwrap_or_default();
                let written = (!std::mem::take(&mut saw_quote)).then_some(raw);
                visit(position, CopiedField { raw, written, value, is_null: written == Some(null) });
                value.clear();
                position = position.saturating_add(1);
                start = end.saturating_add(1);
                if next.is_none() {
                    return;
                }
            }
        }
    }
}

/// The fields of a row of binary data.
fn binary_fields(row: &[u8], visit: &mut impl FnMut(usize, CopiedField<'_>)) {
    let mut reader = super::Reader::new(row, "CopyData");
    for position in 0..reader.count().unwrap_or_default() {
        let Ok(value) = reader.value() else { return };
        let is_null = value.is_none();
        visit(position, CopiedField { raw: &[], written: None, value: value.unwrap_or_default(), is_null });
    }
}

#[cfg(test)]
mod tests;
