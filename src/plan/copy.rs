//! The rows of `COPY ... TO STDOUT`.
//!
//! The server does not describe them: it says how many columns there are, and no more. So pgveil asks for the
//! description of a query that shows the same columns ([`CopyStatement::as_query`]) just before; where it could not ask,
//! columns of a table are described by the catalog, and all others have no type, so that NULL stands for what is tagged.

use bytes::{BufMut, Bytes, BytesMut};

use super::column_rule::{Beside, ColumnRule, RowError};
use super::encryption::PlannedCell;
use super::result::{Binding, Layout, Protection, ResultPlan, rewrite_fields};
use super::{Caller, Snapshot};
use crate::catalog::{Oid, ValueType};
use crate::mask::{Format, TextEncoding};
use crate::sql::copy::{CopyLayout, CopyOptions, CopyStatement, ForcedColumns};
use crate::value::TextForms;
use crate::wire::Malformed;
use crate::wire::backend::{Field, RowDescription};
use crate::wire::copy::{self, CopyFormat};

/// What is to be done with the data of one COPY.
pub struct CopyPlan {
    /// Its rows.
    pub rows: ResultPlan,
    /// How they are written; `None`: not known, and not needed where they go out as they are.
    pub format: Option<CopyFormat>,
    /// The names in the first line, where that is no row; empty ones are not known.
    pub header: Option<Vec<Bytes>>,
}

/// The rows of a COPY that are rewritten.
pub(super) struct CopyRows {
    format: CopyFormat,
    /// For each column: whether NULL is known when it is seen.
    null_apart: Vec<bool>,
}

impl Protection {
    /// Meet the lineage of a COPY with what the server says of its columns: the description that was asked for, and what
    /// CopyOutResponse says (whether the format is binary, and the number of columns). `encoding`: the client's; `None`
    /// where lines in it can not be cut at characters of ASCII.
    ///
    /// # Errors
    /// Where they contradict each other, or where the layout of rows that have to be rewritten is not known.
    pub fn bind_copy(
        &self,
        description: Option<&RowDescription>,
        response: (bool, usize),
        snapshot: &Snapshot,
        caller: &Caller,
        (encoding, forms): (Option<TextEncoding>, &TextForms),
    ) -> Result<CopyPlan, Malformed> {
        let fault = Malformed("CopyOutResponse");
        let copy = self.copy.as_ref().ok_or(fault)?;
        let (binary, count) = response;
        let described;
        let description = match description {
            Some(description) => description,
            None => {
                described = described_by_catalog(copy, snapshot, count);
                &described
            }
        };
        let mut binding = Binding::new(self, snapshot, caller);
        let rules = self.rules(description, &mut binding);
        let lifted = self.lifting(description, &rules, snapshot, caller, false);
        let whole = copy.table.is_some() && copy.columns.is_empty();
        let (fields, rules): (Vec<&Field>, Vec<_>) =
            description.fields.iter().zip(rules).filter(|(field, _)| !(whole && is_generated(field, snapshot))).unzip();
        if fields.len() != count {
            return Err(fault);
        }
        let cell_format = if binary { Format::Binary } else { Format::Text };
        let beside = Beside { fields: &fields, tenants: self.tenants.as_deref(), format: Some(cell_format) };
        let options = copy.options.as_ref();
        if options.is_some_and(|options| (options.format == CopyLayout::Binary) != binary) {
            return Err(fault);
        }
        let header = options
            .is_some_and(|options| options.header)
            .then(|| fields.iter().map(|field| field.name.clone()).collect());
        let keeps = rules.iter().all(ColumnRule::is_keep);
        let known = options.and_then(|options| layout(options, &fields));
        let (Some(format), Some(encoding)) = (known.clone(), text_encoding(options, encoding, binary)) else {
            if !keeps {
                return Err(fault);
            }
            let cells = rules.into_iter().zip(&fields);
            let cells = cells
                .map(|(rule, field)| rule.cell(field, Format::Text, (TextEncoding::Utf8, forms), (snapshot, &beside)))
                .collect();
            // What is not known to be read is not read: no key is found there.
            let layout = Layout::Copy(CopyRows { format: CopyFormat::Binary, null_apart: Vec::new() });
            let keys = self.keys(&fields, Some(Format::Text), &binding);
            return Ok(CopyPlan { rows: binding.finish(cells, layout, (keys, None)), format: known, header });
        };
        let apart = format.null_is_apart();
        let empty = matches!(&format, CopyFormat::Text { null, .. } if null.is_empty());
        let null_apart = rules.iter().map(|rule| apart || (empty && !may_be_empty(&rule.value_type))).collect();
        let cells = |rules: Vec<ColumnRule>| -> Vec<PlannedCell> {
            let cells = rules.into_iter().zip(&fields);
            cells.map(|(rule, field)| rule.cell(field, cell_format, (encoding, forms), (snapshot, &beside))).collect()
        };
        let layout = Layout::Copy(CopyRows { format: format.clone(), null_apart });
        // Where a column is left out, their places are others.
        let rows = match lifted.filter(|_| fields.len() == description.fields.len()) {
            Some((binding, clear, lifting)) => {
                let limited = lifting.limiting(cells(rules));
                let keys = self.keys(&fields, Some(cell_format), &binding);
                binding.finish(cells(clear), layout, (keys, Some(Box::new(limited))))
            }
            None => {
                let keys = self.keys(&fields, Some(cell_format), &binding);
                binding.finish(cells(rules), layout, (keys, None))
            }
        };
        Ok(CopyPlan { rows, format: Some(format), header })
    }
}

impl Snapshot {
    /// Whether the catalog has the table and the columns that a COPY names.
    pub fn has_copied(&self, copy: &CopyStatement) -> bool {
        let Some(table) = &copy.table else { return true };
        let mut named = self.catalog.relations_named(table.schema.as_ref(), &table.name);
        named.any(|relation| copy.columns.iter().all(|name| relation.column(name.as_str()).is_some()))
    }
}

impl CopyRows {
    /// The fields of a row in binary format, as a DataRow has them; `None`: it is another format.
    pub(super) fn binary_row<'b>(&self, body: &'b [u8]) -> Option<Result<&'b [u8], Malformed>> {
        (self.format == CopyFormat::Binary).then(|| copy::behind_header(body).map(|(_, row)| row))
    }

    /// The values of a row in text or CSV format, up to that one.
    pub(super) fn values(&self, body: &[u8], last: usize) -> Option<Vec<Option<Vec<u8>>>> {
        let mut unescaped = Vec::new();
        let mut values = Vec::new();
        for written in self.format.fields(body).ok()?.take(last.saturating_add(1)) {
            values.push(self.format.value(written.ok()?, &mut unescaped).map(<[u8]>::to_vec));
        }
        Some(values)
    }

    /// Rewrite the body of one CopyData message to the end of `out`.
    pub(super) fn rewrite(&self, cells: &[PlannedCell], body: &[u8], out: &mut BytesMut) -> Result<(), RowError> {
        if self.format == CopyFormat::Binary {
            let (_, row) = copy::behind_header(body)?;
            out.put_slice(body.get(..body.len().saturating_sub(row.len())).unwrap_or_default());
            return rewrite_fields(cells, row, out);
        }
        let (mut unescaped, mut shown) = (Vec::new(), BytesMut::new());
        let mut beside: Vec<Option<Vec<u8>>> = Vec::new();
        if cells.iter().any(PlannedCell::looks_beside) {
            for written in self.format.fields(body)? {
                beside.push(self.format.value(written?, &mut unescaped).map(<[u8]>::to_vec));
            }
        }
        let mut fields = self.format.fields(body)?;
        for (position, cell) in cells.iter().enumerate() {
            let written = fields.next().ok_or(Malformed("CopyData"))??;
            if position > 0 {
                out.put_u8(self.format.delimiter());
            }
            if cell.is_keep() {
                out.put_slice(written);
                continue;
            }
            let value = self.format.value(written, &mut unescaped);
            let value = match value {
                // It may be a value that looks like NULL, and whether it is one must not show.
                None if self.null_apart.get(position) != Some(&true) => Some(written),
                value => value,
            };
            shown.clear();
            let is_value = cell.show(value, &|place| beside.get(place).and_then(Option::as_deref), &mut shown)?;
            self.format.write(position, is_value.then_some(&shown[..]), cells.len() == 1, out);
        }
        if fields.next().is_some() {
            return Err(Malformed("CopyData").into());
        }
        out.put_u8(b'\n');
        Ok(())
    }
}

/// The encoding of the data: the client's, or that of the option `ENCODING`. `None`: lines in it can not be cut.
pub(super) fn text_encoding(
    options: Option<&CopyOptions>,
    client: Option<TextEncoding>,
    binary: bool,
) -> Option<TextEncoding> {
    match options.and_then(|options| options.encoding.as_deref()) {
        // The option does not count there (`textsend`, `textrecv`). No text is cut; within a value the masks see to it
        // themselves.
        _ if binary => Some(client.unwrap_or(TextEncoding::MultiByte)),
        Some(named) => encoding_option(named),
        None => client,
    }
}

/// The encoding that the option names; `None`: one that masks do not follow.
pub(super) fn encoding_option(named: &str) -> Option<TextEncoding> {
    // Not by their beginnings: `win932` is SJIS.
    let single =
        |prefix: &str, numbers: &[&str]| named.strip_prefix(prefix).is_some_and(|rest| numbers.contains(&rest));
    let windows = ["866", "874", "1250", "1251", "1252", "1253", "1254", "1255", "1256", "1257", "1258"];
    match named {
        "utf8" | "unicode" => Some(TextEncoding::Utf8),
        "koi8" | "koi8r" | "koi8u" => Some(TextEncoding::SingleByte),
        _ => (single("latin", &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"])
            || single("iso8859", &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "13", "14", "15", "16"])
            || single("win", &windows)
            || single("windows", &windows))
        .then_some(TextEncoding::SingleByte),
    }
}

/// Whether the option names an encoding that PostgreSQL has and masks do not follow.
pub(super) fn is_unfollowed(named: &str) -> bool {
    const NAMES: [&str; 24] = [
        "big5",
        "euccn",
        "eucjis2004",
        "eucjp",
        "euckr",
        "euctw",
        "gb18030",
        "gbk",
        "johab",
        "mskanji",
        "muleinternal",
        "shiftjis",
        "shiftjis2004",
        "sjis",
        "sqlascii",
        "uhc",
        "win932",
        "win936",
        "win949",
        "win950",
        "windows932",
        "windows936",
        "windows949",
        "windows950",
    ];
    NAMES.contains(&named)
}

/// The layout of rows with these columns; `None`: an option of it can not be read.
pub(super) fn layout(options: &CopyOptions, fields: &[&Field]) -> Option<CopyFormat> {
    let null = |default: &str| {
        let null = options.null.as_deref().unwrap_or(default);
        // Outside of ASCII its bytes depend on the encoding.
        null.is_ascii().then(|| null.as_bytes().into())
    };
    Some(match options.format {
        CopyLayout::Text => CopyFormat::Text { delimiter: options.delimiter.unwrap_or(b'\t'), null: null("\\N")? },
        CopyLayout::Csv => {
            let quote = options.quote.unwrap_or(b'"');
            let forced = |field: &&Field| match &options.force_quote {
                ForcedColumns::None => false,
                ForcedColumns::All => true,
                // A name that can not be compared: quotes too many mean the same.
                ForcedColumns::Named(names) => {
                    field.name.is_empty()
                        || !field.name.is_ascii()
                        || names.iter().any(|name| name.as_str().as_bytes() == field.name)
                }
            };
            CopyFormat::Csv {
                delimiter: options.delimiter.unwrap_or(b','),
                quote,
                escape: options.escape.unwrap_or(quote),
                null: null("")?,
                force_quote: fields.iter().map(forced).collect(),
            }
        }
        CopyLayout::Binary => CopyFormat::Binary,
    })
}

/// The columns as far as they are known without having asked the server.
fn described_by_catalog(copy: &CopyStatement, snapshot: &Snapshot, count: usize) -> RowDescription {
    let unknown = || Field {
        name: Bytes::new(),
        table: Oid(0),
        attnum: 0,
        type_oid: Oid(0),
        size: -1,
        modifier: -1,
        format: Format::Text,
    };
    let table = copy.table.as_ref();
    let mut named =
        table.into_iter().flat_map(|table| snapshot.catalog.relations_named(table.schema.as_ref(), &table.name));
    let (Some(relation), None) = (named.next(), named.next()) else {
        return RowDescription { fields: (0..count).map(|_| unknown()).collect() };
    };
    let field = |column: &crate::catalog::Column| Field {
        name: Bytes::copy_from_slice(column.name.as_str().as_bytes()),
        table: relation.oid,
        attnum: column.attnum,
        type_oid: column.type_oid,
        size: -1,
        modifier: -1,
        format: Format::Text,
    };
    let fields = match copy.columns.as_slice() {
        [] => relation.columns.iter().map(field).collect(),
        columns => columns.iter().map(|name| relation.column(name.as_str()).map_or_else(unknown, field)).collect(),
    };
    RowDescription { fields }
}

/// Whether `COPY table` leaves a column out.
fn is_generated(field: &Field, snapshot: &Snapshot) -> bool {
    let relation = snapshot.catalog.relation(field.table);
    relation.and_then(|relation| relation.attribute(field.attnum)).is_some_and(|column| column.generated.is_some())
}

/// Whether the text of a value of that type can be empty.
fn may_be_empty(value_type: &ValueType) -> bool {
    match value_type {
        ValueType::Bool
        | ValueType::Int2
        | ValueType::Int4
        | ValueType::Int8
        | ValueType::Oid
        | ValueType::Float4
        | ValueType::Float8
        | ValueType::Numeric
        | ValueType::Money
        | ValueType::Json
        | ValueType::Jsonb
        | ValueType::Jsonpath
        | ValueType::Uuid
        | ValueType::Date
        | ValueType::Time
        | ValueType::TimeTz
        | ValueType::Timestamp
        | ValueType::TimestampTz
        | ValueType::Interval
        | ValueType::Inet
        | ValueType::Cidr
        | ValueType::MacAddr
        | ValueType::MacAddr8
        | ValueType::PgLsn
        | ValueType::Point
        | ValueType::Line
        | ValueType::Lseg
        | ValueType::Box
        | ValueType::Path
        | ValueType::Polygon
        | ValueType::Circle
        | ValueType::Range(_)
        | ValueType::Multirange(_)
        | ValueType::Composite(_)
        | ValueType::Record => false,
        ValueType::Text
        | ValueType::Char
        | ValueType::Bytea
        | ValueType::Xml
        | ValueType::Bits
        | ValueType::TsVector
        | ValueType::TsQuery
        | ValueType::Enum(_)
        // Of some element types they are, as `int2vector`.
        | ValueType::Array(..)
        | ValueType::Unknown => true,
    }
}
