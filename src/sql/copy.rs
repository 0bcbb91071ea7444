//! COPY: what is copied, and in which layout (PostgreSQL manual, "COPY"; versions 13 to 18).

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::tree::ObjectName;
use crate::catalog::{Catalog, Column, Name, Relation};

/// Particulars of a COPY statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyStatement {
    /// The table, unless a query is copied.
    pub table: Option<ObjectName>,
    /// The column list; empty: all columns but generated ones.
    pub columns: Vec<Name>,
    /// The query between the parentheses, in bytes of the message's text.
    pub query: Option<Range<usize>>,
    /// `FROM` the client or a file (true), or `TO` it.
    pub inward: bool,
    /// Whether a file or program on the server is the other end.
    pub server_side: bool,
    /// The layout; `None`: options that are not known or that the server will refuse.
    pub options: Option<CopyOptions>,
    /// The condition behind `WHERE`, in bytes of the message's text, where the options are known.
    pub filter: Option<Range<usize>>,
}

/// The layout that the options of a COPY ask for.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// `FORMAT`.
    pub format: CopyLayout,
    /// `DELIMITER`, where it is one character of ASCII.
    pub delimiter: Option<u8>,
    /// `NULL`.
    pub null: Option<Arc<str>>,
    /// `HEADER`.
    pub header: bool,
    /// `QUOTE`.
    pub quote: Option<u8>,
    /// `ESCAPE`.
    pub escape: Option<u8>,
    /// `FORCE_QUOTE`.
    pub force_quote: ForcedColumns,
    /// `FORCE_NULL`.
    pub force_null: ForcedColumns,
    /// `FORCE_NOT_NULL`.
    pub force_not_null: ForcedColumns,
    /// `DEFAULT`.
    pub default: Option<Arc<str>>,
    /// `ENCODING`, in small letters and digits alone.
    pub encoding: Option<Arc<str>>,
}

/// `FORMAT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopyLayout {
    /// `text`
    #[default]
    Text,
    /// `csv`
    Csv,
    /// `binary`
    Binary,
}

/// The columns that a `FORCE_...` option is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ForcedColumns {
    /// None.
    #[default]
    None,
    /// `*`
    All,
    /// These.
    Named(Vec<Name>),
}

impl fmt::Debug for CopyOptions {
    /// Without the strings of the statement.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CopyOptions")
            .field("format", &self.format)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for CopyStatement {
    /// What is copied, as refusals name it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.table {
            Some(table) => table.name.fmt(out),
            None => out.write_str("a query"),
        }
    }
}

impl CopyStatement {
    /// A query whose description is that of the rows that COPY TO sends (but for generated columns of a table, which it
    /// leaves out). Positions in it are those in the message's `text`, where it is part of that.
    pub fn as_query(&self, text: &str) -> Option<String> {
        if let Some(range) = &self.query {
            let (before, query) = (text.get(..range.start)?, text.get(range.clone())?);
            return Some(format!("{}{query}", " ".repeat(before.chars().count())));
        }
        let table = self.table.as_ref()?;
        let columns = match self.columns.as_slice() {
            [] => "*".to_owned(),
            columns => columns.iter().map(quoted).collect::<Vec<_>>().join(", "),
        };
        let parts = [table.database.as_ref(), table.schema.as_ref(), Some(&table.name)];
        let name = parts.into_iter().flatten().map(quoted).collect::<Vec<_>>().join(".");
        Some(format!("SELECT {columns} FROM ONLY {name}"))
    }

    /// Of `COPY table FROM STDIN`: an INSERT that fills the same columns, by parameters, under the same condition.
    /// `None`: the options are not known, and with them where the condition is.
    pub fn as_insert(&self, text: &str, catalog: &Catalog) -> Option<String> {
        let table = self.table.as_ref()?;
        self.options.as_ref()?;
        let known: Vec<&Name> = catalog
            .relations_named(table.schema.as_ref(), &table.name)
            .next()
            .map(|relation| filled(relation).map(|column| &column.name).collect())
            .unwrap_or_default();
        let filled = if self.columns.is_empty() { known.clone() } else { self.columns.iter().collect() };
        let parts = [table.database.as_ref(), table.schema.as_ref(), Some(&table.name)];
        let name = parts.into_iter().flatten().map(quoted).collect::<Vec<_>>().join(".");
        let parameters = |count: usize| (1..=count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ");
        let listed = |columns: &[&Name]| columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
        if filled.is_empty() && self.filter.is_none() {
            return Some(format!("INSERT INTO {name} DEFAULT VALUES"));
        }
        let columns = listed(&filled);
        let Some(filter) = &self.filter else {
            return Some(format!("INSERT INTO {name} ({columns}) VALUES ({})", parameters(filled.len())));
        };
        // A condition may look at columns that take their defaults.
        let all: BTreeSet<&Name> = known.into_iter().chain(filled).collect();
        let all: Vec<&Name> = all.into_iter().collect();
        Some(format!(
            "INSERT INTO {name} ({columns}) SELECT {columns} FROM (VALUES ({})) AS {} ({}) WHERE {}",
            parameters(all.len()),
            quoted(&table.name),
            listed(&all),
            text.get(filter.clone())?,
        ))
    }
}

/// The columns that `COPY table FROM` fills where it names none: all but generated ones.
pub fn filled(relation: &Relation) -> impl Iterator<Item = &Column> {
    relation.columns.iter().filter(|column| column.generated.is_none())
}

fn quoted(name: &Name) -> String {
    format!("\"{}\"", name.as_str().replace('"', "\"\""))
}
