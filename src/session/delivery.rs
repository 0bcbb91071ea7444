//! The rows of one execution on their way to the client.

use bytes::{Bytes, BytesMut};

use super::io::{Observation, Output};
use super::metering::Meter;
use super::outbox::Outbox;
use crate::access_log::{Closing, Entities, EntitiesSeen, Record};
use crate::plan::permit::Execution;
use crate::plan::{OpenedRows, PlannedRows, ResultPlan, RowError, SealedRows, Seen, Spoiled};
use crate::wire::frame::{HEADER_BYTES, Header};
use crate::wire::{Malformed, compose};

/// Rows are held back, so that their event can say how many there are, up to this many bytes; then the event goes out
/// without a count and a closing record follows.
const HELD_BYTES_MAX: usize = 64 * 1024;

/// Where the rows of one result are.
#[derive(Default)]
pub(super) enum Delivery {
    /// The server has not described them: none may come.
    #[default]
    Undescribed,
    /// They pass.
    Untouched,
    /// They are rewritten; what is to be counted when the first one goes out.
    Masked(OpenedRows, Vec<Observation>),
    /// They show tagged columns in clear, and none has left yet.
    Sealed(Sealed),
    /// They show tagged columns in clear; the events are written.
    Open(Open),
    /// The only value is this one, of pgveil's own.
    Told(Bytes),
    /// A row could not be shown: the rest is dropped, and an error ends it.
    Spoiled(Spoiled),
}

pub(super) struct Sealed {
    rows: SealedRows,
    observations: Vec<Observation>,
    held: BytesMut,
    count: u64,
    execution: Execution,
    meter: Meter,
    seen: Seen,
}

pub(super) struct Open {
    rows: OpenedRows,
    count: u64,
    execution: Execution,
    meter: Meter,
    seen: Seen,
}

impl Delivery {
    /// Rows as planned.
    pub(super) fn planned(plan: ResultPlan, counted: impl FnOnce() -> (Execution, Meter)) -> Self {
        match plan.rows {
            PlannedRows::Untouched => Self::Untouched,
            PlannedRows::Masked(rows) => Self::Masked(rows, plan.observations),
            PlannedRows::Sealed(rows) => {
                let (execution, meter) = counted();
                let (observations, seen) = (plan.observations, rows.seen());
                Self::Sealed(Sealed { rows, observations, held: BytesMut::new(), count: 0, execution, meter, seen })
            }
        }
    }

    /// Go on with an execution of which part was delivered before: the rows of one cursor, read in several pieces.
    pub(super) fn going_on(self, earlier: Self) -> Self {
        match (self, earlier) {
            (Self::Sealed(sealed), Self::Open(open)) => match sealed.rows.go_on(open.rows) {
                Ok(rows) => Self::Open(Open { rows, ..open }),
                Err(rows) => Self::Sealed(Sealed { rows: *rows, ..sealed }),
            },
            (now, _) => now,
        }
    }

    /// Take one whole DataRow frame.
    pub(super) fn row(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), RowError> {
        match self {
            Self::Undescribed => Err(Malformed("DataRow without a RowDescription").into()),
            // What is behind a row that could not be shown is not shown either.
            Self::Spoiled(_) => Ok(()),
            Self::Untouched => {
                out.client_slice(frame);
                Ok(())
            }
            Self::Told(value) => {
                let length = u32::try_from(value.len()).unwrap_or_default().to_be_bytes();
                out.client_slice(&compose::raw(b'D', &[&[0, 1][..], &length, &**value].concat()));
                Ok(())
            }
            Self::Masked(rows, observations) => {
                for observation in observations.drain(..) {
                    out.push(Output::Observe(observation));
                }
                rows.rewrite(body(frame), out.client_buffer())
            }
            Self::Sealed(sealed) => {
                sealed.held.extend_from_slice(frame);
                if sealed.rows.shows(body(frame), sealed.count) {
                    sealed.count = sealed.count.saturating_add(1);
                    sealed.rows.note(body(frame), &mut sealed.seen);
                }
                match sealed.held.len() > HELD_BYTES_MAX {
                    true if sealed.count == 0 => sealed.let_go_masked(out),
                    true => self.release(None, out),
                    false => Ok(()),
                }
            }
            Self::Open(open) => {
                if open.rows.counts(body(frame)) {
                    open.rows.note(body(frame), &mut open.seen);
                }
                for entities in open.seen.take_full() {
                    out.push(Output::Note(Record::Entities(open.seen_of(entities))));
                }
                open.deliver(frame, out)
            }
        }
    }

    /// Let go of what is held: events first, then rows. `rows`: how many there are, where that is known.
    fn release(&mut self, rows: Option<u64>, out: &mut Outbox) -> Result<(), RowError> {
        let Self::Sealed(mut sealed) = std::mem::take(self) else { return Ok(()) };
        sealed.meter.columns(sealed.rows.columns())?;
        sealed.meter.reserve(sealed.count)?;
        // Where a limit cuts the result short, a closing record says after how many rows.
        let rows = rows.filter(|count| sealed.meter.covers(*count));
        out.push(Output::Settle(sealed.meter.watched()));
        let Sealed { execution, meter, mut seen, .. } = sealed;
        let (records, opened) = sealed.rows.open(&execution, rows, &mut seen);
        out.push(Output::Access(records));
        for observation in sealed.observations {
            out.push(Output::Observe(observation));
        }
        let mut open = Open { rows: opened, count: 0, execution, meter, seen };
        let mut held = sealed.held.freeze();
        let mut delivered = Ok(());
        while delivered.is_ok()
            && let Ok(Some(header)) = Header::read(&held)
        {
            let frame = held.split_to(header.frame().min(held.len()));
            delivered = open.deliver(&frame, out);
        }
        *self = Self::Open(open);
        delivered
    }

    /// The execution pauses (a suspended portal): what is held goes out, more may follow.
    pub(super) fn pause(&mut self, out: &mut Outbox) -> Result<(), RowError> {
        match self {
            Self::Sealed(sealed) if sealed.count > 0 => {
                let released = self.release(None, out);
                if let Self::Open(open) = self {
                    open.meter.pause();
                }
                released
            }
            Self::Sealed(sealed) => sealed.let_go_masked(out),
            Self::Open(open) => {
                open.meter.pause();
                Ok(())
            }
            Self::Undescribed | Self::Untouched | Self::Told(_) | Self::Masked(..) | Self::Spoiled(_) => Ok(()),
        }
    }

    /// The execution is over; `complete`: it came to its end. Events that had no count get their closing record.
    pub(super) fn finish(mut self, complete: bool, out: &mut Outbox) -> Result<(), RowError> {
        match &mut self {
            Self::Sealed(sealed) if sealed.count > 0 => {
                let count = sealed.count;
                let released = self.release(Some(count), out);
                if released.is_err()
                    && let Self::Open(open) = &mut self
                {
                    open.close(false, out);
                }
                released
            }
            Self::Sealed(sealed) => sealed.let_go_masked(out),
            Self::Open(open) => {
                open.close(complete, out);
                Ok(())
            }
            Self::Undescribed | Self::Untouched | Self::Masked(..) | Self::Told(_) | Self::Spoiled(_) => Ok(()),
        }
    }
}

impl Sealed {
    /// Let go of rows that show nothing in clear, whatever they might have.
    fn let_go_masked(&mut self, out: &mut Outbox) -> Result<(), RowError> {
        let mut held = std::mem::take(&mut self.held).freeze();
        while let Ok(Some(header)) = Header::read(&held) {
            let frame = held.split_to(header.frame().min(held.len()));
            self.rows.rewrite_masked(body(&frame), out.client_buffer())?;
        }
        Ok(())
    }
}

impl Open {
    /// Keys that fill a record of their own.
    fn seen_of(&self, entities: Vec<Entities>) -> EntitiesSeen {
        EntitiesSeen { visit: self.execution.visit.clone(), execution: self.execution.number, entities }
    }

    fn deliver(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), RowError> {
        // Rows behind what a grant gives show nothing in clear.
        let counts = self.rows.counts(body(frame));
        if counts && self.meter.row()? {
            out.push(Output::Settle(self.meter.watched()));
        }
        if self.rows.is_keep() {
            out.client_slice(frame);
        } else {
            self.rows.rewrite(body(frame), out.client_buffer())?;
        }
        self.count = self.count.saturating_add(u64::from(counts));
        Ok(())
    }

    fn close(&mut self, complete: bool, out: &mut Outbox) {
        let mut batches = self.seen.take();
        let entities = batches.pop().unwrap_or_default();
        for full in batches {
            out.push(Output::Note(Record::Entities(self.seen_of(full))));
        }
        let closing = Closing {
            visit: self.execution.visit.clone(),
            execution: self.execution.number,
            rows: self.count,
            complete,
            action: self.execution.action_of(self.count),
            entities,
        };
        out.push(Output::Note(closing.into()));
    }
}

fn body(frame: &[u8]) -> &[u8] {
    frame.get(HEADER_BYTES..).unwrap_or_default()
}
