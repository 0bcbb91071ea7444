//! Function calls.

use std::rc::Rc;

use super::bodies;
use super::candidates::{is_extension_code, takes, takes_anything};
use super::documents::{is_formed, is_shaped};
use super::failing::asks_by_path;
use super::forbidden::{closed, has_effects, is_built_in, leaves_traces, refused};
use super::functions::{Role, folds_constants, is_sink, role, rows_by_elements, yields_one_row};
use super::scope::Scope;
use super::total::{Failure, failure, is_number, is_time, keeps_steady, leaves_gaps, makes_arrays, returned_sort};
use super::value::{Field, Sort, Traits, Value, composite_relation};
use super::walk::Walk;
use super::{FilterKind, Flow, FunctionCall, Handed, Source, Taint, Unknown, Write};
use crate::catalog::{Conduct, Function, FunctionKind, Name, Oid};
use crate::sql::tree::{Call, Expr, ObjectName};
use crate::sql::{NotUnderstood, opened};

/// How many times as long as its arguments the text may be that a function of users makes: calls of it in one another
/// would make any text too long.
const GROWTH_BY_USERS: u32 = 1_000;

/// The names of arguments that are given by name, each with its position.
pub(super) type Named = [(usize, Name)];

/// Whether a user-defined function may do more with its arguments than return something: tell them in a notice, store
/// them, hand them on. A function in SQL that does not write, and only calls what pgveil knows, does not.
fn may_keep(function: &Function) -> bool {
    if function.language.as_str() != "sql" {
        return function.kind != FunctionKind::Aggregate;
    }
    let body = function.body.as_deref().unwrap_or_default().to_ascii_lowercase();
    let words = body.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.into_iter().any(|word| matches!(word, "insert" | "update" | "delete" | "merge" | "copy" | "into" | "notify"))
        || body.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').any(is_sink)
}

/// Whether a function returns the names of the cursors that it opens, and does nothing else. (What they show is for those to
/// protect who fetch it.)
fn returns_cursors(function: &Function) -> bool {
    /// `pg_type.oid` of `refcursor`.
    const REFCURSOR: Oid = Oid(1790);
    function.language.as_str() == "plpgsql"
        && function.returns == REFCURSOR
        && function.body.as_deref().is_some_and(|body| opened(body).is_some())
}

/// `anyelement`, `anyarray` and the other polymorphic types: the result has the type of an argument.
fn is_polymorphic(oid: Oid) -> bool {
    matches!(oid.0, 2277 | 2283 | 2776 | 3500 | 3831 | 4537 | 4538 | 5077..=5080)
}

/// Aggregates that values come out of, for catalogs without functions.
fn is_aggregate(name: &str) -> bool {
    matches!(name, "max" | "min" | "array_agg" | "string_agg" | "any_value" | "json_agg" | "jsonb_agg" | "xmlagg")
}

impl<'q> Walk<'q> {
    /// A call in an expression.
    pub(super) fn call(&mut self, call: &'q Call, scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        let mut args = Vec::with_capacity(call.args.len());
        let (mut failing, mut later) = (false, false);
        for (number, arg) in call.args.iter().enumerate() {
            // count(*)
            let star = matches!(arg, Expr::Star(parts) if parts.is_empty());
            if !star {
                let (value, fails) = self.apart(|walk| walk.value(arg, scope))?;
                failing |= fails;
                later |= fails && number > 0;
                args.push(value);
            }
        }
        let gathers = |function: &&Function| matches!(function.kind, FunctionKind::Aggregate | FunctionKind::Window);
        self.found.mixes |= call.over.is_some()
            || !call.within_group.is_empty()
            || self.functions_of(&call.function).iter().any(gathers)
            || is_aggregate(call.function.name.as_str());
        if call.distinct {
            for arg in &args {
                self.group(arg);
            }
        }
        for key in &call.order_by {
            let value = self.value(key, scope)?;
            self.sort(&value);
        }
        let mut within = Vec::with_capacity(call.within_group.len());
        for key in &call.within_group {
            // what is sorted is what comes out
            within.push(self.value(key, scope)?);
        }
        let mut chosen_by = Taint::clean();
        if let Some(filter) = &call.filter {
            // where neither it nor the arguments can fail, which rows pass comes out in the result alone
            let ((_, taint), fails) = self.apart(|walk| walk.aside(|walk| walk.filter(filter, scope)))?;
            chosen_by = taint;
            if fails || failing || call.over.is_some() || !call.order_by.is_empty() {
                self.filter(filter, scope)?;
                chosen_by = Taint::clean();
            }
        }
        if let Some(window) = &call.over {
            self.window(window, scope)?;
        }
        if call.function.name.as_str() == "set_config" && call.args.get(1).is_some_and(|value| !is_foreseen(value)) {
            // which setting it changes to what would not be known to anyone
            self.found.forbidden.insert(call.function.name.clone());
        }
        if !within.is_empty() {
            // a fraction out of range is an error
            for arg in args.iter().filter(|arg| !arg.taint().is_clean()) {
                self.may_fail_of(arg, false);
            }
            return Ok(self.ordered_set(&call.function, args, within)?.influenced(&chosen_by));
        }
        let lazy = call.special && call.function.name.as_str() == "coalesce";
        if lazy && later {
            for arg in &args {
                self.look_at(arg, FilterKind::NullTest, FilterKind::Other);
            }
        }
        if call.special || self.may_be_built_in(&call.function, args.len()) {
            self.call_may_fail(call, &args);
        }
        self.others_may_fail(call, &args);
        self.gathering_may_fail(&call.function.name, &args);
        let compares = matches!(call.function.name.as_str(), "nullif" | "greatest" | "least");
        if (compares || call.function.name.as_str().starts_with("array_"))
            && args.iter().any(|arg| arg.fields.is_some())
        {
            // rows of other fields can not be compared
            self.fails = true;
        }
        if args.iter().any(|arg| arg.traits.collated) {
            self.fails = true;
            args.iter().filter(|arg| arg.traits.gaps).for_each(|arg| self.look_at_made(arg));
        }
        if self.functions_of(&call.function).into_iter().any(|function| function.returns_set) {
            self.entry_of_made_rows(call);
        }
        let growth = Self::growth(call, &args).max(self.growth_by_rows(&call.function.name, &args));
        let growth = if self.is_of_users(&call.function) {
            let growth = growth.saturating_mul(GROWTH_BY_USERS);
            self.growth_may_fail(growth, &args);
            if self.catalog.doubt().routine(call.function.schema.as_ref(), &call.function.name).is_some() {
                // it may be an aggregate
                args.iter().for_each(|arg| self.gathered(arg));
            }
            growth
        } else {
            growth
        };
        let mut value = self.apply(&call.function, (args, Some(&call.named)), call.special)?.influenced(&chosen_by);
        value.traits.growth = growth;
        value.traits.gaps |= !chosen_by.is_clean();
        Ok(value)
    }

    /// An ordered-set aggregate.
    fn ordered_set(
        &mut self,
        function: &ObjectName,
        args: Vec<Value>,
        within: Vec<Value>,
    ) -> Result<Value, NotUnderstood> {
        // the fraction decides which value it is
        let mut by = Taint::clean();
        for value in &args {
            by.join(&value.taint());
        }
        let chosen = within.first().filter(|_| within.len() == 1).cloned();
        let known = self.apply(function, (args.into_iter().chain(within).collect(), None), false)?;
        match chosen {
            Some(chosen) if role(function.name.as_str(), 1) == Role::WithinGroup && self.is_built_in_only(function) => {
                let mut value = extreme(chosen);
                value.type_oid = value.type_oid.or(known.type_oid);
                Ok(value.influenced(&by))
            }
            Some(_) | None => Ok(known),
        }
    }

    /// What a function makes of its arguments. `special`: it was written with a syntax of its own. `named`: which of the arguments
    /// are given by name; `None`: it is not said which is which.
    pub(super) fn apply(
        &mut self,
        function: &ObjectName,
        (args, named): (Vec<Value>, Option<&Named>),
        special: bool,
    ) -> Result<Value, NotUnderstood> {
        let name = function.name.as_str();
        let given = args.iter().fold(Traits::default(), |all, arg| all.merged(arg.traits));
        let mut value = match special {
            true => self.built_in(name, args)?,
            false => self.called(function, args, named)?,
        };
        let document = name.contains("json");
        let scalar = returned_sort(name).is_some();
        value.traits.edge |= given.edge;
        value.traits.nested |= !scalar && (given.nested || makes_arrays(name) || is_of_arrays(name) || document);
        value.traits.odd |= !scalar && !makes_arrays(name) && (given.odd || (document && given.edge && given.nested));
        value.traits.gaps |= given.gaps || leaves_gaps(name);
        value.traits.collated |= given.collated && !scalar;
        value.traits.growth = value.traits.growth.max(given.growth);
        Ok(value)
    }

    fn called(
        &mut self,
        function: &ObjectName,
        args: Vec<Value>,
        named: Option<&Named>,
    ) -> Result<Value, NotUnderstood> {
        let name = &function.name;
        if refused(name.as_str(), args.len()).is_some() {
            self.found.forbidden.insert(name.clone());
        }
        let mut candidates = self.functions_of(function);
        candidates.retain(|candidate| takes(candidate, args.len()));
        let (mut own, mut others_code) = (false, false);
        let mut keeps = false;
        let mut others = Taint::clean();
        let doubt = self.catalog.doubt().routine(function.schema.as_ref(), name);
        let handed_on = args.iter().any(|arg| !arg.taint().is_clean());
        if doubt == Some(Conduct::Chooses) {
            // whether there is an outcome, or how many there are, was for who made it to choose
            args.iter().for_each(|arg| self.look_at_choice(arg));
        }
        if doubt == Some(Conduct::Acts) && (handed_on || self.catalog.doubt().has_code(name)) {
            self.unresolved(name);
            others.join(&Taint::unknown(Unknown::Function));
            keeps = true;
        }
        // With one argument it may be a cast to a type of that name, whose checks are handed the value.
        let casts = matches!(args.as_slice(), [only] if self.casts_by_users(function, only.type_oid));
        keeps = keeps || casts;
        others_code = others_code || casts;
        for candidate in &candidates {
            if closed(candidate).is_some() {
                self.found.forbidden.insert(name.clone());
            }
            if is_built_in(candidate) {
                own = true;
                keeps = keeps || has_effects(candidate);
                continue;
            }
            self.found.functions.insert(candidate.oid);
            if is_extension_code(candidate) {
                others_code = true;
            } else {
                keeps = keeps || may_keep(candidate);
                if !returns_cursors(candidate) {
                    others.join(&Taint::of(Source::Function(candidate.oid), Flow::Derived));
                }
            }
        }
        let attribute = match args.as_slice() {
            [only] if function.schema.is_none() => only
                .fields(self.catalog)
                .and_then(|fields| fields.into_iter().find(|(known, _)| known == name))
                .map(|(_, field)| field),
            _ => None,
        };
        let part = matches!(args.as_slice(), [only] if function.schema.is_none() && self.is_of_unknown_type(only));
        let alone = matches!(candidates.as_slice(), [_]) && doubt.is_none() && !casts && attribute.is_none();
        for candidate in candidates.iter().filter(|candidate| !is_built_in(candidate)) {
            let arguments = named.filter(|_| alone).and_then(|named| handed(candidate, &args, named));
            if arguments.is_none() {
                self.found.looked_at.extend(args.iter().flat_map(|arg| arg.taint().parameters.into_keys()));
            }
            self.found.calls.push(FunctionCall { function: candidate.oid, arguments });
        }
        let mut all = others.clone();
        for arg in &args {
            let taint = arg.taint();
            self.charge(1 + taint.sources.len())?;
            all.join(&taint);
        }
        let mut given = Taint::clean();
        for arg in &args {
            given.join(&arg.taint());
        }
        if doubt.is_some() || candidates.is_empty() {
            self.found.given_in_doubt.join(&given);
        }
        if keeps && !given.is_clean() {
            // what it does with its arguments, beside what it returns, is not known
            self.found.writes.push(Write::elsewhere(given));
        }
        if candidates.is_empty() {
            return Ok(match attribute {
                Some(field) => field,
                None => self.not_in_catalog(function, all, part),
            });
        }
        if handed_on {
            let readable =
                candidates.iter().filter(|candidate| !is_built_in(candidate) && !is_extension_code(candidate));
            // A schema may get another name before this runs, and a function go to another schema.
            let by_schema = function.schema.as_ref().is_some_and(|schema| !schema.as_str().starts_with("pg_"));
            let elsewhere = self.catalog.functions_named(None, name).filter(|other| {
                by_schema && !is_built_in(other) && !is_extension_code(other) && takes(other, args.len())
            });
            for candidate in readable.copied().chain(elsewhere) {
                self.found.given.entry(candidate.oid).or_default().join(&all);
            }
        }
        // What becomes of its arguments is said where it is called.
        let is_said = alone && named.is_some() && !own;
        if is_said {
            all = all.handed();
        }
        let plain = args.is_empty();
        let foreseen = args.iter().all(Value::is_constant);
        let shape = self.result_shape(&candidates, &args);
        if candidates.iter().any(|candidate| candidate.returns_set) {
            let looked_at = self.found.looked_at.clone();
            self.rows_of(name.as_str(), own && others.is_clean(), &args);
            if is_said {
                self.found.looked_at = looked_at;
            }
        }
        let mut value = if matches!(doubt, Some(Conduct::Computes | Conduct::Chooses)) {
            Value::computed(all)
        } else if own {
            let hides = matches!(role(name.as_str(), args.len()), Role::Counted | Role::Clean);
            let field = part && !candidates.iter().any(|candidate| takes_anything(candidate));
            let value = self.built_in(name.as_str(), args)?;
            // another function of that name may show what the built-in one only counts, and so may a field
            if others.is_clean() && !((others_code || field) && hides) { value } else { value.influenced(&all) }
        } else {
            let mut value = Value::computed(all);
            // without arguments nobody chose what it computes: its result is like a column that is stored somewhere
            value.traits.faithful = plain;
            value.traits.steady = foreseen;
            value
        };
        if value.fields.is_none() {
            value.fields = shape.fields;
            value.type_oid = value.type_oid.or(shape.type_oid);
        }
        if let [only] = candidates.as_slice()
            && doubt.is_none()
            && !(own || others_code)
            && !handed_on
            && let Some(fields) = value.fields(self.catalog)
        {
            let field = |(position, (name, field)): (usize, (_, Value))| {
                let source = Source::Field { function: only.oid, position };
                (name, Value { origin: super::Origin::Value(Taint::of(source, Flow::Derived)), ..field })
            };
            let traits = value.traits;
            self.charge(fields.len())?;
            value = Value::row(fields.into_iter().enumerate().map(field).collect(), value.type_oid);
            value.traits = Traits { nested: true, ..traits };
        }
        Ok(match attribute {
            Some(field) => value.merged(field),
            None => value,
        })
    }

    /// `part`: it may be the name of a field of its argument.
    fn not_in_catalog(&mut self, function: &ObjectName, all: Taint, part: bool) -> Value {
        // `domain_name(x)` is a cast
        let mut types = self.catalog.types_named(function.schema.as_ref(), &function.name);
        let certain = self.catalog.doubt().routine(function.schema.as_ref(), &function.name).is_none();
        if certain && types.next().is_some() {
            return Value::computed(all);
        }
        let doubt = self.catalog.doubt().routine(function.schema.as_ref(), &function.name);
        let computes = matches!(doubt, Some(Conduct::Computes | Conduct::Chooses));
        if function.name.as_str() == "merge_action" || computes {
            return Value::computed(if computes { all } else { Taint::clean() });
        }
        self.unresolved(&function.name);
        let mut taint = all.derived();
        if !part {
            taint.unknown = taint.unknown.or(Some(Unknown::Function));
        }
        Value::stored(taint, None)
    }

    /// State that a function of users or of an extension may be called with these arguments.
    fn others_may_fail(&mut self, call: &Call, args: &[Value]) {
        let name = &call.function;
        let doubt = self.catalog.doubt().routine(name.schema.as_ref(), &name.name);
        // where a look at values decides whether it is called, an error tells what they are
        self.fails |= matches!(doubt, Some(Conduct::Chooses | Conduct::Acts));
        if !call.special && self.functions_of(name).into_iter().any(leaves_traces) {
            self.fails = true;
        }
        for candidate in self.functions_of(name).into_iter().filter(|function| !is_built_in(function)) {
            self.fails = true;
            if is_extension_code(candidate) {
                match failure(name.name.as_str(), None) {
                    Failure::At(places) => self.places_may_fail(call, args, places),
                    Failure::ByForm | Failure::ByChoice => args.iter().for_each(|arg| self.may_fail_of(arg, false)),
                }
            } else if candidate.kind == FunctionKind::Function && bodies::may_fail(candidate, self.catalog) {
                args.iter().for_each(|arg| self.look_at_choice(arg));
            } else {
                // its body may compute with numbers and dates
                let scalar = |arg: &Value| matches!(arg.sort(), Some(Sort::Type(of)) if is_number(of) || is_time(of));
                let made = args.iter().filter(|arg| arg.traits.odd || (arg.traits.edge && scalar(arg)));
                made.for_each(|arg| self.look_at_made(arg));
            }
        }
    }

    fn built_in(&mut self, name: &str, args: Vec<Value>) -> Result<Value, NotUnderstood> {
        let mut all = Taint::clean();
        for arg in &args {
            let taint = arg.taint();
            self.charge(1 + taint.sources.len())?;
            all.join(&taint);
        }
        if is_sink(name) && !all.is_clean() {
            self.found.writes.push(Write::elsewhere(all.clone()));
        }
        let constant = folds_constants(name) && args.iter().all(Value::is_constant);
        let made = self.made(name, &args);
        let mut value = match role(name, args.len()) {
            Role::AnyArgument => args.into_iter().fold(Value::null(), Value::merged),
            Role::First => chosen(args, 0),
            Role::FirstOrThird => chosen(args, 2),
            Role::Extreme => extreme(args.into_iter().fold(Value::null(), Value::merged)),
            Role::Counted => Value::computed(all.counted()),
            Role::Clean => {
                if name == "pg_typeof" {
                    let shown = all.sources.iter().filter(|(_, flow)| **flow == Flow::Direct);
                    self.found.typed.extend(shown.map(|(source, _)| *source));
                }
                Value::computed(Taint::clean())
            }
            Role::Faithful => {
                let faithful = args.iter().all(|arg| arg.traits.faithful);
                let varying = args.iter().any(|arg| arg.traits.varying);
                let mut value = Value::computed(all);
                if !value.taint().is_clean() {
                    value.traits.faithful = faithful;
                    value.traits.varying = varying;
                }
                value
            }
            Role::Document | Role::Object | Role::Elements => {
                let mut value = Value::computed(all);
                value.traits.shaped = is_shaped(name, &args);
                value.traits.formed = is_formed(name, &args, self.catalog);
                value
            }
            Role::WithinGroup | Role::Derived => Value::computed(all),
        };
        if !value.taint().is_clean() || value.type_oid.is_none() && made.sort.is_some() {
            let Traits { steady, tame, composed, compared, sort, .. } = made;
            let Traits { steady: stored, .. } = value.traits;
            if !stored {
                value.traits = Traits { steady, tame, composed, compared, sort, ..value.traits };
            }
        }
        if name != "coalesce" {
            value = value.unlimited();
        }
        if name == "unnest" && value.is_given_array() {
            value = value.element();
        } else if !matches!(name, "coalesce" | "lag" | "lead") && !value.taint().parameters.is_empty() {
            // of an array that is a parameter, an element is another thing
            value.traits.converted = true;
        }
        if constant && value.taint().is_clean() {
            let converted = value.traits.converted;
            value = Value { type_oid: value.type_oid, ..Value::constant().made_of(value.taint()) };
            value.traits.converted = converted;
        }
        if matches!(name, "array_agg" | "array_append" | "array_prepend" | "array_cat" | "unnest") {
            // an array has another type than its elements; only the fields of rows are of use on both sides
            value.type_oid = value.type_oid.filter(|oid| composite_relation(self.catalog, *oid).is_some());
        }
        Ok(value)
    }

    /// What is left of what is known of a built-in function's arguments.
    fn made(&self, name: &str, args: &[Value]) -> Traits {
        let all = args.iter().fold(Value::null().traits, |all, arg| all.merged(arg.traits));
        let first = args.first().map(|arg| (arg.sort(), arg.traits));
        let parted =
            matches!(name, "split_part" | "string_to_array") && args.get(1).is_some_and(|by| by.traits.separator);
        let steady = keeps_steady(name, args.len()) || parted;
        let int4 = |sort| matches!(sort, Some(Sort::Type(Oid(21 | 23)) | Sort::Small));
        let sort = match (name, first) {
            ("sum", Some((sort, _))) if int4(sort) => Some(Sort::Type(Oid(20))),
            ("sum", Some((Some(Sort::Type(Oid(20 | 1700))), _))) => Some(Sort::Type(Oid(1700))),
            ("abs" | "ceil" | "ceiling" | "floor" | "nullif" | "round" | "trunc", Some((sort, _))) => sort,
            _ => returned_sort(name),
        };
        let joins = matches!(name, "xmlelement" | "xmlforest" | "xmlconcat" | "xmlagg");
        let steady = steady || (joins && args.iter().all(|arg| !arg.taint().is_clean()));
        Traits {
            steady: steady && all.steady,
            tame: (steady || name == "sum") && all.tame,
            composed: (joins || matches!(name, "concat" | "concat_ws")) && all.composed,
            compared: all.compared || name == "nullif",
            sort,
            ..all
        }
    }

    /// How many rows a set-returning function yields depends on its arguments: a filter in disguise
    /// (`generate_series(1, ascii(c))`, `regexp_matches(c, '^a')`).
    fn rows_of(&mut self, name: &str, own: bool, args: &[Value]) {
        if own && (yields_one_row(name) || (asks_by_path(name, args) && !args.iter().any(|arg| arg.traits.gaps))) {
            return;
        }
        if let ("regexp_split_to_table" | "string_to_table", [text, by]) = (name, args)
            && own
            && by.traits.separator
            && text.traits.steady
        {
            // how many separators it has; an empty one would tell how long it is
            return;
        }
        for arg in args {
            let array = name == "unnest" && arg.taint().sources.values().all(|flow| *flow != Flow::Derived);
            if own && rows_by_elements(name) && (array || arg.traits.shaped) {
                continue;
            }
            self.counts_out(arg);
        }
    }

    /// The fields or the type of what functions of one name return, where all of them agree.
    fn result_shape(&self, candidates: &[&Function], args: &[Value]) -> Shape {
        let mut shapes = candidates.iter().map(|candidate| {
            if candidate.outputs.len() > 1 {
                let fields = candidate.outputs.iter();
                let fields = fields.map(|(name, of)| Field { type_oid: Some(*of), ..Field::named(name.clone()) });
                return Shape { fields: Some(fields.collect()), type_oid: None };
            }
            if is_polymorphic(candidate.returns) {
                let named = args.iter().find(|arg| arg.fields(self.catalog).is_some());
                return Shape {
                    fields: named.and_then(|arg| arg.fields.clone()),
                    type_oid: named.and_then(|arg| arg.type_oid),
                };
            }
            let composite = composite_relation(self.catalog, candidate.returns).is_some();
            Shape { fields: None, type_oid: composite.then_some(candidate.returns) }
        });
        let Some(first) = shapes.next() else { return Shape::default() };
        if shapes.all(|other| other == first) { first } else { Shape::default() }
    }
}

#[derive(Default, PartialEq)]
struct Shape {
    fields: Option<Rc<[Field]>>,
    type_oid: Option<Oid>,
}

/// What stands for each of a function's arguments. `None`: that is not known.
fn handed(function: &Function, args: &[Value], named: &Named) -> Option<Vec<Option<Handed>>> {
    let mut arguments = vec![None; function.inputs.len()];
    for (at, value) in args.iter().enumerate() {
        let by_name = named.iter().find(|(position, _)| *position == at).map(|(_, name)| name);
        let place = match by_name {
            Some(name) => function.arguments.iter().position(|argument| argument == name)?,
            None => at,
        };
        let as_given = value.is_as_given() && !value.traits.nested && !value.traits.element;
        *arguments.get_mut(place)? = Some(Handed { taint: value.taint(), as_given });
    }
    Some(arguments)
}

/// Functions that make an array of values that are none.
fn is_of_arrays(name: &str) -> bool {
    matches!(name, "array_agg" | "array_append" | "array_prepend" | "array_fill")
}

/// The first argument, or the one at `other` where that is not the first; the rest decides which of its values it is.
fn chosen(args: Vec<Value>, other: usize) -> Value {
    let mut by = Taint::clean();
    let mut value = Value::null();
    for (position, arg) in args.into_iter().enumerate() {
        if position == 0 || position == other {
            value = value.merged(arg);
        } else {
            by.join(&arg.taint());
        }
    }
    value.influenced(&by)
}

/// The largest or smallest: one of the values of a single column is that value; where constants or other columns take
/// part, which one it is tells how they compare (`greatest(email, 'm')`).
fn extreme(value: Value) -> Value {
    if value.taint().is_clean() {
        let mut value = value;
        value.traits.converted |= !value.is_null();
        return value;
    }
    if value.is_one_source() {
        let mut value = value;
        value.traits.ordered = true;
        return value;
    }
    Value::computed(value.taint())
}

/// Whether a new setting is written in the statement.
fn is_foreseen(value: &Expr) -> bool {
    let mut at = value;
    while let Expr::Cast(inner, _) | Expr::Collate(inner) = at {
        at = inner;
    }
    matches!(at, Expr::Constant(_) | Expr::Parameter(_))
}
