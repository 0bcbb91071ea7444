//! What is wrong with a policy, where, and what to do about it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// The text of one policy file, read by the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySource {
    /// The path as the user knows it: diagnostics and access events name it.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// A policy file that places point into.
#[derive(PartialEq, Eq)]
pub(super) struct PolicyFile {
    source: PolicySource,
    /// Where each line starts, in bytes: a large policy has a place for each of its rules.
    line_starts: Vec<usize>,
}

impl PolicyFile {
    /// A file with its lines counted.
    pub(super) fn new(source: &PolicySource) -> Arc<Self> {
        let after_breaks = source.text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_breaks).collect();
        Arc::new(Self { source: source.clone(), line_starts })
    }

    /// The whole text.
    pub(super) fn text(&self) -> &str {
        &self.source.text
    }
}

/// A piece of a policy file: what diagnostics underline.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place {
    file: Arc<PolicyFile>,
    /// Bytes of the text, at character boundaries.
    span: Range<usize>,
}

impl Place {
    /// The bytes of `span`, brought within the text and onto character boundaries.
    pub(super) fn new(file: &Arc<PolicyFile>, span: Range<usize>) -> Self {
        let text = file.text();
        let on_boundary = |at: usize| (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let start = on_boundary(span.start);
        let end = on_boundary(span.end.max(start));
        Self { file: Arc::clone(file), span: start..end }
    }

    /// The start of a file.
    pub(super) fn start_of(file: &Arc<PolicyFile>) -> Self {
        let first_line = file.text().lines().next().unwrap_or_default();
        Self::new(file, 0..first_line.len())
    }

    /// The text there.
    pub(super) fn text(&self) -> &str {
        self.file.text().get(self.span.clone()).unwrap_or_default()
    }

    /// The line, from 1.
    pub(super) fn line(&self) -> usize {
        self.file.line_starts.partition_point(|start| *start <= self.span.start)
    }

    /// The column in characters, from 1.
    fn column(&self) -> usize {
        let line_start = self.file.line_starts.get(self.line().saturating_sub(1)).copied().unwrap_or(0);
        let before = self.file.text().get(line_start..self.span.start).unwrap_or_default();
        before.chars().count() + 1
    }

    /// `file:line`, as access events name a rule.
    pub(super) fn file_line(&self) -> Arc<str> {
        format!("{}:{}", self.file.source.path, self.line()).into()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}", self.file.source.path, self.line(), self.column())
    }
}

/// How much a diagnostic weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The policy can not be used.
    Error,
    /// It can be used, and probably does not do what its author means.
    Warning,
}

/// One thing that is wrong with a policy.
///
/// `Display` is the rendered form without colours, over several lines; [`Diagnostic::render`] can colour it.
#[derive(Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it weighs.
    pub severity: Severity,
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to do, where that is known.
    pub help: Option<String>,
    place: Place,
    /// Other pieces of the policy that it is about, each with what it is.
    related: Vec<(Place, String)>,
}

impl Diagnostic {
    /// An error about this piece of a policy.
    pub(super) fn error(place: &Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            path: place.file.source.path.clone(),
            line: place.line(),
            column: place.column(),
            message: message.into(),
            help: None,
            place: place.clone(),
            related: Vec::new(),
        }
    }

    /// A warning about this piece of a policy.
    pub(super) fn warning(place: &Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    /// With what to do about it.
    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With "did you mean ...?" where there is something to suggest, else with the other help.
    pub(super) fn suggesting(self, suggestion: Option<&str>, otherwise: impl FnOnce() -> Option<String>) -> Self {
        let help = suggestion.map(|word| format!("did you mean `{word}`?")).or_else(otherwise);
        Self { help, ..self }
    }

    /// With another piece of the policy that it is about.
    pub(super) fn with_related(mut self, place: &Place, label: impl Into<String>) -> Self {
        self.related.push((place.clone(), label.into()));
        self
    }

    /// Text for people: the message, `file:line:column`, the offending text underlined, and the help.
    /// `styled`: with ANSI colours, for a terminal.
    pub fn render(&self, styled: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut snippet = Snippet::source(self.place.file.text())
            .path(self.path.as_str())
            .annotation(AnnotationKind::Primary.span(self.place.span.clone()));
        let (same_file, elsewhere): (Vec<_>, Vec<_>) =
            self.related.iter().partition(|(place, _)| place.file == self.place.file);
        for (place, label) in same_file {
            snippet = snippet.annotation(AnnotationKind::Context.span(place.span.clone()).label(label.as_str()));
        }
        let mut group = level.primary_title(self.message.as_str()).element(snippet);
        for (place, label) in elsewhere {
            let annotation = AnnotationKind::Context.span(place.span.clone()).label(label.as_str());
            let other = Snippet::source(place.file.text()).path(place.file.source.path.as_str());
            group = group.element(other.annotation(annotation));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }

    /// Order by file, then by position: the order to print in.
    pub(super) fn sort(found: &mut [Self]) {
        found.sort_by(|a, b| (&a.path, a.place.span.start).cmp(&(&b.path, b.place.span.start)));
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.render(false))
    }
}

impl fmt::Debug for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl std::error::Error for Diagnostic {}
