//! Which encodings a session's texts are in, as far as reading SQL depends on it.
//!
//! The server converts a text from the client's encoding to its own before it lexes it (PostgreSQL manual, section 24.3),
//! so pgveil has to read it in the client's. What it reads in names is compared with the catalog, which was read in UTF-8.

use std::borrow::Cow;

use crate::catalog::NAME_BYTES_MAX;
use crate::sql::lexer::{Lexer, TokenKind};

/// How a client's text is made readable for the lexer, which knows UTF-8 only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    /// `UTF8`.
    #[default]
    Utf8,
    /// `SQL_ASCII`: nothing is converted, the client's bytes are the server's.
    Unconverted,
    /// `LATIN1`: each byte is the character of its number.
    Latin1,
    /// `WIN1252`: `LATIN1` but for the bytes `80` to `9f`.
    Windows1252,
    /// Every byte of a character that is not ASCII has its high bit set: quotes and operators are where they seem to be.
    /// Which characters these are is not known.
    HighBytes,
    /// Bytes of a character can look like ASCII (a backslash, a quote): only text of ASCII alone can be read.
    Treacherous,
}

/// The server's encoding, as far as names depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ServerEncoding {
    /// `UTF8`.
    Utf8,
    /// One byte for each character: names without quotes are folded by the database's locale, and cut to 63 characters.
    SingleByte,
    /// `SQL_ASCII`: bytes that nobody converts; names are folded and cut byte by byte.
    Unconverted,
    /// Several of the client's characters may be one of the server's.
    #[default]
    Other,
}

/// Stands for a byte of which the character is not known: 64 Ki of them are for private use, and the catalog has none.
const UNKNOWN: u32 = 0xf700;

fn unknown(byte: u8) -> char {
    char::from_u32(UNKNOWN.saturating_add(u32::from(byte))).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that an unknown character stands for.
fn of_unknown(character: char) -> Option<u8> {
    u32::from(character).checked_sub(UNKNOWN).and_then(|byte| u8::try_from(byte).ok()).filter(|byte| !byte.is_ascii())
}

impl Encoding {
    /// The encoding of that name, as ParameterStatus says it (PostgreSQL manual, section 24.3.1, table 24.3).
    pub(super) fn named(name: &[u8]) -> Self {
        match name {
            // the server says it as the client did, for the sake of old JDBC drivers (`check_client_encoding`)
            b"UTF8" | b"UNICODE" => Self::Utf8,
            b"SQL_ASCII" => Self::Unconverted,
            b"LATIN1" => Self::Latin1,
            b"WIN1252" => Self::Windows1252,
            name if is_single_byte(name) || name.starts_with(b"EUC_") => Self::HighBytes,
            _ => Self::Treacherous,
        }
    }

    fn character(self, byte: u8) -> char {
        match self {
            _ if byte.is_ascii() => char::from(byte),
            Self::Windows1252 if byte < 0xa0 => unknown(byte),
            Self::Latin1 | Self::Windows1252 => char::from(byte),
            Self::Utf8 | Self::Unconverted | Self::HighBytes | Self::Treacherous => unknown(byte),
        }
    }

    /// The text for the lexer; `None`: it can not be read.
    pub(super) fn text(self, bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self {
            _ if bytes.is_ascii() => Some(Cow::Borrowed(bytes)),
            Self::Utf8 | Self::Unconverted => std::str::from_utf8(bytes).is_ok().then_some(Cow::Borrowed(bytes)),
            Self::Latin1 | Self::Windows1252 | Self::HighBytes => {
                Some(Cow::Owned(bytes.iter().map(|byte| self.character(*byte)).collect::<String>().into()))
            }
            Self::Treacherous => None,
        }
    }

    /// The reverse of [`Encoding::text`]; `None`: there are characters in it of which the bytes are not known.
    pub(super) fn bytes(self, text: &str) -> Option<Vec<u8>> {
        if text.is_ascii() || matches!(self, Self::Utf8 | Self::Unconverted) {
            return Some(text.as_bytes().to_vec());
        }
        let byte = |character: char| {
            let byte = of_unknown(character).or_else(|| u8::try_from(character).ok())?;
            (self.character(byte) == character).then_some(byte)
        };
        match self {
            Self::Treacherous => None,
            Self::Utf8 | Self::Unconverted | Self::Latin1 | Self::Windows1252 | Self::HighBytes => {
                text.chars().map(byte).collect()
            }
        }
    }
}

fn is_single_byte(name: &[u8]) -> bool {
    [&b"LATIN"[..], b"WIN", b"ISO_8859_", b"KOI8"].iter().any(|known| name.starts_with(known))
}

impl ServerEncoding {
    /// The encoding of that name, as ParameterStatus says it.
    pub(super) fn named(name: &[u8]) -> Self {
        match name {
            b"UTF8" => Self::Utf8,
            b"SQL_ASCII" => Self::Unconverted,
            name if is_single_byte(name) => Self::SingleByte,
            _ => Self::Other,
        }
    }

    /// Whether a name, as it was read in a text, is the one that the server makes of it.
    fn takes(self, name: &str, quoted: bool, client: Encoding) -> bool {
        if name.is_ascii() {
            return true;
        }
        // Where the server counts other bytes than UTF-8 has, it cuts elsewhere.
        let whole = name.len() <= NAME_BYTES_MAX;
        let folds = !quoted && name.chars().any(|character| !character.to_lowercase().eq([character]));
        match (client, self) {
            (Encoding::Utf8 | Encoding::Unconverted | Encoding::Latin1, Self::Utf8) => true,
            (Encoding::Windows1252, Self::Utf8) => !name.chars().any(|character| of_unknown(character).is_some()),
            (Encoding::Utf8 | Encoding::Latin1, Self::SingleByte) => whole && !folds,
            (Encoding::Windows1252, Self::SingleByte) => {
                whole && !folds && !name.chars().any(|character| of_unknown(character).is_some())
            }
            (Encoding::Utf8 | Encoding::Unconverted, Self::Unconverted) => whole && quoted,
            (Encoding::HighBytes | Encoding::Treacherous, _)
            | (_, Self::Other)
            | (Encoding::Unconverted, Self::SingleByte)
            | (Encoding::Latin1 | Encoding::Windows1252, Self::Unconverted) => false,
        }
    }

    /// Whether every name in a text of this client is read as the server reads it. `settled`: the client's encoding is known
    /// for certain. Strings may hold any characters, unless they are run.
    pub(super) fn reads_names(self, text: &str, client: Encoding, settled: bool) -> bool {
        let exact = settled && self == Self::Utf8 && matches!(client, Encoding::Utf8 | Encoding::Latin1);
        // an escaped identifier can hold any character though the text is ASCII
        if exact || (text.is_ascii() && (self == Self::Utf8 || !text.contains("&\""))) {
            return true;
        }
        let (mut bodies, mut runs) = (false, false);
        for token in Lexer::new(text) {
            // what is no text here may be one for the server
            let Ok(token) = token else { return false };
            let sure = match token.kind {
                TokenKind::Word(word) => {
                    runs |= token.is_any(&["do", "function", "procedure"]);
                    word.is_ascii() || (settled && self.takes(word, false, client))
                }
                TokenKind::Quoted(quoted) => {
                    quoted.value().is_ok_and(|name| name.is_ascii() || (settled && self.takes(&name, true, client)))
                }
                TokenKind::Text(_) => {
                    bodies |= !text.get(token.start..token.end).is_some_and(str::is_ascii);
                    true
                }
                TokenKind::Number(_) | TokenKind::Parameter(_) | TokenKind::Operator(_) | TokenKind::Mark(_) => true,
            };
            if !sure {
                return false;
            }
        }
        !(bodies && runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_can_not_be_read_for_certain_is_not_read() {
        assert_eq!(Encoding::named(b"UTF8").text("é".as_bytes()).as_deref(), Some("é".as_bytes()));
        assert_eq!(Encoding::named(b"UTF8").text(b"\xff"), None);
        assert_eq!(Encoding::named(b"UNICODE"), Encoding::named(b"UTF8"));
        assert_eq!(Encoding::named(b"SQL_ASCII").text(b"\xff"), None);
        assert_eq!(Encoding::named(b"LATIN1").text(b"\xe9").as_deref(), Some("é".as_bytes()));
        assert_eq!(Encoding::named(b"WIN1252").text(b"\xe9\x80").as_deref(), Some("é\u{f780}".as_bytes()));
        assert_eq!(Encoding::named(b"LATIN2").text(b"\xe6").as_deref(), Some("\u{f7e6}".as_bytes()));
        assert_eq!(Encoding::named(b"MULE_INTERNAL").text(b"\xe9"), None);
        for name in ["SJIS", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "SHIFT_JIS_2004"] {
            assert_eq!(Encoding::named(name.as_bytes()).text(b"\x83\x5c"), None, "{name}");
            assert_eq!(Encoding::named(name.as_bytes()).text(b"SELECT 1").as_deref(), Some(&b"SELECT 1"[..]), "{name}");
        }
    }

    #[test]
    fn what_was_read_can_be_written_again_and_nothing_else() {
        for name in ["LATIN1", "WIN1252", "LATIN2", "KOI8R", "EUC_JP"] {
            let encoding = Encoding::named(name.as_bytes());
            let bytes: Vec<u8> = (1..=255).collect();
            let text = String::from_utf8(encoding.text(&bytes).unwrap().into_owned()).unwrap();
            assert_eq!(encoding.bytes(&text), Some(bytes), "{name}");
            assert_eq!(encoding.bytes("ć"), None, "{name}");
        }
        assert_eq!(Encoding::named(b"LATIN2").bytes("é"), None);
        assert_eq!(Encoding::named(b"SJIS").bytes("é"), None);
        assert_eq!(Encoding::named(b"UTF8").bytes("é"), Some("é".into()));
    }

    #[test]
    fn names_are_read_where_both_sides_of_the_conversion_are_known() {
        let long = format!("\"{}\"", "é".repeat(32));
        for (client, server, text, expected) in [
            ("UTF8", "UTF8", "SELECT Größe FROM Ćwiek", true),
            ("UTF8", "UTF8", &*long, true),
            ("SQL_ASCII", "UTF8", "SELECT größe", true),
            ("LATIN1", "UTF8", "SELECT größe", true),
            ("LATIN2", "UTF8", "SELECT größe", false),
            ("LATIN2", "UTF8", "SELECT 'größe'", true),
            ("LATIN2", "UTF8", "SELECT 'größe' AS \"größe\"", false),
            ("LATIN2", "UTF8", "DO $$ größe $$", false),
            ("LATIN2", "UTF8", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT größe'", false),
            ("LATIN2", "UTF8", "SELECT 1 -- größe", true),
            ("LATIN2", "UTF8", "SELECT 'größe' {", false),
            ("EUC_JP", "UTF8", "SELECT größe", false),
            // the server folds what is not ASCII, too
            ("UTF8", "LATIN1", "SELECT größe", true),
            ("UTF8", "LATIN1", "SELECT GRÖSSE", false),
            ("UTF8", "LATIN1", "SELECT \"GRÖSSE\"", true),
            ("UTF8", "LATIN1", &*long, false),
            ("SQL_ASCII", "LATIN1", "SELECT größe", false),
            ("WIN1252", "LATIN1", "SELECT größe", true),
            ("UTF8", "SQL_ASCII", "SELECT größe", false),
            ("UTF8", "SQL_ASCII", "SELECT \"größe\"", true),
            ("LATIN1", "SQL_ASCII", "SELECT \"größe\"", false),
            ("UTF8", "EUC_JP", "SELECT \"größe\"", false),
            ("UTF8", "EUC_JP", r#"SELECT U&"gr\00f6\00dfe""#, false),
            ("UTF8", "UTF8", r#"SELECT U&"gr\00f6\00dfe""#, true),
            ("UTF8", "EUC_JP", "SELECT gross", true),
        ] {
            let (client, server) = (Encoding::named(client.as_bytes()), ServerEncoding::named(server.as_bytes()));
            assert_eq!(server.reads_names(text, client, true), expected, "{client:?} {server:?} {text}");
            let ascii = text.is_ascii();
            assert!(ascii || text.contains('\'') || text.contains("--") || !server.reads_names(text, client, false));
        }
    }
}
