//! `tsvector` (PostgreSQL manual, section 8.11.1; `tsvector.c`, `tsvector_parser.c`): a count of lexemes (4 bytes); of each
//! its bytes up to a zero byte, a count of positions (2), and those (2 each, the weight in the upper two bits).

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};

use super::binary::Reader;
use super::character::{checked, is_space};
use super::{Scalar, ValueError};

const LEXEME_BYTES_MAX: usize = 2_046;
const BYTES_MAX: usize = (1 << 20) - 1;
const POSITION_MAX: u16 = (1 << 14) - 1;
const POSITIONS_MAX: usize = 255;

/// Lexemes in their order, with their positions in theirs: what says no more is not kept.
struct Vector(BTreeMap<Vec<u8>, Vec<u16>>);

fn syntax() -> ValueError {
    ValueError::new("42601", "syntax error in tsvector")
}

fn rare() -> ValueError {
    ValueError::new("0A000", "pgveil does not read this form of tsvector")
}

fn too_long() -> ValueError {
    ValueError::new("54000", "string is too long for tsvector")
}

pub(super) fn read_text(text: &str) -> Result<Vec<u8>, ValueError> {
    // Which others are spaces depends on the server's locale.
    if text.chars().any(|next| !next.is_ascii() && next.is_whitespace()) {
        return Err(rare());
    }
    let mut vector = Vector(BTreeMap::new());
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let (lexeme, after) =
            if let Some(quoted) = rest.strip_prefix('\'') { quoted_word(quoted)? } else { word(rest)? };
        if lexeme.is_empty() {
            return Err(syntax());
        }
        let (positions, after) = match after.strip_prefix(':') {
            Some(list) => positions(list)?,
            None => (Vec::new(), after),
        };
        vector.0.entry(lexeme.into_bytes()).or_default().extend(positions);
        rest = after.trim_start_matches(is_space);
    }
    vector.encode()
}

pub(super) fn from_binary(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    Vector::decode(bytes)?.encode()
}

pub(super) fn write_text(plaintext: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    let vector = Vector::decode(plaintext).map_err(|_| ValueError::damaged(Scalar::TsVector))?;
    for (number, (lexeme, positions)) in vector.0.iter().enumerate() {
        out.put_slice(if number > 0 { b" '" } else { b"'" });
        for byte in lexeme {
            if matches!(byte, b'\'' | b'\\') {
                out.put_u8(*byte);
            }
            out.put_u8(*byte);
        }
        out.put_u8(b'\'');
        for (number, position) in positions.iter().enumerate() {
            let separator = if number > 0 { ',' } else { ':' };
            let weight = match position >> 14 {
                3 => "A",
                2 => "B",
                1 => "C",
                _ => "",
            };
            out.put_slice(format!("{separator}{}{weight}", position & POSITION_MAX).as_bytes());
        }
    }
    Ok(())
}

/// A lexeme in quotation marks, which are doubled in it.
fn quoted_word(text: &str) -> Result<(String, &str), ValueError> {
    let mut out = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, next)) = characters.next() {
        match next {
            '\\' => out.push(characters.next().ok_or_else(no_character)?.1),
            '\'' if characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                out.push('\'');
                characters.next();
            }
            '\'' => return Ok((out, text.get(at + 1..).unwrap_or_default())),
            other => out.push(other),
        }
    }
    Err(syntax())
}

/// A lexeme up to a space or colon.
fn word(text: &str) -> Result<(String, &str), ValueError> {
    let mut out = String::new();
    let mut characters = text.char_indices();
    while let Some((at, next)) = characters.next() {
        match next {
            '\\' => out.push(characters.next().ok_or_else(no_character)?.1),
            // The first one is a part of the word.
            ':' if at > 0 => return Ok((out, text.get(at..).unwrap_or_default())),
            space if is_space(space) => return Ok((out, text.get(at..).unwrap_or_default())),
            other => out.push(other),
        }
    }
    Ok((out, ""))
}

fn no_character() -> ValueError {
    ValueError::new("42601", "there is no escaped character")
}

/// `1A,2`
fn positions(mut rest: &str) -> Result<(Vec<u16>, &str), ValueError> {
    let mut out = Vec::new();
    loop {
        let end = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, after) = rest.split_at_checked(end).ok_or_else(syntax)?;
        if digits.is_empty() {
            return Err(syntax());
        }
        let number = digits.parse::<i32>().map_err(|_| rare())?;
        let position = u16::try_from(number).unwrap_or(POSITION_MAX).min(POSITION_MAX);
        if position == 0 {
            return Err(ValueError::new("42601", "wrong position info in tsvector"));
        }
        let (weight, after) = match after.chars().next() {
            Some('a' | 'A' | '*') => (3, after.get(1..).unwrap_or_default()),
            Some('b' | 'B') => (2, after.get(1..).unwrap_or_default()),
            Some('c' | 'C') => (1, after.get(1..).unwrap_or_default()),
            Some('d' | 'D') => (0, after.get(1..).unwrap_or_default()),
            _ => (0, after),
        };
        out.push(position | weight << 14);
        match after.chars().next() {
            None => return Ok((out, after)),
            Some(space) if is_space(space) => return Ok((out, after)),
            Some(',') => rest = after.get(1..).unwrap_or_default(),
            // Digits and further weights are skipped by the server, some of them.
            Some(other) if other.is_ascii_digit() || "abcdABCD*".contains(other) => return Err(rare()),
            Some(_) => return Err(syntax()),
        }
    }
}

impl Vector {
    fn decode(bytes: &[u8]) -> Result<Self, ValueError> {
        let invalid = || ValueError::new("XX000", "invalid tsvector");
        let mut reader = Reader::new(bytes);
        let count = reader.i32()?;
        if count < 0 {
            return Err(invalid());
        }
        let mut lexemes = BTreeMap::new();
        for _ in 0..count {
            let lexeme = reader.terminated()?.to_vec();
            checked(&lexeme)?;
            let mut positions: Vec<u16> = Vec::new();
            for _ in 0..reader.u16()? {
                let position = reader.u16()?;
                let last = positions.last().map_or(0, |last| last & POSITION_MAX);
                if position & POSITION_MAX <= last {
                    return Err(invalid());
                }
                positions.push(position);
            }
            // The server would keep a lexeme twice, or an empty one.
            if lexeme.is_empty() || lexemes.insert(lexeme, positions).is_some() {
                return Err(rare());
            }
        }
        reader.end()?;
        Ok(Self(lexemes))
    }

    fn encode(self) -> Result<Vec<u8>, ValueError> {
        let mut out = i32::try_from(self.0.len()).map_err(|_| too_long())?.to_be_bytes().to_vec();
        for (lexeme, mut positions) in self.0 {
            if lexeme.len() > LEXEME_BYTES_MAX {
                return Err(ValueError::new("54000", "word is too long"));
            }
            // Of a position's weights the highest counts.
            positions.sort_by_key(|position| (position & POSITION_MAX, std::cmp::Reverse(position >> 14)));
            let last = |position: &&u16| **position & POSITION_MAX == POSITION_MAX;
            if positions.iter().filter(last).count() > 1 {
                return Err(rare());
            }
            positions.dedup_by_key(|position| *position & POSITION_MAX);
            if positions.len() > POSITIONS_MAX {
                return Err(rare());
            }
            out.extend_from_slice(&lexeme);
            out.push(0);
            out.extend(u16::try_from(positions.len()).map_err(|_| too_long())?.to_be_bytes());
            positions.iter().for_each(|position| out.extend(position.to_be_bytes()));
        }
        if out.len() > BYTES_MAX { Err(too_long()) } else { Ok(out) }
    }
}
