//! `XMLTABLE` and `JSON_TABLE`: rows out of documents.
//!
//! How many rows there are, and which values make it fail, depends on what is in a document and on what is asked of it. Where
//! the whole form of the document is written in the statement and its paths say no more than which parts of that are meant,
//! neither tells of the values; what comes out is computed from them.

use super::failing::is_composed;
use super::scope::{Item, Scope};
use super::value::{Column, Sort, Table, Traits, Value};
use super::walk::Walk;
use super::{FilterKind, Taint};
use crate::catalog::Oid;
use crate::sql::NotUnderstood;
use crate::sql::tree::{Path, TableColumn, TableExpr};

/// `pg_type.oid` of `text`.
const TEXT: Oid = Oid(25);

impl<'q> Walk<'q> {
    pub(super) fn document_item(&mut self, table: &'q TableExpr, scope: &Scope<'_, 'q>) -> Result<Item, NotUnderstood> {
        let document = self.value(&table.document, scope)?;
        let mut taint = document.taint();
        for other in &table.others {
            let value = self.value(other, scope)?;
            self.look_at(&value, FilterKind::Other, FilterKind::Other);
            taint.join(&value.taint());
        }
        let formed = document.traits.formed || document.taint().is_clean();
        let steps = table.rows.iter().all(|path| *path == Path::Steps);
        if formed && steps && table.name.as_str() == "json_table" {
            // nothing that goes into such a document makes it fail
        } else if formed && steps {
            // letters that no document may have, and texts that are too long
            self.may_fail_of(&document, is_composed(&document));
        } else {
            self.look_at(&document, FilterKind::Other, FilterKind::Other);
        }
        self.charge(table.columns.len().saturating_mul(1 + taint.sources.len()))?;
        let mut columns = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let value = self.document_column(table, column, (&document, formed && steps), &taint, scope)?;
            columns.push(Column::new(Some(column.name.clone()), value));
        }
        let table_of = Table { columns, open: None, ragged: false, rows_of: None };
        Ok(Item::new(Some(table.name.clone()), table_of))
    }

    /// `formed`: whether the document's form, and so the number of rows, is written in the statement.
    fn document_column(
        &mut self,
        table: &'q TableExpr,
        column: &'q TableColumn,
        (document, formed): (&Value, bool),
        taint: &Taint,
        scope: &Scope<'_, 'q>,
    ) -> Result<Value, NotUnderstood> {
        let Some(type_name) = &column.type_name else {
            return Ok(Value::computed(if formed { Taint::clean() } else { taint.clone() }));
        };
        let mut taint = taint.clone();
        let found = formed && column.path != Path::Asking;
        for other in &column.others {
            let (value, fails) = self.apart(|walk| walk.value(other, scope))?;
            taint.join(&value.taint());
            if fails && !(found && column.path == Path::Steps && !column.strict) {
                // it is computed where there is no value, or none of the column's type
                self.look_at_choice(document);
            }
        }
        let mut part = Value::computed(taint);
        let Traits { steady, tame, composed, growth, .. } = document.traits;
        let (steady, tame, composed) = (steady && found, tame && found, composed && found);
        part.traits = Traits { steady, tame, composed, growth, ..part.traits };
        part.traits.sort = Some(Sort::Type(TEXT));
        if column.required && !(found && column.path == Path::Steps) {
            self.look_at_choice(document);
        }
        if column.strict {
            if !found || type_name.modified {
                // more than one value is an error, or one that is longer than the caller says
                self.look_at_choice(document);
            }
            self.cast_may_fail(&table.document, &part, type_name);
        }
        Ok(self.cast(part, type_name))
    }
}
