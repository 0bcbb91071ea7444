//! Statements and their lineage, through a parser.

use super::fixture::{catalog, filters_text, outputs_text, writes_text};
use super::{Lineage, lineage};
use crate::sql::{Limits, read_squawk};

fn of(sql: &str) -> Lineage {
    let catalog = catalog();
    let tree = read_squawk::read(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    lineage(&tree, &catalog, &Limits::default()).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[test]
fn explore() {
    let catalog = catalog();
    for sql in std::fs::read_to_string("/tmp/lineage-explore.sql").unwrap().lines() {
        let tree = match read_squawk::read(sql) {
            Ok(tree) => tree,
            Err(e) => {
                println!("{sql}\n    !! {e}");
                continue;
            }
        };
        let found = lineage(&tree, &catalog, &Limits::default()).unwrap();
        println!(
            "{sql}\n    {}\n    | {}\n    > {}\n    forbidden {:?} functions {:?} unresolved {:?}",
            outputs_text(&catalog, &found),
            filters_text(&catalog, &found),
            writes_text(&catalog, &found),
            found.forbidden,
            found.functions.len(),
            found.unresolved
        );
    }
    let _ = of;
}
