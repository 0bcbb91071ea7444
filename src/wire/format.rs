//! How a value is written.

/// `format` codes of Bind and RowDescription (PostgreSQL manual, section 55.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 0
    Text,
    /// 1
    Binary,
}
