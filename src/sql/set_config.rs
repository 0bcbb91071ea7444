//! Which settings a text changes by calling `set_config`.

use super::lexer::{Lexer, Mark, TokenKind};

/// A call of `set_config`, by its first argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigCall {
    /// The setting of that name, in lower case.
    Named(String),
    /// One that is not known before it runs.
    Computed,
}

/// Every place in a text where `set_config` may be called. The word in another role than that of a function counts as
/// [`ConfigCall::Computed`]: more restrictive, and nobody names a column so.
pub fn config_calls(text: &str) -> Vec<ConfigCall> {
    let tokens: Vec<_> = Lexer::new(text).map_while(Result::ok).collect();
    let mut calls = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.name().is_none_or(|name| name.as_str() != "set_config") {
            continue;
        }
        let ahead = |by: usize| tokens.get(at.saturating_add(by));
        let named = match (ahead(1), ahead(2), ahead(3)) {
            (Some(open), Some(argument), Some(comma))
                if open.is_mark(Mark::LeftParen) && comma.is_mark(Mark::Comma) =>
            {
                match &argument.kind {
                    TokenKind::Text(literal) => literal.value().ok(),
                    TokenKind::Word(_)
                    | TokenKind::Quoted(_)
                    | TokenKind::Number(_)
                    | TokenKind::Parameter(_)
                    | TokenKind::Operator(_)
                    | TokenKind::Mark(_) => None,
                }
            }
            _ => None,
        };
        calls.push(match named {
            Some(name) => ConfigCall::Named(name.to_ascii_lowercase()),
            None => ConfigCall::Computed,
        });
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_is_known_only_where_it_is_one_constant() {
        let named = |name: &str| vec![ConfigCall::Named(name.to_owned())];
        for (text, expected) in [
            ("SELECT pg_catalog.set_config('search_path', '', false)", named("search_path")),
            ("SELECT SET_CONFIG(E'Client\\x5fencoding', 'SJIS', false)", named("client_encoding")),
            ("SELECT \"set_config\" ('a.b', 'x', true)", named("a.b")),
            ("SELECT set_config($1, 'off', false)", vec![ConfigCall::Computed]),
            ("SELECT set_config('a' || 'b', 'off', false)", vec![ConfigCall::Computed]),
            ("SELECT set_config(x, 'off', false) FROM t", vec![ConfigCall::Computed]),
            ("SELECT 'set_config'", vec![]),
        ] {
            assert_eq!(config_calls(text), expected, "{text}");
        }
    }
}
