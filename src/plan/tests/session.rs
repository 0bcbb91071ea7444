//! A session of tests: statements are judged one after the other, by what those before them made.

use super::database::{Database, caller, description, field, shown};
use crate::mask::TextEncoding;
use crate::plan::{Own, PlannedRows, Snapshot, Verdict, judge};
use crate::sql::analyze;
use crate::sql::statement::{Analysis, Statement};
use crate::value::TextForms;
use crate::wire::backend::Field;

/// A session: what it has made so far, and the verdicts on its statements one after the other.
pub(super) struct Session {
    pub(super) snapshot: Snapshot,
    pub(super) user: &'static str,
    pub(super) own: Own,
}

impl Session {
    pub(super) fn of(user: &'static str) -> Self {
        Self { snapshot: Database::shop().snapshot(), user, own: Own::default() }
    }

    pub(super) fn read(&self, text: &str) -> Statement {
        let catalog = self.own.catalog(&self.snapshot.catalog);
        match analyze::analyze(text.as_bytes(), &catalog, &self.snapshot.limits) {
            Analysis::Statements(mut statements) if statements.len() == 1 => statements.remove(0),
            other => panic!("{text}: {other:?}"),
        }
    }

    pub(super) fn verdict(&mut self, text: &str) -> Verdict {
        let statement = self.read(text);
        let mut own = self.own.clone();
        own.take_in(&statement, text, &self.snapshot);
        let caller = caller(self.user, &self.snapshot);
        let verdict = judge(text, &statement, &self.snapshot, &caller, &own).verdict;
        if !matches!(verdict, Verdict::Refuse(_)) {
            self.own = own;
            self.own.pending |= statement.kind.changes_catalog();
        }
        verdict
    }

    pub(super) fn judged(&mut self, text: &str) -> String {
        shown(&self.verdict(text))
    }

    /// Whether the only column of a statement comes back as it is, masked, or as a permit in clear. The server says of it
    /// that it is the column with this number of a relation that the catalog does not have (0: of none).
    pub(super) fn column(&mut self, text: &str, name: &str, attnum: i16) -> &'static str {
        let Verdict::Protect(protection) = self.verdict(text) else { return "passed" };
        let mut field: Field = field(&self.snapshot, name, "-", "text");
        if attnum != 0 {
            (field.table, field.attnum) = (crate::catalog::Oid(70_000), attnum);
        }
        let caller = caller(self.user, &self.snapshot);
        let plan = protection.bind(
            &description(vec![field]),
            &self.snapshot,
            &caller,
            (TextEncoding::default(), &TextForms::default()),
        );
        match plan.rows {
            PlannedRows::Untouched => "untouched",
            PlannedRows::Masked(_) => "masked",
            PlannedRows::Sealed(_) => "revealed",
        }
    }
}
