//! Geometric types (PostgreSQL manual, section 8.8; `geo_ops.c`): `point`, `lseg`, `path`, `box`, `polygon`, `line`, `circle`,
//! made of big-endian `double precision` numbers.

use bytes::{BufMut, BytesMut};

use super::binary::Reader;
use super::character::is_space;
use super::{Scalar, TextForms, ValueError, float};

/// Numbers below are zero for the server (`EPSILON`).
const EPSILON: f64 = 1e-6;

/// A value of one of the types.
struct Shape {
    scalar: Scalar,
    /// Of a `path`: whether its last point is joined to its first.
    closed: bool,
    /// Coordinates, and a circle's radius, in the order of the binary form.
    numbers: Vec<f64>,
}

pub(super) fn read_text(scalar: Scalar, text: &str) -> Result<Vec<u8>, ValueError> {
    let mut parser = Parser { rest: text, scalar };
    let mut closed = false;
    let numbers = match scalar {
        Scalar::Point => parser.pair()?.to_vec(),
        Scalar::Lseg | Scalar::Box => parser.points(2, scalar == Scalar::Lseg)?.1,
        Scalar::Line => parser.line()?,
        Scalar::Circle => parser.circle()?,
        _ => {
            let commas = text.bytes().filter(|byte| *byte == b',').count();
            if commas % 2 == 0 {
                return Err(ValueError::syntax(scalar));
            }
            let (open, numbers) = parser.path(commas.div_ceil(2))?;
            closed = !open;
            numbers
        }
    };
    parser.end()?;
    Shape { scalar, closed, numbers }.checked().map(|shape| shape.encode())
}

pub(super) fn from_binary(scalar: Scalar, bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    let shape = Shape::decode(scalar, bytes)?;
    match scalar {
        Scalar::Line if shape.numbers.iter().take(2).all(|number| number.abs() <= EPSILON) => {
            Err(ValueError::new("22P03", "invalid line specification: A and B cannot both be zero"))
        }
        Scalar::Circle if shape.numbers.last().is_some_and(|radius| *radius < 0.0) => {
            Err(ValueError::new("22P03", "invalid radius in external \"circle\" value"))
        }
        _ => shape.checked().map(|shape| shape.encode()),
    }
}

pub(super) fn write_text(
    scalar: Scalar,
    plaintext: &[u8],
    forms: &TextForms,
    out: &mut BytesMut,
) -> Result<(), ValueError> {
    let shape = Shape::decode(scalar, plaintext).map_err(|_| ValueError::damaged(scalar))?;
    let numbers: Vec<String> = shape.numbers.iter().map(|number| float::double_text(*number, forms)).collect();
    let points: Vec<String> = numbers.chunks(2).map(|point| format!("({})", point.join(","))).collect();
    let points = points.join(",");
    let text = match scalar {
        Scalar::Point | Scalar::Box => points,
        Scalar::Lseg => format!("[{points}]"),
        Scalar::Path if !shape.closed => format!("[{points}]"),
        Scalar::Line => format!("{{{}}}", numbers.join(",")),
        Scalar::Circle => match numbers.as_slice() {
            [x, y, radius] => format!("<({x},{y}),{radius}>"),
            _ => return Err(ValueError::damaged(scalar)),
        },
        _ => format!("({points})"),
    };
    out.put_slice(text.as_bytes());
    Ok(())
}

impl Shape {
    fn decode(scalar: Scalar, bytes: &[u8]) -> Result<Self, ValueError> {
        let mut reader = Reader::new(bytes);
        let closed = scalar == Scalar::Path && reader.u8()? != 0;
        let count = match scalar {
            Scalar::Point => 2,
            Scalar::Line | Scalar::Circle => 3,
            Scalar::Path | Scalar::Polygon => {
                let points = usize::try_from(reader.i32()?).ok().filter(|points| *points > 0);
                let message = || format!("invalid number of points in external \"{}\" value", scalar.title());
                points.ok_or_else(|| ValueError::new("22P03", message()))?.saturating_mul(2)
            }
            _ => 4,
        };
        let mut numbers = Vec::new();
        for _ in 0..count {
            numbers.push(f64::from_be_bytes(reader.array()?));
        }
        reader.end()?;
        Ok(Self { scalar, closed, numbers })
    }

    /// A box with its upper right corner first.
    fn checked(mut self) -> Result<Self, ValueError> {
        if let (Scalar::Box, [high_x, high_y, low_x, low_y]) = (self.scalar, self.numbers.as_mut_slice()) {
            // NaN is above all other numbers.
            let below = |a: f64, b: f64| !a.is_nan() && (b.is_nan() || a < b);
            if below(*high_x, *low_x) {
                std::mem::swap(high_x, low_x);
            }
            if below(*high_y, *low_y) {
                std::mem::swap(high_y, low_y);
            }
        }
        Ok(self)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(5 + self.numbers.len() * 8);
        if self.scalar == Scalar::Path {
            out.push(u8::from(self.closed));
        }
        if matches!(self.scalar, Scalar::Path | Scalar::Polygon) {
            // There are no more points than bytes in the text or message that they came in.
            out.extend(i32::try_from(self.numbers.len() / 2).unwrap_or(i32::MAX).to_be_bytes());
        }
        for number in &self.numbers {
            out.extend(number.to_be_bytes());
        }
        out
    }
}

struct Parser<'a> {
    rest: &'a str,
    scalar: Scalar,
}

impl Parser<'_> {
    fn invalid(&self) -> ValueError {
        ValueError::syntax(self.scalar)
    }

    fn end(&self) -> Result<(), ValueError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.invalid()) }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches(is_space);
    }

    fn takes(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect_one(&mut self, wanted: char) -> Result<(), ValueError> {
        if self.takes(wanted) { Ok(()) } else { Err(self.invalid()) }
    }

    /// A number with spaces around.
    fn number(&mut self) -> Result<f64, ValueError> {
        self.skip_space();
        let text = self.rest;
        let at = |position: usize| text.get(position..).unwrap_or_default();
        let digits = |position: usize| at(position).bytes().take_while(u8::is_ascii_digit).count();
        let sign = usize::from(text.starts_with(['+', '-']));
        let word = at(sign).get(..8.min(at(sign).len())).unwrap_or_default().to_ascii_lowercase();
        let end = if word == "infinity" {
            sign + 8
        } else if word.starts_with("inf") || word.starts_with("nan") {
            sign + 3
        } else {
            let mut end = sign + digits(sign);
            if at(end).starts_with('.') {
                end += 1 + digits(end + 1);
            }
            if at(end).starts_with(['e', 'E']) {
                let exponent = end + 1 + usize::from(at(end + 1).starts_with(['+', '-']));
                if digits(exponent) > 0 {
                    end = exponent + digits(exponent);
                }
            }
            end
        };
        let (number, rest) = text.split_at_checked(end).ok_or_else(|| self.invalid())?;
        // What only C reads goes on behind the part that is read here.
        if rest.starts_with(['x', 'X']) || (word.starts_with("nan") && rest.starts_with('(')) {
            return Err(ValueError::new("0A000", "pgveil does not read hexadecimal numbers and NaN with a payload"));
        }
        let value = float::parse_double(number, self.scalar)?;
        self.rest = rest.trim_start_matches(is_space);
        Ok(value)
    }

    /// `x,y` with parentheses or without.
    fn pair(&mut self) -> Result<[f64; 2], ValueError> {
        self.skip_space();
        let enclosed = self.takes('(');
        let x = self.number()?;
        self.expect_one(',')?;
        let y = self.number()?;
        if enclosed {
            self.expect_one(')')?;
            self.skip_space();
        }
        Ok([x, y])
    }

    /// So many points, in brackets (they are open then) or parentheses or neither.
    fn points(&mut self, count: usize, may_be_open: bool) -> Result<(bool, Vec<f64>), ValueError> {
        self.skip_space();
        let mut enclosed = false;
        let open = self.rest.starts_with('[');
        if open {
            if !may_be_open {
                return Err(self.invalid());
            }
            self.takes('[');
            enclosed = true;
        } else if let Some(inner) = self.rest.strip_prefix('(') {
            let inner = inner.trim_start_matches(is_space);
            if inner.starts_with('(') || !inner.contains('(') {
                self.rest = inner;
                enclosed = true;
            }
        }
        let mut numbers = Vec::new();
        for _ in 0..count {
            numbers.extend(self.pair()?);
            self.takes(',');
        }
        if enclosed {
            let ended = self.takes(')') || (open && self.takes(']'));
            if !ended {
                return Err(self.invalid());
            }
            self.skip_space();
        }
        Ok((open, numbers))
    }

    /// A `path` or `polygon`.
    fn path(&mut self, count: usize) -> Result<(bool, Vec<f64>), ValueError> {
        if self.scalar == Scalar::Polygon {
            return self.points(count, false);
        }
        self.skip_space();
        let inner = self.rest.strip_prefix('(').filter(|inner| !inner.contains('('));
        if let Some(inner) = inner {
            self.rest = inner;
        }
        let path = self.points(count, true)?;
        if inner.is_some() {
            self.expect_one(')')?;
            self.skip_space();
        }
        Ok(path)
    }

    /// `{A,B,C}`; two points are not read, since the server computes the line from them.
    fn line(&mut self) -> Result<Vec<f64>, ValueError> {
        self.skip_space();
        if !self.takes('{') {
            self.points(2, true)?;
            self.end()?;
            return Err(ValueError {
                hint: Some("Write the line as {A,B,C}."),
                ..ValueError::new("0A000", "pgveil does not compute lines from points")
            });
        }
        let a = self.number()?;
        self.expect_one(',')?;
        let b = self.number()?;
        self.expect_one(',')?;
        let c = self.number()?;
        self.expect_one('}')?;
        self.skip_space();
        self.end()?;
        if a.abs() <= EPSILON && b.abs() <= EPSILON {
            return Err(ValueError::new("22P02", "invalid line specification: A and B cannot both be zero"));
        }
        Ok(vec![a, b, c])
    }

    /// `<(x,y),r>`, `((x,y),r)`, `(x,y),r`, `x,y,r`
    fn circle(&mut self) -> Result<Vec<f64>, ValueError> {
        self.skip_space();
        let angled = self.takes('<');
        let mut enclosed = angled;
        if !angled && let Some(inner) = self.rest.strip_prefix('(') {
            let inner = inner.trim_start_matches(is_space);
            if inner.starts_with('(') {
                self.rest = inner;
                enclosed = true;
            }
        }
        let [x, y] = self.pair()?;
        self.takes(',');
        let radius = self.number()?;
        if radius < 0.0 {
            return Err(self.invalid());
        }
        if enclosed {
            if !self.takes(')') && !self.takes('>') {
                return Err(self.invalid());
            }
            self.skip_space();
        }
        Ok(vec![x, y, radius])
    }
}
