//! What is written down in the access log, the lines that it becomes, and whether a log is what was written.
//!
//! A log is a chain of lines (`chain`), each a JSON object (`line`): [`Record`]s of what was done, and [`Mark`]s by which
//! the log speaks of itself, among them signed [`checkpoint`]s. It is kept in files one after the other (`segment`), and
//! [`verify::Verifier`] takes their lines and says whether all are there as they were written. Reading and writing files is
//! the shell's work; making an access event is only for [`crate::plan`]'s permits.

mod activity;
mod chain;
pub mod checkpoint;
mod endpoint;
mod entity;
mod event;
mod fields;
mod guard;
mod line;
mod mark;
mod record;
mod reveal;
mod schema;

pub use activity::{
    Administration, EntitiesSeen, Filtered, KeyUse, Login, LoginFailed, LoginMethod, Logout, Refused, Reload, Reloaded,
    Suppressed, Trigger,
};
pub use endpoint::Endpoint;
pub use entity::{Entities, KEY_BYTES_MAX, KEYS_MAX, composed};
mod segment;
pub mod verify;

pub use chain::{Chain, Digest};
pub use event::{AccessEvent, Action, Closing, Fingerprint, How, RevealedColumn, Visit};
pub use guard::{GuardAction, GuardEvent};
pub use line::{Head, NotARecord, Stamp, Unwritable, push_checkpoint, push_mark, push_record};
pub use mark::{Checkpoint, FORMAT, KeyChange, Mark, Outage, Recovery, Retention, SegmentHeader, Start};
pub use record::Record;
pub use reveal::{ActorChange, ActorStep, Grounds, RevealChange, RevealEnd, RevealRefused, RevealStep, RevealTerms};
pub use schema::json_schema;
pub use segment::SegmentName;
