//! What results show of encrypted columns.

use std::sync::Arc;

use super::Holds;
use super::target::Target;
use super::uses::{HINT_COMPUTED, computed, stays, target_of};
use crate::plan::{Refusal, Snapshot};
use crate::policy::{Encryption, TaggedColumnId};
use crate::sql::lineage::{Flow, Lineage, Origin, Source, Taint};
use crate::value::{PlainType, Scalar};

/// What the values of a result column are encrypted as, where it shows some; the first of several.
pub(super) fn envelopes(taint: &Taint, snapshot: &Snapshot) -> Option<(Arc<Encryption>, TaggedColumnId)> {
    let shown = taint.sources.iter().filter(|(_, flow)| **flow == Flow::Direct);
    shown.map(|(&source, _)| snapshot.holds(source)).find_map(|holds| match holds {
        Holds::Envelopes(encryption, id) => Some((encryption, id)),
        Holds::Plain | Holds::Index(_) | Holds::Computed(_) => None,
    })
}

/// An encrypted column that a result column is computed from; the first of several.
pub(super) fn derived(taint: &Taint, snapshot: &Snapshot) -> Option<(Arc<Encryption>, TaggedColumnId)> {
    let computed = taint.sources.iter().filter(|(_, flow)| **flow == Flow::Derived);
    computed.map(|(&source, _)| snapshot.holds(source)).find_map(|holds| match holds {
        Holds::Envelopes(encryption, id) => Some((encryption, id)),
        Holds::Plain | Holds::Index(_) | Holds::Computed(_) => None,
    })
}

/// What a value is written as that stands in a result column in the place of values of an encrypted one; `None`: as it is.
pub(super) fn beside(taint: &Taint, snapshot: &Snapshot) -> Option<Target> {
    let source = taint.sources.iter().find_map(|(&source, &flow)| match source {
        Source::Column { relation, attnum } if flow == Flow::Direct => {
            target_of(relation, attnum, (false, false), snapshot)
        }
        Source::Column { .. } | Source::Function(_) | Source::Field { .. } => None,
    })?;
    if source.bytes && source.encryption.plain.scalar != Scalar::Bytea {
        return None;
    }
    // Beside others a value has any length.
    let plain = PlainType { modifier: -1, ..source.encryption.plain.clone() };
    let encryption = Arc::new(Encryption { plain, ..Encryption::clone(&source.encryption) });
    Some(Target { encryption, shows: true, tenant: None, ..source })
}

/// What a statement puts into a table that it makes.
pub(super) fn made(lineage: &Lineage, snapshot: &Snapshot) -> Result<(), Refusal> {
    lineage.outputs.iter().try_for_each(|output| stays(&output.origin.taint(), IN_NEW_TABLE, snapshot).map(drop))
}

pub(super) const IN_NEW_TABLE: &str = "a table that is made of this column is";

/// Whether a result column can be shown.
pub(super) fn result_column(origin: &Origin, unaltered: bool, snapshot: &Snapshot) -> Result<(), Refusal> {
    let taint = origin.taint();
    let whole = matches!(origin, Origin::Row(_));
    const OTHER_TYPES: &str = "showing values of columns of other types in its place is";
    let is_index = |source: &Source| matches!(snapshot.holds(*source), Holds::Index(_));
    let hidden = unaltered && !whole && taint.sources.keys().all(is_index);
    let mut before: Option<Arc<Encryption>> = None;
    // What stands in the place of envelopes is text to the server, as they are.
    let other = taint
        .sources
        .iter()
        .any(|(&source, &flow)| flow == Flow::Direct && matches!(snapshot.holds(source), Holds::Plain));
    for (&source, &flow) in &taint.sources {
        match snapshot.holds(source) {
            Holds::Plain => {}
            Holds::Envelopes(..) | Holds::Index(_) | Holds::Computed(_) if flow == Flow::Counted => {}
            // Whether it is a given value: the server compares what it has.
            Holds::Envelopes(encryption, _)
                if flow == Flow::Derived && encryption.mode.is_comparable() && taint.compared.contains(&source) => {}
            // It is shown as NULL.
            Holds::Index(_) if flow == Flow::Direct && hidden => {}
            Holds::Envelopes(encryption, id) if flow == Flow::Direct && unaltered && !whole => {
                // Values of `char(n)` are as long as it says, and what stands beside them is not.
                let texts = matches!(encryption.plain.scalar, Scalar::Text | Scalar::Varchar | Scalar::Name);
                if (other && !texts) || before.as_ref().is_some_and(|before| before.plain != encryption.plain) {
                    return Err(Refusal::encrypted(&snapshot.column_name(id), OTHER_TYPES, HINT_COMPUTED));
                }
                before = Some(encryption);
            }
            Holds::Envelopes(_, id) if whole => {
                let what = "showing its table's row as one value is";
                return Err(Refusal::encrypted(
                    &snapshot.column_name(id),
                    what,
                    "Select the columns one by one, or `*`.",
                ));
            }
            Holds::Envelopes(_, id) | Holds::Index(id) | Holds::Computed(id) => return Err(computed(id, snapshot)),
        }
    }
    Ok(())
}
