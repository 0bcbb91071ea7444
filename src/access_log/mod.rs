//! What is written down in the access log, and the lines that it becomes. Writing them is the shell's work; making an
//! access event is only for [`crate::plan`]'s permits.

mod event;
mod line;
mod record;

pub use event::{AccessEvent, Action, Closing, Fingerprint, How, RevealedColumn, Visit};
pub use line::{Stamp, Unwritable, push_line};
pub use record::Record;
