//! From the bytes of a Query or Parse message to an [`statement::Analysis`]: what the statements are, what they read and show.
//!
//! Text is split and named by PostgreSQL's own lexical rules ([`lexer`]); each statement that yields or changes rows is
//! read by two parsers into the same small [`tree`], and is understood only where the [`lineage`] of both trees is the
//! same ([`analyze`]).

mod agree;
pub mod analyze;
mod caps;
mod comment_tags;
pub mod copy;
pub(crate) mod executed;
mod fingerprint;
mod last_comment;
pub mod lexer;
pub mod lineage;
mod opened;
mod own_settings;
pub(crate) mod read_sqlparser;
pub(crate) mod read_squawk;
pub mod readings;
pub(crate) mod recognise;
mod set_config;
mod shape;
pub mod statement;
pub mod tree;
pub(crate) mod words;

pub use comment_tags::comment_tags;
pub use fingerprint::fingerprint;
pub use last_comment::{CommentTag, comment_tag};
pub use opened::{opened, opened_by_made};
pub use own_settings::{OwnSetting, OwnSettings, PREFIX, SettingValue, own_settings};
pub use recognise::makes_code;
pub use set_config::{ConfigCall, config_calls};
pub use shape::{Shape, shape};
pub use words::{Word, words};

use std::fmt;

/// Why a statement is not understood. Carries no text of the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotUnderstood {
    /// The text is not valid in the client's encoding, or holds a NUL.
    Encoding,
    /// The text is longer, deeper or has more operators than [`Limits`] allow.
    TooLarge,
    /// PostgreSQL's own lexical rules do not accept it (an open quote or comment).
    Lexical,
    /// Neither parser reads it.
    Syntax,
    /// The two readings differ.
    Disagreement,
    /// A construct that has no place in the tree.
    Construct(&'static str),
    /// The catalog has changed, and what it says now could not be read.
    Unread,
}

impl fmt::Display for NotUnderstood {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding => out.write_str("the text is not valid UTF-8 or holds a NUL"),
            Self::TooLarge => out.write_str("the statement is too large or too deeply nested"),
            Self::Lexical => out.write_str("a quoted string or comment is not closed"),
            Self::Syntax => out.write_str("the statement can not be parsed"),
            Self::Disagreement => out.write_str("two parsers read the statement differently"),
            Self::Construct(what) => write!(out, "{what} is not followed"),
            Self::Unread => out.write_str("the database's catalog has changed and pgveil can not read it now"),
        }
    }
}

impl std::error::Error for NotUnderstood {}

/// Caps on what is handed to the parsers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one statement; longer ones are not understood.
    pub statement_bytes_max: usize,
    /// Tokens of one statement.
    pub tokens_max: usize,
    /// Depth of parentheses, brackets and CASE.
    pub depth_max: usize,
    /// Operators, keywords that chain (AND, OR, NOT, UNION, JOIN) in one statement.
    pub chain_max: usize,
    /// Statements in one Query message.
    pub statements_max: usize,
    /// Constants in an IN list or `= ANY (ARRAY[...])` up to which it counts as equality.
    pub equality_list_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            statement_bytes_max: 1024 * 1024,
            tokens_max: 100_000,
            depth_max: 200,
            chain_max: 5_000,
            statements_max: 10_000,
            equality_list_max: 100,
        }
    }
}
