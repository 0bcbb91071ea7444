//! Filters in disguise: an error, or none, tells of the values that something was computed from.
//!
//! What the stored value itself goes into may fail if the caller has no say in what is asked of it: `email::int` fails for
//! whatever is no number. What may fail over something that was computed of the value (`substr(email, 1, 1)::int`), with a
//! bound of the caller's choice (`salary + 2147480000`), or where a look at values decides whether it is computed at all, is a
//! filter.

use super::scope::Scope;
use super::total::{
    Failure, Places, fails_by_edge, failure, is_number, is_time, is_total_cast, reads_composed, skips_nulls,
};
use super::value::{Sort, Traits, Value, flows};
use super::walk::Walk;
use super::{FilterKind, FilterUse, Flow, Taint};
use crate::catalog::Oid;
use crate::sql::NotUnderstood;
use crate::sql::tree::{Call, Constant, Expr, Operator, TypeName, Wildcards};

/// The factor up to which a whole number may be multiplied: that brings no ordinary number near the end of its type.
const FACTOR_MAX: u16 = 1_000;
/// How many factors may be multiplied before the product is no everyday number.
const PRODUCTS_MAX: usize = 2;
/// How many times longer a text may become: no ordinary one comes near the 1 GB that a value may have.
pub(super) const GROWTH_MAX: u32 = 65_535;
/// How many times longer what is repeated as often as another text has characters may become.
const GROWTH_BY_LENGTH: u32 = 1_000;
/// What a text counts for that has come round in a recursion: it may become longer by a piece at each round, and not by as
/// much again.
pub(super) const GROWTH_OF_ROUNDS: u32 = GROWTH_MAX / 2 + 1;
/// What a literal of 255 bytes or more counts for: a few may be put together with values, and no more be made of that.
pub(super) const GROWTH_OF_LONG: u32 = 20_000;
/// How often something may be added to a date.
const SHIFTS_MAX: usize = 4;

/// Whether an operator computes with numbers, dates and times.
pub(super) fn is_arithmetic(expr: &Expr) -> bool {
    let own = |operator: &Operator| operator.schema.as_ref().is_none_or(|schema| schema.as_str() == "pg_catalog");
    matches!(expr, Expr::Operator(operator, _)
        if own(operator) && matches!(operator.symbol.as_ref(), "+" | "-" | "*" | "/" | "%" | "^"))
}

/// What is computed with.
enum Leaf {
    /// A whole number, if it is not larger than 65,535.
    Number(Option<u16>),
    /// A fraction, a date or an interval of everyday size.
    Modest,
    /// Any other literal.
    Literal,
    /// Today, now, and what is taken of it.
    Clock,
    /// Anything else.
    Value,
}

/// What a tree of arithmetic operators does.
#[derive(Default)]
struct Sum {
    additions: usize,
    products: usize,
    /// Products of values with each other.
    squares: usize,
    /// Whether there is a factor that is no small number, or an operator that runs out of range soon.
    steep: bool,
    /// Whether a number or literal among its leaves may not be of everyday size.
    large: bool,
    values: Vec<Value>,
}

impl<'q> Walk<'q> {
    /// State that something which may fail is computed of a value.
    pub(super) fn may_fail_of(&mut self, value: &Value, permitted: bool) {
        self.fails = true;
        self.look_at_failing(value, permitted || value.traits.steady);
    }

    /// `steady`: whether the caller has no say in what is asked of the value.
    fn look_at_failing(&mut self, value: &Value, steady: bool) {
        let kind = |flow| match flow {
            Flow::Counted => FilterKind::NullTest,
            Flow::Direct => FilterKind::Conversion,
            Flow::Derived if steady => FilterKind::Conversion,
            Flow::Derived => FilterKind::Other,
        };
        self.look(value, |_, flow| Some(kind(flow)));
        if value.traits.compared {
            // it fails but where it is equal to what it was compared with
            let taint = value.taint();
            let equal = flows(&taint).filter(|(_, flow)| kind(*flow) == FilterKind::Conversion);
            self.found.filters.extend(equal.map(|(source, _)| FilterUse { source, kind: FilterKind::Equality }));
        }
    }

    /// State that what comes out is an error or none by what the caller made of a value, not by the value as it is.
    pub(super) fn look_at_made(&mut self, value: &Value) {
        self.fails = true;
        if value.traits.steady {
            return;
        }
        self.look(value, |_, flow| match flow {
            Flow::Counted | Flow::Direct => None,
            Flow::Derived => Some(FilterKind::Other),
        });
    }

    /// State that a value is cast.
    pub(super) fn cast_may_fail(&mut self, inner: &Expr, value: &Value, to: &TypeName) {
        let target = self.type_named(to);
        if matches!(inner, Expr::Constant(_) | Expr::Parameter(_)) {
            return;
        }
        if is_total_cast(value.sort(), to, target) {
            // numeric and date hold more than float8 and timestamp
            if value.traits.edge && target.is_some_and(|target| is_number(target) || is_time(target)) {
                self.look_at_made(value);
            }
            return;
        }
        let into_number = target.is_some_and(is_number) && !to.modified;
        let permitted = (value.traits.tame && into_number) || (is_composed(value) && reads_composed(to.name.as_str()));
        self.may_fail_of(value, permitted);
    }

    /// State that a function is called with these arguments. `own`: it can only be PostgreSQL's.
    pub(super) fn call_may_fail(&mut self, call: &Call, args: &[Value]) {
        let name = call.function.name.as_str();
        if call.lenient {
            self.lenient_may_fail(args);
            return;
        }
        let place = match call.args.get(1) {
            Some(Expr::Constant(Constant::Number(place))) => *place,
            _ => None,
        };
        let composed = |arg: &Value| is_composed(arg) && reads_composed(name);
        match failure(name, place) {
            Failure::At(places) => {
                self.places_may_fail(call, args, places);
                self.growth_may_fail(Self::growth(call, args), args);
            }
            Failure::ByForm => {
                // documents that were made in the statement have the form that they were made in
                for arg in args.iter().filter(|arg| !arg.traits.shaped) {
                    self.may_fail_of(arg, composed(arg));
                }
                self.fails = true;
            }
            // what is asked of the document is written, and tells no values apart
            Failure::ByChoice if asks_by_path(name, args) => {
                args.iter().take(1).for_each(|document| self.may_fail_of(document, false));
            }
            Failure::ByChoice => {
                for arg in args {
                    self.look_at_choice(arg);
                }
                self.fails = true;
            }
        }
    }

    /// State that a function is called that takes what it does not find for NULL: only what is no document at all, or no
    /// path, makes it fail.
    fn lenient_may_fail(&mut self, args: &[Value]) {
        if let Some((document, asked)) = args.split_first() {
            if !(document.traits.formed || document.sort().is_some_and(is_document)) {
                self.may_fail_of(document, false);
            }
            asked.iter().for_each(|value| self.look_at_choice(value));
        }
        self.fails = true;
    }

    /// How many times as long as its arguments the text that a function makes may be.
    pub(super) fn growth(call: &Call, args: &[Value]) -> u32 {
        let given = args.iter().map(|arg| arg.traits.growth).max().unwrap_or(1);
        let name = call.function.name.as_str();
        let times = match (call.args.get(1), args.get(1)) {
            (Some(Expr::Constant(Constant::Number(Some(times)))), _) => u32::from(*times),
            (_, Some(times)) if times.sort() == Some(Sort::Small) => GROWTH_BY_LENGTH,
            // how long is too long is not for the caller to say
            (_, Some(times)) if name != "repeat" && times.traits.steady && !times.is_constant() => GROWTH_BY_LENGTH,
            _ => u32::MAX,
        };
        let all = || args.iter().fold(0_u32, |all, arg| all.saturating_add(arg.traits.growth)).max(1);
        match name {
            "repeat" => given.saturating_mul(times.max(1)),
            "lpad" | "rpad" => given.max(times),
            "replace" | "regexp_replace" => given.saturating_mul(Self::length(call.args.get(2), args.get(2))),
            "overlay" | "concat" | "xmlelement" | "xmlforest" | "xmlconcat" => all(),
            "concat_ws" | "format" => all().saturating_mul(Self::length(call.args.first(), args.first())),
            "array_to_string" | "string_agg" => given.saturating_mul(Self::length(call.args.get(1), args.get(1))),
            "quote_literal" | "quote_ident" | "quote_nullable" | "encode" | "to_json" | "to_jsonb" => {
                given.saturating_mul(2)
            }
            _ => given,
        }
    }

    /// How many times a text may take another's place in what is made of it: at most as often as it has characters.
    fn length(written: Option<&Expr>, value: Option<&Value>) -> u32 {
        let growth = value.map_or(1, |value| value.traits.growth);
        match written {
            Some(Expr::Constant(Constant::Text(_, u8::MAX))) => u32::MAX,
            Some(Expr::Constant(Constant::Text(_, bytes))) => u32::from(*bytes).max(1),
            Some(Expr::Parameter(_)) => u32::from(u8::MAX),
            Some(_) if value.is_some_and(|value| value.taint().is_clean() && !value.traits.steady) => u32::MAX,
            Some(_) => growth.saturating_mul(u32::from(u8::MAX)),
            None => 1,
        }
    }

    /// State that texts which grew are computed with: one that is too long is an error.
    pub(super) fn growth_may_fail<'a>(&mut self, growth: u32, values: impl IntoIterator<Item = &'a Value>) {
        if growth > GROWTH_MAX {
            values.into_iter().for_each(|value| self.look_at_choice(value));
        }
    }

    /// State that a function is called with arguments that may not be of everyday size or shape.
    fn edges_may_fail(&mut self, name: &str, args: &[Value]) {
        let by_edge = fails_by_edge(name);
        if args.iter().any(|arg| arg.traits.odd) {
            args.iter().for_each(|arg| self.look_at_made(arg));
        }
        let dates = matches!(name, "xmlelement" | "xmlforest");
        for arg in args.iter().filter(|arg| arg.traits.edge && (by_edge || (dates && may_be_endless(arg)))) {
            self.look_at_made(arg);
        }
        let joins = matches!(name, "array_agg" | "array_cat" | "array_append" | "array_prepend");
        if joins && (name == "array_agg" || args.iter().any(|arg| arg.traits.odd)) {
            // arrays in arrays have as many elements as each other
            args.iter().filter(|arg| arg.traits.nested && arg.fields.is_none()).for_each(|arg| self.look_at_made(arg));
        }
    }

    /// State that an operator that does not compute with numbers has these operands.
    pub(super) fn operator_may_fail(&mut self, symbol: &str, operands: &[Value]) {
        match symbol {
            "|/" | "||/" | "!!" | "!" | "#-" => operands.iter().for_each(|operand| self.may_fail_of(operand, false)),
            "~" | "~*" | "!~" | "!~*" => {
                for pattern in operands.iter().skip(1).filter(|pattern| !is_literal(pattern)) {
                    self.may_fail_of(pattern, false);
                }
                for subject in operands.iter().take(1).filter(|subject| subject.traits.gaps) {
                    self.look_at_made(subject);
                }
            }
            _ => {}
        }
        let odd = operands.iter().any(|operand| operand.traits.odd);
        for operand in operands {
            let traits = operand.traits;
            let bits = matches!(symbol, "&" | "|" | "#" | "@") && traits.edge;
            // `=`, `*<`: rows of the same fields
            let compares = traits.nested && symbol.bytes().all(|byte| b"=<>*".contains(&byte));
            if traits.odd || bits || (traits.gaps && (odd || compares)) {
                self.look_at_made(operand);
            }
        }
    }

    /// State that a row is compared with this one: they are to have the same fields.
    pub(super) fn row_may_differ(&mut self, row: &Value) {
        if row.traits.odd || (row.traits.nested && row.traits.gaps) {
            self.look_at_made(row);
        }
    }

    /// State that a function is called which some of its arguments may make fail.
    pub(super) fn places_may_fail(&mut self, call: &Call, args: &[Value], places: Places) {
        let name = call.function.name.as_str();
        let composed = |arg: &Value| is_composed(arg) && reads_composed(name);
        let mut number = true;
        for (place, arg) in args.iter().enumerate().filter(|(place, _)| places.has(*place)) {
            number &= matches!(call.args.get(place), Some(Expr::Constant(Constant::Number(Some(1..)))));
            if !is_literal(arg) {
                self.may_fail_of(arg, composed(arg));
            }
        }
        // what makes it fail is not looked at where another argument is NULL
        for (place, arg) in args.iter().enumerate() {
            if skips_nulls(name) && !number && !places.has(place) && arg.traits.gaps {
                self.look_at_made(arg);
            }
        }
        if name == "format" && !call.args.first().is_some_and(is_plain_format) {
            // one of the arguments may be a width, or a name that is NULL
            args.iter().for_each(|arg| self.look_at_made(arg));
        }
        self.edges_may_fail(name, args);
    }

    /// State that whether something fails is for the caller to choose.
    pub(super) fn look_at_choice(&mut self, value: &Value) {
        self.fails = true;
        self.look(value, |_, flow| match flow {
            Flow::Counted => Some(FilterKind::NullTest),
            Flow::Direct | Flow::Derived => Some(FilterKind::Other),
        });
    }

    /// A pattern that ends in a lone backslash fails for values that it matches so far, and what is no constant may end so.
    pub(super) fn pattern_may_fail(
        &mut self,
        subject: &'q Expr,
        pattern: &'q Expr,
        scope: &Scope<'_, 'q>,
    ) -> Result<(), NotUnderstood> {
        let mut bare = pattern;
        while let Expr::Cast(inner, _) | Expr::Collate(inner) = bare {
            bare = inner;
        }
        if let Expr::Constant(constant) = bare
            && !matches!(constant, Constant::Text(Wildcards::Dangling, _))
        {
            return Ok(());
        }
        self.fails = true;
        let subject = self.value(subject, scope)?;
        self.look_at(&subject, FilterKind::Pattern, FilterKind::Pattern);
        let pattern = self.value(pattern, scope)?;
        self.look_at_failing(&pattern, pattern.traits.steady);
        Ok(())
    }

    /// Operators that compute with numbers, dates and times, however they are nested.
    pub(super) fn arithmetic(&mut self, expr: &'q Expr, scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        let mut sum = Sum::default();
        let mut taint = Taint::clean();
        let (mut constant, mut literal, mut varying) = (true, true, false);
        let (mut edge, mut gaps) = (false, false);
        let mut waiting = vec![expr];
        while let Some(expr) = waiting.pop() {
            if let Expr::Operator(operator, operands) = expr
                && is_arithmetic(expr)
            {
                constant = constant && matches!(operator.symbol.as_ref(), "-" | "+");
                self.step(&mut sum, operator, operands, scope)?;
                waiting.extend(operands);
                continue;
            }
            let leaf = leaf(expr);
            let value = self.value(expr, scope)?;
            constant = constant && value.is_constant();
            let part = value.taint();
            self.charge(1 + part.sources.len())?;
            taint.join(&part);
            match leaf {
                Leaf::Number(number) => sum.large |= number.is_none(),
                Leaf::Literal => {
                    sum.large = true;
                    literal = literal && !matches!(expr, Expr::Parameter(_));
                }
                Leaf::Modest | Leaf::Clock => {}
                Leaf::Value => {
                    literal = false;
                    varying = varying || value.traits.varying;
                    edge = edge || value.traits.edge;
                    gaps = gaps || value.traits.gaps;
                    sum.values.push(value);
                }
            }
        }
        if !literal {
            self.fails = true;
        }
        let tame = self.sum_may_fail(&sum);
        edge = edge || sum.large || sum.steep || sum.products > PRODUCTS_MAX;
        if constant && taint.is_clean() {
            let mut value = Value::constant().made_of(taint.derived());
            value.traits.edge = edge;
            return Ok(value);
        }
        let mut value = Value::computed(taint);
        value.traits.edge |= edge;
        value.traits.gaps = gaps;
        if !value.taint().is_clean() {
            value.traits.varying = varying;
        }
        let numbers = sum.values.iter().all(|value| value.sort() == Some(Sort::Type(Oid(1700))));
        value.traits = Traits { tame, sort: numbers.then_some(Sort::Type(Oid(1700))), ..value.traits };
        Ok(value)
    }

    /// One operator of a sum.
    fn step(
        &mut self,
        sum: &mut Sum,
        operator: &Operator,
        operands: &'q [Expr],
        scope: &Scope<'_, 'q>,
    ) -> Result<(), NotUnderstood> {
        match (operator.symbol.as_ref(), operands) {
            ("+" | "-", [_]) => {}
            ("+" | "-", _) => sum.additions += 1,
            ("*", [one, two]) => {
                sum.products += 1;
                let small = |expr| match leaf(expr) {
                    Leaf::Number(Some(factor)) => factor <= FACTOR_MAX,
                    Leaf::Modest => !matches!(expr, Expr::Cast(..)),
                    Leaf::Number(None) | Leaf::Literal | Leaf::Clock | Leaf::Value => false,
                };
                match (leaf(one), leaf(two)) {
                    (Leaf::Value, Leaf::Value) => sum.squares += 1,
                    _ => sum.steep |= !(small(one) || small(two)),
                }
            }
            ("/" | "%", [_, divisor]) => match leaf(divisor) {
                Leaf::Number(Some(1..)) | Leaf::Modest => {}
                Leaf::Number(Some(0) | None) | Leaf::Literal | Leaf::Clock => sum.steep = true,
                Leaf::Value if is_never_zero(divisor) => {}
                Leaf::Value => {
                    // whether it is zero comes out as an error
                    let mut divisor = self.value(divisor, scope)?;
                    divisor.traits.ordered = false;
                    self.look_at_choice(&divisor);
                }
            },
            _ => sum.steep = true,
        }
        Ok(())
    }

    /// State what an overflow tells. Whether the outcome is hardly larger than what went in.
    fn sum_may_fail(&mut self, sum: &Sum) -> bool {
        let sorts: Vec<Option<Sort>> = sum.values.iter().map(Value::sort).collect();
        let all =
            |holds: &dyn Fn(Oid) -> bool| sorts.iter().all(|sort| matches!(sort, Some(Sort::Type(oid)) if holds(*oid)));
        let steady = sum.values.iter().all(|value| value.traits.steady);
        let within = !sum.steep && !sum.large && sum.values.iter().all(|value| value.traits.tame);
        let tame = within && sum.products == 0;
        // documents and arrays that `-` takes something out of
        let parts = |oid: Oid| {
            matches!(oid.0, 114 | 3802)
                || self
                    .catalog
                    .type_of(oid)
                    .is_some_and(|known| matches!(known.kind, crate::catalog::TypeKind::Array(_)))
        };
        if all(&parts) && sum.products == 0 {
            // out of what is no array, nothing is taken by its place
            sum.values.iter().for_each(|value| self.look_at_made(value));
            return false;
        }
        let whole = |oid: Oid| matches!(oid.0, 20 | 21 | 23 | 1700);
        let moved = sum.additions + sum.products;
        let never = within
            && ((moved == 0 && all(&|oid| whole(oid) || is_time(oid)))
                || (steady && all(&is_time) && sum.products == 0 && sum.additions <= SHIFTS_MAX)
                || all(&|oid| oid.0 == 1700)
                || (steady
                    && sum.products <= 1
                    && sum.squares == 0
                    && sorts.iter().all(|sort| *sort == Some(Sort::Small))));
        if never {
            return tame;
        }
        // one operation with a number of everyday size
        let permitted = within && moved <= 1 && sum.values.len() <= 1;
        for value in &sum.values {
            match permitted {
                true => self.look_at_failing(value, true),
                false => self.look_at_choice(value),
            }
        }
        tame
    }
}

/// `json`, `jsonb`.
fn is_document(sort: Sort) -> bool {
    matches!(sort, Sort::Type(Oid(114 | 3802)))
}

/// Whether a value may be `infinity`, which XML has no date for.
fn may_be_endless(value: &Value) -> bool {
    match value.sort() {
        Some(Sort::Type(of)) => is_time(of),
        Some(Sort::Small) => false,
        // literals without a type are texts
        None => !is_literal(value),
    }
}

/// Whether a function looks into a document whose whole form is written in the statement, by a path that finds as much
/// whatever values are in it.
pub(super) fn asks_by_path(name: &str, args: &[Value]) -> bool {
    let [document, path] = args else { return false };
    let formed = document.traits.formed || document.taint().is_clean();
    matches!(
        name,
        "jsonb_path_query"
            | "jsonb_path_query_tz"
            | "jsonb_path_query_array"
            | "jsonb_path_query_array_tz"
            | "jsonb_path_query_first"
            | "jsonb_path_query_first_tz"
    ) && formed
        && path.traits.path
        && path.is_constant()
}

/// Whether a value was put together of stored ones and a few short constants: a document of more than 10 MB fails, and how
/// much more it takes for that tells how long a value is.
pub(super) fn is_composed(value: &Value) -> bool {
    value.traits.composed && value.traits.growth < GROWTH_OF_LONG && value.taint().parameters.is_empty()
}

/// Whether a value is a constant that the caller wrote: it fails for all rows or for none.
fn is_literal(value: &Value) -> bool {
    value.is_constant() && value.traits.constants <= 1
}

/// A format that nothing is padded by, and no name is made by.
fn is_plain_format(format: &Expr) -> bool {
    let mut bare = format;
    while let Expr::Cast(inner, _) | Expr::Collate(inner) = bare {
        bare = inner;
    }
    matches!(bare, Expr::Constant(constant) if !matches!(constant, Constant::Text(Wildcards::Format, _)))
}

/// `nullif(x, 0)`.
fn is_never_zero(divisor: &Expr) -> bool {
    let Expr::Call(call) = divisor else { return false };
    call.special
        && call.function.name.as_str() == "nullif"
        && matches!(call.args.as_slice(), [_, Expr::Constant(Constant::Number(Some(0)))])
}

fn leaf(expr: &Expr) -> Leaf {
    match expr {
        Expr::Constant(Constant::Number(number)) => Leaf::Number(*number),
        Expr::Constant(Constant::Fraction | Constant::Null | Constant::Text(Wildcards::Modest, _)) => Leaf::Modest,
        Expr::Constant(_) | Expr::Parameter(_) => Leaf::Literal,
        Expr::Cast(inner, to) => match leaf(inner) {
            Leaf::Number(_) | Leaf::Literal => Leaf::Literal,
            Leaf::Modest if matches!(inner.as_ref(), Expr::Constant(Constant::Text(..))) && is_number_name(to) => {
                Leaf::Literal
            }
            other @ (Leaf::Modest | Leaf::Clock | Leaf::Value) => other,
        },
        Expr::Call(call) if is_clock(call) => Leaf::Clock,
        _ => Leaf::Value,
    }
}

fn is_number_name(to: &TypeName) -> bool {
    matches!(to.name.as_str(), "int2" | "int4" | "int8" | "numeric" | "float4" | "float8")
}

/// `now()`, `date_trunc('year', now())`.
fn is_clock(call: &Call) -> bool {
    let name = call.function.name.as_str();
    let bare = call.function.schema.as_ref().is_none_or(|schema| schema.as_str() == "pg_catalog");
    let taken = |arg: &Expr| matches!(arg, Expr::Constant(_)) || matches!(leaf(arg), Leaf::Clock);
    bare && match name {
        "now"
        | "current_date"
        | "current_timestamp"
        | "localtimestamp"
        | "transaction_timestamp"
        | "statement_timestamp"
        | "current_time"
        | "localtime" => call.args.iter().all(|arg| matches!(arg, Expr::Constant(_))),
        "date_trunc" | "extract" | "date_part" => call.args.iter().all(taken),
        _ => false,
    }
}
