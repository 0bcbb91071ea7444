//! Text as a sequence of characters, whatever the client's encoding.

use bytes::{BufMut, BytesMut};

/// What the bytes of text stand for, by the client's `client_encoding`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextEncoding {
    /// `UTF8`. Also for `SQL_ASCII`: what is not UTF-8 is taken byte by byte.
    #[default]
    Utf8,
    /// One byte for each character, the first 128 of them ASCII: `LATIN1`, `WIN1252`, `KOI8R`, ...
    SingleByte,
    /// Several bytes for a character, some of which may look like ASCII (`SJIS`, `BIG5`, `GBK`, ...): only values that
    /// are ASCII throughout are taken apart, all others are redacted.
    MultiByte,
}

impl TextEncoding {
    /// By the name that the ParameterStatus `client_encoding` has. Unknown names are [`TextEncoding::MultiByte`].
    pub fn named(client_encoding: &str) -> Self {
        let name = client_encoding.to_ascii_uppercase();
        let single = ["LATIN", "WIN", "ISO_8859_", "KOI8"].iter().any(|prefix| name.starts_with(prefix));
        match name.as_str() {
            "UTF8" | "UNICODE" | "SQL_ASCII" => Self::Utf8,
            _ if single => Self::SingleByte,
            _ => Self::MultiByte,
        }
    }

    /// Whether a value can be taken apart at ASCII characters without mistaking part of another character for one.
    pub(super) fn splits(self, value: &[u8]) -> bool {
        match self {
            Self::Utf8 => std::str::from_utf8(value).is_ok(),
            Self::SingleByte => true,
            Self::MultiByte => value.is_ascii(),
        }
    }

    /// Whether a text of the policy means the same characters in this encoding.
    pub(super) fn writes(self, text: &[u8]) -> bool {
        match self {
            Self::Utf8 => true,
            Self::SingleByte | Self::MultiByte => text.is_ascii(),
        }
    }
}

/// A text as a sequence of characters.
#[derive(Clone, Copy)]
pub(super) enum Characters<'a> {
    Unicode(&'a str),
    /// Each byte is a character.
    Bytes(&'a [u8]),
}

impl<'a> Characters<'a> {
    /// `None`: it can not be told where its characters begin.
    pub(super) fn of(value: &'a [u8], encoding: TextEncoding) -> Option<Self> {
        match encoding {
            TextEncoding::Utf8 => Some(std::str::from_utf8(value).map_or(Self::Bytes(value), Self::Unicode)),
            TextEncoding::SingleByte => Some(Self::Bytes(value)),
            TextEncoding::MultiByte => value.is_ascii().then_some(Self::Bytes(value)),
        }
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Unicode(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    pub(super) fn count(self) -> usize {
        match self {
            Self::Unicode(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Before and after that many characters.
    pub(super) fn split(self, count: usize) -> (Self, Self) {
        match self {
            Self::Unicode(text) => {
                let at = text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
                let (head, tail) = text.split_at_checked(at).unwrap_or((text, ""));
                (Self::Unicode(head), Self::Unicode(tail))
            }
            Self::Bytes(bytes) => {
                let (head, tail) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
                (Self::Bytes(head), Self::Bytes(tail))
            }
        }
    }

    /// Without the blanks at the end, which are what pads `char(n)`; and those blanks.
    pub(super) fn without_padding(self) -> (Self, &'a [u8]) {
        let blanks = self.bytes().iter().rev().take_while(|byte| **byte == b' ').count();
        let at = self.bytes().len() - blanks;
        match self {
            Self::Unicode(text) => {
                let (core, padding) = text.split_at_checked(at).unwrap_or((text, ""));
                (Self::Unicode(core), padding.as_bytes())
            }
            Self::Bytes(bytes) => {
                let (core, padding) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
                (Self::Bytes(core), padding)
            }
        }
    }

    /// Whether there is nothing in it but `#` and white space.
    pub(super) fn is_hashes_and_white_space(self) -> bool {
        match self {
            Self::Unicode(text) => text.chars().all(|character| character == '#' || character.is_whitespace()),
            Self::Bytes(bytes) => bytes.iter().all(|byte| *byte == b'#' || super::text::is_white_space(*byte)),
        }
    }

    /// `#` for each character.
    pub(super) fn put_hashes(self, out: &mut BytesMut) {
        out.put_bytes(b'#', self.count());
    }

    /// `#` for each character but those that a test of ASCII characters keeps.
    pub(super) fn put_keeping(self, out: &mut BytesMut, keeps: impl Fn(u8) -> bool) {
        match self {
            Self::Bytes(bytes) => bytes.iter().for_each(|byte| {
                out.put_u8(if byte.is_ascii() && keeps(*byte) { *byte } else { b'#' });
            }),
            Self::Unicode(text) => text.chars().for_each(|character| {
                let kept = u8::try_from(character).ok().filter(|byte| byte.is_ascii() && keeps(*byte));
                out.put_u8(kept.unwrap_or(b'#'));
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_go_by_the_servers_names() {
        for (name, encoding) in [
            ("UTF8", TextEncoding::Utf8),
            ("SQL_ASCII", TextEncoding::Utf8),
            ("LATIN1", TextEncoding::SingleByte),
            ("WIN1252", TextEncoding::SingleByte),
            ("ISO_8859_5", TextEncoding::SingleByte),
            ("KOI8R", TextEncoding::SingleByte),
            ("SJIS", TextEncoding::MultiByte),
            ("GB18030", TextEncoding::MultiByte),
            ("EUC_JP", TextEncoding::MultiByte),
            ("", TextEncoding::MultiByte),
        ] {
            assert_eq!(TextEncoding::named(name), encoding, "{name}");
        }
    }

    #[test]
    fn padding_is_blanks_at_the_end_and_nothing_else() {
        for (value, core, padding) in [("ab  ", "ab", "  "), ("   ", "", "   "), (" a\t ", " a\t", " "), ("", "", "")] {
            for encoding in [TextEncoding::Utf8, TextEncoding::SingleByte] {
                let (kept, blanks) = Characters::of(value.as_bytes(), encoding).unwrap().without_padding();
                assert_eq!((kept.bytes(), blanks), (core.as_bytes(), padding.as_bytes()));
            }
        }
    }
}
