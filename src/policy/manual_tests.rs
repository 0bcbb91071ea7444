//! The manual (`policies/README.md`) says what the code does: its tables of masks are written by these tests, its
//! policies are read, and its keys are held against the reader's.

use std::fmt::Write;

use bytes::BytesMut;

use super::document::{
    ACCOUNT_KEYS, COLUMN_KEYS, DEFAULT_KEYS, ENCRYPTION_KEYS, FILE_KEYS, REVEAL_KEYS, ROLE_KEYS, SIGHT_KEYS,
    SIGHT_WORDS, TAG_KEYS,
};
use super::read::{FILTER_WORDS, HIDDEN_WORDS};
use super::read_guard::{BREACH_WORDS, GUARD_KEYS, LIMIT_KEYS};
use super::*;
use crate::catalog::ValueType;
use crate::mask::{CATALOGUE, CellMask, CellRule, Format, MaskInfo, MaskKeys};

const MANUAL: &str = include_str!("../../policies/README.md");

/// For each mask in the catalogue: how a policy writes it, and a value.
const EXAMPLES: &[(&str, ValueType, &str)] = &[
    ("full", ValueType::Text, "Jane Doe"),
    ("partial: { prefix: 1, suffix: 2 }", ValueType::Text, "Jane Doe"),
    ("show_first: 2", ValueType::Text, "Jane Doe"),
    ("show_last: 4", ValueType::Text, "K-4711-0815"),
    ("email", ValueType::Text, "jane@example.org"),
    ("phone: 2", ValueType::Text, "+49 30 555-0123"),
    ("card", ValueType::Text, "4111 1111 1111 1111"),
    ("iban", ValueType::Text, "DE89 3704 0044 0532 0130 00"),
    ("hash", ValueType::Text, "Jane Doe"),
    ("pseudonym", ValueType::Text, "jane@example.org"),
    ("date_trunc: year", ValueType::Date, "1984-07-23"),
    ("round: 1000", ValueType::Int4, "51780"),
    ("bucket: 10", ValueType::Int4, "47"),
    ("network", ValueType::Inet, "192.0.2.77"),
    ("replace: \"[hidden]\"", ValueType::Text, "any text"),
    ("nullify", ValueType::Text, "any text"),
];

fn policy(text: &str) -> Policy {
    Policy::parse(&[PolicySource { path: "p.yaml".into(), text: text.into() }])
        .unwrap_or_else(|found| panic!("{found:#?}\n{text}"))
}

fn shown(written: &str, value_type: &ValueType, value: &str) -> String {
    let mask = if written.contains(": ") { format!("{{ {written} }}") } else { written.to_owned() };
    let policy = policy(&format!("version: 1\ntags:\n  x: {{ mask: {mask} }}\ncolumns: {{ t: {{ c: x }} }}\n"));
    let mask = &policy.column(TaggedColumnId(0)).unwrap().tag.mask;
    assert!(mask.fits(value_type), "{written}");
    let mut keys = MaskKeys::default();
    keys.insert("default", [7; 32]);
    let mut out = BytesMut::new();
    let cell = CellMask::new(&CellRule::Mask(Arc::clone(mask)), value_type, Format::Text, &keys);
    cell.apply(Some(value.as_bytes()), &mut out);
    match &out[..] {
        [255, 255, 255, 255] => "NULL".to_owned(),
        [_, _, _, _, bytes @ ..] => format!("`{}`", std::str::from_utf8(bytes).unwrap()),
        _ => panic!("no field"),
    }
}

fn example(mask: &MaskInfo) -> String {
    let (written, value_type, value) =
        EXAMPLES.iter().find(|(written, ..)| written.split(':').next() == Some(mask.name)).unwrap();
    format!("`{written}`: `{value}` → {}", shown(written, value_type, value))
}

fn masks_table() -> String {
    let mut table = "| mask | shows | example | types | deterministic | reversible | keeps length |\n\
                     |---|---|---|---|---|---|---|\n"
        .to_owned();
    let yes = |answer: bool| if answer { "yes" } else { "no" };
    for mask in CATALOGUE {
        let MaskInfo { name, description, types, .. } = mask;
        let [deterministic, reversible, length] = [mask.deterministic, mask.reversible, mask.keeps_length].map(yes);
        let example = example(mask);
        writeln!(
            table,
            "| `{name}` | {description} | {example} | {types} | {deterministic} | {reversible} | {length} |"
        )
        .unwrap();
    }
    table
}

fn parameters_table() -> String {
    let mut table = "| mask | parameter | meaning | default |\n|---|---|---|---|\n".to_owned();
    for mask in CATALOGUE {
        for parameter in mask.parameters {
            let bare = if mask.main == Some(parameter.name) { "; its name may be left out" } else { "" };
            let default = parameter.default.map_or("must be given".to_owned(), |default| format!("`{default}`"));
            let (mask, parameter, meaning) = (mask.name, parameter.name, parameter.description);
            writeln!(table, "| `{mask}` | `{parameter}` | {meaning}{bare} | {default} |").unwrap();
        }
    }
    table
}

fn aliases_table() -> String {
    let mut table = "| mask | also known as |\n|---|---|\n".to_owned();
    for mask in CATALOGUE.iter().filter(|mask| !mask.aliases.is_empty()) {
        let names: Vec<String> = mask.aliases.iter().map(|alias| format!("`{}`", alias.name)).collect();
        writeln!(table, "| `{}` | {} |", mask.name, names.join(", ")).unwrap();
    }
    table
}

#[test]
fn the_manual_lists_every_mask_with_what_it_shows() {
    let mut expected = MANUAL.to_owned();
    for (name, table) in [("masks", masks_table()), ("parameters", parameters_table()), ("aliases", aliases_table())] {
        let start = format!("<!-- {name}: written by a test from the catalogue of masks -->\n");
        let end = format!("<!-- end of {name} -->\n");
        let (before, rest) = expected.split_once(&start).unwrap();
        let (_, after) = rest.split_once(&end).unwrap();
        expected = format!("{before}{start}\n{table}\n{end}{after}");
    }
    assert!(expected == MANUAL, "differs from policies/README.md; it should be:\n{expected}<<<end");
}

#[test]
fn every_policy_in_the_manual_can_be_read() {
    let policies: Vec<&str> =
        MANUAL.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    assert_eq!(policies.len(), 5);
    for text in policies {
        // A piece of a policy is put into a whole one.
        let whole =
            if text.contains("version: 1") { text.to_owned() } else { format!("version: 1\ncolumns: {{}}\n{text}") };
        policy(&whole);
    }
}

#[test]
fn the_manual_has_every_key_and_word() {
    let words = FILTER_WORDS.iter().map(|(word, _)| *word).chain(HIDDEN_WORDS.iter().map(|(word, _)| *word));
    let keys = [
        FILE_KEYS,
        DEFAULT_KEYS,
        TAG_KEYS,
        COLUMN_KEYS,
        ENCRYPTION_KEYS,
        ROLE_KEYS,
        ACCOUNT_KEYS,
        REVEAL_KEYS,
        SIGHT_KEYS,
        SIGHT_WORDS,
        GUARD_KEYS,
        LIMIT_KEYS,
        BREACH_WORDS,
    ]
    .concat();
    for word in words.chain(keys) {
        let written = ["`", "{ ", ", "]
            .iter()
            .any(|before| ["`", ":", ",", " }"].iter().any(|after| MANUAL.contains(&format!("{before}{word}{after}"))));
        assert!(written, "{word} is not in the manual");
    }
}
