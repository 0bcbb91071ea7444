//! A statement's shape as a number: the same for statements that differ only in their literals, blanks and comments.

use sha2::{Digest, Sha256};

use super::lexer::{Lexer, TokenKind};

/// The first eight bytes of SHA-256 over a statement's tokens, each literal and parameter replaced by a mark. Says nothing
/// of the literals. Text that can not be lexed to its end is taken as far as it goes.
pub fn fingerprint(text: &str) -> u64 {
    let mut hash = Sha256::new();
    for token in Lexer::new(text).map_while(Result::ok) {
        match token.kind {
            TokenKind::Word(word) => hash.update(word.to_ascii_lowercase().as_bytes()),
            TokenKind::Quoted(_) | TokenKind::Operator(_) | TokenKind::Mark(_) => {
                hash.update(text.get(token.start..token.end).unwrap_or_default().as_bytes());
            }
            TokenKind::Text(_) | TokenKind::Number(_) | TokenKind::Parameter(_) => hash.update(b"?"),
        }
        hash.update(b"\0");
    }
    let digest: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_one_shape_have_one_fingerprint() {
        let one = fingerprint("SELECT name FROM customer WHERE id = 1 AND city = 'Ulm'");
        assert_eq!(one, fingerprint("select name from customer /* x */ where id = 42 and city = 'Bonn'"));
        assert_eq!(one, fingerprint("SELECT name FROM customer WHERE id = $1 AND city = $2"));
        assert_ne!(one, fingerprint("SELECT email FROM customer WHERE id = 1 AND city = 'Ulm'"));
        assert_ne!(one, fingerprint("SELECT \"NAME\" FROM customer WHERE id = 1 AND city = 'Ulm'"));
    }
}
