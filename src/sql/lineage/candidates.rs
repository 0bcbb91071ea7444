//! Which functions a name may mean.

use super::cast::FIRST_USER_OID;
use super::forbidden::is_built_in;
use super::walk::Walk;
use crate::catalog::{Function, Oid, TypeKind};
use crate::sql::tree::ObjectName;

/// Whether a function is compiled code of an extension: it works on its arguments. Those that do more are refused by
/// name.
pub(super) fn is_extension_code(function: &Function) -> bool {
    let by = function.extension.as_ref().map(crate::catalog::Name::as_str);
    // citext's functions in SQL call PostgreSQL's own of the same names
    by.is_some() && matches!(function.language.as_str(), "c" | "internal") || by == Some("citext")
}

/// Whether a function could be called with so many arguments: as many as it has or fewer, for some may have defaults; more
/// where its last one is VARIADIC, which an array or `any` may be.
pub(super) fn takes(function: &Function, arguments: usize) -> bool {
    const ANY: u32 = 2276;
    if !is_built_in(function) || arguments <= function.inputs.len() {
        return true;
    }
    let any = matches!(
        function.name.as_str(),
        "concat"
            | "concat_ws"
            | "format"
            | "num_nulls"
            | "num_nonnulls"
            | "percentile_disc"
            | "percentile_cont"
            | "rank"
            | "dense_rank"
            | "percent_rank"
            | "cume_dist"
            | "json_build_array"
            | "json_build_object"
            | "jsonb_build_array"
            | "jsonb_build_object"
            | "pg_column_compression"
    );
    // of PostgreSQL's own functions, those that are VARIADIC take `any`, `anyarray` or `text[]`
    function.inputs.last().is_some_and(|last| any && last.0 == ANY || matches!(last.0, 1009 | 2277 | 5078))
}

/// Whether a function could be called with a single argument of any type: `any`, `anyelement`, `anycompatible`, `record`.
pub(super) fn takes_anything(function: &Function) -> bool {
    matches!(function.inputs.as_slice(), [Oid(2249 | 2276 | 2283 | 5077)])
}

impl<'q> Walk<'q> {
    /// The functions that a name may mean.
    pub(super) fn functions_of(&self, name: &ObjectName) -> Vec<&'q Function> {
        let catalog = self.catalog;
        let mut found: Vec<&Function> = match &name.schema {
            // the session's own temporary schema goes by this name
            Some(schema) if schema.as_str() == "pg_temp" => catalog
                .functions_named(None, &name.name)
                .filter(|function| function.schema.as_str().starts_with("pg_temp"))
                .collect(),
            schema => catalog
                .functions_named(None, &name.name)
                .filter(|function| catalog.may_be_in(schema.as_ref(), &function.schema))
                .collect(),
        };
        if name.schema.is_none() {
            // information_schema is in no search path; its helpers only matter to those who name it
            if found.iter().any(|function| function.schema.as_str() != "information_schema") {
                found.retain(|function| function.schema.as_str() != "information_schema");
            }
        }
        found.sort_by_key(|function| function.oid);
        found
    }

    /// Whether a name can only be one of PostgreSQL's own functions.
    pub(super) fn is_built_in_only(&self, name: &ObjectName) -> bool {
        let found = self.functions_of(name);
        let certain = self.catalog.doubt().routine(name.schema.as_ref(), &name.name).is_none();
        let certain = certain && !self.casts_by_users(name, None);
        certain
            && !found.is_empty()
            && found.iter().all(|function| is_built_in(function) || is_extension_code(function))
    }

    /// Whether a name, called with one argument of this type, may be a cast to a domain that users have made.
    pub(super) fn casts_by_users(&self, name: &ObjectName, from: Option<Oid>) -> bool {
        let mut types = self.catalog.types_named(name.schema.as_ref(), &name.name);
        types.any(|known| {
            matches!(known.kind, TypeKind::Domain(_)) && known.oid.0 >= FIRST_USER_OID && Some(known.oid) != from
        })
    }

    /// Whether a name may be that of a function that users have written.
    pub(super) fn is_of_users(&self, name: &ObjectName) -> bool {
        let written = |function: &&Function| !(is_built_in(function) || is_extension_code(function));
        self.catalog.doubt().routine(name.schema.as_ref(), &name.name).is_some()
            || self.functions_of(name).iter().any(written)
    }

    /// Whether a call of that name with so many arguments may be one of PostgreSQL's own functions.
    pub(super) fn may_be_built_in(&self, name: &ObjectName, arguments: usize) -> bool {
        self.functions_of(name).into_iter().any(|function| is_built_in(function) && takes(function, arguments))
    }
}
