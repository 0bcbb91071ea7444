//! A policy held against a database: tables and columns that are not there, masks that do not fit.

use super::diagnostic::{Diagnostic, Place};
use super::document::written_name;
use super::suggest::closest;
use super::{ColumnRow, Policy, Rule, Sight, SubjectColumn, TaggedColumnId, Target, tenant_type};
use crate::catalog::{Catalog, Column, Relation, RelationKind, ValueType};
use crate::mask::{HiddenForm, Mask};

impl Policy {
    /// Everything in which the policy and this database do not go together, in the order of files and lines.
    /// An error means that a tagged column is not protected as written; a warning, that the policy may surprise.
    pub fn check_against(&self, catalog: &Catalog) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let mut missing_tables: Vec<&Place> = Vec::new();
        for (row, index) in self.columns.iter().zip(0..) {
            let tagged = &row.tagged;
            let relation = catalog.relations_named(Some(&tagged.schema), &tagged.table).next();
            let Some(relation) = relation else {
                // Once for a table, not for each of its columns.
                if !missing_tables.contains(&&row.table_place) {
                    missing_tables.push(&row.table_place);
                    found.push(missing_table(row, catalog));
                }
                continue;
            };
            if let Some(kind) = untaggable(relation.kind) {
                if !missing_tables.contains(&&row.table_place) {
                    missing_tables.push(&row.table_place);
                    let name = written_name(&[tagged.schema.as_str(), tagged.table.as_str()]);
                    let wrong =
                        Diagnostic::error(&row.table_place, format!("`{name}` is {kind}, and can not be tagged"));
                    found.push(wrong.with_help("tag the columns of tables and views"));
                }
                continue;
            }
            if tagged.index_of.is_some() {
                found.extend(self.check_index(row, relation));
                continue;
            }
            match relation.column(tagged.column.as_str()) {
                Some(column) => {
                    self.check_masks(row, TaggedColumnId(index), column, catalog, &mut found);
                    self.check_tenant(row, relation, catalog, &mut found);
                }
                None => found.push(missing_column(row, relation)),
            }
        }
        self.check_subjects(catalog, &mut found);
        self.check_names(catalog, &mut found);
        Diagnostic::sort(&mut found);
        found
    }

    /// The column that says whose the values of an encrypted one are.
    fn check_tenant(&self, row: &ColumnRow, relation: &Relation, catalog: &Catalog, found: &mut Vec<Diagnostic>) {
        let Some(tenant) = row.tagged.encryption.as_ref().and_then(|encryption| encryption.tenant_column()) else {
            return;
        };
        let table = written_name(&[row.tagged.schema.as_str(), row.tagged.table.as_str()]);
        let Some(column) = relation.column(tenant.as_str()) else {
            let message = format!("table `{table}` has no column `{tenant}`, which is to say whose values are");
            let names = relation.columns.iter().map(|column| column.name.as_str());
            found.push(Diagnostic::error(&row.place, message).suggesting(closest(tenant.as_str(), names), || None));
            return;
        };
        let is_encrypted = self.columns.iter().any(|other| {
            let tagged = &other.tagged;
            tagged.encryption.is_some()
                && (&tagged.schema, &tagged.table, &tagged.column) == (&row.tagged.schema, &row.tagged.table, tenant)
        });
        if is_encrypted {
            let message = format!("column `{tenant}` says whose values are, and is encrypted itself");
            found.push(Diagnostic::error(&row.place, message).with_help("name a column that is not"));
            return;
        }
        if tenant_type(column.type_oid).is_none() {
            let type_name = catalog.type_of(column.type_oid).map_or("unknown", |described| described.name.as_str());
            let message = format!("column `{tenant}` of type `{type_name}` can not say whose values are");
            let help = "tenants are numbers (`smallint`, `integer`, `bigint`), `uuid`, `text` or `varchar`";
            found.push(Diagnostic::error(&row.place, message).with_help(help));
        } else if !column.not_null {
            let message = format!("column `{tenant}` says whose values are, and may be NULL");
            let help = "declare it NOT NULL: in a row without tenant nothing can be stored in the encrypted column";
            found.push(Diagnostic::warning(&row.place, message).with_help(help));
        }
    }

    fn check_masks(
        &self,
        row: &ColumnRow,
        id: TaggedColumnId,
        column: &Column,
        catalog: &Catalog,
        found: &mut Vec<Diagnostic>,
    ) {
        // Of an encrypted column, what is masked are the values that are in it.
        let (value_type, type_name) = match &row.tagged.encryption {
            Some(encryption) => (encryption.plain.value_type(), encryption.plain.to_string()),
            None => {
                let described = catalog.type_of(column.type_oid);
                let name = described.map_or("unknown", |described| described.name.as_str());
                (ValueType::of(catalog, column.type_oid), name.to_owned())
            }
        };
        let type_name = type_name.as_str();
        let mask = &row.tagged.tag.mask;
        if !mask.fits(&value_type) {
            let misfit = misfit(&row.place, mask, type_name);
            found.push(if row.mask_place == row.place {
                misfit
            } else {
                misfit.with_related(&row.mask_place, "the mask")
            });
        } else if **mask == Mask::Nullify && column.not_null {
            found.push(null_in_not_null(&row.place, column));
        }
        for role in &self.roles {
            let index = usize::try_from(id.0).unwrap_or(usize::MAX);
            let Some(rule) = role.rules.get(index).and_then(Option::as_ref) else { continue };
            self.check_rule(row, rule, column, (&value_type, type_name), found);
        }
    }

    fn check_rule(
        &self,
        row: &ColumnRow,
        rule: &Rule,
        column: &Column,
        (value_type, type_name): (&ValueType, &str),
        found: &mut Vec<Diagnostic>,
    ) {
        match (&rule.sight, &rule.mask_place) {
            (Sight::Masked(mask), Some(place)) => match rule.target {
                // A mask for everything is not meant to fit each type: where it does not, the value is hidden.
                Target::Everything => {}
                Target::Tag | Target::Column if mask.fits(value_type) => {}
                Target::Tag | Target::Column => {
                    found.push(misfit(place, mask, type_name).with_related(&row.place, "the column"));
                }
            },
            (Sight::Hidden(HiddenForm::Null), _) if column.not_null && rule.target == Target::Column => {
                found.push(null_in_not_null(&rule.place, column));
            }
            (Sight::Clear | Sight::Masked(_) | Sight::Hidden(_) | Sight::Denied, _) => {}
        }
    }

    /// Columns that say whose rows are: keys that are not there, or are never written, are missed when they are looked for.
    fn check_subjects(&self, catalog: &Catalog, found: &mut Vec<Diagnostic>) {
        for SubjectColumn { schema, table, column, place } in self.subjects.iter().flat_map(|subject| &subject.columns)
        {
            let name = written_name(&[schema.as_str(), table.as_str()]);
            let relation = catalog.relations_named(Some(schema), table).next();
            let missing = match relation {
                None => {
                    let names = catalog.relations().filter(|known| known.schema == *schema);
                    let near = closest(table.as_str(), names.map(|known| known.name.as_str()));
                    Some(Diagnostic::warning(place, format!("there is no table `{name}`")).suggesting(near, || None))
                }
                Some(known) if known.column(column.as_str()).is_none() => {
                    let near = closest(column.as_str(), known.columns.iter().map(|column| column.name.as_str()));
                    let message = format!("table `{name}` has no column `{column}`");
                    Some(Diagnostic::warning(place, message).suggesting(near, || None))
                }
                Some(_) => None,
            };
            let is_tagged = |row: &ColumnRow| {
                let tagged = &row.tagged;
                (&tagged.schema, &tagged.table, &tagged.column) == (schema, table, column)
            };
            found.extend(missing.or_else(|| {
                self.columns.iter().any(is_tagged).then(|| {
                    let never =
                        format!("column `{column}` is tagged, so its values are never written to the access log");
                    Diagnostic::warning(place, never).with_help("name a key that is not tagged")
                })
            }));
        }
    }

    /// Who is named and is not there has no role: nothing leaks, and somebody will wonder.
    fn check_names(&self, catalog: &Catalog, found: &mut Vec<Diagnostic>) {
        let users = self.roles.iter().flat_map(|role| &role.users).map(|named| (named, "user"));
        let roles = self.roles.iter().flat_map(|role| &role.member_of).map(|named| (named, "role"));
        for ((name, place), what) in users.chain(roles) {
            // Users and roles are one sort of thing in PostgreSQL.
            if catalog.roles_of(name).is_none() {
                let unknown = Diagnostic::warning(place, format!("there is no database {what} `{name}`"));
                found.push(unknown.with_help("names are exact, upper and lower case included"));
            }
        }
    }
}

fn misfit(place: &Place, mask: &Mask, type_name: &str) -> Diagnostic {
    let info = mask.info();
    Diagnostic::error(place, format!("mask `{}` does not fit type `{type_name}`", info.name))
        .with_help(format!("it fits: {}; `full` fits every type", info.types))
}

fn null_in_not_null(place: &Place, column: &Column) -> Diagnostic {
    let message = format!("column `{}` is NOT NULL, and would show as NULL", column.name);
    Diagnostic::warning(place, message).with_help("typed drivers may fail on it; `hidden: empty` shows an empty value")
}

/// What a relation is that can not carry tags.
fn untaggable(kind: RelationKind) -> Option<&'static str> {
    match kind {
        RelationKind::Table
        | RelationKind::PartitionedTable
        | RelationKind::View
        | RelationKind::MaterializedView
        | RelationKind::ForeignTable => None,
        RelationKind::CompositeType => Some("a type without a table"),
        RelationKind::Sequence => Some("a sequence"),
        RelationKind::Other => Some("an index or the like"),
    }
}

fn missing_table(row: &ColumnRow, catalog: &Catalog) -> Diagnostic {
    let (schema, table) = (&row.tagged.schema, &row.tagged.table);
    let name = written_name(&[schema.as_str(), table.as_str()]);
    let taggable = || catalog.relations().filter(|relation| untaggable(relation.kind).is_none());
    let database = catalog.database().map(|database| format!(" in database `{database}`")).unwrap_or_default();
    let missing = if taggable().any(|relation| relation.schema == *schema) {
        Diagnostic::error(&row.table_place, format!("there is no table `{name}`{database}"))
    } else {
        Diagnostic::error(&row.table_place, format!("there is no schema `{schema}`{database}"))
    };
    let mut names: Vec<(&str, &str)> =
        taggable().map(|relation| (relation.schema.as_str(), relation.name.as_str())).collect();
    names.sort_unstable();
    let beside = names.iter().filter(|(in_schema, _)| *in_schema == schema.as_str()).map(|(_, name)| *name);
    let elsewhere = || names.iter().filter(|(_, name)| *name == table.as_str()).map(|(in_schema, _)| *in_schema);
    // The same name in another schema is a likelier slip than a name misspelt.
    let near = closest(schema.as_str(), elsewhere())
        .or_else(|| elsewhere().next())
        .map(|schema| written_name(&[schema, table.as_str()]))
        .or_else(|| closest(table.as_str(), beside).map(|table| written_name(&[schema.as_str(), table])));
    missing.suggesting(near.as_deref(), || None)
}

fn missing_column(row: &ColumnRow, relation: &Relation) -> Diagnostic {
    let tagged = &row.tagged;
    let table = written_name(&[tagged.schema.as_str(), tagged.table.as_str()]);
    let message = format!("table `{table}` has no column `{}`", tagged.column);
    let names = relation.columns.iter().map(|column| column.name.as_str());
    Diagnostic::error(&row.place, message).suggesting(closest(tagged.column.as_str(), names), || None)
}
