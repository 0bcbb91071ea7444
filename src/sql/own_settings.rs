//! What a statement says of pgveil's own settings (`pgveil.actor`, `pgveil.reveal` and their like).
//!
//! Their truth is pgveil's own, so it has to know for certain what a statement does to them: `SET`, `RESET` and `SHOW`, and
//! `SELECT set_config('pgveil.x', value, false)` with nothing around it. A call in any other place says nothing that can be
//! relied on, and is [`OwnSettings::Unclear`].

use std::fmt;
use std::ops::Range;

use super::lexer::{Lexer, Mark, Token, TokenKind};

/// What the names of these settings begin with.
pub const PREFIX: &str = "pgveil.";
/// A statement of more tokens than this does nothing clear.
const TOKENS_MAX: usize = 1_000;

/// What a statement does to pgveil's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnSettings {
    /// Nothing.
    None,
    /// These things, in this order.
    Uses(Vec<OwnSetting>),
    /// It may change one of them, and it is not certain to what.
    Unclear,
    /// It may change any setting: its name is computed.
    Computed,
}

/// One use of a setting. Names are in lower case and without the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnSetting {
    /// It is set.
    Set {
        /// Which.
        name: String,
        /// To what.
        value: SettingValue,
        /// Until the transaction ends (`LOCAL`).
        local: bool,
    },
    /// It gets the value that the session began with. `None`: all settings do.
    Reset {
        /// Which.
        name: Option<String>,
        /// Until the transaction ends.
        local: bool,
    },
    /// It is shown.
    Show {
        /// Which.
        name: String,
        /// What the result's column is called, where that is not the setting's name.
        column: Option<String>,
    },
}

/// The value that a setting is given.
#[derive(Clone, PartialEq, Eq)]
pub enum SettingValue {
    /// A constant, and where it is written, in bytes of the statement.
    Constant(String, Range<usize>),
    /// A parameter.
    Parameter(u32),
}

/// It may be a token, a code or a reason.
impl fmt::Debug for SettingValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SettingValue")
    }
}

/// What a statement does to pgveil's settings. `text`: its own, without a semicolon.
pub fn own_settings(text: &str) -> OwnSettings {
    let Ok(tokens) = Lexer::tokens(text, TOKENS_MAX) else {
        return if mentions(text) { OwnSettings::Unclear } else { OwnSettings::None };
    };
    match tokens.as_slice() {
        [first, rest @ ..] if first.is("set") => set(rest),
        [first, all] if (first.is("reset") || first.is("discard")) && all.is("all") => {
            OwnSettings::Uses(vec![OwnSetting::Reset { name: None, local: false }])
        }
        [first, rest @ ..] if first.is("reset") => match setting_name(rest) {
            Some((name, [])) => known(&name, |name| OwnSetting::Reset { name: Some(name), local: false }),
            _ => OwnSettings::None,
        },
        [first, rest @ ..] if first.is("show") => match setting_name(rest) {
            Some((name, [])) => known(&name, |name| OwnSetting::Show { name, column: None }),
            _ => OwnSettings::None,
        },
        [first, rest @ ..] if first.is("select") => select(rest),
        tokens => calls(tokens),
    }
}

fn mentions(text: &str) -> bool {
    let word = b"pgveil";
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

fn known(name: &str, made: impl FnOnce(String) -> OwnSetting) -> OwnSettings {
    match name.strip_prefix(PREFIX) {
        Some(name) => OwnSettings::Uses(vec![made(name.to_owned())]),
        None => OwnSettings::None,
    }
}

fn set(rest: &[Token<'_>]) -> OwnSettings {
    // `SET session = 1` sets a setting of that name, which is none of these.
    let (local, rest) = match rest {
        [scope, rest @ ..] if scope.is("local") => (true, rest),
        [scope, rest @ ..] if scope.is("session") => (false, rest),
        rest => (false, rest),
    };
    let Some((name, rest)) = setting_name(rest) else { return OwnSettings::None };
    let Some(own) = name.strip_prefix(PREFIX).map(str::to_owned) else { return OwnSettings::None };
    let rest = match rest {
        [sign, rest @ ..] if sign.is("to") || sign.is_operator("=") => rest,
        _ => return OwnSettings::Unclear,
    };
    match rest {
        [value] if value.is("default") => OwnSettings::Uses(vec![OwnSetting::Reset { name: Some(own), local }]),
        [value] => match constant(value) {
            Some(value) => OwnSettings::Uses(vec![OwnSetting::Set { name: own, value, local }]),
            None => OwnSettings::Unclear,
        },
        _ => OwnSettings::Unclear,
    }
}

/// A setting's name in lower case, and what is behind it.
fn setting_name<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<(String, &'t [Token<'a>])> {
    let (first, mut rest) = tokens.split_first()?;
    let mut name = first.name()?.as_str().to_ascii_lowercase();
    while let [dot, part, behind @ ..] = rest {
        if !dot.is_mark(Mark::Dot) {
            break;
        }
        name.push('.');
        name.push_str(&part.name()?.as_str().to_ascii_lowercase());
        rest = behind;
    }
    Some((name, rest))
}

fn constant(token: &Token<'_>) -> Option<SettingValue> {
    let text = match token.kind {
        TokenKind::Text(literal) => literal.value().ok()?.into_owned(),
        TokenKind::Number(number) => number.to_owned(),
        TokenKind::Word(_) | TokenKind::Quoted(_) => token.name()?.as_str().to_owned(),
        TokenKind::Parameter(_) | TokenKind::Operator(_) | TokenKind::Mark(_) => return None,
    };
    Some(SettingValue::Constant(text, token.start..token.end))
}

/// `SELECT set_config(...) [[AS] name], ...`, or `SELECT current_setting(...)` alone.
fn select(rest: &[Token<'_>]) -> OwnSettings {
    let mut uses = Vec::new();
    let mut left = rest;
    loop {
        let Some((call, behind)) = one_call(left) else { return calls(rest) };
        match call {
            Called::Sets(use_of_it) => uses.extend(use_of_it),
            Called::Shows(name) if uses.is_empty() && named_at_most(behind).is_some_and(<[_]>::is_empty) => {
                let column = behind.last().and_then(Token::name).map(|name| name.as_str().to_owned());
                let column = Some(column.unwrap_or_else(|| "current_setting".to_owned()));
                return known(&name, |name| OwnSetting::Show { name, column });
            }
            Called::Shows(_) => return calls(rest),
        }
        match named_at_most(behind) {
            Some([]) if uses.is_empty() => return OwnSettings::None,
            Some([]) => return OwnSettings::Uses(uses),
            Some([comma, more @ ..]) if comma.is_mark(Mark::Comma) => left = more,
            _ => return calls(rest),
        }
    }
}

/// What is behind the name that a result column is given.
fn named_at_most<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t [Token<'a>]> {
    match tokens {
        [] => Some(tokens),
        [comma, ..] if comma.is_mark(Mark::Comma) => Some(tokens),
        [as_word, name, rest @ ..] if as_word.is("as") && name.name().is_some() => Some(rest),
        [name, rest @ ..] if name.name().is_some() && !name.is_any(&["from", "where", "union", "into", "limit"]) => {
            Some(rest)
        }
        _ => None,
    }
}

enum Called {
    /// `set_config`; nothing, if it is of another setting.
    Sets(Option<OwnSetting>),
    /// `current_setting`.
    Shows(String),
}

/// One call and what is behind it.
fn one_call<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<(Called, &'t [Token<'a>])> {
    let tokens = match tokens {
        [schema, dot, rest @ ..] if dot.is_mark(Mark::Dot) && schema.name()?.as_str() == "pg_catalog" => rest,
        tokens => tokens,
    };
    let (function, rest) = tokens.split_first()?;
    let rest = opened(rest)?;
    let (name, rest) = rest.split_first()?;
    let name = name.literal()?.value().ok()?.to_ascii_lowercase();
    match function.name()?.as_str() {
        "current_setting" => {
            let rest = match rest {
                [comma, flag, rest @ ..] if comma.is_mark(Mark::Comma) && flag.is_any(&["true", "false"]) => rest,
                rest => rest,
            };
            Some((Called::Shows(name), closed(rest)?))
        }
        "set_config" => {
            let rest = behind_comma(rest)?;
            let (value, rest) = rest.split_first()?;
            let value = match value.kind {
                TokenKind::Parameter(number) => Some(SettingValue::Parameter(number)),
                TokenKind::Text(_) => constant(value),
                // NULL and what is computed, of other settings
                _ => None,
            };
            let rest = behind_comma(uncast(rest))?;
            let (flag, rest) = rest.split_first()?;
            let local = match flag.kind {
                TokenKind::Word(_) if flag.is("true") => true,
                TokenKind::Word(_) if flag.is("false") => false,
                _ => return None,
            };
            let rest = closed(rest)?;
            let set = match name.strip_prefix(PREFIX) {
                None => None,
                Some(own) => Some(OwnSetting::Set { name: own.to_owned(), value: value?, local }),
            };
            Some((Called::Sets(set), rest))
        }
        _ => None,
    }
}

fn opened<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t [Token<'a>]> {
    tokens.split_first().filter(|(mark, _)| mark.is_mark(Mark::LeftParen)).map(|(_, rest)| rest)
}

fn closed<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t [Token<'a>]> {
    tokens.split_first().filter(|(mark, _)| mark.is_mark(Mark::RightParen)).map(|(_, rest)| rest)
}

fn behind_comma<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t [Token<'a>]> {
    tokens.split_first().filter(|(mark, _)| mark.is_mark(Mark::Comma)).map(|(_, rest)| rest)
}

/// What is behind `::text` or `::varchar`.
fn uncast<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    match tokens {
        [cast, text, rest @ ..] if cast.is_mark(Mark::DoubleColon) && text.is_any(&["text", "varchar"]) => rest,
        tokens => tokens,
    }
}

/// A statement of any other form: whether it calls `set_config` for one of these settings.
fn calls(tokens: &[Token<'_>]) -> OwnSettings {
    let mut computed = false;
    for (at, token) in tokens.iter().enumerate() {
        if token.name().is_none_or(|name| name.as_str() != "set_config") {
            continue;
        }
        let argument = tokens.get(at.saturating_add(2)).and_then(|argument| argument.literal()?.value().ok());
        let plain = tokens.get(at.saturating_add(3)).is_some_and(|comma| comma.is_mark(Mark::Comma));
        match argument.filter(|_| plain) {
            Some(name) if name.to_ascii_lowercase().starts_with(PREFIX) => return OwnSettings::Unclear,
            Some(_) => {}
            None => computed = true,
        }
    }
    if computed { OwnSettings::Computed } else { OwnSettings::None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        match own_settings(text) {
            OwnSettings::None => "none".to_owned(),
            OwnSettings::Unclear => "unclear".to_owned(),
            OwnSettings::Computed => "computed".to_owned(),
            OwnSettings::Uses(uses) => {
                let uses = uses.iter().map(|one| match one {
                    OwnSetting::Set { name, value, local } => {
                        let value = match value {
                            SettingValue::Constant(value, span) => format!("{value} [{}]", &text[span.clone()]),
                            SettingValue::Parameter(number) => format!("${number}"),
                        };
                        format!("set{} {name} = {value}", if *local { " local" } else { "" })
                    }
                    OwnSetting::Reset { name, local } => {
                        let name = name.as_deref().unwrap_or("all");
                        format!("reset{} {name}", if *local { " local" } else { "" })
                    }
                    OwnSetting::Show { name, column } => {
                        format!(
                            "show {name}{}",
                            column.as_ref().map(|column| format!(" as {column}")).unwrap_or_default()
                        )
                    }
                });
                uses.collect::<Vec<_>>().join("; ")
            }
        }
    }

    #[test]
    fn what_a_statement_does_to_the_settings_is_certain_or_unclear() {
        for (text, expected) in [
            ("SET pgveil.actor = 'jane@shop'", "set actor = jane@shop ['jane@shop']"),
            ("set session PgVeil.Actor to 'Jane'", "set actor = Jane ['Jane']"),
            ("SET LOCAL \"pgveil\".\"ACTOR\" = E'j\\x61ne'", "set local actor = jane [E'j\\x61ne']"),
            ("SET SESSION \"pgveil.actor\" = jane", "set actor = jane [jane]"),
            ("SET U&\"\\0070gveil\".actor = 'jane'", "set actor = jane ['jane']"),
            ("SET pgveil /* x */ . actor = $$jane$$", "set actor = jane [$$jane$$]"),
            ("SET pgveil.reveal_totp = 123456", "set reveal_totp = 123456 [123456]"),
            ("SET pgveil.actor = 'a', 'b'", "unclear"),
            ("SET pgveil.actor", "unclear"),
            ("SET pgveil.actor TO DEFAULT", "reset actor"),
            ("SET LOCAL pgveil.actor TO DEFAULT", "reset local actor"),
            ("SET search_path = pgveil", "none"),
            ("SET pgveilx.actor = 'x'", "none"),
            ("RESET pgveil.reveal", "reset reveal"),
            ("RESET ALL", "reset all"),
            ("RESET search_path", "none"),
            ("SHOW pgveil.reveal_status", "show reveal_status"),
            ("SHOW ALL", "none"),
            ("SELECT set_config('pgveil.actor', 'jane', false)", "set actor = jane ['jane']"),
            ("SELECT pg_catalog.set_config('PGVEIL.actor', $1, true) AS x", "set local actor = $1"),
            (
                "SELECT set_config('role', $1, true), set_config('pgveil.actor', $2::text, true) a",
                "set local actor = $2",
            ),
            ("SELECT set_config('search_path', '', false)", "none"),
            ("SELECT set_config('pgveil.actor', 'a' || 'b', false)", "unclear"),
            ("SELECT set_config('pgveil.actor', name, false) FROM people", "unclear"),
            ("SELECT set_config('pgveil.actor', 'root', false) FROM people WHERE false", "unclear"),
            ("SELECT (SELECT set_config('pgveil.actor', 'root', false))", "unclear"),
            ("WITH x AS (SELECT set_config('pgveil.actor', 'root', false)) SELECT 1", "unclear"),
            ("SELECT set_config('pgveil.actor', 'root', false) UNION SELECT 'x'", "unclear"),
            ("SELECT set_config('pgveil.actor', 'root', $1)", "unclear"),
            ("SELECT set_config('pgveil.actor', NULL, false)", "unclear"),
            ("SELECT set_config($1, $2, false)", "computed"),
            ("SELECT set_config('pgveil' || '.actor', 'root', false)", "computed"),
            ("EXPLAIN ANALYZE SELECT set_config('pgveil.actor', 'root', false)", "unclear"),
            ("PREPARE p AS SELECT set_config('pgveil.actor', $1, false)", "unclear"),
            ("SELECT 'set_config(''pgveil.actor'')'", "none"),
            ("DO $$ BEGIN PERFORM set_config('pgveil.actor', 'root', false); END $$", "none"),
            ("SELECT current_setting('pgveil.actor')", "show actor as current_setting"),
            ("SELECT pg_catalog.current_setting('pgveil.actor', true) AS x", "show actor as x"),
            ("DISCARD ALL", "reset all"),
            ("DISCARD TEMP", "none"),
            ("SELECT current_setting('pgveil.actor') = 'jane'", "none"),
            ("SELECT current_setting('work_mem')", "none"),
            ("SELECT * FROM pgveil.actor", "none"),
            ("SELECT 1", "none"),
        ] {
            assert_eq!(said(text), expected, "{text}");
        }
    }
}
