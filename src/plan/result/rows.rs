//! The rows of a result on their way to the client. Such as hold clear values leave when their events are written, not before.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::BytesMut;

use crate::access_log::Record;
use crate::plan::Observation;
use crate::plan::column_rule::RowError;
use crate::plan::copy::CopyRows;
use crate::plan::encryption::PlannedCell;
use crate::plan::entities::{KeyPlan, Seen};
use crate::plan::lifted::Limited;
use crate::plan::permit::{Execution, Opener, RevealPermit, spend};
use crate::policy::TaggedColumnId;
use crate::wire::{Malformed, Reader, frame};

/// What is to be done with the rows of one result.
pub struct ResultPlan {
    /// How they are delivered.
    pub rows: PlannedRows,
    /// What there is to count when at least one row is delivered.
    pub observations: Vec<Observation>,
    /// The keys that its values are opened with, each with the column that they are of.
    pub opens: Vec<KeyOfColumn>,
}

/// A key's name, and the column, as `schema.table.column`, that it is used for.
pub type KeyOfColumn = (Arc<str>, Arc<str>);

/// How rows are delivered.
pub enum PlannedRows {
    /// Byte by byte as they come.
    Untouched,
    /// Rewritten, nothing clear among them.
    Masked(OpenedRows),
    /// With clear values of tagged columns: nothing leaves before [`SealedRows::open`].
    Sealed(SealedRows),
}

impl PlannedRows {
    /// `permits`: for each tagged column that is among the cells in clear.
    pub(super) fn of(
        (cells, layout): (Vec<PlannedCell>, Layout),
        permits: Vec<RevealPermit>,
        (keys, limited): (KeyPlan, Option<Box<Limited>>),
    ) -> Self {
        if !permits.is_empty() {
            Self::Sealed(SealedRows { cells, layout, permits, keys: keys.into(), limited })
        } else if cells.iter().all(PlannedCell::is_keep) {
            Self::Untouched
        } else {
            Self::Masked(OpenedRows { cells, layout, opened: None, keys: Box::default(), limited: None })
        }
    }
}

/// Rows that hold clear values of tagged columns, whose events are not written yet.
pub struct SealedRows {
    cells: Vec<PlannedCell>,
    layout: Layout,
    permits: Vec<RevealPermit>,
    keys: Box<KeyPlan>,
    limited: Option<Box<Limited>>,
}

impl SealedRows {
    /// How many tagged columns they show in clear.
    pub fn columns(&self) -> u64 {
        u64::try_from(self.permits.len()).unwrap_or(u64::MAX)
    }

    /// What there is to say of whose rows they are before any was seen.
    pub fn seen(&self) -> Seen {
        self.keys.begin()
    }

    /// Take the keys of a row, as it came.
    pub fn note(&self, body: &[u8], seen: &mut Seen) {
        self.keys.note(&self.layout, body, seen);
    }

    /// Spend the permits: the records to be written first, and the rows. `rows`: how many there are, where all of them are there.
    pub fn open(self, execution: &Execution, rows: Option<u64>, seen: &mut Seen) -> (Vec<Record>, OpenedRows) {
        let columns = self.permits.iter().map(RevealPermit::shown).collect();
        let (records, opener) = spend(self.permits, execution, rows, seen);
        let Self { cells, layout, keys, limited, .. } = self;
        (records, OpenedRows { cells, layout, opened: Some((opener, columns)), keys, limited })
    }

    /// Whether a row of which this is the body shows a tagged value in clear. `before`: how many of those that are held
    /// back do.
    pub fn shows(&self, body: &[u8], before: u64) -> bool {
        match &self.limited {
            // Something is shown by the caller's roles, in every row.
            _ if self.permits.iter().any(|permit| permit.grounds.is_none()) => true,
            Some(limited) => limited.grant.left().is_none_or(|left| before < left) && limited.is_meant(body),
            None => true,
        }
    }

    /// Rewrite a row that shows nothing, as [`OpenedRows::rewrite`] does.
    pub fn rewrite_masked(&self, body: &[u8], out: &mut BytesMut) -> Result<(), RowError> {
        let masked = self.limited.as_ref().map_or(&[][..], |limited| &limited.masked);
        rewrite(&self.layout, masked, None, body, out)
    }

    /// Go on with an execution that was opened before (a cursor that is read in several pieces): no event is due where it
    /// has shown the same columns already.
    pub fn go_on(self, earlier: OpenedRows) -> Result<OpenedRows, Box<Self>> {
        match earlier.opened {
            Some((opener, columns)) if self.permits.iter().all(|permit| columns.contains(&permit.shown())) => {
                let opened = Some((opener, columns));
                let Self { cells, layout, keys, limited, .. } = self;
                Ok(OpenedRows { cells, layout, opened, keys, limited })
            }
            Some(_) | None => Err(Box::new(self)),
        }
    }
}

/// Rows that may leave, rewritten by [`OpenedRows::rewrite`].
pub struct OpenedRows {
    cells: Vec<PlannedCell>,
    layout: Layout,
    /// The proof that events were written, and for which columns; `None`: nothing clear is among the rows.
    opened: Option<(Opener, BTreeSet<ShownBy>)>,
    keys: Box<KeyPlan>,
    limited: Option<Box<Limited>>,
}

/// A column that is shown in clear, and the number of the grant by which it is.
pub(in crate::plan) type ShownBy = (Option<TaggedColumnId>, Option<Arc<str>>);

impl OpenedRows {
    /// Take the keys of a row, as it came.
    pub fn note(&self, body: &[u8], seen: &mut Seen) {
        self.keys.note(&self.layout, body, seen);
    }

    /// Whether rows leave as they are.
    pub fn is_keep(&self) -> bool {
        self.limited.is_none() && self.cells.iter().all(PlannedCell::is_keep)
    }

    /// Whether a row of which this is the body counts as one that shows a tagged value in clear.
    pub fn counts(&self, body: &[u8]) -> bool {
        match &self.limited {
            Some(limited) => limited.grant.left() != Some(0) && limited.is_meant(body),
            None => true,
        }
    }

    /// Rewrite the body of one row's message (DataRow, or CopyData of COPY) into a whole frame at the end of `out`. A row
    /// with another number of cells than was announced is an error, and so is an encrypted value that does not open: nothing of it
    /// is written.
    pub fn rewrite(&self, body: &[u8], out: &mut BytesMut) -> Result<(), RowError> {
        rewrite(&self.layout, &self.cells, self.limited.as_deref(), body, out)
    }
}

fn rewrite(
    layout: &Layout,
    cells: &[PlannedCell],
    limited: Option<&Limited>,
    body: &[u8],
    out: &mut BytesMut,
) -> Result<(), RowError> {
    let start = out.len();
    let (message, written) = match (layout, limited) {
        (Layout::DataRow, limited) => {
            out.extend_from_slice(b"D\0\0\0\0");
            let written = match limited {
                Some(limited) => limited.rewrite(cells, body, out),
                None => rewrite_fields(cells, body, out),
            };
            ("DataRow", written)
        }
        (Layout::Copy(rows), limited) => {
            out.extend_from_slice(b"d\0\0\0\0");
            let written = match limited {
                Some(limited) => limited.rewrite_copied(rows, cells, body, out),
                None => rows.rewrite(cells, body, out),
            };
            ("CopyData", written)
        }
    };
    let length = out.len().saturating_sub(start).saturating_sub(1);
    if let Err(RowError::Spoiled(spoiled)) = written {
        out.truncate(start);
        return Err(RowError::Spoiled(spoiled));
    }
    if written.is_err() || length > frame::BODY_BYTES_MAX {
        out.truncate(start);
        return Err(Malformed(message).into());
    }
    let length = u32::try_from(length).unwrap_or_default().to_be_bytes();
    if let Some(place) = out.get_mut(start.saturating_add(1)..start.saturating_add(5)) {
        place.copy_from_slice(&length);
    }
    Ok(())
}

/// Rewrite fields with their lengths before them, as DataRow and binary COPY have them, the number of fields first.
pub(in crate::plan) fn rewrite_fields(cells: &[PlannedCell], body: &[u8], out: &mut BytesMut) -> Result<(), RowError> {
    let mut reader = Reader::new(body, "DataRow");
    if reader.count()? != cells.len() {
        return Err(Malformed("DataRow").into());
    }
    out.extend_from_slice(body.get(..2).unwrap_or_default());
    let mut beside: Vec<Option<&[u8]>> = Vec::new();
    if cells.iter().any(PlannedCell::looks_beside) {
        let mut reader = Reader::new(body, "DataRow");
        reader.count()?;
        for _ in cells {
            beside.push(reader.value()?);
        }
    }
    for cell in cells {
        cell.apply(reader.value()?, &|place| beside.get(place).copied().flatten(), out)?;
    }
    reader.end()?;
    Ok(())
}

/// How the cells of a row are put together.
pub(in crate::plan) enum Layout {
    /// DataRow.
    DataRow,
    /// CopyData.
    Copy(CopyRows),
}
