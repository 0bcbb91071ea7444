//! The rows of one execution on their way to the client.

use bytes::BytesMut;

use super::io::{Observation, Output};
use super::metering::Meter;
use super::outbox::Outbox;
use crate::access_log::{Closing, Entities, EntitiesSeen, Record};
use crate::plan::permit::Execution;
use crate::plan::{OpenedRows, PlannedRows, ResultPlan, RowError, SealedRows, Seen, Spoiled};
use crate::wire::Malformed;
use crate::wire::frame::{HEADER_BYTES, Header};

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
                Err(rows) => Self::Sealed(Sealed { rows, ..sealed }),
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
            Self::Masked(rows, observations) => {
                for observation in observations.drain(..) {
                    out.push(Output::Observe(observation));
                }
                rows.rewrite(body(frame), out.client_buffer())
            }
            Self::Sealed(sealed) => {
                sealed.held.extend_from_slice(frame);
                sealed.count = sealed.count.saturating_add(1);
                sealed.rows.note(body(frame), &mut sealed.seen);
                if sealed.held.len() > HELD_BYTES_MAX { self.release(None, out) } else { Ok(()) }
            }
            Self::Open(open) => {
                open.rows.note(body(frame), &mut open.seen);
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
            Self::Open(open) => {
                open.meter.pause();
                Ok(())
            }
            Self::Sealed(_) | Self::Undescribed | Self::Untouched | Self::Masked(..) | Self::Spoiled(_) => Ok(()),
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
            Self::Open(open) => {
                open.close(complete, out);
                Ok(())
            }
            Self::Sealed(_) | Self::Undescribed | Self::Untouched | Self::Masked(..) | Self::Spoiled(_) => Ok(()),
        }
    }
}

impl Open {
    /// Keys that fill a record of their own.
    fn seen_of(&self, entities: Vec<Entities>) -> EntitiesSeen {
        EntitiesSeen { visit: self.execution.visit.clone(), execution: self.execution.number, entities }
    }

    fn deliver(&mut self, frame: &[u8], out: &mut Outbox) -> Result<(), RowError> {
        if self.meter.row()? {
            out.push(Output::Settle(self.meter.watched()));
        }
        if self.rows.is_keep() {
            out.client_slice(frame);
        } else {
            self.rows.rewrite(body(frame), out.client_buffer())?;
        }
        self.count = self.count.saturating_add(1);
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
