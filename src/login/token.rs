//! The lexical rules that `pg_hba.conf` and `pg_ident.conf` share (PostgreSQL manual, section 21.1 "The pg_hba.conf File").

use super::RuleError;

/// One field's item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// Without its quotes.
    pub(super) text: String,
    /// Quotes take a keyword's meaning away.
    pub(super) quoted: bool,
    line: usize,
    column: usize,
}

impl Token {
    /// Whether it is this keyword.
    pub(super) fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.text == keyword
    }

    pub(super) fn error(&self, message: impl Into<String>) -> RuleError {
        RuleError { line: self.line, column: self.column, message: message.into() }
    }
}

/// A line that says something: fields, each a list of items that stand between commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) fields: Vec<Vec<Token>>,
}

impl Line {
    /// An error about what is missing at its end.
    pub(super) fn error(&self, message: impl Into<String>) -> RuleError {
        let last = self.fields.last().and_then(|field| field.last());
        match last {
            Some(token) => token.error(message),
            None => RuleError { line: self.number, column: 1, message: message.into() },
        }
    }
}

/// The lines of a file. A backslash at a line's end continues it; `#` starts a comment; quotes may stand anywhere in an
/// item, and hold everything but the line's end and other quotes.
///
/// # Errors
/// A quote that is not closed, or a file to be included.
pub(super) fn lines(text: &str) -> Result<Vec<Line>, RuleError> {
    let mut lines = Vec::new();
    let mut scanner = Scanner::new(1);
    for (at, raw) in text.lines().enumerate() {
        let number = at.saturating_add(1);
        let continued = raw.ends_with('\\');
        let content = raw.strip_suffix('\\').unwrap_or(raw);
        scanner.feed(content, number)?;
        if !continued {
            lines.extend(scanner.finish());
            scanner = Scanner::new(number.saturating_add(1));
        }
    }
    lines.extend(scanner.finish());
    Ok(lines)
}

struct Scanner {
    number: usize,
    fields: Vec<Vec<Token>>,
    /// The next item belongs to the field before it: a comma stands between them.
    joined: bool,
}

impl Scanner {
    fn new(number: usize) -> Self {
        Self { number, fields: Vec::new(), joined: false }
    }

    fn feed(&mut self, content: &str, line: usize) -> Result<(), RuleError> {
        let mut characters = content.chars().zip(1..).peekable();
        while let Some(&(first, column)) = characters.peek() {
            if first == '#' {
                return Ok(());
            }
            if first == ',' {
                self.joined = true;
            }
            if first == ',' || first.is_whitespace() {
                characters.next();
                continue;
            }
            let mut token = Token { text: String::new(), quoted: false, line, column };
            let mut open = false;
            while let Some((character, _)) =
                characters.next_if(|(next, _)| open || !(next.is_whitespace() || matches!(next, ',' | '#')))
            {
                if character == '"' {
                    open = !open;
                    token.quoted = true;
                } else {
                    token.text.push(character);
                }
            }
            if open {
                return Err(token.error("a quote is not closed"));
            }
            if !token.quoted && (token.text.starts_with('@') || token.text.starts_with("include")) {
                return Err(token.error("other files can not be included: write their lines here"));
            }
            self.push(token);
        }
        Ok(())
    }

    fn push(&mut self, token: Token) {
        match self.fields.last_mut().filter(|_| self.joined) {
            Some(field) => field.push(token),
            None => self.fields.push(vec![token]),
        }
        self.joined = false;
    }

    fn finish(self) -> Option<Line> {
        (!self.fields.is_empty()).then_some(Line { number: self.number, fields: self.fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Vec<Vec<Vec<String>>> {
        let item = |token: Token| if token.quoted { format!("\"{}\"", token.text) } else { token.text };
        let field = |field: Vec<Token>| field.into_iter().map(item).collect();
        lines(text).unwrap().into_iter().map(|line| line.fields.into_iter().map(field).collect()).collect()
    }

    #[test]
    fn lines_are_read_as_postgresql_reads_them() {
        assert_eq!(shape("# nothing\n\n  \t# more\n"), Vec::<Vec<Vec<String>>>::new());
        assert_eq!(shape("host all\tall # here"), [[["host"], ["all"], ["all"]]]);
        assert_eq!(shape("a,b , c d"), [vec![vec!["a", "b", "c"], vec!["d"]]]);
        assert_eq!(shape("\"all\" a\"b c\"d"), [[["\"all\""], ["\"ab cd\""]]]);
        assert_eq!(shape("host \\\n all\nx"), [vec![vec!["host"], vec!["all"]], vec![vec!["x"]]]);
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        let said = |text: &str| lines(text).unwrap_err().to_string();
        assert_eq!(said("a\nhost \"all"), "2:6: a quote is not closed");
        assert_eq!(said("host @users"), "1:6: other files can not be included: write their lines here");
    }
}
