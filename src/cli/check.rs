//! `pgveil check`: whether policy files are right, by themselves and against a database.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::catalog::Catalog;
use crate::policy::{Diagnostic, Policy, PolicySource, Severity};
use crate::server::keys::Keyring;
use crate::server::reload::read_policies;

/// Check the policy that these files and directories make, and hold it against a catalog and a keyring if there are such. What is wrong
/// goes to standard error with file, line and column, in colours on a terminal; a summary goes to standard output.
/// The exit code is 0 if the policy can be used, warnings or not, else 1.
pub fn check(paths: &[PathBuf], catalog: Option<&Catalog>, keyring: Option<&Keyring>) -> ExitCode {
    let stderr = std::io::stderr();
    // https://no-color.org
    let styled = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let verdict = match read_policies(paths) {
        Ok(sources) => judge(&sources, catalog, keyring),
        Err(error) => {
            eprintln!("pgveil: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut out = stderr.lock();
    for diagnostic in &verdict.diagnostics {
        // Nobody is left to tell when standard error is closed.
        let _written = writeln!(out, "{}\n", diagnostic.render(styled));
    }
    for missing in &verdict.missing_keys {
        let _written = writeln!(out, "{missing}\n");
    }
    if verdict.usable {
        println!("{}", verdict.summary);
        ExitCode::SUCCESS
    } else {
        let _written = writeln!(out, "{}", verdict.summary);
        ExitCode::FAILURE
    }
}

struct Verdict {
    usable: bool,
    diagnostics: Vec<Diagnostic>,
    /// Messages about keys that encrypted columns need and the keyring has not.
    missing_keys: Vec<String>,
    summary: String,
}

fn judge(sources: &[PolicySource], catalog: Option<&Catalog>, keyring: Option<&Keyring>) -> Verdict {
    let (policy, diagnostics) = match Policy::parse(sources) {
        Ok(policy) => {
            let found = catalog.map(|catalog| policy.check_against(catalog)).unwrap_or_default();
            (Some(policy), found)
        }
        Err(found) => (None, found),
    };
    let of = |wanted: Severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == wanted).count();
    let missing_keys = match (&policy, keyring) {
        (Some(policy), Some(keyring)) => missing_keys(policy, keyring),
        (Some(_) | None, _) => Vec::new(),
    };
    let (errors, warnings) = (of(Severity::Error) + missing_keys.len(), of(Severity::Warning));
    let found = format!("{}, {}", counted(errors, "error"), counted(warnings, "warning"));
    let summary = match &policy {
        Some(policy) if errors == 0 => format!("{}; {found}", described(policy, sources.len(), catalog)),
        _ => format!("the policy can not be used: {found}"),
    };
    Verdict { usable: policy.is_some() && errors == 0, diagnostics, missing_keys, summary }
}

/// Each key that columns are encrypted with and that is not there, with the first of them.
fn missing_keys(policy: &Policy, keyring: &Keyring) -> Vec<String> {
    let mut missing = BTreeMap::new();
    for (_, column) in policy.columns() {
        if let Some(encryption) = column.encryption.as_ref().filter(|encryption| keyring.key(&encryption.key).is_none())
        {
            let name = format!("{}.{}.{}", column.schema, column.table, column.column);
            missing.entry(&encryption.key).or_insert(name);
        }
    }
    let missing = missing.into_iter().map(|(key, column)| {
        format!(
            "error: the keyring has no key `{key}`, which column {column} is encrypted with\n  = help: make it: pgveil keys create {key}"
        )
    });
    missing.collect()
}

fn described(policy: &Policy, files: usize, catalog: Option<&Catalog>) -> String {
    let mut tables: Vec<_> = policy.columns().map(|(_, column)| (&column.schema, &column.table)).collect();
    tables.sort_unstable();
    tables.dedup();
    let against = match catalog.map(Catalog::database) {
        Some(Some(database)) => format!(", held against database `{database}`"),
        Some(None) => ", held against a database".to_owned(),
        None => ", not held against a database".to_owned(),
    };
    let keys = match policy.keys() {
        keys if keys.is_empty() => String::new(),
        keys => {
            let names: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
            format!(", needs the mask keys {}", names.join(", "))
        }
    };
    let encrypted: BTreeSet<String> = policy
        .columns()
        .filter_map(|(_, column)| column.encryption.as_ref())
        .map(|encryption| format!("`{}`", encryption.key))
        .collect();
    let encrypted = match encrypted.into_iter().collect::<Vec<_>>() {
        names if names.is_empty() => String::new(),
        names => format!(", needs the keys {} for encrypted columns", names.join(", ")),
    };
    format!(
        "{}: {} tagged in {}, {}{keys}{encrypted}{against}",
        counted(files, "file"),
        counted(policy.columns().filter(|(_, column)| column.index_of.is_none()).count(), "column"),
        counted(tables.len(), "table"),
        counted(policy.role_names().count(), "role"),
    )
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{CatalogVersion, Name};

    fn judged(text: &str, catalog: Option<&Catalog>) -> (bool, usize, String) {
        let source = PolicySource { path: "p.yaml".into(), text: text.into() };
        let verdict = judge(&[source], catalog, None);
        (verdict.usable, verdict.diagnostics.len(), verdict.summary)
    }

    #[test]
    fn a_good_policy_is_summed_up() {
        let text = include_str!("../../policies/shop.yaml");
        let (usable, found, summary) = judged(text, None);
        assert!(usable && found == 0);
        assert_eq!(
            summary,
            "1 file: 24 columns tagged in 7 tables, 3 roles, needs the mask keys `default`, not held against a database; \
             0 errors, 0 warnings"
        );
    }

    #[test]
    fn a_wrong_policy_can_not_be_used() {
        let (usable, found, summary) = judged("version: 1\ncolumns: { t: { a: x, b: y } }\n", None);
        assert!(!usable && found == 2);
        assert_eq!(summary, "the policy can not be used: 2 errors, 0 warnings");
    }

    #[test]
    fn a_policy_of_another_database_can_not_be_used() {
        let empty = Catalog::new(CatalogVersion(1), Name::exact("shop"));
        let (usable, found, summary) =
            judged("version: 1\ntags: { x: { mask: full } }\ncolumns: { t: { a: x } }\n", Some(&empty));
        assert!(!usable && found == 1);
        assert_eq!(summary, "the policy can not be used: 1 error, 0 warnings");
    }

    #[test]
    fn keys_of_encrypted_columns_have_to_be_there() {
        let text = "version: 1\ntags: { x: { mask: full } }\ncolumns:\n  t:\n    a: { tag: x, encrypted: { type: text, key: k, domain: d } }\n";
        let source = PolicySource { path: "p.yaml".into(), text: text.into() };
        let verdict = judge(&[source], None, Some(&Keyring::default()));
        assert_eq!(
            verdict.missing_keys,
            [
                "error: the keyring has no key `k`, which column public.t.a is encrypted with\n  = help: make it: pgveil keys create k"
            ]
        );
        assert_eq!(verdict.summary, "the policy can not be used: 1 error, 0 warnings");
        let (usable, _, summary) = judged(text, None);
        assert!(usable && summary.contains("needs the keys `k` for encrypted columns"), "{summary}");
    }

    #[test]
    fn a_path_that_is_not_there_fails() {
        let nowhere = [PathBuf::from("/nowhere/at/all.yaml")];
        assert_eq!(format!("{:?}", check(&nowhere, None, None)), format!("{:?}", ExitCode::FAILURE));
    }
}
