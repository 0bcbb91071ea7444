//! Statements and their lineage, through a parser. How lineages are written as text is said in [`super::fixture`].

mod documents;
mod errors;
mod filters;
mod flows;
mod gathering;
mod leaks;
mod names;
mod robust;
mod traps;
mod writes;

use super::fixture::{catalog, filters_text, outputs_text, writes_text};
use super::{Lineage, lineage};
use crate::sql::{Limits, NotUnderstood, read_squawk};

fn read(sql: &str) -> Result<Lineage, NotUnderstood> {
    lineage(&read_squawk::read(sql)?, &catalog(), &Limits::default())
}

fn of(sql: &str) -> Lineage {
    read(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Statements with the text of their result columns and of their filters.
#[track_caller]
fn check(cases: &[(&str, &str, &str)]) {
    let catalog = catalog();
    let mut wrong = Vec::new();
    for (sql, outputs, filters) in cases {
        let found = of(sql);
        let texts = (outputs_text(&catalog, &found), filters_text(&catalog, &found));
        if (texts.0.as_str(), texts.1.as_str()) != (*outputs, *filters) {
            wrong.push(format!("{sql}\n    result columns {:?}, filters {:?}", texts.0, texts.1));
        }
        assert_eq!(writes_text(&catalog, &found), "", "writes of {sql}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same with the text of what is written.
#[track_caller]
fn check_writes(cases: &[(&str, &str, &str, &str)]) {
    let catalog = catalog();
    for (sql, outputs, filters, writes) in cases {
        let found = of(sql);
        assert_eq!(outputs_text(&catalog, &found), *outputs, "result columns of {sql}");
        assert_eq!(filters_text(&catalog, &found), *filters, "filters of {sql}");
        assert_eq!(writes_text(&catalog, &found), *writes, "writes of {sql}");
    }
}
