//! Which encoding a client's texts are in, as far as reading SQL depends on it.

use std::borrow::Cow;

/// How a text is made readable for the lexer, which knows UTF-8 only. The server converts a text before it lexes it, so
/// pgveil has to as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    /// UTF-8, or SQL_ASCII (which is not converted at all).
    #[default]
    Utf8,
    /// Every byte of a character that is not ASCII has its high bit set: quotes and operators are where they seem to be.
    /// Names with such characters are read as if they were LATIN1, and match nothing of another encoding.
    HighBytes,
    /// Bytes of a character can look like ASCII (a backslash, a quote): only text of ASCII alone can be read.
    Treacherous,
}

impl Encoding {
    /// The encoding of that name, as ParameterStatus says it (PostgreSQL manual, section 24.3.1, table 24.3).
    pub(super) fn named(name: &[u8]) -> Self {
        match name {
            b"UTF8" | b"SQL_ASCII" => Self::Utf8,
            b"SJIS" | b"BIG5" | b"GBK" | b"UHC" | b"GB18030" | b"JOHAB" | b"SHIFT_JIS_2004" => Self::Treacherous,
            name if [&b"LATIN"[..], b"WIN", b"ISO_8859_", b"KOI8", b"EUC_"]
                .iter()
                .any(|known| name.starts_with(known)) =>
            {
                Self::HighBytes
            }
            _ => Self::Treacherous,
        }
    }

    /// The text for the lexer; `None`: it can not be read.
    pub(super) fn text(self, bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self {
            _ if bytes.is_ascii() => Some(Cow::Borrowed(bytes)),
            Self::Utf8 => std::str::from_utf8(bytes).is_ok().then_some(Cow::Borrowed(bytes)),
            Self::HighBytes => Some(Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into())),
            Self::Treacherous => None,
        }
    }
}

impl Encoding {
    /// The reverse of [`Encoding::text`]; `None`: there are characters in it that the encoding may not have.
    pub(super) fn bytes(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Utf8 => Some(text.as_bytes().to_vec()),
            _ if text.is_ascii() => Some(text.as_bytes().to_vec()),
            Self::HighBytes => text.chars().map(|character| u8::try_from(character).ok()).collect(),
            Self::Treacherous => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_can_not_be_read_for_certain_is_not_read() {
        assert_eq!(Encoding::named(b"UTF8").text("é".as_bytes()).as_deref(), Some("é".as_bytes()));
        assert_eq!(Encoding::named(b"UTF8").text(b"\xff"), None);
        assert_eq!(Encoding::named(b"LATIN1").text(b"\xe9").as_deref(), Some("é".as_bytes()));
        assert_eq!(Encoding::named(b"SJIS").text(b"\x83\x5c"), None);
        assert_eq!(Encoding::named(b"SJIS").text(b"SELECT 1").as_deref(), Some(&b"SELECT 1"[..]));
        assert_eq!(Encoding::named(b"MULE_INTERNAL").text(b"\xe9"), None);
    }
}
