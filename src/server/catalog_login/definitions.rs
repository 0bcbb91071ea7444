//! Definitions that the server prints from what it has stored: of views and of generated columns, and bodies of functions that
//! are no text.
//!
//! To print one the server locks what it names. While somebody else has that locked exclusively (a change of a table that takes
//! its time) it is not printed, and what an earlier reading has of it holds, if nothing has changed that it depends on.

use std::collections::HashMap;

use tokio_postgres::SimpleQueryMessage;

use super::{CatalogReadError, cells, rows};
use crate::catalog::load_rows::{Part, Printed, printed};

/// What is known, by the part of the catalog and an OID of what is defined.
#[derive(Clone, Debug, Default)]
pub(super) struct Definitions {
    known: HashMap<(Part, Box<str>), Definition>,
}

#[derive(Clone, Debug)]
struct Definition {
    state: Box<str>,
    text: Box<str>,
}

impl Definitions {
    /// Those of a reading, and of the `earlier` one where they still hold. `false`: some are not known.
    ///
    /// # Errors
    /// A cell is no text.
    pub(super) fn of(
        parts: &[(Part, Vec<SimpleQueryMessage>)],
        earlier: &Self,
    ) -> Result<(Self, bool), CatalogReadError> {
        let (mut known, mut whole) = (HashMap::new(), true);
        for (part, messages) in parts {
            for row in rows(messages) {
                let cells = cells(row)?;
                let Some(said) = printed(*part, &cells) else { continue };
                match said.text.or_else(|| earlier.text(*part, &said)) {
                    Some(text) => {
                        let definition = Definition { state: said.state.into(), text: text.into() };
                        known.insert((*part, said.object.into()), definition);
                    }
                    None => whole = false,
                }
            }
        }
        Ok((Self { known }, whole))
    }

    /// Put what is known into a row that lacks it.
    pub(super) fn complete<'a>(&'a self, part: Part, cells: &mut [Option<&'a str>]) {
        if let Some(said) = printed(part, cells).filter(|said| said.text.is_none())
            && let Some(text) = self.text(part, &said)
            && let Some(cell) = cells.get_mut(said.place)
        {
            *cell = Some(text);
        }
    }

    fn text(&self, part: Part, said: &Printed<'_>) -> Option<&str> {
        let definition = self.known.get(&(part, Box::from(said.object)))?;
        (*definition.state == *said.state).then_some(&*definition.text)
    }
}
