//! The forms that values of a policy file have: mappings with known keys, words of a closed list, names, numbers.
//! What does not have its form becomes a diagnostic, and reading goes on.

use super::diagnostic::{Diagnostic, Place};
use super::node::{Node, Value, Word};
use super::suggest::closest;

/// Reads nodes and collects what is wrong with them.
pub(super) struct Reader<'a> {
    /// What was found so far.
    pub(super) found: &'a mut Vec<Diagnostic>,
}

/// The entries of a mapping whose keys are known.
pub(super) struct Fields(Vec<(Word, Node)>);

impl Fields {
    /// Take the entry of that key out, if it is there.
    pub(super) fn take(&mut self, key: &str) -> Option<(Word, Node)> {
        let index = self.0.iter().position(|(word, _)| word.text == key)?;
        Some(self.0.swap_remove(index))
    }
}

impl Reader<'_> {
    /// Say what is wrong.
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// `what` should be `wanted` and is something else. `owner`: what to underline where the node has no text.
    pub(super) fn wrong_form(&mut self, node: &Node, owner: &Place, what: &str, wanted: &str) -> Diagnostic {
        let place = if node.place.text().is_empty() { owner } else { &node.place };
        Diagnostic::error(place, format!("{what} should be {wanted}, and is {}", node.sort()))
    }

    /// The entries of a mapping, each key once.
    pub(super) fn entries(&mut self, node: &Node, owner: &Place, what: &str) -> Option<Vec<(Word, Node)>> {
        let Value::Map(entries) = &node.value else {
            let wrong = self.wrong_form(node, owner, what, "a mapping (`key: value` lines)");
            self.report(match node.value {
                Value::Null => wrong.with_help("leave it out, or write `{}` if it is empty on purpose"),
                Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => wrong,
            });
            return None;
        };
        let mut kept: Vec<(Word, Node)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            match kept.iter().find(|(before, _)| before.text == key.text) {
                Some((before, _)) => {
                    let twice = Diagnostic::error(&key.place, format!("`{}` is listed twice in {what}", key.text));
                    self.report(twice.with_related(&before.place, "first listed here").with_help("keep one of them"));
                }
                None => kept.push((key.clone(), value.clone())),
            }
        }
        Some(kept)
    }

    /// The entries of a mapping whose keys are a closed list.
    pub(super) fn fields(&mut self, node: &Node, owner: &Place, what: &str, keys: &[&str]) -> Option<Fields> {
        let mut kept = self.entries(node, owner, what)?;
        kept.retain(|(key, _)| {
            let known = keys.contains(&key.text.as_str());
            if !known {
                let unknown = Diagnostic::error(&key.place, format!("unknown key `{}` in {what}", key.text));
                let suggestion = closest(&key.text, keys.iter().copied());
                self.report(unknown.suggesting(suggestion, || Some(format!("the keys are {}", listed(keys)))));
            }
            known
        });
        Some(Fields(kept))
    }

    /// A name, or whatever else is one word. Numbers are taken as they are written.
    pub(super) fn word(&mut self, node: &Node, owner: &Place, what: &str, wanted: &str) -> Option<Word> {
        match &node.value {
            Value::Text(text) | Value::Number(text) if !text.is_empty() => {
                Some(Word { text: text.clone(), place: node.place.clone() })
            }
            Value::Bool(_) => {
                let wrong = self.wrong_form(node, owner, what, wanted);
                self.report(wrong.with_help("if that is its name, put it in quotes"));
                None
            }
            Value::Text(_) | Value::Number(_) | Value::Null | Value::List(_) | Value::Map(_) => {
                let wrong = self.wrong_form(node, owner, what, wanted);
                self.report(wrong);
                None
            }
        }
    }

    /// A list of names; one name alone is a list of one. Never empty, unless a diagnostic was made.
    pub(super) fn words(&mut self, node: &Node, owner: &Place, what: &str) -> Vec<Word> {
        match &node.value {
            Value::List(items) if items.is_empty() => {
                let empty = Diagnostic::error(owner, format!("{what} is an empty list"));
                self.report(empty.with_help("leave it out, or name somebody"));
                Vec::new()
            }
            Value::List(items) => {
                let what = format!("an item of {what}");
                items.iter().filter_map(|item| self.word(item, owner, &what, "a name")).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => {
                self.word(node, owner, what, "a list of names").into_iter().collect()
            }
        }
    }

    /// One word of a closed list.
    pub(super) fn one_of<T: Copy>(&mut self, node: &Node, owner: &Place, what: &str, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let word = self.word(node, owner, what, &format!("one of {}", listed(&names)))?;
        let known = words.iter().find(|(name, _)| *name == word.text).map(|(_, value)| *value);
        if known.is_none() {
            let unknown = Diagnostic::error(&word.place, format!("`{}` is not a value of {what}", word.text));
            let suggestion = closest(&word.text, names.iter().copied());
            self.report(unknown.suggesting(suggestion, || Some(format!("it is one of {}", listed(&names)))));
        }
        known
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, node: &Node, owner: &Place, what: &str) -> Option<bool> {
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        let wrong = self.wrong_form(node, owner, what, "`true` or `false`");
        self.report(wrong);
        None
    }

    /// A whole number.
    pub(super) fn integer(&mut self, node: &Node, owner: &Place, what: &str) -> Option<i32> {
        if let Value::Number(text) = &node.value
            && let Ok(value) = text.parse()
        {
            return Some(value);
        }
        let wrong = self.wrong_form(node, owner, what, "a whole number of up to nine digits");
        self.report(wrong);
        None
    }
}

/// Words for a message: `` `a`, `b` and `c` ``.
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
        None => String::new(),
    }
}
