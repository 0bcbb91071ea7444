//! What is wrong with a value, in the server's words but without the value.

use std::borrow::Cow;
use std::fmt;

use super::Scalar;

/// Why a value was refused. It is safe to print: it holds nothing of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    /// The SQLSTATE that PostgreSQL has for it (manual, appendix A).
    pub sqlstate: &'static str,
    /// What happened: PostgreSQL's primary message without its quotation of the value.
    pub message: Cow<'static, str>,
    /// What can be done about it, where there is something to say.
    pub hint: Option<&'static str>,
}

impl ValueError {
    pub(super) fn new(sqlstate: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { sqlstate, message: message.into(), hint: None }
    }

    /// The text is none of that type's.
    pub(super) fn syntax(scalar: Scalar) -> Self {
        Self::new("22P02", format!("invalid input syntax for type {}", scalar.title()))
    }

    /// The value lies outside of the type.
    pub(super) fn out_of_range(scalar: Scalar) -> Self {
        Self::new("22003", format!("value is out of range for type {}", scalar.title()))
    }

    /// The binary form is too short.
    pub(super) fn short() -> Self {
        Self::new("08P01", "insufficient data left in message")
    }

    /// The binary form has other bytes than it can have.
    pub(super) fn binary() -> Self {
        Self::new("22P03", "incorrect binary data format")
    }

    /// A plaintext that [`super::read`] can not have made.
    pub(super) fn damaged(scalar: Scalar) -> Self {
        Self::new("XX001", format!("the decrypted value is not of type {}", scalar.title()))
    }

    /// The client has declared a type that is not assigned to that of the column.
    pub(super) fn not_assignable(target: Scalar, given: Option<Scalar>) -> Self {
        Self {
            hint: Some("You will need to rewrite or cast the expression."),
            ..Self::new(
                "42804",
                format!("column is of type {} but expression is of {}", target.title(), of_type(given)),
            )
        }
    }

    /// The client has declared a type that the column's is not compared with.
    pub(super) fn no_operator(target: Scalar, given: Option<Scalar>) -> Self {
        Self {
            hint: Some(
                "No operator matches the given name and argument types. You might need to add explicit type casts.",
            ),
            ..Self::new("42883", format!("{} can not be compared with {} here", target.title(), of_type(given)))
        }
    }
}

/// A declared type, which pgveil may not know.
fn of_type(given: Option<Scalar>) -> String {
    given.map_or_else(|| "another type".to_owned(), |given| format!("type {}", given.title()))
}

impl fmt::Display for ValueError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ValueError {}
