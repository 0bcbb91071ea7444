//! The built-in scalar types.

use crate::catalog::{Oid, ValueType};

/// A built-in type of PostgreSQL whose values are no arrays, records, enumerations or names of the catalog's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// `boolean`
    Bool,
    /// `bytea`
    Bytea,
    /// `"char"`
    Char,
    /// `name`
    Name,
    /// `bigint`
    Int8,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `text`
    Text,
    /// `oid`
    Oid,
    /// `json`
    Json,
    /// `xml`
    Xml,
    /// `point`
    Point,
    /// `lseg`
    Lseg,
    /// `path`
    Path,
    /// `box`
    Box,
    /// `polygon`
    Polygon,
    /// `line`
    Line,
    /// `cidr`
    Cidr,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `circle`
    Circle,
    /// `macaddr8`
    MacAddr8,
    /// `money`
    Money,
    /// `macaddr`
    MacAddr,
    /// `inet`
    Inet,
    /// `character`
    Bpchar,
    /// `character varying`
    Varchar,
    /// `date`
    Date,
    /// `time without time zone`
    Time,
    /// `timestamp without time zone`
    Timestamp,
    /// `timestamp with time zone`
    TimestampTz,
    /// `interval`
    Interval,
    /// `time with time zone`
    TimeTz,
    /// `bit`
    Bit,
    /// `bit varying`
    Varbit,
    /// `numeric`
    Numeric,
    /// `uuid`
    Uuid,
    /// `txid_snapshot`
    TxidSnapshot,
    /// `pg_lsn`
    PgLsn,
    /// `tsvector`
    TsVector,
    /// `tsquery`
    TsQuery,
    /// `jsonb`
    Jsonb,
    /// `jsonpath`
    Jsonpath,
    /// `pg_snapshot`
    PgSnapshot,
    /// `int4range`
    Int4Range,
    /// `numrange`
    NumRange,
    /// `tsrange`
    TsRange,
    /// `tstzrange`
    TstzRange,
    /// `daterange`
    DateRange,
    /// `int8range`
    Int8Range,
    /// `int4multirange`
    Int4Multirange,
    /// `nummultirange`
    NumMultirange,
    /// `tsmultirange`
    TsMultirange,
    /// `tstzmultirange`
    TstzMultirange,
    /// `datemultirange`
    DateMultirange,
    /// `int8multirange`
    Int8Multirange,
}

/// A type's row in `pg_type.dat`.
struct Row {
    scalar: Scalar,
    oid: u32,
    array_oid: u32,
    size: i16,
    /// `typname`
    name: &'static str,
    /// As `format_type()` prints it, without a modifier.
    title: &'static str,
}

const fn row(scalar: Scalar, oid: u32, array_oid: u32, size: i16, name: &'static str, title: &'static str) -> Row {
    Row { scalar, oid, array_oid, size, name, title }
}

/// In the order of the enumeration.
const ROWS: [Row; 56] = [
    row(Scalar::Bool, 16, 1000, 1, "bool", "boolean"),
    row(Scalar::Bytea, 17, 1001, -1, "bytea", "bytea"),
    row(Scalar::Char, 18, 1002, 1, "char", "\"char\""),
    row(Scalar::Name, 19, 1003, 64, "name", "name"),
    row(Scalar::Int8, 20, 1016, 8, "int8", "bigint"),
    row(Scalar::Int2, 21, 1005, 2, "int2", "smallint"),
    row(Scalar::Int4, 23, 1007, 4, "int4", "integer"),
    row(Scalar::Text, 25, 1009, -1, "text", "text"),
    row(Scalar::Oid, 26, 1028, 4, "oid", "oid"),
    row(Scalar::Json, 114, 199, -1, "json", "json"),
    row(Scalar::Xml, 142, 143, -1, "xml", "xml"),
    row(Scalar::Point, 600, 1017, 16, "point", "point"),
    row(Scalar::Lseg, 601, 1018, 32, "lseg", "lseg"),
    row(Scalar::Path, 602, 1019, -1, "path", "path"),
    row(Scalar::Box, 603, 1020, 32, "box", "box"),
    row(Scalar::Polygon, 604, 1027, -1, "polygon", "polygon"),
    row(Scalar::Line, 628, 629, 24, "line", "line"),
    row(Scalar::Cidr, 650, 651, -1, "cidr", "cidr"),
    row(Scalar::Float4, 700, 1021, 4, "float4", "real"),
    row(Scalar::Float8, 701, 1022, 8, "float8", "double precision"),
    row(Scalar::Circle, 718, 719, 24, "circle", "circle"),
    row(Scalar::MacAddr8, 774, 775, 8, "macaddr8", "macaddr8"),
    row(Scalar::Money, 790, 791, 8, "money", "money"),
    row(Scalar::MacAddr, 829, 1040, 6, "macaddr", "macaddr"),
    row(Scalar::Inet, 869, 1041, -1, "inet", "inet"),
    row(Scalar::Bpchar, 1042, 1014, -1, "bpchar", "character"),
    row(Scalar::Varchar, 1043, 1015, -1, "varchar", "character varying"),
    row(Scalar::Date, 1082, 1182, 4, "date", "date"),
    row(Scalar::Time, 1083, 1183, 8, "time", "time without time zone"),
    row(Scalar::Timestamp, 1114, 1115, 8, "timestamp", "timestamp without time zone"),
    row(Scalar::TimestampTz, 1184, 1185, 8, "timestamptz", "timestamp with time zone"),
    row(Scalar::Interval, 1186, 1187, 16, "interval", "interval"),
    row(Scalar::TimeTz, 1266, 1270, 12, "timetz", "time with time zone"),
    row(Scalar::Bit, 1560, 1561, -1, "bit", "bit"),
    row(Scalar::Varbit, 1562, 1563, -1, "varbit", "bit varying"),
    row(Scalar::Numeric, 1700, 1231, -1, "numeric", "numeric"),
    row(Scalar::Uuid, 2950, 2951, 16, "uuid", "uuid"),
    row(Scalar::TxidSnapshot, 2970, 2949, -1, "txid_snapshot", "txid_snapshot"),
    row(Scalar::PgLsn, 3220, 3221, 8, "pg_lsn", "pg_lsn"),
    row(Scalar::TsVector, 3614, 3643, -1, "tsvector", "tsvector"),
    row(Scalar::TsQuery, 3615, 3645, -1, "tsquery", "tsquery"),
    row(Scalar::Jsonb, 3802, 3807, -1, "jsonb", "jsonb"),
    row(Scalar::Jsonpath, 4072, 4073, -1, "jsonpath", "jsonpath"),
    row(Scalar::PgSnapshot, 5038, 5039, -1, "pg_snapshot", "pg_snapshot"),
    row(Scalar::Int4Range, 3904, 3905, -1, "int4range", "int4range"),
    row(Scalar::NumRange, 3906, 3907, -1, "numrange", "numrange"),
    row(Scalar::TsRange, 3908, 3909, -1, "tsrange", "tsrange"),
    row(Scalar::TstzRange, 3910, 3911, -1, "tstzrange", "tstzrange"),
    row(Scalar::DateRange, 3912, 3913, -1, "daterange", "daterange"),
    row(Scalar::Int8Range, 3926, 3927, -1, "int8range", "int8range"),
    row(Scalar::Int4Multirange, 4451, 6150, -1, "int4multirange", "int4multirange"),
    row(Scalar::NumMultirange, 4532, 6151, -1, "nummultirange", "nummultirange"),
    row(Scalar::TsMultirange, 4533, 6152, -1, "tsmultirange", "tsmultirange"),
    row(Scalar::TstzMultirange, 4534, 6153, -1, "tstzmultirange", "tstzmultirange"),
    row(Scalar::DateMultirange, 4535, 6155, -1, "datemultirange", "datemultirange"),
    row(Scalar::Int8Multirange, 4536, 6157, -1, "int8multirange", "int8multirange"),
];

impl Scalar {
    /// The type of that OID.
    pub fn of(oid: Oid) -> Option<Self> {
        ROWS.iter().find(|row| row.oid == oid.0).map(|row| row.scalar)
    }

    /// The type of that internal name (`pg_type.typname`): `int4`, `varchar`.
    pub fn named(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.scalar)
    }

    /// `pg_type.oid`
    pub fn oid(self) -> Oid {
        Oid(self.row().oid)
    }

    /// `pg_type.typarray`
    pub fn array_oid(self) -> Oid {
        Oid(self.row().array_oid)
    }

    /// `pg_type.typlen`: bytes, or -1 where values are of different lengths.
    pub fn size(self) -> i16 {
        self.row().size
    }

    /// The name that SQL has for it, as `format_type()` prints it.
    pub fn title(self) -> &'static str {
        self.row().title
    }

    /// What masks know of it.
    pub fn value_type(self) -> ValueType {
        match self {
            Self::TxidSnapshot | Self::PgSnapshot => ValueType::Unknown,
            Self::Int4Range => ValueType::Range(Box::new(ValueType::Int4)),
            Self::Int8Range => ValueType::Range(Box::new(ValueType::Int8)),
            Self::NumRange => ValueType::Range(Box::new(ValueType::Numeric)),
            Self::DateRange => ValueType::Range(Box::new(ValueType::Date)),
            Self::TsRange => ValueType::Range(Box::new(ValueType::Timestamp)),
            Self::TstzRange => ValueType::Range(Box::new(ValueType::TimestampTz)),
            Self::Int4Multirange => ValueType::Multirange(Box::new(ValueType::Int4)),
            Self::Int8Multirange => ValueType::Multirange(Box::new(ValueType::Int8)),
            Self::NumMultirange => ValueType::Multirange(Box::new(ValueType::Numeric)),
            Self::DateMultirange => ValueType::Multirange(Box::new(ValueType::Date)),
            Self::TsMultirange => ValueType::Multirange(Box::new(ValueType::Timestamp)),
            Self::TstzMultirange => ValueType::Multirange(Box::new(ValueType::TimestampTz)),
            Self::Name | Self::Text | Self::Varchar | Self::Bpchar => ValueType::Text,
            Self::Bit | Self::Varbit => ValueType::Bits,
            Self::Bool => ValueType::Bool,
            Self::Bytea => ValueType::Bytea,
            Self::Char => ValueType::Char,
            Self::Int8 => ValueType::Int8,
            Self::Int2 => ValueType::Int2,
            Self::Int4 => ValueType::Int4,
            Self::Oid => ValueType::Oid,
            Self::Json => ValueType::Json,
            Self::Xml => ValueType::Xml,
            Self::Point => ValueType::Point,
            Self::Lseg => ValueType::Lseg,
            Self::Path => ValueType::Path,
            Self::Box => ValueType::Box,
            Self::Polygon => ValueType::Polygon,
            Self::Line => ValueType::Line,
            Self::Cidr => ValueType::Cidr,
            Self::Float4 => ValueType::Float4,
            Self::Float8 => ValueType::Float8,
            Self::Circle => ValueType::Circle,
            Self::MacAddr8 => ValueType::MacAddr8,
            Self::Money => ValueType::Money,
            Self::MacAddr => ValueType::MacAddr,
            Self::Inet => ValueType::Inet,
            Self::Date => ValueType::Date,
            Self::Time => ValueType::Time,
            Self::Timestamp => ValueType::Timestamp,
            Self::TimestampTz => ValueType::TimestampTz,
            Self::Interval => ValueType::Interval,
            Self::TimeTz => ValueType::TimeTz,
            Self::Numeric => ValueType::Numeric,
            Self::Uuid => ValueType::Uuid,
            Self::PgLsn => ValueType::PgLsn,
            Self::TsVector => ValueType::TsVector,
            Self::TsQuery => ValueType::TsQuery,
            Self::Jsonb => ValueType::Jsonb,
            Self::Jsonpath => ValueType::Jsonpath,
        }
    }

    fn row(self) -> &'static Row {
        // The table has a row for each variant: a test says so.
        ROWS.iter().find(|row| row.scalar == self).unwrap_or(const { &ROWS[0] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_its_row() {
        for row in &ROWS {
            assert_eq!(row.scalar.row().oid, row.oid);
            assert_eq!(ROWS[row.scalar as usize].scalar, row.scalar);
            assert_eq!(Scalar::of(Oid(row.oid)), Some(row.scalar));
        }
        // The last variant's number is that of the last row.
        assert_eq!(Scalar::Int8Multirange as usize, ROWS.len() - 1);
    }
}
