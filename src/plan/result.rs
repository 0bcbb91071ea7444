//! From a protected statement to its rewritten rows.

mod binding;
mod rows;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::budget::Look;
use super::column_rule::{Beside, ColumnRule};
use super::encryption::{Opening, PlannedCell, RowTenants};
use super::entities::{KeyPlan, Shown};
use super::grant::Grant;
use super::lifted::{Lift, Limited, subject_keys};
use super::{Caller, Held, Own, Reach, Snapshot, WriteBack};
use crate::access_log::{Endpoint, Fingerprint};
use crate::catalog::{Name, ValueType};
use crate::mask::{CellRule, TextEncoding};
use crate::sql::copy::CopyStatement;
use crate::sql::lineage::{Flow, Lineage, Origin, Output, Taint, Unknown};
use crate::value::TextForms;
use crate::wire::Format;
use crate::wire::backend::{Field, RowDescription};
pub(super) use binding::Binding;
pub use rows::{KeyOfColumn, OpenedRows, PlannedRows, ResultPlan, SealedRows};
pub(super) use rows::{Layout, ShownBy, rewrite_fields};

/// What a statement shows, as its lineage says.
#[derive(Clone, Debug)]
pub struct Protection {
    outputs: Outputs,
    /// What relations of the session hold, and whether they are the first that a name means.
    held: Option<(Arc<Held>, bool)>,
    /// The statement's shape, for its access events.
    pub fingerprint: Fingerprint,
    /// What the application says of itself beside it.
    pub endpoint: Option<Arc<Endpoint>>,
    /// Whether errors and notices may quote what the caller does not see in clear.
    pub scrub: bool,
    /// Set where it copies its rows to the client, or rows from the client that have to be looked at.
    pub copy: Option<Arc<CopyStatement>>,
    /// Whether it shows tagged columns in clear by what its lineage says: if the guard lets none out, it need not run.
    pub reveals: bool,
    /// What its filters look at, in each execution, of columns that the caller does not see in clear.
    pub looks: Arc<[Look]>,
    /// What becomes of masks among the values that the statement gives.
    pub write_back: Arc<WriteBack>,
    /// Whose the encrypted values are that it shows; `None`: they are bound to nobody.
    pub tenants: Option<Arc<RowTenants>>,
    /// Names that stand once in it, where it is one plain query and somebody may ask for a subject's rows.
    pub(super) single: Arc<BTreeSet<Name>>,
    /// The setting of pgveil's own that it shows in the place of what the server says.
    pub shows: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
enum Outputs {
    /// What the statement's lineage says.
    Known(Arc<Lineage>),
    /// Nothing is known of them.
    Unknown(Unknown),
    /// All of them are computed from these columns, as far as is known.
    Computed(Reach),
    /// The text of a query plan, whose conditions are the statement's own.
    PlanText,
    /// Nothing tagged, unless the database has changed since the catalog was read.
    Clean,
}

impl Outputs {
    /// What is known of the result column at that position.
    fn at(&self, position: usize) -> Option<&Output> {
        match self {
            Self::Known(lineage) if !lineage.open_ended => lineage.outputs.get(position),
            Self::Known(_) | Self::Unknown(_) | Self::Computed(_) | Self::PlanText | Self::Clean => None,
        }
    }
}

impl Protection {
    fn new(outputs: Outputs, fingerprint: Fingerprint, scrub: bool) -> Self {
        Self {
            outputs,
            held: None,
            fingerprint,
            endpoint: None,
            scrub,
            copy: None,
            reveals: false,
            looks: Arc::default(),
            write_back: Arc::default(),
            single: Arc::default(),
            shows: None,
            tenants: None,
        }
    }

    /// A statement whose lineage is known.
    pub fn known(lineage: Arc<Lineage>, fingerprint: Fingerprint, scrub: bool) -> Self {
        Self::new(Outputs::Known(lineage), fingerprint, scrub)
    }

    /// It names relations of the session.
    pub(super) fn of_session(self, own: &Own) -> Self {
        Self { held: Some((Arc::clone(own.held()), own.is_first())), ..self }
    }

    /// A statement of which nothing is known but that it may touch tagged data.
    pub fn unknown(reason: Unknown, fingerprint: Fingerprint, scrub: bool) -> Self {
        Self::new(Outputs::Unknown(reason), fingerprint, scrub)
    }

    /// A statement that may show anything computed from these columns: CALL.
    pub fn computed(from: Reach, fingerprint: Fingerprint, scrub: bool) -> Self {
        Self::new(Outputs::Computed(from), fingerprint, scrub)
    }

    /// EXPLAIN.
    pub fn plan_text(fingerprint: Fingerprint, scrub: bool) -> Self {
        Self::new(Outputs::PlanText, fingerprint, scrub)
    }

    /// A COPY that touches nothing tagged, as far as the catalog says.
    pub fn clean(fingerprint: Fingerprint) -> Self {
        Self::new(Outputs::Clean, fingerprint, false)
    }

    /// The same, asked for by this part of an application.
    pub(super) fn asked_by(self, endpoint: Endpoint) -> Self {
        Self { endpoint: Some(Arc::new(endpoint)), ..self }
    }

    /// It shows a setting of pgveil's own.
    pub fn showing(setting: &str) -> Self {
        Self { shows: Some(setting.into()), ..Self::clean(0) }
    }

    /// Whether nothing of it needs protection, unless the server says otherwise.
    pub fn is_clean(&self) -> bool {
        matches!(self.outputs, Outputs::Clean)
    }

    /// The same, of COPY.
    pub fn copying(self, copy: &Arc<CopyStatement>) -> Self {
        Self { copy: Some(Arc::clone(copy)), ..self }
    }

    /// The same, with what becomes of the values that the statement gives.
    pub fn with_write_back(&self, write_back: WriteBack) -> Self {
        Self { write_back: Arc::new(write_back), ..self.clone() }
    }

    /// The same, where it is known whose the encrypted values are that it shows.
    #[must_use]
    pub fn with_tenants(self, tenants: Option<Arc<RowTenants>>) -> Self {
        Self { tenants, ..self }
    }

    /// Meet the lineage with the server's own description of the result; the stricter wins.
    pub fn bind(
        &self,
        description: &RowDescription,
        snapshot: &Snapshot,
        caller: &Caller,
        (encoding, forms): (TextEncoding, &TextForms),
    ) -> ResultPlan {
        let mut binding = Binding::new(self, snapshot, caller);
        let rules = self.rules(description, &mut binding);
        let fields: Vec<&Field> = description.fields.iter().collect();
        let beside = Beside { fields: &fields, tenants: self.tenants.as_deref(), format: None };
        let cells = |rules: Vec<ColumnRule>| -> Vec<PlannedCell> {
            let cells = rules.into_iter().zip(&description.fields);
            cells.map(|(rule, field)| rule.cell(field, field.format, (encoding, forms), (snapshot, &beside))).collect()
        };
        match self.lifting(description, &rules, snapshot, caller, true) {
            Some((binding, clear, lift)) => {
                let limited = lift.limiting(cells(rules));
                let keys = self.keys(&fields, None, &binding);
                binding.finish(cells(clear), Layout::DataRow, (keys, Some(Box::new(limited))))
            }
            None => {
                let keys = self.keys(&fields, None, &binding);
                binding.finish(cells(rules), Layout::DataRow, (keys, None))
            }
        }
    }

    /// The rules of a result from which the caller's grant lifts masks; `None`: it has none, or there is nothing to lift.
    /// `rules`: without it; `by_key`: whether the keys of subjects can be seen in its rows.
    pub(super) fn lifting<'a>(
        &'a self,
        description: &RowDescription,
        rules: &[ColumnRule],
        snapshot: &'a Snapshot,
        caller: &'a Caller,
        by_key: bool,
    ) -> Option<(Binding<'a>, Vec<ColumnRule>, Lifting)> {
        let grant = caller.grant.as_ref()?;
        let (lifts, keys) = subject_keys(grant, self, description, snapshot);
        if grant.left() == Some(0) || (grant.subject.is_some() && !by_key) {
            return None;
        }
        let mut binding = Binding::new(self, snapshot, caller);
        binding.lifts = lifts;
        let clear = self.rules(description, &mut binding);
        if clear == rules {
            return None;
        }
        // A column that it is not about is the same in all rows.
        let lifts = std::mem::take(&mut binding.lifts);
        let lifts = lifts.into_iter().zip(clear.iter().zip(rules));
        let lifts = lifts.map(|(lift, (clear, masked))| if clear == masked { Lift::Never } else { lift }).collect();
        Some((binding, clear, Lifting { grant: Arc::clone(grant), lifts, keys }))
    }

    /// The result's description as the client gets it, where that is another: columns that are encrypted have the type that the
    /// policy declares.
    pub fn announced(
        &self,
        description: &RowDescription,
        snapshot: &Snapshot,
        caller: &Caller,
    ) -> Option<RowDescription> {
        if !snapshot.policy.encrypts() {
            return None;
        }
        let rules = self.rules(description, &mut Binding::new(self, snapshot, caller));
        if rules.iter().all(|rule| rule.opening.is_none()) {
            return None;
        }
        let fields = description.fields.iter().zip(rules).map(|(field, rule)| match rule.opening {
            Some(opening) => opening.announced(field),
            None => field.clone(),
        });
        Some(RowDescription { fields: fields.collect() })
    }

    /// Where keys of the rows stand whose columns are shown in clear.
    pub(super) fn keys(&self, fields: &[&Field], format: Option<Format>, binding: &Binding<'_>) -> KeyPlan {
        if binding.permits.is_empty() {
            return KeyPlan::default();
        }
        let lineage = match &self.outputs {
            Outputs::Known(lineage) => Some(&**lineage),
            Outputs::Unknown(_) | Outputs::Computed(_) | Outputs::PlanText | Outputs::Clean => None,
        };
        KeyPlan::of(&Shown { lineage, fields, format }, binding.permits.keys().copied(), binding.snapshot)
    }

    /// The rule for each column of a result.
    pub fn cell_rules(&self, description: &RowDescription, snapshot: &Snapshot, caller: &Caller) -> Vec<ColumnRule> {
        let mut binding = Binding::new(self, snapshot, caller);
        self.rules(description, &mut binding)
    }

    /// The rule for each column of a result, and its type.
    pub(super) fn rules(&self, description: &RowDescription, binding: &mut Binding<'_>) -> Vec<ColumnRule> {
        let mut rules = Vec::with_capacity(description.fields.len());
        let counts_agree = match &self.outputs {
            Outputs::Known(lineage) => lineage.open_ended || lineage.outputs.len() == description.fields.len(),
            Outputs::Unknown(_) | Outputs::Computed(_) | Outputs::PlanText | Outputs::Clean => true,
        };
        for (position, field) in description.fields.iter().enumerate() {
            binding.at = position;
            let value_type = ValueType::of(&binding.snapshot.catalog, field.type_oid);
            let origin = match &self.outputs {
                Outputs::Clean => {
                    rules.push(ColumnRule::stored(CellRule::Keep, value_type));
                    continue;
                }
                Outputs::PlanText => Origin::Value(Taint::clean()),
                Outputs::Unknown(reason) => Origin::Value(Taint::unknown(*reason)),
                Outputs::Computed(from) => {
                    let mut reach = Reach::default();
                    reach.absorb(from, Flow::Derived);
                    rules.push(ColumnRule::stored(binding.value_rule(&reach, &value_type), value_type));
                    continue;
                }
                Outputs::Known(lineage) if counts_agree && named_alike(lineage, position, field) => {
                    lineage.origin_at(position)
                }
                // Whatever the server says of it besides: the two do not speak of the same column.
                Outputs::Known(_) => {
                    let origin = binding.contradiction();
                    rules.push(ColumnRule::stored(binding.rule(&origin, &value_type), value_type));
                    continue;
                }
            };
            let origin = binding.reconciled(origin, field);
            let opening = binding.opening(&origin, field, &value_type);
            let opening = opening.map(|opening| match self.outputs.at(position) {
                Some(output) => Opening {
                    unlimited: output.unlimited || opening.unlimited,
                    as_text: output.as_text || opening.as_text,
                    ..opening
                },
                None => opening,
            });
            let plain = opening.as_ref().and_then(Opening::value_type);
            let value_type = plain.unwrap_or(value_type);
            let rule = binding.rule(&origin, &value_type);
            rules.push(ColumnRule { rule, value_type, opening });
        }
        rules
    }
}

/// Where a grant lifts masks from a result.
pub(super) struct Lifting {
    grant: Arc<Grant>,
    lifts: Vec<Lift>,
    keys: Vec<(usize, Vec<u8>)>,
}

impl Lifting {
    /// The same, with what is shown where it does not.
    pub(super) fn limiting(self, masked: Vec<PlannedCell>) -> Limited {
        Limited { grant: self.grant, masked, lifts: self.lifts, keys: self.keys }
    }
}

/// A name that the lineage predicts and the server does not confirm says that the two do not read the same. Names that
/// are not of ASCII alone may be in another encoding and are not compared; an empty one is that of a column of COPY which
/// the server was not asked about.
fn named_alike(lineage: &Lineage, position: usize, field: &Field) -> bool {
    let predicted = lineage.outputs.get(position).and_then(|output| output.name.as_ref());
    match predicted {
        Some(name) if !lineage.open_ended && field.name.is_ascii() && !field.name.is_empty() => {
            name.as_str().as_bytes() == field.name
        }
        Some(_) | None => true,
    }
}
