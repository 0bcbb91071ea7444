//! A node's children, one after the other: nothing is passed over.

use std::collections::VecDeque;

use squawk_syntax::{SyntaxElement, SyntaxKind as K, SyntaxNode, SyntaxToken};

use crate::sql::NotUnderstood;

/// What a step of the reader yields.
pub(super) type Read<T> = Result<T, NotUnderstood>;

/// The children of one node that are still to be accounted for: nodes and tokens without white space and comments.
/// Semicolons are left out too, for [`super::lexical`] has seen that they stand after everything else.
pub(super) struct Parts {
    elements: VecDeque<SyntaxElement>,
    what: &'static str,
}

impl Parts {
    /// All children of `node`; `what` names the construct in the refusal.
    pub(super) fn of(node: &SyntaxNode, what: &'static str) -> Self {
        let elements = node
            .children_with_tokens()
            .filter(|element| !matches!(element.kind(), K::WHITESPACE | K::COMMENT | K::SEMICOLON))
            .collect();
        Self { elements, what }
    }

    /// Nodes that stand for the children of one.
    pub(super) fn these(nodes: Vec<SyntaxNode>, what: &'static str) -> Self {
        Self { elements: nodes.into_iter().map(SyntaxElement::from).collect(), what }
    }

    /// The refusal of something unexpected in here.
    pub(super) fn unexpected(&self) -> NotUnderstood {
        NotUnderstood::Construct(self.what)
    }

    /// The kind of the next child.
    pub(super) fn kind(&self) -> Option<K> {
        self.elements.front().map(SyntaxElement::kind)
    }

    /// The next child.
    pub(super) fn next(&mut self) -> Option<SyntaxElement> {
        self.elements.pop_front()
    }

    /// Take the next child if it is a token of that kind.
    pub(super) fn eat(&mut self, kind: K) -> bool {
        let eaten = self.kind() == Some(kind) && self.elements.front().is_some_and(|next| next.as_token().is_some());
        if eaten {
            self.next();
        }
        eaten
    }

    /// Take a token of that kind.
    pub(super) fn expect(&mut self, kind: K) -> Read<()> {
        if self.eat(kind) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Take tokens of these kinds, in this order.
    pub(super) fn expect_all(&mut self, kinds: &[K]) -> Read<()> {
        kinds.iter().try_for_each(|&kind| self.expect(kind))
    }

    /// Take the next child, which has to be a token.
    pub(super) fn token(&mut self) -> Read<SyntaxToken> {
        self.next().and_then(SyntaxElement::into_token).ok_or_else(|| self.unexpected())
    }

    /// The next child, if it is a node.
    pub(super) fn peek_node(&self) -> Option<&SyntaxNode> {
        self.elements.front().and_then(SyntaxElement::as_node)
    }

    /// Take the next child, which has to be a node.
    pub(super) fn node(&mut self) -> Read<SyntaxNode> {
        self.next().and_then(SyntaxElement::into_node).ok_or_else(|| self.unexpected())
    }

    /// Take the next child if it is a node of that kind.
    pub(super) fn node_of(&mut self, kind: K) -> Option<SyntaxNode> {
        let is_it = self.peek_node().is_some_and(|node| node.kind() == kind);
        if is_it { self.next().and_then(SyntaxElement::into_node) } else { None }
    }

    /// Take the next child if it is a node of one of these kinds that holds nothing but keywords.
    pub(super) fn eat_words(&mut self, kinds: &[K]) -> Read<bool> {
        for &kind in kinds {
            if let Some(node) = self.node_of(kind) {
                return if node.children().next().is_none() { Ok(true) } else { Err(self.unexpected()) };
            }
        }
        Ok(false)
    }

    /// Take `node , node , ...`: at least one.
    pub(super) fn comma_list(&mut self) -> Read<Vec<SyntaxNode>> {
        let mut nodes = vec![self.node()?];
        while self.eat(K::COMMA) {
            nodes.push(self.node()?);
        }
        Ok(nodes)
    }

    /// Take `( node , node , ... )`: at least one.
    pub(super) fn parenthesised_list(&mut self) -> Read<Vec<SyntaxNode>> {
        self.expect(K::L_PAREN)?;
        let nodes = self.comma_list()?;
        self.expect(K::R_PAREN)?;
        Ok(nodes)
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Read<()> {
        if self.elements.is_empty() { Ok(()) } else { Err(self.unexpected()) }
    }
}

/// The only child of a node that wraps one other.
pub(super) fn only_child(node: &SyntaxNode, what: &'static str) -> Read<SyntaxNode> {
    let mut parts = Parts::of(node, what);
    let child = parts.node()?;
    parts.end()?;
    Ok(child)
}
