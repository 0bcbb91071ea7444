//! Every column and function of the database through which tagged data can be reached.

use crate::catalog::Catalog;
use crate::policy::Policy;

/// The policy bound to one catalog: tags on (OID, attnum), spread along views, partitions, inheritance, generated
/// columns and functions.
#[derive(Debug, Default)]
pub struct Inventory {}

impl Inventory {
    /// Bind a policy to a catalog. `before`: the inventory in force until now, whose tags stick to (OID, attnum).
    pub fn new(_policy: &Policy, _catalog: &Catalog, _before: Option<&Self>) -> Self {
        Self {}
    }
}
