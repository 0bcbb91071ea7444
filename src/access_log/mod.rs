//! What is written down in the access log, and the lines that it becomes. Writing them is the shell's work; making an
//! access event is only for [`crate::plan`]'s permits.

mod activity;
mod endpoint;
mod entity;
mod event;
mod fields;
mod line;
mod record;
mod schema;

pub use activity::{
    Administration, EntitiesSeen, Filtered, KeyUse, Login, LoginFailed, LoginMethod, Logout, Refused, Reload, Reloaded,
    Suppressed, Trigger,
};
pub use endpoint::Endpoint;
pub use entity::{Entities, KEY_BYTES_MAX, KEYS_MAX, composed};
pub use event::{AccessEvent, Action, Closing, Fingerprint, How, RevealedColumn, Visit};
pub use line::{Stamp, Unwritable, push_line};
pub use record::Record;
pub use schema::json_schema;
