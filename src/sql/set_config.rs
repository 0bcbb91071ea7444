//! Which settings a text changes by calling `set_config`.

use super::lexer::{Lexer, Mark, Token, TokenKind};

/// A call of `set_config`, by its first argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigCall {
    /// The setting of that name, in lower case.
    Named(String),
    /// The setting of that name, in lower case, as long as `pg_settings` is PostgreSQL's own: `SELECT set_config(name, ...)
    /// FROM pg_settings WHERE name = '...'`, as pg_dump has it for settings that not every server has.
    Listed(String),
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
        if let Some(name) = tokens.get(at..).and_then(listed) {
            calls.push(ConfigCall::Listed(name));
            continue;
        }
        let named = match (ahead(1), ahead(2), ahead(3)) {
            (Some(open), Some(argument), Some(comma))
                if open.is_mark(Mark::LeftParen) && comma.is_mark(Mark::Comma) =>
            {
                argument.literal().and_then(|literal| literal.value().ok())
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

/// The setting of `set_config(name, constant, constant) FROM pg_settings WHERE name = constant`, where nothing is behind
/// it.
fn listed(tokens: &[Token<'_>]) -> Option<String> {
    let [_, open, argument, comma, value, second, local, close, from, settings, filter, name, equals, setting] = tokens
    else {
        return None;
    };
    let words = argument.is("name") && from.is("from") && filter.is("where") && name.is("name");
    let marks = open.is_mark(Mark::LeftParen)
        && comma.is_mark(Mark::Comma)
        && second.is_mark(Mark::Comma)
        && close.is_mark(Mark::RightParen)
        && equals.is_operator("=");
    let constants = matches!(value.kind, TokenKind::Text(_)) && local.is_any(&["true", "false"]);
    match &setting.kind {
        TokenKind::Text(literal) if words && marks && constants && settings.is("pg_settings") => {
            literal.value().ok().map(|name| name.to_ascii_lowercase())
        }
        _ => None,
    }
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
            (
                "SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings WHERE name = 'Restrict_x'",
                vec![ConfigCall::Listed("restrict_x".to_owned())],
            ),
            (
                "SELECT set_config(name, 'off', false) FROM pg_settings WHERE name = 'x' OR true",
                vec![ConfigCall::Computed],
            ),
            ("SELECT set_config(name, 'off', false) FROM mine WHERE name = 'x'", vec![ConfigCall::Computed]),
            ("SELECT set_config(name, setting, false) FROM pg_settings WHERE name = 'x'", vec![ConfigCall::Computed]),
            ("SELECT 'set_config'", vec![]),
        ] {
            assert_eq!(config_calls(text), expected, "{text}");
        }
    }
}
