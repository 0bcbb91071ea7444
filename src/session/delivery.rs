//! The rows of one execution on their way to the client.

use bytes::BytesMut;

use super::io::{Observation, Output};
use super::outbox::Outbox;
use crate::access_log::{Closing, Record};
use crate::plan::permit::Execution;
use crate::plan::{OpenedRows, PlannedRows, ResultPlan, RowError, SealedRows, Unopened};
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
    /// An encrypted value did not open: the rest is dropped, and an error ends it.
    Spoiled(Unopened),
}

pub(super) struct Sealed {
    rows: SealedRows,
    observations: Vec<Observation>,
    held: BytesMut,
    count: u64,
    execution: Execution,
}

pub(super) struct Open {
    rows: OpenedRows,
    count: u64,
    execution: Execution,
}

impl Delivery {
    /// Rows as planned.
    pub(super) fn planned(plan: ResultPlan, execution: impl FnOnce() -> Execution) -> Self {
        match plan.rows {
            PlannedRows::Untouched => Self::Untouched,
            PlannedRows::Masked(rows) => Self::Masked(rows, plan.observations),
            PlannedRows::Sealed(rows) => Self::Sealed(Sealed {
                rows,
                observations: plan.observations,
                held: BytesMut::new(),
                count: 0,
                execution: execution(),
            }),
        }
    }

    /// Go on with an execution of which part was delivered before: the rows of one cursor, read in several pieces.
    pub(super) fn going_on(self, earlier: Self) -> Self {
        match (self, earlier) {
            (Self::Sealed(sealed), Self::Open(open)) => match sealed.rows.go_on(open.rows) {
                Ok(rows) => Self::Open(Open { rows, count: open.count, execution: open.execution }),
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
                if sealed.held.len() > HELD_BYTES_MAX { self.release(None, out) } else { Ok(()) }
            }
            Self::Open(open) => {
                open.count = open.count.saturating_add(1);
                open.deliver(frame, out)
            }
        }
    }

    /// Let go of what is held: events first, then rows. `rows`: how many there are, where that is known.
    fn release(&mut self, rows: Option<u64>, out: &mut Outbox) -> Result<(), RowError> {
        let Self::Sealed(sealed) = std::mem::take(self) else { return Ok(()) };
        let (events, opened) = sealed.rows.open(&sealed.execution, rows);
        out.push(Output::Access(events.into_iter().map(Record::from).collect()));
        for observation in sealed.observations {
            out.push(Output::Observe(observation));
        }
        let open = Open { rows: opened, count: sealed.count, execution: sealed.execution };
        let mut held = sealed.held.freeze();
        while let Ok(Some(header)) = Header::read(&held) {
            let frame = held.split_to(header.frame().min(held.len()));
            open.deliver(&frame, out)?;
        }
        *self = Self::Open(open);
        Ok(())
    }

    /// The execution pauses (a suspended portal): what is held goes out, more may follow.
    pub(super) fn pause(&mut self, out: &mut Outbox) -> Result<(), RowError> {
        match self {
            Self::Sealed(sealed) if sealed.count > 0 => self.release(None, out),
            Self::Sealed(_)
            | Self::Undescribed
            | Self::Untouched
            | Self::Masked(..)
            | Self::Open(_)
            | Self::Spoiled(_) => Ok(()),
        }
    }

    /// The execution is over; `complete`: it came to its end. Events that had no count get their closing record.
    pub(super) fn finish(mut self, complete: bool, out: &mut Outbox) -> Result<(), RowError> {
        match &self {
            Self::Sealed(sealed) if sealed.count > 0 => {
                let count = sealed.count;
                self.release(Some(count), out)
            }
            Self::Open(open) => {
                let closing = Closing {
                    visit: open.execution.visit.clone(),
                    execution: open.execution.number,
                    rows: open.count,
                    complete,
                    action: open.execution.action,
                    entities: Vec::new(),
                };
                out.push(Output::Note(closing.into()));
                Ok(())
            }
            Self::Sealed(_) | Self::Undescribed | Self::Untouched | Self::Masked(..) | Self::Spoiled(_) => Ok(()),
        }
    }
}

impl Open {
    fn deliver(&self, frame: &[u8], out: &mut Outbox) -> Result<(), RowError> {
        if self.rows.is_keep() {
            out.client_slice(frame);
            Ok(())
        } else {
            self.rows.rewrite(body(frame), out.client_buffer())
        }
    }
}

fn body(frame: &[u8]) -> &[u8] {
    frame.get(HEADER_BYTES..).unwrap_or_default()
}
