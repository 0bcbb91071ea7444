//! Everything that is written down.

use super::event::{AccessEvent, Closing};

/// One record of the access log: one line of it. Holds no value, no parameter and no literal.
///
/// A further kind is a variant here, with a type that says what happened, and its fields in `line.rs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A column was revealed.
    Reveal(AccessEvent),
    /// An execution ended whose reveals had no row count.
    Closing(Closing),
}

impl From<AccessEvent> for Record {
    fn from(event: AccessEvent) -> Self {
        Self::Reveal(event)
    }
}

impl From<Closing> for Record {
    fn from(closing: Closing) -> Self {
        Self::Closing(closing)
    }
}
