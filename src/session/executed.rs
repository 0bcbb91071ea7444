//! `EXPLAIN EXECUTE` and `CREATE TABLE AS EXECUTE`, whose own text says nothing of what they run.

use super::conversation::Conversation;
use super::io::Context;
use super::outbox::Outbox;
use super::verdicts::Judged;
use crate::plan::Verdict;
use crate::sql::executed::Executed;
use crate::sql::statement::{Analysis, Detail, StatementKind};

impl Conversation {
    /// The verdict on a Query. Where it runs what was prepared in this session, and that touches nothing tagged, it is
    /// judged with that in the place of its name; `None`: it has to wait.
    ///
    /// The name has to be settled: with nothing under way it stands for what the registry says until the Query is done.
    /// Nor is there more in the message that could prepare it anew.
    pub(super) fn judged_query(&mut self, text: &[u8], context: &Context<'_>, out: &mut Outbox) -> Option<Judged> {
        if !self.replies.is_empty() || !may_name_prepared(text) || context.snapshot.inventory.is_empty() {
            return self.judged(text, context, out);
        }
        let Some(readable) = self.as_read(text) else { return self.judged(text, context, out) };
        let analysis = self.analysed(&readable, context, out)?;
        let (expanded, before) = (self.expanded(&readable, &analysis, context), self.own.clone());
        if let Some(expanded) = expanded {
            let mut judged = self.judged(expanded.as_bytes(), context, out)?;
            let passes = judged.verdicts.iter().all(|(verdict, _)| matches!(verdict, Verdict::Pass));
            if passes && judged.changed.is_none() {
                // The first computes the arguments: it is not a statement of its own.
                judged.verdicts = judged.verdicts.pop().into_iter().collect();
                return Some(judged);
            }
        }
        self.own = before;
        self.judged(text, context, out)
    }

    /// The text with what was prepared in the place of its name, and its arguments before it.
    fn expanded(&self, readable: &[u8], analysis: &Analysis, context: &Context<'_>) -> Option<String> {
        let Analysis::Statements(statements) = analysis else { return None };
        let [statement] = statements.as_slice() else { return None };
        let Detail::Prepared(Some(name)) = &statement.detail else { return None };
        if !matches!(statement.kind, StatementKind::Explain | StatementKind::CreateTableAs) {
            return None;
        }
        let known = self.registry.statement(name.as_str().as_bytes())?;
        if known.sealed.is_some() {
            // Values for encrypted columns are in it, which its own text would not be judged with.
            return None;
        }
        let prepared = std::str::from_utf8(known.text.as_ref()?).ok()?;
        let own = std::str::from_utf8(readable).ok()?.get(statement.span.clone())?;
        let tokens_max = context.snapshot.limits.tokens_max;
        Executed::of(own, name, tokens_max)?.with(prepared, known.by_sql, tokens_max)
    }
}

/// Whether a text may be a statement that runs what was prepared, within another.
fn may_name_prepared(text: &[u8]) -> bool {
    let has = |word: &[u8]| text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|first| first.eq_ignore_ascii_case(word));
    let comment = begins(b"--") || begins(b"/*") || text.first().is_some_and(u8::is_ascii_whitespace);
    (comment || begins(b"explain") || begins(b"create")) && has(b"execute")
}
