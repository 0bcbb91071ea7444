//! What a cell of a result is made of, as far as masks have to know.

use std::sync::Arc;

use super::{Catalog, Oid, TypeKind};

/// The build of a value, domains already taken off. This is what masks and hidden values are chosen by, and what says
/// how a cell's text and binary forms are taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// `bool`
    Bool,
    /// `int2`
    Int2,
    /// `int4`
    Int4,
    /// `int8`
    Int8,
    /// `oid`, `xid`, `cid`, `regclass` and the like: four unsigned bytes on the wire.
    Oid,
    /// `float4`
    Float4,
    /// `float8`
    Float8,
    /// `numeric`
    Numeric,
    /// `money`
    Money,
    /// `text`, `varchar`, `bpchar`, `name`, `citext`: text and binary forms are the same bytes.
    Text,
    /// `"char"`: one byte.
    Char,
    /// `bytea`
    Bytea,
    /// `json`
    Json,
    /// `jsonb`: a version byte before the text in binary form.
    Jsonb,
    /// `jsonpath`
    Jsonpath,
    /// `xml`
    Xml,
    /// `uuid`
    Uuid,
    /// `date`: days since 2000-01-01 in binary form.
    Date,
    /// `time`: microseconds since midnight in binary form.
    Time,
    /// `timetz`
    TimeTz,
    /// `timestamp`: microseconds since 2000-01-01 in binary form.
    Timestamp,
    /// `timestamptz`
    TimestampTz,
    /// `interval`
    Interval,
    /// `inet`
    Inet,
    /// `cidr`
    Cidr,
    /// `macaddr`
    MacAddr,
    /// `macaddr8`
    MacAddr8,
    /// `bit`, `varbit`
    Bits,
    /// `tsvector`
    TsVector,
    /// `tsquery`
    TsQuery,
    /// `pg_lsn`
    PgLsn,
    /// `point`
    Point,
    /// `line`
    Line,
    /// `lseg`
    Lseg,
    /// `box`
    Box,
    /// `path`
    Path,
    /// `polygon`
    Polygon,
    /// `circle`
    Circle,
    /// An enumeration, with its first label (`None`: it has no labels).
    Enum(Option<Arc<str>>),
    /// A range; its subtype.
    Range(Box<ValueType>),
    /// A multirange; its subtype.
    Multirange(Box<ValueType>),
    /// An array; its element type's OID (part of the binary form) and build.
    Array(Oid, Box<ValueType>),
    /// A named row type: type OID and build of each live field, in order.
    Composite(Vec<(Oid, ValueType)>),
    /// An anonymous `record`: fields are known by position only.
    Record,
    /// A type that pgveil does not know how to build a value of. Only NULL is safe.
    Unknown,
}

/// How deep arrays, domains and composites may be nested before [`ValueType::Unknown`] is the answer.
const NESTING_MAX: u32 = 16;

impl ValueType {
    /// The type of an array's elements; other types as they are.
    pub fn element(&self) -> &Self {
        match self {
            Self::Array(_, element) => element.element(),
            other => other,
        }
    }

    /// The build of the type of that OID. Built-in types are known without a catalog.
    pub fn of(catalog: &Catalog, oid: Oid) -> Self {
        Self::nested(catalog, oid, NESTING_MAX)
    }

    fn nested(catalog: &Catalog, oid: Oid, left: u32) -> Self {
        if let Some(known) = Self::built_in(oid) {
            return known;
        }
        let (Some(described), Some(left)) = (catalog.type_of(oid), left.checked_sub(1)) else {
            return Self::Unknown;
        };
        match &described.kind {
            TypeKind::Array(element) => Self::Array(*element, Box::new(Self::nested(catalog, *element, left))),
            TypeKind::Domain(base) => Self::nested(catalog, *base, left),
            TypeKind::Enum(labels) => Self::Enum(labels.first().cloned()),
            TypeKind::Range(subtype) => Self::Range(Box::new(Self::nested(catalog, *subtype, left))),
            TypeKind::Multirange(range) => match Self::nested(catalog, *range, left) {
                Self::Range(subtype) => Self::Multirange(subtype),
                _ => Self::Unknown,
            },
            TypeKind::Composite(relation) => match catalog.relation(*relation) {
                Some(relation) => Self::Composite(
                    relation
                        .columns
                        .iter()
                        .map(|column| (column.type_oid, Self::nested(catalog, column.type_oid, left)))
                        .collect(),
                ),
                None => Self::Unknown,
            },
            TypeKind::Base if described.name.as_str() == "citext" => Self::Text,
            TypeKind::Base | TypeKind::Pseudo => Self::Unknown,
        }
    }

    /// Types whose OIDs are fixed by `pg_type.dat`.
    fn built_in(oid: Oid) -> Option<Self> {
        Some(match oid.0 {
            16 => Self::Bool,
            17 => Self::Bytea,
            18 => Self::Char,
            19 | 25 | 1042 | 1043 => Self::Text,
            20 => Self::Int8,
            21 => Self::Int2,
            23 => Self::Int4,
            26 | 28 | 29 | 2202 | 2205 | 2206 | 3734 | 3769 | 4089 | 4096 | 4191 | 24 | 2203 | 2204 => Self::Oid,
            114 => Self::Json,
            142 => Self::Xml,
            600 => Self::Point,
            601 => Self::Lseg,
            602 => Self::Path,
            603 => Self::Box,
            604 => Self::Polygon,
            628 => Self::Line,
            650 => Self::Cidr,
            700 => Self::Float4,
            701 => Self::Float8,
            718 => Self::Circle,
            774 => Self::MacAddr8,
            790 => Self::Money,
            829 => Self::MacAddr,
            869 => Self::Inet,
            1082 => Self::Date,
            1083 => Self::Time,
            1114 => Self::Timestamp,
            1184 => Self::TimestampTz,
            1186 => Self::Interval,
            1266 => Self::TimeTz,
            1560 | 1562 => Self::Bits,
            1700 => Self::Numeric,
            2249 => Self::Record,
            2950 => Self::Uuid,
            3220 => Self::PgLsn,
            3614 => Self::TsVector,
            3615 => Self::TsQuery,
            3802 => Self::Jsonb,
            4072 => Self::Jsonpath,
            _ => return None,
        })
    }
}
