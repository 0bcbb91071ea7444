//! Statements of the application, from a server log or a file: which of them pgveil would refuse, since they ask of an
//! encrypted column what it can not do. It is asked as sessions ask it, by [`crate::plan::sealing`].

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::catalog::Catalog;
use crate::crypto::{DataKey, Equality, KeyId, KeyRing, KeyState, KeyVersion, NonceSource};
use crate::mask::MaskKeys;
use crate::plan::{Inventory, Means, Own, Sealed, Snapshot, TenantSettings, sealing};
use crate::policy::Policy;
use crate::sql::analyze::analyze;
use crate::sql::statement::{Analysis, Statement};
use crate::sql::{Limits, fingerprint};
use crate::value::TextForms;

/// As much as pgveil's own threads for long texts have.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// What stands before a statement in the server's log (`log_statement`, `log_min_duration_statement`).
const LOG_MARKS: [&str; 2] = ["statement: ", "execute "];

/// What becomes of the statements of a file.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct StatementsJudged {
    /// How many there are, and how many of them give values to encrypted columns or compare them, and are rewritten.
    pub(super) read: u64,
    pub(super) rewritten: u64,
    /// Those that are refused.
    pub(super) refused: Vec<RefusedStatement>,
}

/// Statements that are refused, of one form. Their text, which has values in it, is left where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct RefusedStatement {
    /// The line of the file on which the first of them begins.
    pub(super) line: usize,
    /// How many there are.
    pub(super) count: u64,
    /// What the client would be told.
    pub(super) message: String,
    pub(super) hint: String,
}

/// Why the file is not judged.
#[derive(Debug, thiserror::Error)]
pub(super) enum StatementsError {
    #[error("--statements {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the analysis of the statements has failed")]
    Panicked,
}

/// Judge the statements of a file.
///
/// # Errors
/// It can not be read.
pub(super) fn judge(path: &Path, policy: Arc<Policy>, catalog: Catalog) -> Result<StatementsJudged, StatementsError> {
    let file = |source| StatementsError::File { path: path.to_owned(), source };
    let text = String::from_utf8_lossy(&std::fs::read(path).map_err(file)?).into_owned();
    let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let mut judge = Judge::new(policy, catalog);
        for (line, text) in messages(&text) {
            judge.message(line, &text);
        }
        judge.judged
    });
    worker.map_err(file)?.join().map_err(|_| StatementsError::Panicked)
}

struct Judge {
    snapshot: Snapshot,
    nonces: NonceSource,
    judged: StatementsJudged,
    /// Where in `judged` a form of statement is; `None`: that form runs.
    known: HashMap<u64, Option<usize>>,
}

impl Judge {
    fn new(policy: Arc<Policy>, catalog: Catalog) -> Self {
        let snapshot = Snapshot {
            version: 1,
            inventory: Arc::new(Inventory::new(&policy, &catalog, None)),
            ring: Arc::new(passing_keys(&policy)),
            policy,
            catalog: Arc::new(catalog),
            keys: Arc::new(MaskKeys::default()),
            actor_keys: Arc::default(),
            access_log_ready: true,
            limits: Limits::default(),
            epoch: 0,
            since: 0,
            exact: true,
            past: Arc::default(),
        };
        Self { snapshot, nonces: NonceSource::new([0; 32]), judged: StatementsJudged::default(), known: HashMap::new() }
    }

    /// `line`: where the text begins in the file.
    fn message(&mut self, line: usize, text: &str) {
        let analysis = analyze(text.as_bytes(), &self.snapshot.catalog, &self.snapshot.limits);
        let Analysis::Statements(statements) = analysis else {
            let unread = "the text can not be split into statements".to_owned();
            let refused = RefusedStatement { line, count: 1, message: unread, hint: String::new() };
            self.judged.refused.push(refused);
            return;
        };
        for statement in &statements {
            let own = text.get(statement.span.clone()).unwrap_or_default();
            let before = text.get(..statement.span.start).unwrap_or_default();
            self.statement(line + before.matches('\n').count(), own, statement);
        }
    }

    fn statement(&mut self, line: usize, own: &str, statement: &Statement) {
        self.judged.read += 1;
        let form = fingerprint(own);
        if let Some(Some(known)) = self.known.get(&form).copied() {
            if let Some(refused) = self.judged.refused.get_mut(known) {
                refused.count += 1;
            }
            return;
        }
        let Self { snapshot, nonces, judged, known } = self;
        let forms = TextForms::default();
        // Whatever the settings are that say whose values are: the session will have them.
        let mut settings = TenantSettings::default();
        snapshot.policy.tenant_settings().for_each(|setting| settings.set(setting, Some(b"1")));
        let (ring, settings) = (&snapshot.ring, &settings);
        let mut means = Means::new(ring, &forms, nonces, settings);
        // Only that statement is meant, wherever it stands in the text.
        let alone = Statement { span: 0..own.len(), ..statement.clone() };
        let mut analyses = |text: &str| Some(Arc::new(analyze(text.as_bytes(), &snapshot.catalog, &snapshot.limits)));
        match sealing(own, &alone, (snapshot, &Own::default()), &mut means, &mut analyses) {
            Ok(None | Some(Sealed { sealing: None, .. })) => {}
            Ok(Some(Sealed { sealing: Some(_), .. })) => judged.rewritten += 1,
            Err(refusal) => {
                known.insert(form, Some(judged.refused.len()));
                let (message, hint) = (refusal.message.to_string(), refusal.hint.to_string());
                judged.refused.push(RefusedStatement { line, count: 1, message, hint });
            }
        }
    }
}

/// A key for each name of the policy, for this judgement alone: nothing that is sealed with it is kept.
fn passing_keys(policy: &Policy) -> KeyRing {
    let mut ring = KeyRing::default();
    let mut secret = Zeroizing::new([0; 32]);
    let id = KeyId([0; 8]);
    // Whatever it is, it is as good.
    let _filled = getrandom::fill(&mut *secret);
    let key = Arc::new(DataKey::new(id, &secret));
    for encryption in policy.columns().filter_map(|(_, column)| column.encryption.as_ref()) {
        let version = KeyVersion { id, state: KeyState::Active, key: Some(Arc::clone(&key)) };
        ring.insert(&encryption.key, vec![version], Equality { pinned: id, leaving: None });
    }
    ring
}

/// The texts in a file, each with its line: the messages in a server log, or all of it.
fn messages(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut is_open = false;
    for (number, line) in text.lines().enumerate() {
        if let Some(start) = logged(line) {
            found.push((number + 1, start.to_owned()));
            is_open = true;
        } else if let Some(more) = line.strip_prefix('\t').filter(|_| is_open) {
            if let Some((_, text)) = found.last_mut() {
                text.push('\n');
                text.push_str(more);
            }
        } else {
            is_open = false;
        }
    }
    if found.is_empty() && !text.trim().is_empty() {
        found.push((1, text.to_owned()));
    }
    found
}

/// The statement in a line of a server log.
fn logged(line: &str) -> Option<&str> {
    let (_, said) = line.split_once("LOG:  ")?;
    // `duration: 1.5 ms  statement: ...`, `execute name: ...`, `duration: 1.5 ms  execute name: ...`
    let said = match said.strip_prefix("duration: ") {
        Some(rest) => rest.split_once(" ms  ")?.1,
        None => said,
    };
    let [statement, execute] = LOG_MARKS;
    match said.strip_prefix(statement) {
        Some(text) => Some(text),
        None => said.strip_prefix(execute)?.split_once(": ").map(|(_, text)| text),
    }
}

impl fmt::Display for RefusedStatement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, count, message, hint } = self;
        let times = if *count == 1 { String::new() } else { format!(", {count} times") };
        write!(out, "line {line}{times}: {message}. {hint}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_in_a_server_log() {
        let log = "2026-11-22 10:00:00.000 UTC [7] app@shop LOG:  statement: SELECT 1\n\tFROM t\n\
                   2026-11-22 10:00:00.000 UTC [7] app@shop ERROR:  relation \"t\" does not exist\n\tnot this\n\
                   [7] LOG:  duration: 0.104 ms  execute <unnamed>: SELECT $1\n\
                   [7] DETAIL:  parameters: $1 = '7'\n\
                   [7] LOG:  execute s1: SELECT 2\n[7] LOG:  checkpoint starting: time\n";
        let found = messages(log);
        let texts: Vec<(usize, &str)> = found.iter().map(|(line, text)| (*line, text.as_str())).collect();
        assert_eq!(texts, [(1, "SELECT 1\nFROM t"), (5, "SELECT $1"), (7, "SELECT 2")]);
    }

    #[test]
    fn a_file_that_is_no_log_is_taken_as_statements() {
        assert_eq!(messages("SELECT 1;\nSELECT 2;\n"), [(1, "SELECT 1;\nSELECT 2;\n".to_owned())]);
        assert_eq!(messages("\n"), []);
    }
}
