//! What an access event is. Writing it down is the shell's work; making one is only for [`crate::plan`]'s permits.

mod event;

pub use event::{AccessEvent, Action, Closing, Fingerprint, How, RevealedColumn, Visit};
