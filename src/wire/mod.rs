//! Bytes to frames and back.
//!
//! Frames are found and length-checked here, and only the few that pgveil has to understand are decoded, each inside its
//! own bounds ([`Reader`]). What pgveil itself says is encoded by the pgwire crate's message types ([`compose`]).
//! (PostgreSQL manual, section 55.7 "Message Formats".)

pub mod backend;
pub mod compose;
pub mod copy;
pub mod copy_in;
mod format;
pub mod frame;
pub mod frontend;
mod reader;
pub mod startup;

pub use format::Format;
pub use reader::{Malformed, Reader};
