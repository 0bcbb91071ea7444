//! What a statement that is about to run makes, fills and changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::code::{has_domains, is_plain};
use super::content::own_oid;
use super::{Life, Made, Own, RELATIONS_MAX, is_own};
use crate::catalog::{Catalog, Column, Name, Oid, Relation, RelationKind};
use crate::plan::{Reach, Snapshot};
use crate::sql::lineage::{Flow, Lineage, Source, Taint};
use crate::sql::statement::{
    Alteration, Change, Columns, Definition, Detail, Element, Reading, Statement, StatementKind,
};
use crate::sql::tree::ObjectName;

/// One name is not followed to more relations than this.
const CANDIDATES_MAX: usize = 16;

impl Own {
    /// Take in what a statement does if it runs. `text`: its own.
    pub fn take_in(&mut self, statement: &Statement, text: &str, snapshot: &Snapshot) {
        self.made_now = false;
        self.hidden |= super::code::moves_temporary(statement, text, snapshot);
        if !(self.plans && self.scans) && super::code::steers(statement, text, snapshot) {
            self.plans = true;
            self.scans |= super::code::may_tell_how_to_read(text);
            self.generation = self.generation.saturating_add(1);
        }
        let lineage = match &statement.reading {
            Reading::Understood(lineage) => Some(&**lineage),
            Reading::NoQuery | Reading::NotUnderstood(_) => None,
        };
        match (&statement.detail, statement.kind) {
            (Detail::Makes(definition), _) => self.make(definition, statement, lineage, snapshot),
            (Detail::Alters(alteration), _) => self.alter(alteration, snapshot),
            (Detail::Object(Some(object)), StatementKind::Drop) if object.schema.is_none() && !self.hidden => {
                // Of a list of names only the first is known to be one.
                for made in self.relations.iter_mut().filter(|made| made.relation.name == object.name) {
                    made.dropped |= made.life != Life::UntilRead;
                }
                // What makes it again has to be taken in again.
                self.generation = self.generation.saturating_add(1);
            }
            (_, StatementKind::CreateFunction) => self.mentioned.extend(statement.words.iter().cloned()),
            (_, StatementKind::RollbackToSavepoint) => self.rolled_back_to(),
            (Detail::Copy(copy), _) if copy.inward => {
                let filled = copy.table.iter().flat_map(|table| self.named(&table.name)).map(|known| known.oid);
                for oid in filled.collect::<Vec<_>>() {
                    self.mix(oid);
                }
            }
            _ => {}
        }
        self.take_in_code(statement, text, snapshot);
        self.attach(statement, snapshot);
        if let Some(lineage) = lineage {
            self.fill(lineage, snapshot);
        }
    }

    /// Values go into temporary tables.
    fn fill(&mut self, lineage: &Lineage, snapshot: &Snapshot) {
        for write in &lineage.writes {
            let Some(relation) = write.relation else { continue };
            let own = is_own(relation);
            let temporary =
                snapshot.catalog.relation(relation).filter(|known| known.schema.as_str().starts_with("pg_temp"));
            if !own && temporary.is_none() {
                continue;
            }
            let clean = self.held.resolve(&write.taint, &snapshot.inventory).is_clean();
            if clean && (!own || (write.taint.sources.is_empty() && write.made_up == 0)) {
                continue;
            }
            let relation = match temporary {
                Some(known) => match self.adopted(known, &snapshot.catalog) {
                    Some(oid) => oid,
                    None => continue,
                },
                None => relation,
            };
            // A relation that was altered is listed as it was, too: without the column, or under another name of it.
            let known = lineage.writes.iter().any(|other| {
                (other.relation, &other.taint) == (write.relation, &write.taint) && other.attnum.is_some()
            });
            let attnums: Vec<i16> = match write.attnum {
                Some(attnum) => vec![attnum],
                None if known => continue,
                None => self.attnums(relation),
            };
            let mut new = false;
            for attnum in attnums {
                let held = Arc::make_mut(&mut self.held);
                let value = (&write.taint, write.made_up);
                new |= held.put(relation, attnum, value, &snapshot.inventory, &snapshot.policy);
            }
            if new {
                self.generation = self.generation.saturating_add(1);
            }
        }
    }

    fn attnums(&self, relation: Oid) -> Vec<i16> {
        let made = self.relations.iter().filter(|made| made.relation.oid == relation);
        made.flat_map(|made| made.relation.columns.iter().map(|column| column.attnum)).collect()
    }

    /// A temporary table of the catalog's, kept in mind as one of this session's. (Those of others nobody can write to.)
    fn adopted(&mut self, known: &Relation, catalog: &Catalog) -> Option<Oid> {
        let plain = !self.pending && is_plain(known, catalog);
        let same = |made: &&Made| {
            is_own(made.relation.oid)
                && made.relation.name == known.name
                && made.relation.columns.len() == known.columns.len()
                && made.relation.columns.iter().zip(&known.columns).all(|(one, two)| one.attnum == two.attnum)
        };
        if let Some(made) = self.relations.iter().find(same) {
            return Some(made.relation.oid);
        }
        let relation = Relation { oid: Oid(0), schema: Name::exact("pg_temp"), row_type: Oid(0), ..known.clone() };
        let view = known.kind != RelationKind::Table;
        let unique = known.columns.iter().filter(|column| column.unique).map(|column| column.attnum);
        let compared = unique.collect();
        let made = Made { relation, life: Life::Session, now: true, dropped: false, view, plain, compared };
        let oid = self.add(made, &[], None)?;
        // What is in it already is not known.
        self.mix(oid);
        Some(oid)
    }

    /// Values may get into a relation that nobody speaks of.
    fn mix(&mut self, relation: Oid) {
        let attnums = self.attnums(relation);
        let held = Arc::make_mut(&mut self.held);
        let mut new = false;
        for attnum in attnums {
            new |= held.mix(relation, attnum, usize::MAX);
        }
        if new {
            self.generation = self.generation.saturating_add(1);
        }
    }

    fn make(&mut self, definition: &Definition, statement: &Statement, lineage: Option<&Lineage>, snapshot: &Snapshot) {
        let kind = statement.kind;
        let Some(name) = &definition.name else { return };
        let catalog = self.catalog(&snapshot.catalog);
        let Some(columns) = columns(definition, lineage, &catalog) else { return };
        let view = kind == StatementKind::CreateView;
        // A view over a temporary relation is one itself.
        let over_temporary = || {
            lineage.is_some_and(|lineage| {
                let mut relations = lineage.relations.iter();
                relations.any(|&relation| self.is_temporary(relation, &catalog))
            })
        };
        let in_temporary = name.schema.as_ref().is_some_and(|schema| schema.as_str().starts_with("pg_temp"));
        let temporary = definition.temporary || in_temporary || (view && over_temporary());
        let life = match (temporary, definition.drops_on_commit) {
            (true, true) => Life::Transaction,
            (true, false) => Life::Session,
            (false, _) => Life::UntilRead,
        };
        let schema = match (temporary, &name.schema) {
            (true, _) => Name::exact("pg_temp"),
            (false, Some(schema)) => schema.clone(),
            (false, None) => Name::exact("public"),
        };
        let of_collated = |&relation: &Oid| {
            let known = catalog.relation(relation);
            known.is_some_and(|known| known.columns.iter().any(|column| column.collated))
        };
        let collated = statement.words.contains("collate")
            || lineage.is_some_and(|lineage| lineage.relations.iter().any(of_collated))
            || of_others(definition).flat_map(|other| candidates(&catalog, other)).any(|known| of_collated(&known.oid));
        let tight: BTreeSet<&Name> = match &definition.columns {
            Columns::Listed(elements) => elements.iter().filter_map(|element| tightened(element)).collect(),
            Columns::OfQuery(_) | Columns::Unknown => BTreeSet::new(),
        };
        let takes_over = of_others(definition).next().is_some();
        let listed = columns.iter().zip(1_i16..).map(|((name, _), attnum)| Column {
            collated,
            tight: takes_over || tight.contains(name),
            ..column(name.clone(), attnum)
        });
        let relation = Relation {
            oid: Oid(0),
            schema,
            name: name.name.clone(),
            kind: if view { RelationKind::View } else { RelationKind::Table },
            row_type: Oid(0),
            columns: listed.collect(),
            parents: Vec::new(),
            definition: None,
            has_rules: false,
            primary_key: Vec::new(),
        };
        // What it is filled with at once runs through no code.
        let plain = match &definition.columns {
            Columns::OfQuery(_) => true,
            Columns::Listed(elements) => {
                let model = |element: &Element| match element {
                    Element::Column(_) | Element::Tight(_) | Element::Unique(_) | Element::Default(_) => true,
                    Element::Tests => false,
                    // `LIKE x` takes over no more than columns.
                    Element::Of(other) => candidates(&catalog, other).all(|known| match is_own(known.oid) {
                        true => self.is_temporary_table(known.oid),
                        false => !has_domains(known, &catalog),
                    }),
                };
                !self.runs_code(statement, &catalog) && elements.iter().all(model)
            }
            Columns::Unknown => false,
        };
        let (mut compared, mut defaults) = (BTreeSet::new(), Vec::new());
        if let Columns::Listed(elements) = &definition.columns {
            let attnum = |name: &Name| relation.column(name.as_str()).map(|column| column.attnum);
            for element in elements {
                match element {
                    Element::Unique(names) => compared.extend(names.iter().filter_map(attnum)),
                    Element::Default(name) => defaults.extend(attnum(name)),
                    Element::Column(_) | Element::Tight(_) | Element::Of(_) | Element::Tests => {}
                }
            }
        }
        let values: Vec<(Taint, usize)> = match definition.filled {
            true => columns.into_iter().map(|(_, value)| value).collect(),
            false => Vec::new(),
        };
        let made = Made { relation, life, now: true, dropped: false, view, plain, compared };
        let made = self.add(made, &values, Some(snapshot));
        self.made_now = made.is_some();
        let held = Arc::make_mut(&mut self.held);
        for (oid, attnum) in made.into_iter().flat_map(|oid| defaults.iter().map(move |&attnum| (oid, attnum))) {
            held.mix(oid, attnum, usize::MAX);
        }
    }

    fn is_temporary(&self, relation: Oid, catalog: &Catalog) -> bool {
        let own = self.relations.iter().any(|made| made.relation.oid == relation && made.life != Life::UntilRead);
        own || catalog.relation(relation).is_some_and(|relation| relation.schema.as_str().starts_with("pg_temp"))
    }

    /// Keep a relation in mind under an OID of its own.
    fn add(&mut self, mut new: Made, values: &[(Taint, usize)], snapshot: Option<&Snapshot>) -> Option<Oid> {
        // Made again as it was: the same relation, as far as anybody can tell.
        let same = |made: &&mut Made| {
            let (known, relation) = (&made.relation, &new.relation);
            is_own(known.oid)
                && (&known.name, &known.schema) == (&relation.name, &relation.schema)
                && (made.view, made.life, made.plain) == (new.view, new.life, new.plain)
                && known.columns.len() == relation.columns.len()
                && known.columns.iter().zip(&relation.columns).all(|(one, two)| one.name == two.name)
        };
        let mut changed = false;
        let oid = match self.relations.iter_mut().find(same) {
            Some(made) => {
                // It may be one that was there before, and will be again after a rollback.
                made.dropped = false;
                made.compared.append(&mut new.compared);
                made.relation.oid
            }
            None => {
                changed = true;
                if self.relations.len() >= RELATIONS_MAX || self.given >= 0xFFF0 {
                    return None;
                }
                self.given = self.given.saturating_add(1);
                let oid = own_oid(self.given);
                new.relation.oid = oid;
                let held = Arc::make_mut(&mut self.held);
                for column in &new.relation.columns {
                    held.add(oid, column.attnum);
                }
                self.relations.push(new);
                oid
            }
        };
        if let Some(snapshot) = snapshot {
            let held = Arc::make_mut(&mut self.held);
            for ((taint, made_up), attnum) in values.iter().zip(1_i16..) {
                changed |= held.put(oid, attnum, (taint, *made_up), &snapshot.inventory, &snapshot.policy);
            }
        }
        if changed {
            self.changed();
        }
        Some(oid)
    }

    /// Columns and relations get other names: they are kept in mind under both.
    fn alter(&mut self, alteration: &Alteration, snapshot: &Snapshot) {
        let Some(name) = &alteration.relation else { return };
        for change in &alteration.changes {
            if let Change::Tighten(column) = change {
                let made = self.relations.iter_mut().filter(|made| made.relation.name == name.name);
                let columns = made.flat_map(|made| &mut made.relation.columns);
                columns.filter(|known| known.name == *column).for_each(|known| known.tight = true);
                self.changed();
            }
        }
        let renames = alteration.changes.iter().any(|change| match change {
            Change::AddColumn(_)
            | Change::AddComputed(_)
            | Change::RenameColumn(..)
            | Change::Rename(_)
            | Change::SetSchema(_) => true,
            Change::Plain | Change::Tighten(_) | Change::Inherit(_) | Change::Attach(_) | Change::Other => false,
        });
        for change in &alteration.changes {
            match change {
                Change::Inherit(parent) => self.inherit(name, parent, snapshot),
                Change::Attach(child) => self.inherit(child, name, snapshot),
                Change::Plain
                | Change::Tighten(_)
                | Change::AddColumn(_)
                | Change::AddComputed(_)
                | Change::RenameColumn(..)
                | Change::Rename(_)
                | Change::SetSchema(_)
                | Change::Other => {}
            }
        }
        if !renames {
            return;
        }
        let catalog = self.catalog(&snapshot.catalog);
        let mut found: Vec<Relation> = Vec::new();
        let of_session = self.named(&name.name).any(|known| known.schema.as_str() == "pg_temp");
        for relation in candidates(&catalog, name) {
            if of_session && relation.schema.as_str().starts_with("pg_temp_") {
                continue;
            }
            // The last of an OID is as it was changed last.
            found.retain(|earlier| earlier.oid != relation.oid);
            found.push(relation.clone());
        }
        if found.len() > CANDIDATES_MAX {
            return;
        }
        for mut relation in found {
            for change in &alteration.changes {
                match change {
                    Change::AddColumn(name) | Change::AddComputed(name) => {
                        let last = relation.columns.iter().map(|column| column.attnum).max().unwrap_or_default();
                        // what its type is was not read
                        let added = column(name.clone(), last.saturating_add(1));
                        relation.columns.push(Column { collated: true, tight: true, ..added });
                    }
                    Change::RenameColumn(before, after) => {
                        let renamed = relation.columns.iter_mut().filter(|column| column.name == *before);
                        renamed.for_each(|column| column.name = after.clone());
                    }
                    Change::Rename(after) => relation.name = after.clone(),
                    Change::SetSchema(after) => relation.schema = after.clone(),
                    Change::Plain | Change::Tighten(_) | Change::Inherit(_) | Change::Attach(_) | Change::Other => {}
                }
            }
            let earlier = self.relations.iter().rev().find(|made| made.relation.oid == relation.oid);
            let compared = earlier.map(|made| made.compared.clone()).unwrap_or_default();
            let (life, view, plain) = match earlier {
                Some(made) => (made.life, made.view, made.plain),
                None if relation.schema.as_str().starts_with("pg_temp") => (Life::Session, false, false),
                None => (Life::UntilRead, relation.kind == RelationKind::View, false),
            };
            if self.relations.len() >= RELATIONS_MAX {
                return;
            }
            if is_own(relation.oid) {
                let held = Arc::make_mut(&mut self.held);
                for column in &relation.columns {
                    held.add(relation.oid, column.attnum);
                }
            }
            if is_own(relation.oid) {
                self.take_in_added(&relation, alteration);
            }
            self.relations.push(Made { relation, life, now: true, dropped: false, view, plain, compared });
        }
        self.changed();
    }

    /// Columns come to a relation of this session: they may have a default, or be computed from the others.
    fn take_in_added(&mut self, relation: &Relation, alteration: &Alteration) {
        let held = Arc::make_mut(&mut self.held);
        for change in &alteration.changes {
            let (Change::AddColumn(name) | Change::AddComputed(name)) = change else { continue };
            for added in relation.columns.iter().filter(|column| column.name == *name) {
                held.mix(relation.oid, added.attnum, usize::MAX);
                if let Change::AddComputed(_) = change {
                    let others = relation.columns.iter().filter(|column| column.attnum != added.attnum);
                    let sources = others.map(|column| Source::Column { relation: relation.oid, attnum: column.attnum });
                    held.read(relation.oid, added.attnum, sources);
                }
            }
        }
    }

    /// A relation that the session has made becomes a child of another: what is stored in that may go into this one.
    fn inherit(&mut self, child: &ObjectName, parent: &ObjectName, snapshot: &Snapshot) {
        let catalog = self.catalog(&snapshot.catalog);
        let parents: Vec<&Relation> = candidates(&catalog, parent).collect();
        let mut new = false;
        for known in candidates(&catalog, child).filter(|known| is_own(known.oid)) {
            for column in &known.columns {
                for (relation, above) in
                    parents.iter().filter_map(|parent| Some((parent, parent.column(column.name.as_str())?)))
                {
                    let source = Source::Column { relation: relation.oid, attnum: above.attnum };
                    let taint = Taint::of(source, Flow::Direct);
                    let held = Arc::make_mut(&mut self.held);
                    new |=
                        held.put(known.oid, column.attnum, (&taint, usize::MAX), &snapshot.inventory, &snapshot.policy);
                }
            }
        }
        if new {
            self.changed();
        }
    }

    /// Whether what was just made is temporary.
    pub(in crate::plan) fn makes_temporary(&self, definition: &Definition) -> bool {
        let Some(name) = &definition.name else { return false };
        self.made_now
            && self
                .relations
                .iter()
                .rev()
                .find(|made| made.now && made.relation.name == name.name)
                .is_some_and(|made| made.life != Life::UntilRead)
    }

    /// Whether a change of a relation could be kept in mind.
    pub(in crate::plan) fn has_room(&self) -> bool {
        self.relations.len() < RELATIONS_MAX
    }
}

fn candidates<'a>(catalog: &'a Catalog, name: &'a ObjectName) -> impl Iterator<Item = &'a Relation> {
    let named = catalog.relations_named(None, &name.name).filter(|known| known.kind != RelationKind::CompositeType);
    named.filter(|known| match &name.schema {
        Some(schema) if schema.as_str() == "pg_temp" => known.schema.as_str().starts_with("pg_temp"),
        Some(schema) => known.schema == *schema,
        None => true,
    })
}

/// The relations whose columns are taken over.
fn of_others(definition: &Definition) -> impl Iterator<Item = &ObjectName> {
    let elements: &[Element] = match &definition.columns {
        Columns::Listed(elements) => elements,
        Columns::OfQuery(_) | Columns::Unknown => &[],
    };
    elements.iter().filter_map(|element| match element {
        Element::Of(other) => Some(other),
        Element::Column(_) | Element::Tight(_) | Element::Unique(_) | Element::Default(_) | Element::Tests => None,
    })
}

fn tightened(element: &Element) -> Option<&Name> {
    match element {
        Element::Tight(name) => Some(name),
        Element::Column(_) | Element::Of(_) | Element::Unique(_) | Element::Default(_) | Element::Tests => None,
    }
}

fn column(name: Name, attnum: i16) -> Column {
    Column {
        attnum,
        name,
        type_oid: Oid(0),
        not_null: false,
        generated: None,
        unique: false,
        collated: false,
        defaulted: false,
        tight: false,
    }
}

/// The columns of what is made, each with what goes into it, and how much of that is made up; `None`: they are not known.
fn columns(
    definition: &Definition,
    lineage: Option<&Lineage>,
    catalog: &Catalog,
) -> Option<Vec<(Name, (Taint, usize))>> {
    match &definition.columns {
        Columns::Unknown => None,
        Columns::OfQuery(names) => {
            let lineage = lineage.filter(|lineage| !lineage.open_ended)?;
            let outputs = lineage.into.as_ref().unwrap_or(&lineage.outputs);
            let mut names = names.iter();
            let columns = outputs.iter().map(|output| {
                let name = names.next().or(output.name.as_ref())?;
                Some((name.clone(), (output.origin.taint(), output.made_up)))
            });
            columns.collect()
        }
        Columns::Listed(elements) => {
            let mut columns: Vec<(Name, (Taint, usize))> = Vec::new();
            for element in elements {
                match element {
                    Element::Column(name) => columns.push((name.clone(), (Taint::clean(), 0))),
                    Element::Tight(_) | Element::Unique(_) | Element::Default(_) | Element::Tests => {}
                    Element::Of(other) => {
                        let mut found = candidates(catalog, other);
                        let (Some(relation), None) = (found.next(), found.next()) else { return None };
                        columns.extend(relation.columns.iter().map(|column| {
                            let source = Source::Column { relation: relation.oid, attnum: column.attnum };
                            (column.name.clone(), (Taint::of(source, Flow::Direct), 0))
                        }));
                    }
                }
            }
            Some(columns)
        }
    }
}

/// Whether what a relation is made of is covered by what another's columns hold, position by position.
pub(in crate::plan) fn covers(known: &[Reach], new: &[Reach]) -> bool {
    new.iter().enumerate().all(|(at, reach)| {
        reach.is_clean()
            || known.get(at).is_some_and(|known| {
                reach.unknown.is_none_or(|_| known.unknown.is_some())
                    && reach.columns.iter().all(|(id, flow)| known.columns.get(id).is_some_and(|had| had >= flow))
            })
    })
}
