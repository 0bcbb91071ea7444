//! Casts: those that keep the text of a value, and all others.

use super::value::{Sort, Traits, Value, composite_relation};
use super::walk::Walk;
use super::{Origin, Write};
use crate::catalog::{Catalog, Oid, Type, TypeKind, ValueType};
use crate::sql::tree::TypeName;

/// `FirstNormalObjectId`: objects below it are PostgreSQL's own.
pub(super) const FIRST_USER_OID: u32 = 16_384;

/// Built-in scalar types whose text a cast to `text` shows unchanged, by the OIDs of `pg_type.dat`: int8, int2, int4,
/// text, oid, float4, float8, macaddr, money, inet, cidr, bpchar, varchar, date, time, timestamp, timestamptz, interval,
/// timetz, numeric, uuid, name, macaddr8.
const PLAIN_TYPES: [u32; 23] = [
    20, 21, 23, 25, 26, 700, 701, 829, 790, 869, 650, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1266, 1700, 2950, 19,
    774,
];

/// Internal names and OIDs of the types above and a few more: known without a catalog.
const BUILT_IN: [(&str, u32); 27] = [
    ("bool", 16),
    ("bytea", 17),
    ("name", 19),
    ("int8", 20),
    ("int2", 21),
    ("int4", 23),
    ("text", 25),
    ("oid", 26),
    ("json", 114),
    ("cidr", 650),
    ("float4", 700),
    ("float8", 701),
    ("macaddr8", 774),
    ("money", 790),
    ("macaddr", 829),
    ("inet", 869),
    ("bpchar", 1042),
    ("varchar", 1043),
    ("date", 1082),
    ("time", 1083),
    ("timestamp", 1114),
    ("timestamptz", 1184),
    ("interval", 1186),
    ("timetz", 1266),
    ("numeric", 1700),
    ("uuid", 2950),
    ("jsonb", 3802),
];

/// Whether a type is one of texts, numbers, dates and times, and not of arrays, documents, figures, bits and the like: bool,
/// name, int8, int4, text, float4, float8, bpchar, varchar, date, time, timestamp, timestamptz, interval, timetz, numeric,
/// uuid, jsonb.
pub(super) fn is_plain(of: Oid) -> bool {
    matches!(
        of.0,
        16 | 19 | 20 | 23 | 25 | 700 | 701 | 1042 | 1043 | 1082 | 1083 | 1114 | 1184 | 1186 | 1266 | 1700 | 2950 | 3802
    )
}

/// Whether a type is one of arrays, rows or JSON documents, or not known.
pub(super) fn is_nested(catalog: &Catalog, of: Oid) -> bool {
    !is_plain(of)
        && matches!(
            ValueType::of(catalog, of),
            ValueType::Array(..) | ValueType::Composite(_) | ValueType::Record | ValueType::Json | ValueType::Unknown
        )
}

/// The schema of [`numbered_cast`]. No one has it: names that begin with `pg_` are PostgreSQL's own (manual, section 5.9).
const NUMBERED: &str = "pg_numbered_by_pgveil";

/// A type that stands in a probe for the one that a value is cast to: the value stays what it is, and what goes through there
/// is noted ([`super::Lineage::casts`]).
pub fn numbered_cast(number: u32) -> String {
    format!("{NUMBERED}.t{number}")
}

/// The number of a type of [`numbered_cast`].
pub(super) fn number_of(to: &TypeName) -> Option<u32> {
    let numbered = to.schema.as_ref().is_some_and(|schema| schema.as_str() == NUMBERED) && !(to.array || to.modified);
    to.name.as_str().strip_prefix('t').filter(|_| numbered)?.parse().ok()
}

impl Walk<'_> {
    /// `value::type` where that is a type of [`numbered_cast`]: it is noted.
    pub(super) fn numbered(&mut self, mut value: Value, number: u32) -> Value {
        let taint = value.taint().cast(number);
        self.found.casts.entry(number).or_default().join(&taint);
        value.origin = Origin::Value(taint);
        value
    }

    /// `value::type`.
    pub(super) fn cast(&mut self, value: Value, to: &TypeName) -> Value {
        let target = self.type_named(to);
        let plain = !to.array && target.is_some_and(is_plain);
        let nested = to.array || target.is_none_or(|target| is_nested(self.catalog, target));
        if value.taint().is_clean() {
            let made = !value.is_null();
            let traits =
                Traits { edge: value.traits.edge || (made && !plain), nested, odd: made && !plain, ..value.traits };
            // NULL::composite has that type's fields
            let as_text = traits.as_text || (made && target == Some(Oid(25)));
            let traits = Traits { converted: traits.converted || made, as_text, ..traits };
            return Value { type_oid: target, fields: None, traits, ..value };
        }
        // The check of a domain is code that is handed the value, and the name may be that of a domain of users by the
        // time that this runs, unless it is PostgreSQL's own.
        let mut meant = self.catalog.types_named(to.schema.as_ref(), &to.name).peekable();
        let in_doubt = self.catalog.doubt().of_type(to.schema.as_ref(), &to.name);
        if meant.peek().is_none() && !in_doubt && !BUILT_IN.iter().any(|(known, _)| *known == to.name.as_str()) {
            self.found.given_in_doubt.join(&value.taint());
            self.unresolved(&to.name);
        }
        let checks = in_doubt
            || meant.any(|meant| {
                self.is_users_to_change(meant) && meant.oid.0 >= FIRST_USER_OID && Some(meant.oid) != value.type_oid
            });
        if checks {
            self.found.writes.push(Write::elsewhere(value.taint()));
        }
        if self.keeps(&value, to, target) {
            let texts = [value.type_oid, target].iter().all(|of| matches!(of, Some(Oid(25 | 1043))));
            let converted = value.traits.converted || !texts;
            let as_text = value.traits.as_text || target == Some(Oid(25));
            let traits = Traits { converted, as_text, unlimited: true, ..value.traits };
            self.found.recast.extend(value.taint().sources.keys());
            return Value { type_oid: target, traits, ..value };
        }
        let traits = value.traits;
        let mut computed = Value::computed(value.taint());
        computed.type_oid = target.filter(|oid| composite_relation(self.catalog, *oid).is_some());
        let document = !to.array && target.is_some_and(|target| matches!(target.0, 114 | 142 | 3802));
        computed.traits.shaped = traits.shaped && document;
        computed.traits.formed = traits.formed && document;
        computed.traits.sort = target.map(Sort::Type);
        if !to.modified && to.name.as_str() != "char" {
            let Traits { steady, tame, composed, compared, .. } = traits;
            computed.traits = Traits { steady, tame, composed, compared, ..computed.traits };
        }
        computed.traits.edge = traits.edge;
        computed.traits.nested = nested;
        computed.traits.odd = !plain && (traits.odd || traits.edge);
        computed.traits.gaps = traits.gaps;
        computed.traits.growth = traits.growth;
        computed
    }

    /// Whether a type may be one that others than superusers have made, or an array of such.
    fn is_users_to_change(&self, described: &Type) -> bool {
        match described.kind {
            TypeKind::Base | TypeKind::Pseudo => false,
            TypeKind::Array(element) => {
                self.catalog.type_of(element).is_none_or(|element| element.kind != TypeKind::Base)
            }
            TypeKind::Domain(_)
            | TypeKind::Enum(_)
            | TypeKind::Composite(_)
            | TypeKind::Range(_)
            | TypeKind::Multirange(_) => true,
        }
    }

    /// The only type that a name can mean.
    pub(super) fn type_named(&self, name: &TypeName) -> Option<Oid> {
        let (schema, bare) = (name.schema.as_ref(), &name.name);
        if self.catalog.doubt().of_type(schema, bare) {
            return None;
        }
        let mut known: Vec<Oid> = self.catalog.types_named(schema, bare).map(|described| described.oid).collect();
        if schema.is_none_or(|schema| schema.as_str() == "pg_catalog")
            && let Some((_, oid)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == bare.as_str())
            && !known.contains(&Oid(*oid))
        {
            known.push(Oid(*oid));
        }
        let [element] = known.as_slice() else { return None };
        if !name.array {
            return Some(*element);
        }
        // array types are called by their elements' type with an underscore, unless that name was taken
        let array = crate::catalog::Name::exact(&format!("_{bare}"));
        let mut arrays = self.catalog.types_named(schema, &array);
        arrays.find(|described| described.kind == TypeKind::Array(*element)).map(|described| described.oid)
    }

    /// Whether a cast leaves the value as it is: to its own type, or to a type that shows the same text.
    fn keeps(&self, value: &Value, to: &TypeName, target: Option<Oid>) -> bool {
        // a length cuts or pads
        if to.modified {
            return false;
        }
        let Some(from) = value.type_oid else { return false };
        let Some(target) = target else { return false };
        if from == target {
            return true;
        }
        let from = self.below_domains(from);
        match self.domain_base(target) {
            // a domain over varchar or numeric may have a length of its own, which the catalog does not tell
            Some(base) => {
                let base = self.below_domains(base);
                !has_modifier(base) && (base == from || self.is_text(base) && self.shows_as_text(from))
            }
            None => from == target || self.is_text(target) && self.shows_as_text(from),
        }
    }

    fn domain_base(&self, oid: Oid) -> Option<Oid> {
        let described = self.catalog.type_of(oid)?;
        if let TypeKind::Domain(base) = described.kind { Some(base) } else { None }
    }

    fn below_domains(&self, oid: Oid) -> Oid {
        let mut at = oid;
        for _ in 0..16 {
            match self.domain_base(at) {
                Some(base) => at = base,
                None => break,
            }
        }
        at
    }

    /// `text`, `varchar`, and `citext` of the extension.
    fn is_text(&self, oid: Oid) -> bool {
        matches!(oid.0, 25 | 1043) || self.is_citext(oid)
    }

    fn is_citext(&self, oid: Oid) -> bool {
        self.catalog
            .type_of(oid)
            .is_some_and(|described| described.name.as_str() == "citext" && described.kind == TypeKind::Base)
    }

    fn shows_as_text(&self, oid: Oid) -> bool {
        PLAIN_TYPES.contains(&oid.0)
            || self.is_citext(oid)
            || self.catalog.type_of(oid).is_some_and(|described| matches!(described.kind, TypeKind::Enum(_)))
    }
}

/// Types whose columns may have a length: `varchar`, `bpchar`, `numeric`, times, bit strings.
fn has_modifier(oid: Oid) -> bool {
    matches!(oid.0, 1042 | 1043 | 1083 | 1114 | 1184 | 1186 | 1266 | 1560 | 1562 | 1700)
}
