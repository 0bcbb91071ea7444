//! Fast-path calls (PostgreSQL manual, "Function Call").
//!
//! They name a function by its OID and return its raw value, past every mask. Libraries call those of large objects so,
//! and have no other way: who sees everything in clear may. Everybody may call what computes something of its arguments
//! alone. Of a call that is refused the server gets the start, to the number of arguments: it says in its own words what it
//! would not do anyhow (the transaction has failed, so many arguments are not what the function takes), and no value is
//! read before it finds that the rest is missing. That error is then replaced by the refusal's.

use std::sync::Arc;

use super::conversation::Conversation;
use super::expect::Expect;
use super::io::{Context, Observation};
use super::outbox::Outbox;
use super::requests::Next;
use crate::catalog::{Catalog, FunctionKind, Oid, Volatility};
use crate::plan::Refusal;
use crate::wire::backend::Report;
use crate::wire::compose;
use crate::wire::frame::Header;
use crate::wire::frontend::{self, CallHead};

/// What libpq and others call by the fast path: lo_creat, lo_create, lo_open, lo_close, loread, lowrite, lo_lseek, lo_tell,
/// lo_truncate (and those of 64 bits), lo_unlink. The same in every version of PostgreSQL.
const LARGE_OBJECTS: [Oid; 13] = [
    Oid(957),
    Oid(715),
    Oid(952),
    Oid(953),
    Oid(954),
    Oid(955),
    Oid(956),
    Oid(958),
    Oid(1004),
    Oid(3170),
    Oid(3171),
    Oid(3172),
    Oid(964),
];

/// What users make has OIDs from here on (`FirstNormalObjectId` of transam.h).
const MADE_BY_USERS: Oid = Oid(16_384);

impl Conversation {
    /// A FunctionCall, of which the start is there.
    pub(super) fn function_call(
        &mut self,
        header: Header,
        body: &[u8],
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Next {
        let function = frontend::called(body);
        let large_objects = || function.is_ok_and(|function| LARGE_OBJECTS.contains(&function));
        if context.snapshot.inventory.is_empty()
            || function.is_ok_and(|function| only_computes(&context.snapshot.catalog, function))
            || (large_objects() && self.caller(context.snapshot).sees_everything(context.snapshot))
        {
            self.replies.push_back(Expect::FunctionCall { refusal: None });
            return Next::Forward;
        }
        let whole = body.len() >= header.body;
        let start = match CallHead::decode(body) {
            Ok(head) if whole && head.fails_unread() => None,
            Ok(head) => Some(head.start),
            Err(_) if whole => None,
            Err(_) => Some(body.get(..4).unwrap_or_default()),
        };
        let Some(start) = start else {
            // The server reads it so far, and says what is wrong with it.
            self.replies.push_back(Expect::Malformed { ready: true });
            return Next::Forward;
        };
        let refusal = Refusal::protocol("a fast-path function call");
        Self::observe(out, Observation::Refusal(refusal.reason));
        self.replies.push_back(Expect::FunctionCall { refusal: Some(Arc::new(refusal)) });
        Next::Replace(compose::raw(b'F', start))
    }
}

/// Whether a function is PostgreSQL's own and returns a value that depends on its arguments alone: it looks at nothing in the
/// database.
fn only_computes(catalog: &Catalog, function: Oid) -> bool {
    function < MADE_BY_USERS
        && catalog.function(function).is_some_and(|known| {
            known.schema.as_str() == "pg_catalog"
                && known.language.as_str() == "internal"
                && known.kind == FunctionKind::Function
                && known.volatility == Volatility::Immutable
                && !known.returns_set
        })
}

/// Whether an error stands for the refusal of a call: the message is cut short (`pq_getmsgint` and others in pqformat.c), or
/// there is no such function (42883), which nobody has to learn by calling one.
pub(super) fn stands_for_refused_call(report: &Report<'_>) -> bool {
    match report.field(b'C') {
        Some(b"08P01") => report.field(b'F') == Some(b"pqformat.c"),
        Some(b"42883") => true,
        _ => false,
    }
}
