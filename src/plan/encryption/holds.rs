//! What columns and results of functions hold: envelopes, blind indexes, or what the database has made of these.

use std::sync::Arc;

use super::called;
use crate::plan::Snapshot;
use crate::plan::budget::ColumnNames;
use crate::policy::{Encryption, TaggedColumnId};
use crate::sql::lineage::{Flow, Source};

/// What a source holds.
pub(in crate::plan) enum Holds {
    /// Nothing encrypted.
    Plain,
    /// Envelopes of this column's, as they are.
    Envelopes(Arc<Encryption>, TaggedColumnId),
    /// The blind index of this column's values, as it is.
    Index(TaggedColumnId),
    /// Something that the database has computed of envelopes or blind indexes, or mixed with other values.
    Computed(TaggedColumnId),
}

impl Snapshot {
    /// What a source holds.
    pub(in crate::plan) fn holds(&self, source: Source) -> Holds {
        let Some(reach) = self.inventory.source(source) else { return Holds::Plain };
        if let Source::Function(function) | Source::Field { function, .. } = source
            && called::returns_plain(function, self)
        {
            return Holds::Plain;
        }
        let flowing = || reach.columns.iter().filter(|(_, flow)| **flow != Flow::Counted);
        let encryption = |id: TaggedColumnId| self.policy.column(id).and_then(|column| column.encryption.as_ref());
        if let Some(of) = flowing().find_map(|(&id, _)| self.policy.index_of(id)) {
            let alone = flowing().all(|(&id, flow)| *flow == Flow::Direct && self.policy.index_of(id) == Some(of));
            return if alone { Holds::Index(of) } else { Holds::Computed(of) };
        }
        let mut encrypted = flowing().filter_map(|(&id, _)| Some((id, encryption(id)?)));
        let Some((id, first)) = encrypted.next() else { return Holds::Plain };
        let alike = flowing().all(|(&id, flow)| *flow == Flow::Direct && encryption(id) == Some(first));
        if alike { Holds::Envelopes(Arc::clone(first), id) } else { Holds::Computed(id) }
    }

    /// The name of a column of the policy.
    pub(in crate::plan) fn column_name(&self, id: TaggedColumnId) -> Arc<str> {
        let column = self.policy.column(id);
        let named =
            column.map(|column| ColumnNames(column.schema.clone(), column.table.clone(), column.column.clone()));
        named.map(|named| named.to_string()).unwrap_or_default().into()
    }
}
