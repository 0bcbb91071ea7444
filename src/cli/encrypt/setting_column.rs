//! `--setting-column`: whose the values in a row are, where applications say that by a setting of theirs.
//!
//! A setting is known to the sessions that write, and not to these commands, which go over the rows of everybody. Where a
//! column of the same row has what was set, the values of that row are bound to the same text, and so the column is as good.

use std::str::FromStr;
use std::sync::Arc;

use super::login::Database;
use super::table::{ColumnFacts, ColumnName, column_facts};
use super::target::TargetError;
use crate::catalog::{Name, Oid};
use crate::policy::{Encryption, Policy, Tenant, tenant_type};

/// `SETTING=COLUMN`, `SETTING=TABLE.COLUMN` or `SETTING=SCHEMA.TABLE.COLUMN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SettingColumn {
    /// In lower case, as the policy has it.
    setting: String,
    /// `table` or `schema.table`; `None`: each table with a column that is bound to the setting.
    table: Option<String>,
    column: String,
}

impl FromStr for SettingColumn {
    type Err = &'static str;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        const FORM: &str =
            "write SETTING=COLUMN, as in app.tenant_id=tenant_id, or SETTING=TABLE.COLUMN where tables differ";
        let (setting, column) = given.split_once('=').ok_or(FORM)?;
        let (table, column) = match column.rsplit_once('.') {
            Some((table, column)) => (Some(table.to_owned()), column),
            None => (None, column),
        };
        if setting.is_empty() || column.is_empty() || table.as_ref().is_some_and(String::is_empty) {
            return Err(FORM);
        }
        Ok(Self { setting: setting.to_ascii_lowercase(), table, column: column.to_owned() })
    }
}

impl SettingColumn {
    /// Whether it says whose the values of a column are that are encrypted so.
    fn is_for(&self, name: &ColumnName, encryption: &Encryption) -> bool {
        let ColumnName { schema, table, .. } = name;
        let is_of_table =
            self.table.as_ref().is_none_or(|meant| meant == table || *meant == format!("{schema}.{table}"));
        is_of_table && encryption.tenant_setting().is_some_and(|setting| **setting == *self.setting)
    }
}

/// How a column is encrypted, as far as rows are concerned: where a column of them has what the policy's setting says, by
/// that column. One that is named for its table goes before one for all.
pub(super) fn of_rows(encryption: &Arc<Encryption>, name: &ColumnName, given: &[SettingColumn]) -> Arc<Encryption> {
    let found = given.iter().filter(|one| one.is_for(name, encryption)).max_by_key(|one| one.table.is_some());
    match found {
        Some(SettingColumn { column, .. }) => {
            Arc::new(Encryption { tenant: Some(Tenant::Column(Name::exact(column))), ..(**encryption).clone() })
        }
        None => Arc::clone(encryption),
    }
}

/// One of those that are given that says nothing of any column of the policy.
pub(super) fn unbound<'a>(given: &'a [SettingColumn], policy: &Policy) -> Option<&'a SettingColumn> {
    let is_for_any = |one: &SettingColumn| {
        policy.columns().any(|(_, column)| {
            let encryption = column.encryption.as_ref();
            encryption.is_some_and(|encryption| one.is_for(&ColumnName::of(column), encryption))
        })
    };
    given.iter().find(|one| !is_for_any(one))
}

/// Look at the column that says whose the values are.
///
/// # Errors
/// It is not there or can not say that, or the server does not answer.
pub(super) async fn check(
    database: &Database,
    facts: &ColumnFacts,
    encryption: &Encryption,
    policy: &Policy,
) -> Result<(), TargetError> {
    let Some(column) = encryption.tenant_column() else { return Ok(()) };
    let tenant = ColumnName { column: column.to_string(), ..facts.name.clone() };
    let error = |why| TargetError::Tenant { column: facts.name.clone(), tenant: column.to_string(), why };
    if policy.columns().any(|(_, column)| column.encryption.is_some() && ColumnName::of(column) == tenant) {
        return Err(error("is encrypted itself"));
    }
    match column_facts(database, &tenant).await? {
        None => Err(error("is not there")),
        Some(found) if tenant_type(Oid(found.base_type)).is_none() => {
            Err(error("is not of a type that can: smallint, integer, bigint, uuid, text or varchar"))
        }
        Some(_) => Ok(()),
    }
}

impl std::fmt::Display for SettingColumn {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { setting, table, column } = self;
        match table {
            Some(table) => write!(out, "{setting}={table}.{column}"),
            None => write!(out, "{setting}={column}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_read() {
        let read = |text: &str| text.parse::<SettingColumn>().map(|one| (one.to_string(), one.table));
        assert_eq!(read("App.Org=org_id"), Ok(("app.org=org_id".to_owned(), None)));
        assert_eq!(read("app.org=t.Org"), Ok(("app.org=t.Org".to_owned(), Some("t".to_owned()))));
        assert_eq!(read("app.org=s.t.org"), Ok(("app.org=s.t.org".to_owned(), Some("s.t".to_owned()))));
        for wrong in ["app.org", "=org", "app.org=", "app.org=.org", "app.org=t."] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
