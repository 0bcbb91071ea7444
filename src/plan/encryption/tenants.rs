//! Whose values are: the tenant that a value is bound to where the policy says so.
//!
//! By a setting, it is what the session has set; the session asks the server for that. By a column, it is that column of the
//! same row, and has to be known before the server is asked: because the row is written with it, because a condition gives all
//! rows of the table the same, or because the rows that come back have it beside.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Means;
use super::given::{Given, Place};
use crate::access_log::KEY_BYTES_MAX;
use crate::catalog::{Name, Oid};
use crate::plan::{Refusal, Snapshot};
use crate::policy::tenant_type;
use crate::value::{PlainType, TextForms, ValueError, read, write};
use crate::wire::Format;

/// What the settings that name tenants are in a session. Values are not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TenantSettings(BTreeMap<Arc<str>, Option<Arc<[u8]>>>);

impl TenantSettings {
    /// The server says what a setting is; `None`: it is not set.
    pub fn set(&mut self, name: &Arc<str>, value: Option<&[u8]>) {
        let value = value.filter(|value| !value.is_empty()).map(Arc::from);
        self.0.insert(Arc::clone(name), value);
    }

    /// It may be another by now.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// What a setting is, if it is known.
    pub fn known(&self, name: &str) -> Option<Option<&Arc<[u8]>>> {
        self.0.get(name).map(Option::as_ref)
    }
}

impl fmt::Debug for TenantSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.0.keys()).finish()
    }
}

/// Where the tenant of a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TenantSource {
    /// A setting of the session.
    Setting(Arc<str>),
    /// Values of the statement, which have to be the same; none: the row that the value stands in.
    Values(Arc<[TenantValue]>),
}

/// A value of the statement that a tenant is, or the parameter that it is given by.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct TenantValue {
    pub(super) parameter: Option<u32>,
    literal: Box<[u8]>,
    cast: Option<PlainType>,
    /// The type of the column that says whose values are.
    plain: PlainType,
}

impl fmt::Debug for TenantValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parameter {
            Some(number) => write!(out, "${number}"),
            None => out.write_str("a literal"),
        }
    }
}

/// A parameter's value: what the client has declared it as, its format, its bytes.
pub(super) type ParameterValue<'a> = (Oid, Format, Option<&'a [u8]>);

/// Whose the values of rows are that a statement shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowTenants {
    /// For each relation with values that are bound to a column.
    pub(super) relations: BTreeMap<Oid, RowTenant>,
    /// Whether values are bound to a setting.
    pub(super) needs_settings: bool,
    /// What the session's settings are.
    settings: TenantSettings,
}

/// Whose the values of the rows of a relation are.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum RowTenant {
    /// That of this column, which is in the same row of the result.
    Beside(i16),
    /// These, which have to be the same.
    Values(Arc<[TenantValue]>),
    /// This one.
    Is(Arc<[u8]>),
}

impl fmt::Debug for RowTenant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beside(attnum) => write!(out, "column {attnum}"),
            Self::Values(values) => values.fmt(out),
            Self::Is(_) => out.write_str("a tenant"),
        }
    }
}

impl RowTenants {
    /// Whether all that says whose they are is in the statement itself.
    pub(super) fn are_literals(&self) -> bool {
        self.relations.values().all(|tenant| match tenant {
            RowTenant::Values(values) => values.iter().all(|value| value.parameter.is_none()),
            RowTenant::Beside(_) | RowTenant::Is(_) => true,
        })
    }

    /// Under these settings.
    #[must_use]
    pub fn with_settings(&self, settings: &TenantSettings) -> Self {
        Self { settings: settings.clone(), ..self.clone() }
    }

    /// The tenant that the session's settings say, if it is one: for the access log.
    pub fn only_setting(&self) -> Option<Arc<str>> {
        let mut known = self.settings.0.values().flatten();
        let first = known.next().filter(|first| known.all(|other| other == *first))?;
        let text = std::str::from_utf8(first).ok()?;
        Some(text.get(..text.floor_char_boundary(KEY_BYTES_MAX))?.into())
    }

    /// Whether the session's settings say whose some of the values are.
    pub fn needs_settings(&self) -> bool {
        self.needs_settings
    }

    /// What a setting is, if it is known.
    pub(super) fn setting(&self, name: &str) -> Option<Option<&Arc<[u8]>>> {
        self.settings.known(name)
    }

    /// Whose the values of a relation are, if that is known.
    pub(super) fn of(&self, relation: Oid) -> Option<&RowTenant> {
        self.relations.get(&relation)
    }

    /// Whether nothing has to be known of the statement's parameters.
    pub fn is_settled(&self) -> bool {
        !self.relations.values().any(|tenant| matches!(tenant, RowTenant::Values(_)))
    }

    /// With the values of parameters: their declared type, format and bytes, by their numbers.
    ///
    /// # Errors
    /// They are those of several tenants, or of none.
    pub fn bound<'v>(
        &self,
        value: impl Fn(u32) -> Option<(Oid, Format, Option<&'v [u8]>)>,
        forms: &TextForms,
    ) -> Result<Self, Refusal> {
        let mut relations = BTreeMap::new();
        for (&relation, tenant) in &self.relations {
            let tenant = match tenant {
                RowTenant::Values(values) => RowTenant::Is(one_of(values, &value, forms)?.into()),
                other => other.clone(),
            };
            relations.insert(relation, tenant);
        }
        Ok(Self { relations, ..self.clone() })
    }
}

/// What a tenant is bound as: the text of it.
pub(super) fn canonical(
    plain: &PlainType,
    given: Oid,
    format: Format,
    value: &[u8],
    forms: &TextForms,
) -> Result<Vec<u8>, ValueError> {
    let plaintext = read(plain, given, format, value, forms)?;
    let mut text = bytes::BytesMut::new();
    write(plain, &plaintext, Format::Text, &TextForms::default(), &mut text)?;
    Ok(text.to_vec())
}

/// The type of a tenant's column.
pub(super) fn tenant_column(relation: Oid, tenant: &Name, snapshot: &Snapshot) -> Option<(i16, PlainType)> {
    let column = snapshot.catalog.relation(relation)?.column(tenant.as_str())?;
    Some((column.attnum, tenant_type(column.type_oid)?))
}

/// The one tenant that these values are.
fn one_of<'v>(
    values: &[TenantValue],
    value: &impl Fn(u32) -> Option<ParameterValue<'v>>,
    forms: &TextForms,
) -> Result<Vec<u8>, Refusal> {
    let mut found: Option<Vec<u8>> = None;
    for one in values {
        let tenant = match one.parameter {
            Some(number) => {
                let (given, format, bytes) = value(number).ok_or_else(Refusal::no_tenant)?;
                let own = given == Oid(0) && one.cast.is_none();
                one.read(
                    if own { one.plain.oid() } else { given },
                    format,
                    bytes.ok_or_else(Refusal::no_tenant)?,
                    forms,
                )
            }
            None => one.read(Oid(0), Format::Text, &one.literal, forms),
        };
        let tenant = tenant.map_err(|error| Refusal::value(&"that says whose its values are", &error))?;
        if found.as_ref().is_some_and(|before| *before != tenant) {
            return Err(Refusal::several_tenants());
        }
        found = Some(tenant);
    }
    found.ok_or_else(Refusal::no_tenant)
}

impl TenantValue {
    pub(super) fn of(given: &Given, plain: PlainType, column: &Arc<str>) -> Result<Self, Refusal> {
        let (parameter, literal) = match &given.place {
            Place::Parameter(number) => (Some(*number), Box::default()),
            Place::Literal(value) => (None, value.clone().unwrap_or_default()),
        };
        let mut casts = given.casts(column)?.types;
        let cast = casts.pop();
        if !casts.is_empty() {
            let hint = "Cast it to one type, once.";
            return Err(Refusal::encrypted(column, "a tenant that is cast to one type, then to another, is", hint));
        }
        Ok(Self { parameter, literal, cast, plain })
    }

    fn read(&self, given: Oid, format: Format, bytes: &[u8], forms: &TextForms) -> Result<Vec<u8>, ValueError> {
        match &self.cast {
            None => canonical(&self.plain, given, format, bytes, forms),
            Some(cast) => {
                let between = crate::value::read_cast(cast, given, format, bytes, forms)?;
                let mut binary = bytes::BytesMut::new();
                write(cast, &between, Format::Binary, forms, &mut binary)?;
                canonical(&self.plain, cast.oid(), Format::Binary, &binary, forms)
            }
        }
    }
}

impl TenantSource {
    /// Whether nothing has to be known of parameters, or of when it runs. `later`: it is prepared now, to run later.
    pub fn is_settled(&self, later: bool) -> bool {
        match self {
            Self::Setting(_) => !later,
            Self::Values(values) => values.iter().all(|value| value.parameter.is_none()),
        }
    }

    /// The tenant. `value`: of parameters, by their numbers.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub fn tenant<'v>(
        &self,
        value: &impl Fn(u32) -> Option<ParameterValue<'v>>,
        column: &Arc<str>,
        means: &mut Means<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::Setting(name) => {
                means.used = true;
                match means.settings.known(name) {
                    Some(Some(tenant)) => Ok(tenant.to_vec()),
                    Some(None) => Err(Refusal::tenant_not_set(column, name)),
                    None => {
                        means.missing.get_or_insert_with(|| Arc::clone(name));
                        Err(Refusal::tenant_not_set(column, name))
                    }
                }
            }
            Self::Values(values) => one_of(values, value, means.forms),
        }
    }
}

/// It is not known whose a value is.
pub(super) fn unknown(column: &Arc<str>, tenant: &Name) -> Refusal {
    let what = format!(
        "its values are bound to the tenant in column {tenant}, and a statement that does not tell that one is"
    );
    let hint = format!(
        "Of rows that are written, give {tenant} as a constant or parameter; fix it by a condition `{tenant} = value` wherever the \
         table is named; or select {tenant} itself beside the column."
    );
    Refusal::encrypted(column, &what, &hint)
}
