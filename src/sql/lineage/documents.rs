//! Documents that a statement puts together: how much of their form is written in it.

use super::Flow;
use super::Origin;
use super::value::{Sort, Value};
use crate::catalog::{Catalog, Oid};

/// Whether the number of elements or keys of the document that a built-in function makes does not depend on values: it is
/// that of what is written, of rows, or of a stored array.
pub(super) fn is_shaped(name: &str, args: &[Value]) -> bool {
    match name {
        "json_build_object" | "jsonb_build_object" => args.iter().step_by(2).all(Value::is_constant),
        // as many elements as rows
        "json_agg" | "jsonb_agg" => true,
        // as many as are written, unless it is an array that stands for them (VARIADIC)
        "json_build_array" | "jsonb_build_array" => args.iter().all(|arg| !arg.traits.nested || has_its_size(arg)),
        _ => args.iter().all(has_its_size),
    }
}

/// Whether the number of elements or fields of an array or row does not depend on values, but for those of a stored array: a
/// row has its columns. Whoever chooses between arrays or rows by values tells these by the number of elements.
fn has_its_size(arg: &Value) -> bool {
    let stored = || arg.taint().sources.values().all(|flow| *flow != Flow::Derived);
    arg.traits.shaped || matches!(arg.origin, Origin::Row(_)) || stored()
}

/// Whether all of the form of such a document is written in the statement: where each of the values comes, and that it is
/// no document itself.
pub(super) fn is_formed(name: &str, args: &[Value], catalog: &Catalog) -> bool {
    let row = |arg: &Value| {
        let fields = matches!(arg.origin, Origin::Row(_)).then(|| arg.fields(catalog)).flatten();
        fields.is_some_and(|fields| fields.iter().all(|(_, field)| field.type_oid.is_some_and(is_single_type)))
    };
    let whole = |arg: &Value| arg.taint().is_clean() || arg.traits.formed || is_single(arg);
    // whether there is an element or a document tells whether a computed value is NULL
    let there = |arg: &Value| whole(arg) && !arg.traits.gaps;
    match name {
        "json_build_object" | "jsonb_build_object" => {
            args.iter().step_by(2).all(Value::is_constant) && args.iter().all(whole)
        }
        "json_build_array" | "jsonb_build_array" | "json_agg" | "jsonb_agg" => args.iter().all(whole),
        "to_json" | "to_jsonb" | "row_to_json" => args.iter().all(|arg| there(arg) || row(arg)),
        "xmlelement" | "xmlforest" | "xmlconcat" | "xmlagg" => args.iter().all(there),
        _ => false,
    }
}

/// Whether a value is a text, a number or the like, and no document, array or row.
fn is_single(value: &Value) -> bool {
    let single = match value.sort() {
        Some(Sort::Small) => true,
        Some(Sort::Type(of)) => is_single_type(of),
        None => false,
    };
    single && !value.traits.nested
}

/// bool, name, int8, int2, int4, text, float4, float8, bpchar, varchar, date, time, timestamp, timestamptz, interval, timetz,
/// numeric, uuid.
fn is_single_type(of: Oid) -> bool {
    matches!(
        of.0,
        16 | 19..=21 | 23 | 25 | 700 | 701 | 1042 | 1043 | 1082 | 1083 | 1114 | 1184 | 1186 | 1266 | 1700 | 2950
    )
}
