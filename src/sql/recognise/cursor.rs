//! Walking over the tokens of one statement.

use super::InnerQuery;
use crate::catalog::Name;
use crate::sql::lexer::{Mark, Token, TokenKind};
use crate::sql::tree::ObjectName;

/// A place among the tokens of a statement.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'t, 'a> {
    tokens: &'t [Token<'a>],
    at: usize,
}

impl<'t, 'a> Cursor<'t, 'a> {
    pub(super) fn new(tokens: &'t [Token<'a>]) -> Self {
        Self { tokens, at: 0 }
    }

    /// The tokens of that range, counted from the statement's first, and no others.
    pub(super) fn within(&self, range: std::ops::Range<usize>) -> Self {
        Self { tokens: self.tokens.get(..range.end).unwrap_or(self.tokens), at: range.start }
    }

    /// How many tokens there are.
    pub(super) fn end(&self) -> usize {
        self.tokens.len()
    }

    /// How many tokens were passed.
    pub(super) fn at(&self) -> usize {
        self.at.min(self.tokens.len())
    }

    /// What was passed.
    pub(super) fn passed(&self) -> &'t [Token<'a>] {
        self.tokens.get(..self.at()).unwrap_or_default()
    }

    pub(super) fn rest(&self) -> &'t [Token<'a>] {
        self.tokens.get(self.at..).unwrap_or_default()
    }

    /// All that is left is a query.
    pub(super) fn rest_as_query(&self) -> InnerQuery {
        InnerQuery::Tokens(self.at()..self.tokens.len())
    }

    pub(super) fn peek(&self) -> Option<&'t Token<'a>> {
        self.tokens.get(self.at)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<&'t Token<'a>> {
        self.tokens.get(self.at.saturating_add(ahead))
    }

    pub(super) fn next(&mut self) -> Option<&'t Token<'a>> {
        let token = self.peek();
        self.at = self.at.saturating_add(1);
        token
    }

    /// Pass this key word, if it is the next token.
    pub(super) fn eat(&mut self, keyword: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is(keyword));
        if found {
            self.next();
        }
        found
    }

    pub(super) fn eat_mark(&mut self, mark: Mark) -> bool {
        let found = self.peek().is_some_and(|token| token.is_mark(mark));
        if found {
            self.next();
        }
        found
    }

    /// The next token as a key word, in lower case; passed if it is one.
    pub(super) fn keyword(&mut self) -> Option<String> {
        let TokenKind::Word(word) = self.peek()?.kind else { return None };
        self.next();
        Some(word.to_ascii_lowercase())
    }

    /// The next token as a name; passed if it is one.
    pub(super) fn name(&mut self) -> Option<Name> {
        let name = self.peek()?.name()?;
        self.next();
        Some(name)
    }

    /// The next token as a name, unless it is this key word.
    pub(super) fn name_unless(&mut self, keyword: &str) -> Option<Name> {
        if self.eat(keyword) { None } else { self.name() }
    }

    /// `a`, `a.b` or `a.b.c`.
    pub(super) fn object_name(&mut self) -> Option<ObjectName> {
        let mut parts = vec![self.name()?];
        while self.peek().is_some_and(|token| token.is_mark(Mark::Dot)) {
            self.next();
            parts.push(self.name()?);
        }
        let name = parts.pop()?;
        let schema = parts.pop();
        let database = parts.pop();
        parts.is_empty().then_some(ObjectName { database, schema, name })
    }

    /// A relation behind any of these key words. A key word that nothing but the end, a comma, a dot or a parenthesis
    /// follows is the name itself.
    pub(super) fn relation_after(&mut self, keywords: &[&str]) -> Option<ObjectName> {
        while let (Some(token), Some(following)) = (self.peek(), self.peek_at(1)) {
            let is_name = matches!(following.kind, TokenKind::Mark(Mark::Comma | Mark::Dot))
                || (following.is_mark(Mark::LeftParen) && !token.is("only"));
            if is_name || !token.is_any(keywords) {
                break;
            }
            self.next();
        }
        self.eat_mark(Mark::LeftParen);
        self.object_name()
    }

    /// The relation that `ALTER` and `DROP` name, if it is one with columns.
    pub(super) fn object_of_definition(&mut self) -> Option<ObjectName> {
        let relation = match self.keyword()?.as_str() {
            "table" | "view" | "index" | "sequence" | "type" => true,
            "materialized" => self.eat("view"),
            "foreign" => self.eat("table"),
            _ => false,
        };
        if !relation || (self.peek()?.is("all") && self.peek_at(1).is_some_and(|token| token.is("in"))) {
            return None;
        }
        self.relation_after(&["concurrently", "if", "exists", "only"])
    }

    /// Pass a balanced group in parentheses, if one begins here.
    pub(super) fn skip_parens(&mut self) -> bool {
        let found = self.peek().is_some_and(|token| token.is_mark(Mark::LeftParen));
        if found {
            self.parenthesised();
        }
        found
    }

    /// What is in the parentheses that begin here; they are passed. An open group reaches to the end.
    pub(super) fn parenthesised(&mut self) -> &'t [Token<'a>] {
        let start = self.at.saturating_add(1);
        let mut depth = 0_usize;
        while let Some(token) = self.next() {
            if token.is_mark(Mark::LeftParen) {
                depth = depth.saturating_add(1);
            } else if token.is_mark(Mark::RightParen) {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return self.tokens.get(start..self.at.saturating_sub(1)).unwrap_or_default();
                }
            }
        }
        self.tokens.get(start..).unwrap_or_default()
    }

    /// Go behind the first of these key words outside of parentheses. `false`: there is none, and nothing was passed.
    pub(super) fn skip_past(&mut self, keywords: &[&str]) -> bool {
        let before = self.at;
        while let Some(token) = self.peek() {
            if token.is_any(keywords) {
                self.next();
                return true;
            }
            if !self.skip_parens() {
                self.next();
            }
        }
        self.at = before;
        false
    }
}
