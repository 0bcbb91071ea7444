//! What a session can not take the reading's word for.

use std::collections::{BTreeMap, BTreeSet};

use super::Name;

/// Names that a session has given to code of its own, or may have, since the catalog was read: whatever the reading says of
/// them, they may mean something else to this session. Only what is written with the schema `pg_catalog`, where nobody but
/// superusers makes anything, still means what it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doubt {
    /// Functions, procedures and aggregates, with any number of arguments and in any schema.
    pub routines: BTreeMap<Name, Conduct>,
    /// Types and domains, in any schema: a domain's checks are code that is handed each value.
    pub types: BTreeSet<Name>,
    /// Operators and casts.
    pub operators: bool,
    /// Which schema goes by which name.
    pub schemas: bool,
    /// Anything: a statement ran whose effects are not known.
    pub anything: bool,
}

/// What a routine does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conduct {
    /// It computes something from that alone, one value of each, and fails for none.
    Computes,
    /// It computes something from that alone; for which values it fails, or how many it returns, its maker chose.
    Chooses,
    /// It may keep it, pass it on, or read other things; or nothing is known of it.
    Acts,
}

impl Doubt {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a word in a statement may be something that is in doubt.
    pub fn concerns(&self, word: &Name) -> bool {
        self.anything || self.schemas || self.routines.contains_key(word) || self.types.contains(word)
    }

    /// Whether code was made under this name.
    pub fn has_code(&self, name: &Name) -> bool {
        self.routines.contains_key(name) || self.types.contains(name)
    }

    /// What is known of a routine that is in doubt; `None`: it is not.
    pub fn routine(&self, schema: Option<&Name>, name: &Name) -> Option<Conduct> {
        if is_fixed(schema) {
            return None;
        }
        if self.anything {
            return Some(Conduct::Acts);
        }
        // A type's name, called, is a cast to it.
        self.routines.get(name).copied().or_else(|| self.types.contains(name).then_some(Conduct::Acts))
    }

    /// Whether a type is in doubt.
    pub fn of_type(&self, schema: Option<&Name>, name: &Name) -> bool {
        let moved = schema.is_some_and(|schema| self.of_schema(schema));
        !is_fixed(schema) && (moved || self.anything || self.types.contains(name))
    }

    /// Whether a schema that is written before a name may not be the one of that name.
    pub fn of_schema(&self, schema: &Name) -> bool {
        // Names that begin with `pg_` are PostgreSQL's own, and can not be given.
        (self.schemas || self.anything) && !schema.as_str().starts_with("pg_")
    }
}

fn is_fixed(schema: Option<&Name>) -> bool {
    schema.is_some_and(|schema| schema.as_str() == "pg_catalog")
}
