//! Patterns of `like_regex` (PostgreSQL manual, section 9.16.2.3): PostgreSQL compiles them when it reads a path.

use super::{ValueError, unread};

/// Longer patterns may be too complex for PostgreSQL.
const PATTERN_CHARS_MAX: usize = 256;
const DEPTH_MAX: u32 = 16;

/// The letters behind `flag`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    ignores_case: bool,
    dot_all: bool,
    multiline: bool,
    expanded: bool,
    quoted: bool,
}

impl Flags {
    pub fn read(letters: &str) -> Result<Self, ValueError> {
        let mut flags = Self::default();
        for letter in letters.chars() {
            match letter {
                'i' => flags.ignores_case = true,
                's' => flags.dot_all = true,
                'm' => flags.multiline = true,
                'x' => flags.expanded = true,
                'q' => flags.quoted = true,
                _ => return Err(ValueError::new("42601", "unrecognized flag character in LIKE_REGEX predicate")),
            }
        }
        Ok(flags)
    }

    pub fn print(self, out: &mut String) {
        if self == Self::default() {
            return;
        }
        out.push_str(" flag \"");
        let letters = [
            (self.ignores_case, 'i'),
            (self.dot_all, 's'),
            (self.multiline, 'm'),
            (self.expanded, 'x'),
            (self.quoted, 'q'),
        ];
        out.extend(letters.into_iter().filter(|(set, _)| *set).map(|(_, letter)| letter));
        out.push('"');
    }
}

/// Whether a pattern compiles for certain: letters, digits, what means itself, `.`, `^`, `$`, `*`, `+`, `?`, `|`, groups, lists of
/// letters and digits, the most common escapes.
pub(super) fn check(pattern: &str, flags: Flags) -> Result<(), ValueError> {
    if flags.expanded && !flags.quoted {
        return Err(ValueError::new("0A000", "XQuery \"x\" flag (expanded regular expressions) is not implemented"));
    }
    if pattern.chars().count() > PATTERN_CHARS_MAX {
        return Err(unread());
    }
    if flags.quoted {
        // Every character means itself.
        return Ok(());
    }
    let mut rest = pattern.chars().peekable();
    match branches(&mut rest, 0) && rest.next().is_none() {
        true => Ok(()),
        false => Err(unread()),
    }
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Branches with `|` between them, up to the end or the parenthesis that closes them.
fn branches(rest: &mut Rest<'_>, depth: u32) -> bool {
    if depth > DEPTH_MAX || rest.peek().is_none_or(|next| matches!(next, '*' | '+' | '?')) {
        return false;
    }
    loop {
        if !branch(rest, depth) {
            return false;
        }
        if rest.next_if_eq(&'|').is_none() {
            return true;
        }
    }
}

fn branch(rest: &mut Rest<'_>, depth: u32) -> bool {
    let mut any = false;
    while let Some(&next) = rest.peek() {
        if matches!(next, '|' | ')') {
            break;
        }
        rest.next();
        any = true;
        let repeats = match next {
            '^' | '$' => false,
            '.' => true,
            '(' => {
                if !branches(rest, depth.saturating_add(1)) || rest.next() != Some(')') {
                    return false;
                }
                true
            }
            '[' => {
                if !listed(rest) {
                    return false;
                }
                true
            }
            '\\' => {
                if !rest.next().is_some_and(|escaped| {
                    matches!(escaped, 'd' | 'w' | 's' | 'D' | 'W' | 'S')
                        || (escaped.is_ascii_punctuation() && escaped != '_')
                }) {
                    return false;
                }
                true
            }
            '*' | '+' | '?' | '{' | '}' | ']' => return false,
            next => !next.is_control(),
        };
        if !repeats && !matches!(next, '^' | '$') {
            return false;
        }
        if rest.next_if(|next| matches!(next, '*' | '+' | '?')).is_some() && !repeats {
            return false;
        }
    }
    any
}

/// `[a-z0-9_]`, `[^,]`: letters and digits, in ranges that go up, and what means itself.
fn listed(rest: &mut Rest<'_>) -> bool {
    rest.next_if_eq(&'^');
    let mut any = false;
    while let Some(next) = rest.next() {
        match next {
            ']' => return any,
            next if next.is_ascii_alphanumeric() => {
                if rest.next_if_eq(&'-').is_some() {
                    let same = |one: char, two: char| {
                        (one.is_ascii_digit() && two.is_ascii_digit())
                            || (one.is_ascii_lowercase() && two.is_ascii_lowercase())
                            || (one.is_ascii_uppercase() && two.is_ascii_uppercase())
                    };
                    match rest.next() {
                        Some(to) if same(next, to) && next <= to => {}
                        Some(_) | None => return false,
                    }
                }
            }
            ' ' | '_' | ',' | ';' | '/' | '@' | '.' | '%' | '+' | '*' | '"' | '\'' | '!' | '?' | '#' | '&' | '$' => {}
            _ => return false,
        }
        any = true;
    }
    false
}
