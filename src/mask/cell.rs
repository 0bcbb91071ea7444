//! A rule made ready for one type and format: what runs for each row.

use bytes::{BufMut, BytesMut};

use super::array::ArrayMask;
use super::leaf::Leaf;
use super::record::{self, AnonymousField, Fields};
use super::{CellRule, Format, HiddenForm, Mask, MaskKeys, TextEncoding, decimal, hidden, number};
use crate::catalog::ValueType;

/// A [`CellRule`] made ready for the cells of one column. Made once for each execution, applied to each row.
#[derive(Debug)]
pub struct CellMask {
    plan: Plan,
    format: Format,
    encoding: TextEncoding,
    unbuildable: bool,
}

#[derive(Debug)]
enum Plan {
    /// The bytes as they are.
    Keep,
    /// NULL.
    Null,
    /// This value, in place of NULL too.
    Constant(Vec<u8>),
    /// NULL stays NULL; where the shape can not show the value, the redacted one stands in for it, or else NULL.
    Masked { shape: Shape, redacted: Option<Vec<u8>> },
}

#[derive(Debug)]
enum Shape {
    /// Always the redacted value.
    Redacted,
    Scalar(Leaf),
    Array(Box<ArrayMask>),
    Row(Fields),
}

impl CellMask {
    /// The rule for cells of that type in that format, for a client whose encoding is UTF-8. What can not be done (a mask
    /// that does not fit, a missing key) becomes redaction, and NULL where there is no redacted value.
    pub fn new(rule: &CellRule, value_type: &ValueType, format: Format, keys: &MaskKeys) -> Self {
        Self::for_encoding(rule, value_type, format, TextEncoding::Utf8, keys)
    }

    /// As [`CellMask::new`], for a client of another encoding.
    pub fn for_encoding(
        rule: &CellRule,
        value_type: &ValueType,
        format: Format,
        encoding: TextEncoding,
        keys: &MaskKeys,
    ) -> Self {
        let maker = Maker { format, encoding, keys };
        match rule {
            CellRule::Keep => maker.made(Plan::Keep, false),
            CellRule::Hide(HiddenForm::Null) => maker.made(Plan::Null, false),
            CellRule::Hide(HiddenForm::Empty) => match hidden::empty(value_type, format, encoding) {
                Some(empty) => maker.made(Plan::Masked { shape: Shape::Redacted, redacted: Some(empty) }, false),
                None => maker.made(Plan::Null, true),
            },
            CellRule::Redact => maker.constant(value_type, hidden::redacted(value_type, format, encoding)),
            CellRule::Mask(mask) => maker.masked(rule, mask, value_type),
            CellRule::Row(rules) => maker.row(rule, rules, value_type),
        }
    }

    /// The same for a column whose type has this modifier, as the server's RowDescription says: a `numeric(10,2)` shows two
    /// places whatever stands there. `value_type` is the column's, an array's modifier is that of its elements.
    pub fn with_modifier(mut self, value_type: &ValueType, modifier: i32) -> Self {
        if matches!(value_type.element(), ValueType::Numeric)
            && let Some(places) = decimal::places(modifier)
        {
            self.set_places(matches!(value_type, ValueType::Numeric), places);
        }
        self
    }

    fn set_places(&mut self, scalar: bool, places: usize) {
        let format = self.format;
        let widen = |shown: &mut Vec<u8>| {
            if scalar && let Some(wide) = number::widened(shown, places, format) {
                *shown = wide;
            }
        };
        match &mut self.plan {
            Plan::Keep | Plan::Null => {}
            Plan::Constant(shown) => widen(shown),
            Plan::Masked { shape, redacted } => {
                redacted.as_mut().map(widen);
                match shape {
                    Shape::Scalar(Leaf::Constant(shown)) => widen(shown),
                    Shape::Scalar(Leaf::Number { places: least, .. }) => *least = places,
                    Shape::Array(array) => array.element.set_places(true, places),
                    Shape::Scalar(
                        Leaf::Text(_) | Leaf::HashBytea(..) | Leaf::Pseudonym(..) | Leaf::Date(..) | Leaf::Network(..),
                    )
                    | Shape::Redacted
                    | Shape::Row(_) => {}
                }
            }
        }
    }

    /// Appends the cell's field of a DataRow message: its length as i32 and its bytes, or -1 for NULL.
    pub fn apply(&self, cell: Option<&[u8]>, out: &mut BytesMut) {
        put_length_of(out, |out| self.show(cell, out));
    }

    /// Whether every cell stays as it is.
    pub fn is_keep(&self) -> bool {
        matches!(self.plan, Plan::Keep)
    }

    /// Whether NULL has to stand where a masked, redacted or empty value was asked for, in the whole value or in part of
    /// it, because no value of the type can be made.
    pub fn is_unbuildable(&self) -> bool {
        self.unbuildable
    }

    /// Appends what is shown of the cell; `false`: NULL, and nothing is appended.
    pub fn show(&self, cell: Option<&[u8]>, out: &mut BytesMut) -> bool {
        let start = out.len();
        let shown = match (&self.plan, cell) {
            (Plan::Constant(shown), _) => Some(shown.as_slice()),
            (Plan::Keep, cell) => cell,
            (Plan::Null, _) | (Plan::Masked { .. }, None) => None,
            (Plan::Masked { shape, redacted }, Some(value)) => {
                if self.show_shape(shape, value, out).is_some() {
                    return true;
                }
                out.truncate(start);
                redacted.as_deref()
            }
        };
        out.put_slice(shown.unwrap_or_default());
        shown.is_some()
    }

    fn show_shape(&self, shape: &Shape, value: &[u8], out: &mut BytesMut) -> Option<()> {
        // The text of arrays and rows is cut at ASCII characters; there must be no doubt what is one.
        let splits = || (self.format == Format::Binary || self.encoding.splits(value)).then_some(());
        match shape {
            Shape::Redacted => None,
            Shape::Scalar(leaf) => leaf.write(value, self.format, self.encoding, out),
            Shape::Array(array) => splits().and_then(|()| array.write(value, self.format, out)),
            Shape::Row(fields) => splits().and_then(|()| record::write(value, fields, self.format, out)),
        }
    }

    /// This mask's rule for a field of another type than was thought; keyed masks have no key there.
    pub(super) fn of_other_type(&self, rule: &CellRule, value_type: &ValueType) -> Self {
        Self::for_encoding(rule, value_type, self.format, self.encoding, &MaskKeys::default())
    }
}

/// What all parts of one cell's mask have in common.
struct Maker<'a> {
    format: Format,
    encoding: TextEncoding,
    keys: &'a MaskKeys,
}

impl Maker<'_> {
    fn made(&self, plan: Plan, unbuildable: bool) -> CellMask {
        CellMask { plan, format: self.format, encoding: self.encoding, unbuildable }
    }

    fn constant(&self, value_type: &ValueType, shown: Option<Vec<u8>>) -> CellMask {
        let unbuildable = !hidden::is_buildable(value_type, self.format, self.encoding);
        self.made(shown.map_or(Plan::Null, Plan::Constant), unbuildable)
    }

    fn shaped(&self, shape: Shape, value_type: &ValueType, unbuildable: bool) -> CellMask {
        let redacted = hidden::redacted(value_type, self.format, self.encoding);
        self.made(Plan::Masked { shape, redacted }, unbuildable)
    }

    fn redacted(&self, value_type: &ValueType) -> CellMask {
        let unbuildable = !hidden::is_buildable(value_type, self.format, self.encoding);
        self.shaped(Shape::Redacted, value_type, unbuildable)
    }

    fn part(&self, rule: &CellRule, value_type: &ValueType) -> CellMask {
        CellMask::for_encoding(rule, value_type, self.format, self.encoding, self.keys)
    }

    fn masked(&self, rule: &CellRule, mask: &Mask, value_type: &ValueType) -> CellMask {
        if matches!(mask, Mask::Nullify) {
            return self.made(Plan::Null, false);
        }
        if let ValueType::Array(..) = value_type {
            return self.array(rule, value_type);
        }
        if let ValueType::Composite(fields) = value_type {
            let fields: Vec<_> = fields.iter().map(|(oid, field)| (*oid, self.part(rule, field))).collect();
            let unbuildable = fields.iter().any(|(_, field)| field.unbuildable);
            return self.shaped(Shape::Row(Fields::Known(fields)), value_type, unbuildable);
        }
        if matches!(value_type, ValueType::Record) {
            return self.shaped(Shape::Row(Fields::Alike(Box::new(self.anonymous(rule)))), value_type, false);
        }
        match Leaf::new(mask, value_type, self.format, self.encoding, self.keys) {
            Some(leaf) => self.shaped(Shape::Scalar(leaf), value_type, false),
            None => self.redacted(value_type),
        }
    }

    /// The rule for each element of an array.
    fn array(&self, rule: &CellRule, value_type: &ValueType) -> CellMask {
        let ValueType::Array(element_type, element) = value_type else {
            return self.redacted(value_type);
        };
        let delimiter = if matches!(**element, ValueType::Box) { b';' } else { b',' };
        let element = self.part(rule, element);
        let unbuildable = element.unbuildable;
        let array = ArrayMask { element_type: *element_type, delimiter, element };
        self.shaped(Shape::Array(Box::new(array)), value_type, unbuildable)
    }

    fn row(&self, rule: &CellRule, rules: &[CellRule], value_type: &ValueType) -> CellMask {
        if let ValueType::Array(..) = value_type {
            return self.array(rule, value_type);
        }
        if let ValueType::Composite(fields) = value_type {
            if fields.len() != rules.len() {
                return self.redacted(value_type);
            }
            let fields: Vec<_> =
                fields.iter().zip(rules).map(|((oid, field), rule)| (*oid, self.part(rule, field))).collect();
            let unbuildable = fields.iter().any(|(_, field)| field.unbuildable);
            return self.shaped(Shape::Row(Fields::Known(fields)), value_type, unbuildable);
        }
        if matches!(value_type, ValueType::Record) {
            let fields = rules.iter().map(|rule| self.anonymous(rule)).collect();
            return self.shaped(Shape::Row(Fields::Anonymous(fields)), value_type, false);
        }
        self.redacted(value_type)
    }

    /// A field whose type is not known. In text form it is taken for text: nobody reads a type from it.
    fn anonymous(&self, rule: &CellRule) -> AnonymousField {
        let text = match rule {
            CellRule::Row(_) => self.part(rule, &ValueType::Record),
            CellRule::Keep | CellRule::Mask(_) | CellRule::Hide(_) | CellRule::Redact => {
                self.part(rule, &ValueType::Text)
            }
        };
        AnonymousField { text, rule: rule.clone() }
    }
}

/// Appends what the closure appends behind its length as i32, or -1 for NULL if it returns `false`. The closure's answer.
pub(super) fn put_length_of(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut) -> bool) -> bool {
    let start = out.len();
    out.put_i32(-1);
    let begin = out.len();
    if !write(out) {
        out.truncate(begin);
        return false;
    }
    // A value beyond 2 GiB can not be sent.
    let Ok(length) = i32::try_from(out.len() - begin) else {
        out.truncate(begin);
        return false;
    };
    if let Some(place) = out.get_mut(start..begin) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    true
}

/// Appends a value behind its length, or -1 for NULL.
pub(super) fn put_field(value: Option<&[u8]>, out: &mut BytesMut) {
    put_length_of(out, |out| {
        out.put_slice(value.unwrap_or_default());
        value.is_some()
    });
}
