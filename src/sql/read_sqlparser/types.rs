//! Type names.

use sqlparser::ast::{self, DataType, TimezoneInfo};

use super::{Reader, Result, class, construct};
use crate::catalog::Name;
use crate::sql::NotUnderstood;
use crate::sql::lexer::KeywordClass;
use crate::sql::tree::TypeName;

/// A built-in type under its internal name.
fn built_in(name: &str, modified: bool) -> TypeName {
    TypeName { schema: None, name: Name::exact(name), modified, array: false }
}

impl Reader {
    pub(super) fn type_name(&mut self, data_type: &DataType) -> Result<TypeName> {
        Ok(match data_type {
            DataType::Character(length) | DataType::Char(length) => {
                // char is char(1)
                let _ = length;
                built_in("bpchar", true)
            }
            DataType::CharacterVarying(length) | DataType::CharVarying(length) | DataType::Varchar(length) => {
                built_in("varchar", length.is_some())
            }
            DataType::Uuid => built_in("uuid", false),
            DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => {
                built_in("numeric", !matches!(info, ast::ExactNumberInfo::None))
            }
            DataType::Float(info) => float(info)?,
            DataType::Real | DataType::Float4 => built_in("float4", false),
            DataType::Float8 | DataType::DoublePrecision => built_in("float8", false),
            DataType::Int2(None) | DataType::SmallInt(None) => built_in("int2", false),
            DataType::Int(None) | DataType::Int4(None) | DataType::Integer(None) => built_in("int4", false),
            DataType::Int8(None) | DataType::BigInt(None) => built_in("int8", false),
            DataType::Bool | DataType::Boolean => built_in("bool", false),
            DataType::Date => built_in("date", false),
            DataType::Time(precision, zone) => built_in(zoned(*zone, "time", "timetz"), precision.is_some()),
            DataType::Timestamp(precision, zone) => {
                built_in(zoned(*zone, "timestamp", "timestamptz"), precision.is_some())
            }
            DataType::Interval { fields, precision } => built_in("interval", fields.is_some() || precision.is_some()),
            DataType::JSON => built_in("json", false),
            DataType::JSONB => built_in("jsonb", false),
            DataType::Regclass => built_in("regclass", false),
            DataType::Text => built_in("text", false),
            DataType::Bytea => built_in("bytea", false),
            // bit is bit(1)
            DataType::Bit(_) => built_in("bit", true),
            DataType::BitVarying(length) | DataType::VarBit(length) => built_in("varbit", length.is_some()),
            DataType::TsVector => built_in("tsvector", false),
            DataType::TsQuery => built_in("tsquery", false),
            DataType::Custom(name, modifiers) => {
                // NATIONAL and the like begin a type's name of several words
                if let [ast::ObjectNamePart::Identifier(only)] = name.0.as_slice()
                    && class(only) == Some(KeywordClass::ColumnName)
                {
                    return construct("a type that is a key word");
                }
                let mut parts = self.object_parts(name)?;
                let (Some(name), schema, true) = (parts.pop(), parts.pop(), parts.is_empty()) else {
                    return construct("a type with a name of three parts");
                };
                TypeName { schema, name, modified: !modifiers.is_empty(), array: false }
            }
            DataType::Array(
                ast::ArrayElemTypeDef::SquareBracket(element, _) | ast::ArrayElemTypeDef::Qualified(element, _),
            ) => TypeName { array: true, ..self.type_name(element)? },
            _ => return construct("a type of another dialect"),
        })
    }
}

/// `float(1)` to `float(24)` are `float4`, others `float8`.
fn float(info: &ast::ExactNumberInfo) -> Result<TypeName> {
    match info {
        ast::ExactNumberInfo::None => Ok(built_in("float8", false)),
        ast::ExactNumberInfo::Precision(bits) => Ok(built_in(if *bits < 25 { "float4" } else { "float8" }, false)),
        ast::ExactNumberInfo::PrecisionAndScale(..) => Err(NotUnderstood::Syntax),
    }
}

fn zoned(zone: TimezoneInfo, without: &'static str, with: &'static str) -> &'static str {
    match zone {
        TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => without,
        TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => with,
    }
}
