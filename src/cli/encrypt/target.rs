//! The columns that a command works on: those that the policy declares encrypted.

use std::sync::Arc;

use super::index_column::{IndexColumn, IndexState, index_column};
use super::login::{Database, DatabaseError};
use super::setting_column::{self, SettingColumn};
use super::table::{ColumnFacts, ColumnName, column_facts};
use crate::policy::{Encryption, Policy};

/// A column of the policy, with what the database says of it.
pub(super) struct Target {
    pub(super) facts: ColumnFacts,
    /// As the policy says; whose the values are is said by a column of the row, where one has what a setting says.
    pub(super) encryption: Arc<Encryption>,
    /// The column of its blind index, if it has one.
    pub(super) index: Option<IndexColumn>,
    is_chosen: bool,
}

/// All encrypted columns of the policy, and which of them were chosen.
pub(super) struct Targets {
    all: Vec<Target>,
    /// Columns that the policy tags, in all tables: their values are never shown.
    tagged: Vec<ColumnName>,
}

/// Why there is nothing to work on.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error("the policy declares no column `encrypted`")]
    None,
    #[error("--column {0}: the policy declares no such column `encrypted`; write table.column or schema.table.column")]
    Unknown(String),
    #[error("the policy names {0}, which the database does not have")]
    Missing(ColumnName),
    #[error("column `{tenant}`, which is to say whose the values of {column} are, {why}")]
    Tenant { column: ColumnName, tenant: String, why: &'static str },
    #[error("--setting-column {0}: no column of such a table is bound to that setting by the policy")]
    UnboundSetting(SettingColumn),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Targets {
    /// Find the policy's encrypted columns in the database. `wanted`: `table.column` or `schema.table.column`; none: all.
    /// `settings`: where rows have what settings say.
    ///
    /// # Errors
    /// There is none, one is not there, or the server does not answer.
    pub(super) async fn find(
        database: &Database,
        policy: &Policy,
        wanted: &[String],
        settings: &[SettingColumn],
    ) -> Result<Self, TargetError> {
        let mut all = Vec::new();
        let mut tagged = Vec::new();
        for (_, column) in policy.columns() {
            let name = ColumnName::of(column);
            tagged.push(name.clone());
            let Some(encryption) = &column.encryption else { continue };
            let is_chosen = wanted.is_empty() || wanted.iter().any(|wanted| is_meant(wanted, &name));
            match column_facts(database, &name).await? {
                Some(mut facts) => {
                    let index = index_column(database, &facts, encryption).await?;
                    if let Some(index) = index.as_ref().filter(|index| index.state == IndexState::Made) {
                        facts.forget_dependent(index.name.as_str());
                    }
                    let of_rows = setting_column::of_rows(encryption, &facts.name, settings);
                    if is_chosen {
                        setting_column::check(database, &facts, &of_rows, policy).await?;
                    }
                    all.push(Target { facts, encryption: of_rows, index, is_chosen });
                }
                None if is_chosen => return Err(TargetError::Missing(name)),
                None => {}
            }
        }
        let is_there = |wanted: &&String| all.iter().any(|target: &Target| is_meant(wanted, &target.facts.name));
        if let Some(unknown) = wanted.iter().find(|wanted| !is_there(wanted)) {
            return Err(TargetError::Unknown(unknown.clone()));
        }
        if all.is_empty() {
            return Err(TargetError::None);
        }
        if let Some(unbound) = setting_column::unbound(settings, policy) {
            return Err(TargetError::UnboundSetting(unbound.clone()));
        }
        let mut found = Self { all, tagged };
        found.hide_tagged_keys();
        Ok(found)
    }

    /// Those to work on.
    pub(super) fn chosen(&self) -> impl Iterator<Item = &Target> {
        self.all.iter().filter(|target| target.is_chosen)
    }

    /// All of the policy's.
    pub(super) fn all(&self) -> &[Target] {
        &self.all
    }

    /// How the policy has a column encrypted.
    pub(super) fn encryption_of(&self, name: &ColumnName) -> Option<&Encryption> {
        self.all.iter().find(|target| target.facts.name == *name).map(|target| &*target.encryption)
    }

    /// Those to work on, by their tables: all columns of a table are converted together.
    pub(super) fn tables(&self) -> Vec<Vec<&Target>> {
        by_table(self.chosen())
    }

    /// The same without those of groups.
    pub(super) fn tables_without(&self, groups: &[Vec<&Target>]) -> Vec<Vec<&Target>> {
        let is_in = |target: &&Target| groups.iter().flatten().any(|one| std::ptr::eq(*one, *target));
        by_table(self.chosen().filter(|target| !is_in(target)))
    }

    /// Rows are named by their keys only where these may be shown.
    fn hide_tagged_keys(&mut self) {
        let tagged = &self.tagged;
        for target in &mut self.all {
            let ColumnName { schema, table, .. } = &target.facts.name;
            let is_tagged = |column: &String| {
                tagged.iter().any(|one| (&one.schema, &one.table, &one.column) == (schema, table, column))
            };
            for leaf in target.facts.leaves.iter_mut().filter(|leaf| leaf.key.iter().any(is_tagged)) {
                leaf.key.clear();
            }
        }
    }
}

/// Columns by their tables.
pub(super) fn by_table<'a>(targets: impl Iterator<Item = &'a Target>) -> Vec<Vec<&'a Target>> {
    let mut tables: Vec<Vec<&Target>> = Vec::new();
    for target in targets {
        let same = |table: &&mut Vec<&Target>| {
            table.first().is_some_and(|first| first.facts.relation == target.facts.relation)
        };
        match tables.iter_mut().find(same) {
            Some(table) => table.push(target),
            None => tables.push(vec![target]),
        }
    }
    tables
}

impl Target {
    /// Whether it is to be worked on.
    pub(super) fn is_chosen(&self) -> bool {
        self.is_chosen
    }
}

fn is_meant(wanted: &str, name: &ColumnName) -> bool {
    wanted == name.to_string() || wanted == format!("{}.{}", name.table, name.column)
}
