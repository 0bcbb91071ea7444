//! Every mistake that a policy can have, with the text that its author gets to see.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::test_catalog::shop;
use super::*;

/// Sections `=== claim`, each with files `--- path` and the diagnostics `--- found` that they give. A claim that ends in
/// `(database)` is also held against the catalog of the tests.
const GOLDEN: &str = include_str!("golden/diagnostics.txt");

#[test]
fn every_mistake_is_shown_with_its_place_and_a_way_out() {
    let mut written = String::new();
    let mut claims = BTreeSet::new();
    for section in GOLDEN.split("=== ").skip(1) {
        let (claim, rest) = section.split_once("\n--- ").unwrap();
        assert!(claims.insert(claim), "twice: {claim}");
        let mut files = Vec::new();
        writeln!(written, "=== {claim}").unwrap();
        let (input, _) = rest.split_once("\n--- found\n").unwrap();
        for part in input.split("\n--- ") {
            let (path, text) = part.split_once('\n').unwrap();
            writeln!(written, "--- {path}\n{text}").unwrap();
            files.push(PolicySource { path: path.to_owned(), text: format!("{text}\n") });
        }
        let found = match Policy::parse(&files) {
            Err(found) => found,
            Ok(policy) if claim.ends_with("(database)") => policy.check_against(&shop()),
            Ok(_) => Vec::new(),
        };
        assert!(!found.is_empty(), "nothing found: {claim}");
        writeln!(written, "--- found").unwrap();
        for diagnostic in &found {
            let place = format!("{}:{}:{}", diagnostic.path, diagnostic.line, diagnostic.column);
            let rendered = diagnostic.to_string();
            assert!(rendered.contains(&place), "{claim}: {place} is not in\n{rendered}");
            writeln!(written, "{rendered}\n").unwrap();
        }
    }
    if written != GOLDEN {
        let differing = written.lines().zip(GOLDEN.lines()).position(|(new, old)| new != old).unwrap_or_default();
        panic!("differs from golden/diagnostics.txt at its line {}; it should be:\n{written}<<<end", differing + 1);
    }
}

#[test]
fn colours_do_not_change_the_words() {
    let text = "version: 1\ntags: {}\ncolumns:\n  t:\n    a: x\n";
    let files = [PolicySource { path: "p.yaml".into(), text: text.into() }];
    let found = Policy::parse(&files).unwrap_err();
    let styled = found[0].render(true);
    assert!(styled.contains('\u{1b}'));
    let mut plain = String::new();
    let mut parts = styled.split('\u{1b}');
    plain.push_str(parts.next().unwrap());
    for part in parts {
        plain.push_str(part.split_once('m').unwrap().1);
    }
    assert_eq!(plain, found[0].render(false));
}
