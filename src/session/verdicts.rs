//! What is to be done with the statements of a text, and what has to be known first.

use std::sync::Arc;

use bytes::Bytes;

use super::conversation::{ASKED_MAX, Conversation, Waiting};
use super::encoding::Encoding;
use super::io::{CatalogChanges, Context, Observation, VerdictLabel};
use super::outbox::Outbox;
use super::sealing::{Sealed, SealedStatement};
use super::statements::{Effect, Prepared};
use super::write_back::Changes;
use crate::catalog::Name;
use crate::plan::{Judgement, Own, Protection, Refusal, Scan, Snapshot, Verdict, judge, judge_opaque};
use crate::sql::NotUnderstood;
use crate::sql::analyze::analyze;
use crate::sql::statement::{Analysis, Detail, Reading, Statement, StatementKind};

/// The verdict on a message's text.
pub(super) struct Judged {
    /// Of each statement, and what running it does; none: the text passes.
    pub verdicts: Vec<(Verdict, Effect)>,
    /// What has to run in its place: masks among its literals are not stored.
    pub changed: Option<Bytes>,
    /// What goes to the server in the place of that: with values that are encrypted.
    pub sent: Option<Bytes>,
    /// What the server has then, where it is prepared.
    pub sealed: Option<Arc<SealedStatement>>,
}

impl Conversation {
    /// A prepared statement as the snapshot of now judges it; `None`: it has to wait.
    pub(super) fn current(
        &mut self,
        prepared: &Arc<Prepared>,
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Option<Arc<Prepared>> {
        if self.is_unread(context) {
            let judged = self.unread(context, out);
            let (verdict, effect) = judged.verdicts.into_iter().next().unwrap_or((Verdict::Pass, Effect::None));
            return Some(match verdict {
                Verdict::Pass => Arc::clone(prepared),
                verdict => Arc::new(Prepared {
                    text: prepared.text.clone(),
                    version: prepared.version,
                    own: prepared.own,
                    spoken: prepared.spoken.clone(),
                    verdict,
                    effect,
                    passed: None,
                    by_sql: prepared.by_sql,
                    types: prepared.types.clone(),
                    sealed: prepared.sealed.clone(),
                }),
            });
        }
        let fresh = prepared.version == context.snapshot.version && prepared.own == self.generation();
        if fresh && !self.stale {
            return Some(Arc::clone(prepared));
        }
        // What it recalls in turn is judged when it is described: a statement can execute itself.
        let prepares = std::mem::replace(&mut self.prepares, true);
        let unsettled = self.tenants.look_aside(false);
        let judged = match &prepared.text {
            Some(text) => self.judged_readable(text, false, context, out),
            None => Some(self.unreadable(context, out)),
        };
        self.prepares = prepares;
        self.tenants.look_aside(unsettled);
        let judged = judged?;
        // The server has the text as it was, with a mask in it that must not be stored by now.
        let changed = || judged.changed.is_some().then(|| Arc::new(Refusal::mask_in_text()));
        let like = SealedStatement::is_like(prepared.sealed.as_deref(), judged.sealed.as_deref());
        let otherwise = || (!like && !prepared.by_sql).then(|| Arc::new(Refusal::sealed_otherwise()));
        let verdict = judged.refusal().or_else(changed).or_else(otherwise).map(Verdict::Refuse);
        let (first, effect) = judged.verdicts.into_iter().next().unwrap_or((Verdict::Pass, Effect::None));
        let passed = match &effect {
            Effect::Prepares(_, _, passed, _) => passed.clone(),
            _ => None,
        };
        let fresh = Arc::new(Prepared {
            text: prepared.text.clone(),
            version: context.snapshot.version,
            own: self.generation(),
            spoken: self.spoken.clone(),
            verdict: verdict.unwrap_or(first),
            // The text may be that of a PREPARE, which is not what runs.
            effect: if prepared.by_sql { Effect::None } else { effect },
            by_sql: prepared.by_sql,
            passed,
            types: prepared.types.clone(),
            sealed: prepared.sealed.clone(),
        });
        self.registry.rejudged(prepared, &fresh);
        self.replies.rejudged(prepared, &fresh);
        Some(fresh)
    }

    /// The verdict on a text; `None`: it has to wait. What EXECUTE runs is judged by the snapshot of now.
    pub(super) fn judged(&mut self, text: &[u8], context: &Context<'_>, out: &mut Outbox) -> Option<Judged> {
        let mut judged = self.judged_alone(text, context, out)?;
        for (verdict, _) in &mut judged.verdicts {
            let (name, plan) = match &*verdict {
                Verdict::Recall(name) => (name, false),
                Verdict::RecallPlan(name) => (name, true),
                Verdict::Pass | Verdict::Protect(_) | Verdict::Refuse(_) => continue,
            };
            let Some(prepared) = self.registry.statement(name.as_str().as_bytes()).cloned() else { continue };
            let prepared = self.current(&prepared, context, out)?;
            let refusal = match &prepared.verdict {
                Verdict::Pass => None,
                _ if plan => Some(Arc::new(Refusal::kind("EXPLAIN"))),
                Verdict::Refuse(refusal) => Some(Arc::clone(refusal)),
                Verdict::Protect(protection) => {
                    let readable = self.readable(text).unwrap_or_default();
                    protection.write_back.executed(&String::from_utf8_lossy(&readable)).err().map(Arc::new)
                }
                Verdict::Recall(_) | Verdict::RecallPlan(_) => None,
            };
            if let Some(refusal) = refusal {
                Self::observe(out, Observation::Refusal(refusal.reason));
                *verdict = Verdict::Refuse(refusal);
            }
        }
        self.show_declared_types(&mut judged, text, context);
        Some(judged)
    }

    /// The verdict on a text alone.
    fn judged_alone(&mut self, text: &[u8], context: &Context<'_>, out: &mut Outbox) -> Option<Judged> {
        if context.snapshot.inventory.is_empty() {
            return Some(Judged::passed(out));
        }
        if self.is_unread(context) {
            return Some(self.unread(context, out));
        }
        match self.readable(text) {
            Some(readable) => self.judged_readable(&readable, true, context, out),
            None => {
                let mut judged = self.unreadable(context, out);
                // What is not valid in the client's encoding the server says better, where nothing tagged seems to be named.
                let ascii: Vec<u8> = text.iter().map(|byte| if byte.is_ascii() { *byte } else { b'_' }).collect();
                let invalid = self.encoding == Encoding::Utf8
                    && std::str::from_utf8(text).is_err()
                    && context.snapshot.inventory.scan(&ascii) == Scan::Harmless;
                for (verdict, _) in &mut judged.verdicts {
                    if let Verdict::Refuse(refusal) = verdict {
                        Arc::make_mut(refusal).unreadable |= invalid;
                    }
                }
                Some(judged)
            }
        }
    }

    /// The verdict on a text that the server may read in another way.
    fn unreadable(&mut self, context: &Context<'_>, out: &mut Outbox) -> Judged {
        let caller = self.caller(context.snapshot);
        let words = std::collections::BTreeSet::new();
        let judgement = judge_opaque(NotUnderstood::Encoding, &words, context.snapshot, &caller);
        Judged {
            verdicts: vec![(Self::counted(judgement, out), Effect::None)],
            changed: None,
            sent: None,
            sealed: None,
        }
    }

    /// The verdict on a text while the catalog has changed and can not be read.
    fn unread(&mut self, context: &Context<'_>, out: &mut Outbox) -> Judged {
        let caller = self.caller(context.snapshot);
        let words = std::collections::BTreeSet::new();
        let judgement = judge_opaque(NotUnderstood::Unread, &words, context.snapshot, &caller);
        self.changes_by(None);
        Judged {
            verdicts: vec![(Self::counted(judgement, out), Effect::None)],
            changed: None,
            sent: None,
            sealed: None,
        }
    }

    /// The verdict on a text as it is read. `sends`: it goes to the server; else it has what it runs already.
    fn judged_readable(
        &mut self,
        readable: &[u8],
        sends: bool,
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Option<Judged> {
        let judged = self.judged_statements(readable, sends, context, out);
        self.previewed();
        judged
    }

    fn judged_statements(
        &mut self,
        readable: &[u8],
        sends: bool,
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Option<Judged> {
        let snapshot = context.snapshot;
        if snapshot.inventory.is_empty() {
            return Some(Judged::passed(out));
        }
        match self.spoken_in(&String::from_utf8_lossy(readable), context) {
            Ok(spoken) => {
                self.comments_speak |= spoken.is_some();
                self.spoken = spoken;
            }
            Err(error) => {
                let refusal = self.actor_refused(error, out);
                return Some(Judged::refused(refusal, out));
            }
        }
        if self.stale && !only_defines(readable) {
            // Its own change of the catalog is being read.
            self.waiting = Some(Waiting::Refresh);
            return None;
        }
        // What this transaction has made may have a name that is known as harmless.
        if !self.own.pending && self.own.is_empty() && snapshot.inventory.scan(readable) == Scan::Harmless {
            return Some(Judged::passed(out));
        }
        let mut caller = self.caller(snapshot);
        let analysis = self.analysed(readable, context, out)?;
        let statements = match &*analysis {
            Analysis::Opaque(why, words) => {
                if snapshot.policy.has_settings() && mentions_settings(readable) {
                    return Some(Judged::refused(Refusal::unclear_setting(), out));
                }
                let judgement = judge_opaque(*why, words, snapshot, &caller);
                // What can not be read may be a definition as well as anything else.
                self.changes_by(None);
                return Some(Judged {
                    verdicts: vec![(Self::counted(judgement, out), Effect::None)],
                    changed: None,
                    sent: None,
                    sealed: None,
                });
            }
            Analysis::Statements(statements) => statements,
        };
        if self.asks_for_names(statements, context, out) {
            // They are made again by the new catalog.
            self.analyses.clear();
            return None;
        }
        let readable = String::from_utf8_lossy(readable);
        let before = self.own.clone();
        let mut own = std::mem::take(&mut self.own);
        let mut changes = Changes::default();
        let mut sealed = Sealed::default();
        let mut verdicts = Vec::with_capacity(statements.len());
        for statement in statements {
            let own_text = readable.get(statement.span.clone()).unwrap_or_default();
            // What names something of this session is read again, by what that is.
            let with_own = own.is_named(&statement.words).then(|| read_again(statement, own_text, snapshot, &own));
            let statement = with_own.as_ref().unwrap_or(statement);
            let (mut taken, mut makes_code) = (None, false);
            if own.concerns(statement) {
                let taken = taken.get_or_insert_with(|| own.clone());
                taken.take_in(statement, own_text, snapshot);
                makes_code = taken.made_code();
            }
            let mut judgement = judge(&readable, statement, snapshot, &caller, taken.as_ref().unwrap_or(&own));
            if let Some(refusal) = self.copy_refused(&judgement.verdict) {
                judgement.verdict = Verdict::Refuse(Arc::new(refusal));
            }
            let mut own_use = None;
            match self.own_use(statement, own_text, snapshot) {
                Err(refusal) => judgement.verdict = Verdict::Refuse(Arc::new(refusal)),
                Ok(Some(used)) if !matches!(judgement.verdict, Verdict::Refuse(_)) => {
                    if let Some(shown) = used.shows() {
                        judgement.verdict = Verdict::Protect(Arc::new(Protection::showing(shown)));
                    }
                    own_use = Some(Arc::new(used));
                }
                Ok(_) => {}
            }
            let Some(judgement) = self.without_masks(judgement, &readable, statement, &mut changes, context, out)
            else {
                self.own = before;
                return None;
            };
            let judgement = match self.seal_statement(
                judgement,
                &readable,
                statement,
                &changes,
                (&mut sealed, taken.as_ref().unwrap_or(&own), context),
                out,
            ) {
                Some(judgement) => judgement,
                None => {
                    self.own = before;
                    return None;
                }
            };
            let judgement = match sends {
                true => self.seal_executed(judgement, (own_text, statement), &verdicts, &mut sealed, context, out),
                false => Some(judgement),
            };
            let Some(judgement) = judgement else {
                self.own = before;
                return None;
            };
            self.tenants.note_statement(statement);
            let verdict = Self::counted(judgement, out);
            if let Some(taken) = taken.filter(|_| !matches!(verdict, Verdict::Refuse(_))) {
                own = taken;
            }
            if let Some(name) = makes(statement, &verdict, &own) {
                // Whether somebody else has one of that name is worth asking again.
                self.asked.remove(&name);
                own.names.insert(name);
            }
            let effect = sealed.effect(changes.effect(Effect::of(statement, &readable), statement), statement);
            let effect = match effect {
                Effect::None if makes_code => Effect::ChangesCatalog { for_others: true, words: None },
                effect => effect,
            };
            let effect = own_use.map_or(effect, Effect::Configures);
            if statements.len() > 1 {
                self.previews(&effect, statement.kind, context);
                caller = self.caller(snapshot);
            }
            // The next statement of the message may use what this one makes.
            own.pending |= matches!(effect, Effect::ChangesCatalog { .. });
            verdicts.push((verdict, effect));
        }
        self.analyses.clear();
        let mut judged = self.changed(verdicts, &readable, &changes);
        self.send_sealed(&mut judged, &readable, &changes, &sealed);
        // A message that is refused makes nothing.
        self.own = if judged.refusal().is_some() { before } else { own };
        Some(judged)
    }

    /// Names that the catalog does not have are worth one fresh reading of it.
    pub(super) fn asks_for_names(&mut self, statements: &[Statement], context: &Context<'_>, out: &mut Outbox) -> bool {
        let mut asks = false;
        let made: Vec<&Name> = statements.iter().filter_map(made_by).collect();
        for statement in statements {
            let inventory = &context.snapshot.inventory;
            let unknown = || statement.words.iter().filter(|word| !inventory.knows(word)).collect::<Vec<_>>();
            let names: Vec<&Name> = match &statement.reading {
                Reading::Understood(lineage) => lineage.unresolved.iter().collect(),
                Reading::NotUnderstood(_) => unknown(),
                Reading::NoQuery => match (statement.kind, &statement.detail) {
                    (StatementKind::Call, _) => unknown(),
                    // Its arguments, not its own name.
                    (StatementKind::Execute, Detail::Prepared(Some(own))) => {
                        unknown().into_iter().filter(|name| *name != own).collect()
                    }
                    _ => Vec::new(),
                },
            };
            for name in names {
                if self.own.knows(name) || made.contains(&name) {
                    continue;
                }
                if !self.asked.contains(name) {
                    if self.asked.len() >= ASKED_MAX {
                        self.asked.clear();
                    }
                    self.asked.insert(name.clone());
                    asks = true;
                }
            }
        }
        if asks {
            self.await_refresh(CatalogChanges::All, out);
        }
        asks
    }

    pub(super) fn counted(judgement: Judgement, out: &mut Outbox) -> Verdict {
        for observation in judgement.observations {
            Self::observe(out, observation);
        }
        let label = match &judgement.verdict {
            Verdict::Pass => VerdictLabel::Passed,
            Verdict::Protect(_) | Verdict::Recall(_) | Verdict::RecallPlan(_) => VerdictLabel::Protected,
            Verdict::Refuse(refusal) => {
                Self::observe(out, Observation::Refusal(refusal.reason));
                VerdictLabel::Refused
            }
        };
        Self::observe(out, Observation::Statement(label));
        judgement.verdict
    }

    /// What the session has to remember of a statement that is about to run.
    pub(super) fn note(&mut self, effect: &Effect) {
        self.own.pending |= matches!(effect, Effect::ChangesCatalog { .. });
        if let Effect::ChangesCatalog { for_others: true, words } = effect {
            self.changes_by(words.clone());
        }
        self.ends_transaction |= matches!(effect, Effect::EndsTransaction);
        self.standing_pending |= !matches!(effect, Effect::Configures(_)) && self.standing.may_change_by(effect);
        if let Effect::Declares(name, ..) = effect {
            self.declared.insert(name.clone());
        }
    }
}

impl Judged {
    pub(super) fn passed(out: &mut Outbox) -> Self {
        Conversation::observe(out, Observation::Statement(VerdictLabel::Passed));
        Self { verdicts: Vec::new(), changed: None, sent: None, sealed: None }
    }

    /// It may not run, and nothing else was judged.
    fn refused(refusal: Refusal, out: &mut Outbox) -> Self {
        Conversation::observe(out, Observation::Refusal(refusal.reason));
        Conversation::observe(out, Observation::Statement(VerdictLabel::Refused));
        let verdicts = vec![(Verdict::Refuse(Arc::new(refusal)), Effect::None)];
        Self { verdicts, changed: None, sent: None, sealed: None }
    }

    /// It may not run.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.verdicts = vec![(Verdict::Refuse(Arc::new(refusal)), Effect::None)];
        (self.changed, self.sent, self.sealed) = (None, None, None);
    }

    /// Whether a statement of it copies rows to the client.
    pub(super) fn copies(&self) -> bool {
        self.verdicts.iter().any(|(verdict, _)| match verdict {
            Verdict::Protect(protection) => protection.copy.as_ref().is_some_and(|copy| !copy.inward),
            Verdict::Pass | Verdict::Refuse(_) | Verdict::Recall(_) | Verdict::RecallPlan(_) => false,
        })
    }

    /// One refused statement refuses the whole message, before anything of it runs.
    pub(super) fn refusal(&self) -> Option<Arc<Refusal>> {
        self.verdicts.iter().find_map(|(verdict, _)| match verdict {
            Verdict::Refuse(refusal) => Some(Arc::clone(refusal)),
            Verdict::Pass | Verdict::Protect(_) | Verdict::Recall(_) | Verdict::RecallPlan(_) => None,
        })
    }
}

/// Whether a text that could not be read may be about pgveil's own settings.
fn mentions_settings(text: &[u8]) -> bool {
    text.windows(6).any(|word| word.eq_ignore_ascii_case(b"pgveil"))
}

/// Whether a text is BEGIN and nothing else: drivers send it in one flight with what comes after it.
pub(super) fn is_begin(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    text.strip_suffix(b";").unwrap_or(text).eq_ignore_ascii_case(b"begin")
}

/// Whether a text is one query or change of rows, which leaves `client_encoding` as it is. (No function or trigger that a
/// masked caller can make sets it, and none is needed by who may set it.)
pub(super) fn keeps_encoding(text: &[u8]) -> bool {
    const FIRST: [&[u8]; 9] =
        [b"select", b"insert", b"update", b"delete", b"merge", b"values", b"table", b"copy", b"begin"];
    const LOOKED_THROUGH_BYTES_MAX: usize = 64 * 1024;
    let text = text.trim_ascii();
    let text = text.strip_suffix(b";").unwrap_or(text);
    let first = text.split(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
    let has = |word: &[u8]| text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    text.len() <= LOOKED_THROUGH_BYTES_MAX
        && FIRST.iter().any(|word| first.eq_ignore_ascii_case(word))
        && ![&b";"[..], b"set_config", b"pg_settings", b"u&"].into_iter().any(has)
}

/// Whether a statement of that text may return columns of relations, so that the server's description of it can tell
/// whether the catalog is out of date. COPY is never described.
pub(super) fn may_show_columns(text: &[u8]) -> bool {
    const LOOKED_THROUGH_BYTES_MAX: usize = 64 * 1024;
    if text.len() > LOOKED_THROUGH_BYTES_MAX {
        return true;
    }
    let has = |word: &[u8]| text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    let text = text.trim_ascii_start();
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|first| first.eq_ignore_ascii_case(word));
    if begins(b"copy") {
        return false;
    }
    let writes = [&b"insert"[..], b"update", b"delete", b"merge"].into_iter().any(begins);
    if writes { has(b"returning") } else { has(b"from") || has(b"table") || has(b"returning") }
}

/// Whether a text is one definition that looks at no row of any table, so that its errors quote no value: making what is
/// empty, and taking away. Not `ALTER TABLE` and indexes, which check what is there.
pub(super) fn looks_at_no_rows(text: &[u8]) -> bool {
    const MADE: [&[u8]; 17] = [
        b"role",
        b"user",
        b"group",
        b"database",
        b"schema",
        b"sequence",
        b"type",
        b"domain",
        b"view",
        b"function",
        b"procedure",
        b"aggregate",
        b"operator",
        b"cast",
        b"rule",
        b"trigger",
        b"policy",
    ];
    let lower = text.to_ascii_lowercase();
    let mut words = lower.split(|byte| !byte.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    only_defines(text)
        && match words.next() {
            Some(b"drop" | b"comment" | b"grant" | b"revoke" | b"set") => true,
            Some(b"alter") => matches!(words.next(), Some(b"type" | b"role" | b"user" | b"sequence" | b"function")),
            Some(b"create") => match words.next() {
                // PARTITION OF looks into the default partition; AS may be a query.
                Some(b"table") => words.all(|word| !matches!(word, b"as" | b"partition" | b"execute" | b"values")),
                Some(made) => MADE.contains(&made),
                None => false,
            },
            _ => false,
        }
}

/// Whether a text is one definition that reads no rows: a migration of a thousand of them need not wait for the catalog
/// after each.
pub(super) fn only_defines(text: &[u8]) -> bool {
    const FIRST: [&[u8]; 7] = [b"create", b"alter", b"drop", b"comment", b"grant", b"revoke", b"set"];
    let text = text.trim_ascii().to_ascii_lowercase();
    let text = text.strip_suffix(b";").unwrap_or(&text);
    let first = text.split(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
    FIRST.contains(&first) && !text.contains(&b';') && !text.windows(6).any(|word| word == b"select")
}

/// The name of the relation that a statement makes.
fn made_by(statement: &Statement) -> Option<&Name> {
    match &statement.detail {
        Detail::Makes(definition) => definition.name.as_ref().map(|object| &object.name),
        _ => None,
    }
}

/// A statement as it is read with what the session has made. `text`: its own.
fn read_again(statement: &Statement, text: &str, snapshot: &Snapshot, own: &Own) -> Statement {
    let catalog = own.catalog(&snapshot.catalog);
    // It stays where it is in its message: there are positions in what is known of it.
    let text = format!("{:start$}{text}", "", start = statement.span.start);
    if let Analysis::Statements(mut statements) = analyze(text.as_bytes(), &catalog, &snapshot.limits)
        && statements.len() == 1
        && let Some(read) = statements.pop()
    {
        return read;
    }
    let reading = Reading::NotUnderstood(NotUnderstood::TooLarge);
    Statement { reading, ..statement.clone() }
}

/// The name of a relation that a statement makes out of nothing tagged.
fn makes(statement: &Statement, verdict: &Verdict, own: &Own) -> Option<Name> {
    let Detail::Makes(definition) = &statement.detail else { return None };
    let name = definition.name.as_ref().filter(|object| !own.knows(&object.name))?;
    match (statement.kind, verdict) {
        (
            StatementKind::CreateTable
            | StatementKind::CreateTableAs
            | StatementKind::CreateView
            | StatementKind::CreateMaterializedView,
            Verdict::Pass,
        ) => Some(name.name.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_that_look_at_no_rows_are_known() {
        for (text, expected) in [
            ("CREATE TABLE t (id int PRIMARY KEY, word text CHECK (word <> ''))", true),
            ("create role newcomer", true),
            ("CREATE AGGREGATE a (sfunc = f, basetype = int4, stype = int4)", true),
            ("CREATE VIEW v AS TABLE t", true),
            ("DROP TABLE t CASCADE;", true),
            ("COMMENT ON TABLE t IS 'x'", true),
            ("GRANT EXECUTE ON FUNCTION f() TO x", true),
            ("CREATE TABLE t AS SELECT 1", false),
            ("CREATE TABLE t AS TABLE u", false),
            ("CREATE TABLE t AS EXECUTE p", false),
            ("CREATE TABLE t PARTITION OF u DEFAULT", false),
            ("CREATE UNIQUE INDEX i ON t (x)", false),
            ("CREATE MATERIALIZED VIEW m AS TABLE t", false),
            ("ALTER TABLE t ADD CHECK (x > 0)", false),
            ("ALTER TYPE mood RENAME VALUE 'glad' TO 'gleeful'", true),
            ("DROP TABLE t; SELECT 1", false),
            ("SELECT 1", false),
            ("", false),
        ] {
            assert_eq!(looks_at_no_rows(text.as_bytes()), expected, "{text}");
        }
    }
}
