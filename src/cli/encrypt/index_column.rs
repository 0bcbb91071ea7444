//! The column of a blind index: whether the database has it, and how it is made.
//!
//! It is generated out of what is stored, and so holds from the moment that it is there, for rows of plaintext (NULL) as for
//! those that are converted. Adding it writes the table anew.

use std::fmt::Write as _;

use serde::Serialize;

use super::login::{Database, DatabaseError, failed};
use super::run::{RunError, RunOptions};
use super::stored::StoredType;
use super::table::{ColumnFacts, quoted};
use super::target::Target;
use crate::catalog::Name;
use crate::policy::{Encryption, index_definition, is_index_expression};

/// The column of a blind index as the database has it.
#[derive(Clone, Debug)]
pub(super) struct IndexColumn {
    pub(super) name: Name,
    pub(super) state: IndexState,
    /// Whether an index of the database begins with it.
    is_indexed: bool,
}

/// Whether it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexState {
    Missing,
    /// Generated as it should be.
    Made,
    /// Something else has its name.
    Other,
}

/// What has to be done for it.
#[derive(Serialize)]
pub(super) struct IndexPlan {
    column: String,
    /// The ALTER TABLE that adds it, which writes the table anew, and the CREATE INDEX.
    alter: Option<String>,
    create_index: Option<String>,
}

const COLUMN: &str = "\
SELECT CASE WHEN a.attgenerated = 's' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
       EXISTS (SELECT FROM pg_catalog.pg_index x WHERE x.indrelid = a.attrelid AND x.indisvalid AND x.indpred IS NULL
                  AND (x.indkey::int2[])[0] = a.attnum)
  FROM pg_catalog.pg_attribute a
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = $1::oid AND a.attname = $2 AND NOT a.attisdropped";

/// What the database has of it; `None`: the policy wants none.
///
/// # Errors
/// The server does not say.
pub(super) async fn index_column(
    database: &Database,
    facts: &ColumnFacts,
    encryption: &Encryption,
) -> Result<Option<IndexColumn>, DatabaseError> {
    let Some(name) = encryption.blind_index.clone() else { return Ok(None) };
    let what = format!("looking for the blind index of {}", facts.name);
    let found = database.client().query_opt(COLUMN, &[&facts.relation, &name.as_str()]).await.map_err(failed(what))?;
    let Some(found) = found else {
        return Ok(Some(IndexColumn { name, state: IndexState::Missing, is_indexed: false }));
    };
    let is_bytes = StoredType::of(facts).is_bytes();
    let made = found
        .get::<_, Option<String>>(0)
        .is_some_and(|printed| is_index_expression(&printed, &facts.name.column, is_bytes));
    let state = if made { IndexState::Made } else { IndexState::Other };
    Ok(Some(IndexColumn { name, state, is_indexed: found.get(1) }))
}

impl IndexPlan {
    /// As text for people.
    pub(super) fn describe(&self, out: &mut String) -> std::fmt::Result {
        let Self { column, alter, create_index } = self;
        match (alter, create_index) {
            (None, None) => writeln!(out, "    index     {column} has its blind index"),
            (None, Some(create)) => {
                writeln!(out, "    index     {column} has its blind index, and no index of its own:\n      {create};")
            }
            (Some(alter), create) => {
                writeln!(
                    out,
                    "    index     {column} is added for its blind index, by writing the table anew:\n      {alter};"
                )?;
                create.iter().try_for_each(|create| writeln!(out, "      {create};"))
            }
        }
    }
}

impl IndexColumn {
    /// What has to be done for it.
    pub(super) fn plan(&self, facts: &ColumnFacts) -> IndexPlan {
        let is_bytes = StoredType::of(facts).is_bytes();
        let column = Name::exact(&facts.name.column);
        let alter = || index_definition(&facts.table_name(), &column, &self.name, is_bytes);
        IndexPlan {
            column: self.name.to_string(),
            alter: (self.state == IndexState::Missing).then(alter),
            create_index: (!self.is_indexed).then(|| self.create_index(facts)),
        }
    }

    /// Others read and write meanwhile, but for a partitioned table, whose partitions have theirs made at once.
    fn create_index(&self, facts: &ColumnFacts) -> String {
        let online = if facts.kind == 'p' { "" } else { "CONCURRENTLY " };
        format!("CREATE INDEX {online}ON {} ({})", facts.table_name(), quoted(self.name.as_str()))
    }
}

/// Whether the server writes the table anew for a column that is not there yet.
///
/// # Errors
/// It does, and that is not allowed; or another column has its name.
pub(super) fn check_index(target: &Target, options: &RunOptions) -> Result<(), RunError> {
    let Some(index) = &target.index else { return Ok(()) };
    let column = target.facts.name.clone();
    match index.state {
        IndexState::Made => Ok(()),
        IndexState::Missing if options.allow_rewrite => Ok(()),
        IndexState::Missing => Err(RunError::IndexRewrite { column, index: index.name.to_string() }),
        IndexState::Other => Err(RunError::NoIndex { column, index: index.name.to_string() }),
    }
}

/// Add the columns of blind indexes that a table lacks, and an index on each.
///
/// # Errors
/// The server refuses.
pub(super) async fn make_indexes(
    database: &Database,
    table: &[&Target],
    options: &RunOptions,
) -> Result<(), DatabaseError> {
    for Target { facts, index, .. } in table {
        let Some(index) = index else { continue };
        let IndexPlan { column, alter, create_index } = index.plan(facts);
        if let Some(alter) = alter {
            eprintln!(
                "{}: gets column {column} for its blind index, by writing the table anew; nobody reads or writes it meanwhile",
                facts.name
            );
            let what = format!("adding column {column} to {}", facts.table_name());
            database.execute_locked(&what, &alter, &options.patience).await?;
        }
        if let Some(create) = create_index {
            let what = format!("making an index on {column} of {}", facts.table_name());
            database.execute(&what, &create).await?;
        }
    }
    Ok(())
}

/// The ALTER TABLE that drops the column, which hangs on the type of the encrypted one; `None`: it is not there.
pub(super) fn drop_index(target: &Target) -> Option<String> {
    let index = target.index.as_ref().filter(|index| index.state == IndexState::Made)?;
    Some(format!("ALTER TABLE {} DROP COLUMN IF EXISTS {}", target.facts.table_name(), quoted(index.name.as_str())))
}
