//! The JSON schema (draft 2020-12) of policy files, for editors: completion, descriptions and squiggles while typing.
//!
//! It is laxer than the reader where a schema can not tell (names that have to be defined elsewhere, upper case in the
//! names of masks), and never stricter on what the manual shows. Tests hold its keys against the reader's.

mod guard;

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::{Period, Policy};
use crate::mask::{CATALOGUE, MaskInfo, ParamInfo};

impl Policy {
    /// The JSON schema of policy files, as text that ends in a line break.
    pub fn json_schema() -> String {
        let mut schema = schemars::schema_for!(PolicyFile).to_value();
        without_null(&mut schema);
        format!("{schema:#}\n")
    }
}

/// schemars says of an optional key that it may be null; here it may be left out, and nothing else.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    object.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(forms)) = object.get("anyOf")
                && let [Value::Object(form), null] = forms.as_slice()
                && *null == json!({ "type": "null" })
            {
                let form = form.clone();
                object.remove("anyOf");
                object.extend(form);
            }
            object.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A pgveil policy: which columns hold personal data, who is who, and who sees what.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "these types are described, never built")]
struct PolicyFile {
    /// The version of the policy language: 1.
    #[schemars(range(min = 1, max = 1))]
    version: u32,
    /// What holds where nothing else is said.
    default: Option<DefaultForm>,
    /// Sorts of personal data, each with its mask.
    tags: Option<BTreeMap<TagName, TagForm>>,
    /// Tables (`table` in schema `public`, or `schema.table`), and below each its columns with their tags.
    columns: Option<BTreeMap<String, BTreeMap<String, ColumnForm>>>,
    /// Whose rows are: names that the access log has for persons or things (`customer`), and the columns that say which one
    /// a row is of.
    subjects: Option<BTreeMap<TagName, Names>>,
    /// Who sees what.
    roles: Option<BTreeMap<TagName, RoleForm>>,
    /// Database accounts that may assert for which end user they ask, and how.
    actors: Option<BTreeMap<String, AccountForm>>,
    /// How much of something a principal may do in which time.
    guard: Option<guard::GuardForm>,
}

/// How an account asserts end users: by one word, or with what has to be signed.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "these types are described, never built")]
enum AccountForm {
    /// `plain`: by name.
    Word(AssertWord),
    /// With particulars.
    Own(OwnAccountForm),
}

/// How an end user is asserted.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "these types are described, never built")]
enum AssertWord {
    /// By name, at the account's word.
    Plain,
    /// By a JSON Web Token.
    Signed,
}

/// Where an end user is asserted.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "these types are described, never built")]
enum WayWord {
    /// `SET pgveil.actor = ...`.
    Setting,
    /// The tag `actor` of the statement's last comment, as sqlcommenter writes it.
    Comment,
}

/// How an account asserts end users.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "these types are described, never built")]
struct OwnAccountForm {
    /// By name or by token.
    assert: AssertWord,
    /// Whether it sees only masks while it asserts nobody. Default: true.
    required: Option<bool>,
    /// Where it asserts them. Default: `setting`.
    by: Option<WaysForm>,
    /// The names of the keys (file of setting `actor_keys_file`) one of which has signed the token.
    keys: Option<Names>,
    /// The token's claim with the end user's name. Default: `sub`.
    claim: Option<String>,
    /// The token's claim with the end user's groups.
    groups: Option<String>,
    /// What the token's `aud` has to be or hold.
    audience: Option<String>,
    /// What the token's `iss` has to be.
    issuer: Option<String>,
}

/// One way or several.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "these types are described, never built")]
enum WaysForm {
    /// One.
    One(WayWord),
    /// Several.
    Several(Vec<WayWord>),
}

/// What a role may see in clear for a limited time, when it asks with a reason (`SET pgveil.reveal = '...'`).
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "these types are described, never built")]
struct RevealForm {
    /// Of which tags; `"*"`: of all.
    tags: Names,
    /// How long: `90s`, `15min`, `2h`. Default: `15min`.
    #[schemars(regex(pattern = "^[0-9]+ *(s|min|h)$"))]
    lasts: Option<String>,
    /// How many rows may be shown, or `unlimited`. Default: 1000.
    rows: Option<RowsForm>,
    /// A regular expression that the reason has to match, such as that of a ticket number.
    reason: Option<String>,
    /// Whether it has to be for one subject (`SET pgveil.reveal_subject = 'customer:42'`). Default: `optional`.
    subject: Option<SubjectWord>,
    /// Whether a one-time code (RFC 6238) has to be given. Default: false.
    totp: Option<bool>,
    /// Roles of this policy one of which a second person has to have who approves it.
    approval: Option<Names>,
    /// Whether it may go without approval when it is urgent, and is reviewed later. Default: false.
    urgent: Option<bool>,
    /// Whether those who are shown masks are told once a session that they may ask. Default: true.
    notice: Option<bool>,
}

/// A number of rows.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "these types are described, never built")]
enum RowsForm {
    /// So many.
    Number(std::num::NonZeroU64),
    /// As many as there are.
    Unlimited(UnlimitedWord),
}

/// As many as there are.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "these types are described, never built")]
enum UnlimitedWord {
    /// As many as there are.
    Unlimited,
}

/// Whether a reveal is for one subject.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "these types are described, never built")]
enum SubjectWord {
    /// It may be.
    Optional,
    /// It has to be.
    Required,
}

/// What holds where nothing else is said.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "these types are described, never built")]
struct DefaultForm {
    /// What those see for whom no rule matches. Default: `masked`.
    sees: Option<DefaultSightForm>,
    /// What `hidden` looks like, for tags that do not say. Default: `empty`.
    hidden: Option<HiddenForm>,
    /// What filters may do, for tags that do not say. Default: `equality`.
    filter: Option<FilterForm>,
    /// How many filters on one column a caller may use who does not see it in clear, for tags that do not say. Default:
    /// `10000/h`.
    budget: Option<BudgetForm>,
    /// What becomes of masks that come back, for tags that do not say. Default: `keep`.
    write_back: Option<WriteBackForm>,
}

/// A sort of personal data.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "these types are described, never built")]
struct TagForm {
    /// What `masked` shows.
    mask: MaskForm,
    /// What `hidden` looks like.
    hidden: Option<HiddenForm>,
    /// What filters may do with a column that the caller does not see in clear.
    filter: Option<FilterForm>,
    /// How many filters on one column a caller may use who does not see it in clear: `10000/h`, `unlimited`.
    budget: Option<BudgetForm>,
    /// What becomes of a mask that comes back in an UPDATE of the column.
    write_back: Option<WriteBackForm>,
}

/// The tag of a column, alone or with what is different for this column.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "these types are described, never built")]
enum ColumnForm {
    /// The tag.
    Tag(String),
    /// The tag, and what is different for this column.
    Own(OwnColumnForm),
}

/// The tag of a column, and what is different for this column.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "these types are described, never built")]
struct OwnColumnForm {
    /// The tag.
    tag: String,
    /// Instead of the tag's mask.
    mask: Option<MaskForm>,
    /// Instead of the tag's `hidden`.
    hidden: Option<HiddenForm>,
    /// Instead of the tag's `filter`.
    filter: Option<FilterForm>,
    /// Instead of the tag's `budget`.
    budget: Option<BudgetForm>,
    /// Instead of the tag's `write_back`.
    write_back: Option<WriteBackForm>,
    /// It is kept encrypted.
    encrypted: Option<EncryptionForm>,
}

/// How a column is kept encrypted.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "these types are described, never built")]
struct EncryptionForm {
    /// The type that applications see: `varchar(60)`, `date`. The database has it as text (or `bytea`).
    #[schemars(rename = "type")]
    of_type: String,
    /// Whether equal values are stored equal. Default: `randomized`.
    mode: Option<ModeForm>,
    /// The name of a key (`pgveil keys create`).
    key: String,
    /// What its values are bound to: a name that stays when the column is renamed. Columns of one domain can be compared.
    domain: String,
    /// Whether there may be plaintext in it, too. Default: `encrypted`.
    stored: Option<StoredForm>,
    /// Where it is said whose its values are: they do not open as those of another tenant.
    tenant: Option<TenantForm>,
    /// The column of the same table that the database keeps the blind index of its values in (`pgveil encrypt types` makes it):
    /// `=` and `IN` find values of a `randomized` column by it. Who reads the database sees there which values are equal.
    blind_index: Option<String>,
}

/// Where it is said whose a value is: one of both.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "these types are described, never built")]
struct TenantForm {
    /// A column of the same table.
    column: Option<String>,
    /// A setting of the session: `app.tenant_id`.
    setting: Option<String>,
}

/// Whether equal values are stored equal.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "these types are described, never built")]
enum ModeForm {
    /// No: nothing but whether it is NULL can be asked of it in the database, unless it has a `blind_index`.
    Randomized,
    /// Yes: `=`, `IN`, joins, `GROUP BY`, `DISTINCT` and unique keys work; who reads the database sees which values are equal.
    Deterministic,
}

/// What may stand in an encrypted column.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "these types are described, never built")]
enum StoredForm {
    /// Encrypted values alone.
    Encrypted,
    /// Plaintext too: it is being converted by `pgveil encrypt run` or `pgveil decrypt run`.
    Mixed,
}

/// Who has the role (`users` or `member_of`; `networks` and `certificates` narrow it), and what it sees.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "these types are described, never built")]
struct RoleForm {
    /// Database users that have it; exact names.
    users: Option<Names>,
    /// PostgreSQL roles whose members have it, directly or through other roles.
    member_of: Option<Names>,
    /// End users that have it, as trusted accounts assert them (`actors`); `*` stands for any characters.
    actors: Option<Names>,
    /// Groups whose end users have it, as a signed token says.
    actor_groups: Option<Names>,
    /// Only from these networks or addresses.
    networks: Option<Names>,
    /// Only with a verified client certificate of one of these common names.
    certificates: Option<Names>,
    /// Rules of a role with a higher priority beat those of a lower one, also stricter ones. Default: 0.
    priority: Option<i32>,
    /// Whether it may open replication connections, which are not masked. Default: false.
    replication: Option<bool>,
    /// What it sees: of a tag, of a column (`table.column`, `schema.table.column`; stronger than its tag), of all else
    /// (`"*"`).
    sees: Option<BTreeMap<String, SightForm>>,
    /// What it may see in clear for a limited time, when it asks with a reason.
    reveal: Option<RevealForm>,
}

/// One name or several.
struct Names;

impl JsonSchema for Names {
    fn schema_name() -> Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        let name = json!({ "type": ["string", "number"] });
        json_schema!({ "anyOf": [name, { "type": "array", "items": name, "minItems": 1 }] })
    }
}

/// What is seen.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "these types are described, never built")]
enum SightForm {
    /// By one word.
    Word(SightWord),
    /// Masked or hidden in another way than the tag says.
    Own(OwnSightForm),
}

/// What is seen.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "these types are described, never built")]
enum SightWord {
    /// The value; every reveal is logged.
    Clear,
    /// The value under the tag's mask.
    Masked,
    /// NULL or an empty value.
    Hidden,
    /// Nothing: the statement is refused.
    Denied,
}

/// Masked (unless it says `hidden`) in another way than the tag says.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "these types are described, never built")]
struct OwnSightForm {
    /// Masked by this mask.
    masked: Option<MaskForm>,
    /// Hidden, and this is how it looks.
    hidden: Option<HiddenForm>,
    /// What filters may do.
    filter: Option<FilterForm>,
    /// How many of them there may be: `10000/h`, `unlimited`.
    budget: Option<BudgetForm>,
}

/// What those see for whom no rule matches.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "these types are described, never built")]
enum DefaultSightForm {
    /// The value under the tag's mask.
    Masked,
    /// NULL or an empty value.
    Hidden,
    /// Nothing: the statement is refused.
    Denied,
}

/// A number of filters in a period, or `unlimited`.
struct BudgetForm;

impl JsonSchema for BudgetForm {
    fn schema_name() -> Cow<'static, str> {
        "BudgetForm".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        let units: Vec<&str> = Period::WORDS.iter().flat_map(|(_, words)| words).copied().collect();
        let pattern = format!("^(unlimited|[0-9]*[1-9][0-9]* */ *({}))$", units.join("|"));
        json_schema!({ "type": "string", "pattern": pattern })
    }
}

/// What filters may do with a column that is not clear to the caller.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "these types are described, never built")]
enum FilterForm {
    /// Nothing but `IS NULL` and counting.
    Refuse,
    /// `=`, `IN`, joins between columns of the same tag, grouping.
    Equality,
    /// Also prefix, pattern, range and sort.
    Search,
    /// Anything.
    Allow,
}

/// What becomes of a mask that a caller sends back in an UPDATE of the column.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "these types are described, never built")]
enum WriteBackForm {
    /// The stored value is kept.
    Keep,
    /// The statement is refused.
    Refuse,
}

/// A tag's, role's or limit's name.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct TagName;

impl JsonSchema for TagName {
    fn schema_name() -> Cow<'static, str> {
        "TagName".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_-]{0,62}$" })
    }
}

/// What `hidden` looks like.
struct HiddenForm;

impl JsonSchema for HiddenForm {
    fn schema_name() -> Cow<'static, str> {
        "HiddenForm".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What `hidden` looks like: `empty` is the type's empty value ('', 0, 1970-01-01, {}), `null` is NULL.",
            "enum": ["empty", "null", null],
        })
    }
}

/// A mask: its name, or its name with parameters.
struct MaskForm;

impl JsonSchema for MaskForm {
    fn schema_name() -> Cow<'static, str> {
        "MaskForm".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut bare = Vec::new();
        let mut with_parameters = Map::new();
        for mask in CATALOGUE {
            bare.push(json!({ "const": mask.name, "description": mask.description }));
            if mask.parameters.is_empty() {
                continue;
            }
            let definition = format!("mask_{}", mask.name);
            let reference = json!({ "$ref": format!("#/$defs/{definition}"), "description": mask.description });
            generator.definitions_mut().insert(definition, parameters(mask));
            with_parameters.extend(names(mask).map(|name| (name.to_owned(), reference.clone())));
        }
        let aliases = CATALOGUE.iter().flat_map(|mask| mask.aliases.iter().map(|alias| json!(alias.name)));
        let aliases: Vec<Value> = aliases.chain([Value::Null]).collect();
        json_schema!({
            "description": "A mask: its name, or `{ name: parameters }`.",
            "anyOf": [
                { "oneOf": bare },
                { "enum": aliases, "description": "Names that other products have for these masks." },
                {
                    "type": "object",
                    "properties": with_parameters,
                    "additionalProperties": false,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
            ],
        })
    }
}

fn names(mask: &MaskInfo) -> impl Iterator<Item = &'static str> {
    std::iter::once(mask.name).chain(mask.aliases.iter().map(|alias| alias.name))
}

fn parameters(mask: &MaskInfo) -> Value {
    let scalar = json!(["number", "string", "boolean"]);
    let described = |parameter: &ParamInfo| {
        let default = parameter.default.map(|default| format!(" (default: {default})")).unwrap_or_default();
        json!({ "type": scalar, "description": format!("{}{default}", parameter.description) })
    };
    let properties: Map<String, Value> = mask
        .parameters
        .iter()
        .flat_map(|parameter| {
            let names = std::iter::once(parameter.name).chain(parameter.aliases.iter().copied());
            names.map(|name| (name.to_owned(), described(parameter)))
        })
        .collect();
    let by_name = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    let forms = match mask.main {
        Some(_) => json!([{ "type": scalar }, { "type": "null" }, by_name]),
        None => json!([{ "type": "null" }, by_name]),
    };
    json!({ "anyOf": forms })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::document::{
        ACCOUNT_KEYS, COLUMN_KEYS, DEFAULT_KEYS, ENCRYPTION_KEYS, FILE_KEYS, REVEAL_KEYS, ROLE_KEYS, SIGHT_KEYS,
        SIGHT_WORDS, TAG_KEYS,
    };
    use super::super::encryption::{MODE_WORDS, STORED_WORDS};
    use super::super::guard::{Counted, Per};
    use super::super::read::{FILTER_WORDS, HIDDEN_WORDS, WRITE_BACK_WORDS};
    use super::super::read_guard::{BREACH_KEYS, BREACH_WORDS, GUARD_KEYS, LIMIT_KEYS};
    use super::super::read_reveal::{ASSERT_WORDS, SUBJECT_WORDS, WAY_WORDS};
    use super::*;

    #[test]
    fn the_committed_schema_is_the_one_of_this_code() {
        let committed = include_str!("../../policies/pgveil-policy.schema.json");
        let schema = Policy::json_schema();
        assert!(schema == committed, "differs from policies/pgveil-policy.schema.json; it should be:\n{schema}<<<end");
    }

    #[test]
    fn schema_and_reader_know_the_same_keys_and_words() {
        let schema: Value = serde_json::from_str(&Policy::json_schema()).unwrap();
        let keys = |place: &str| -> BTreeSet<String> {
            schema.pointer(place).unwrap().as_object().unwrap().keys().cloned().collect()
        };
        let sorted = |keys: &[&str]| -> BTreeSet<String> { keys.iter().map(|key| (*key).to_owned()).collect() };
        assert_eq!(keys("/properties"), sorted(FILE_KEYS));
        for (name, known) in [
            ("DefaultForm", DEFAULT_KEYS),
            ("TagForm", TAG_KEYS),
            ("OwnColumnForm", COLUMN_KEYS),
            ("EncryptionForm", ENCRYPTION_KEYS),
            ("RoleForm", ROLE_KEYS),
            ("OwnAccountForm", ACCOUNT_KEYS),
            ("RevealForm", REVEAL_KEYS),
            ("OwnSightForm", SIGHT_KEYS),
            ("GuardForm", GUARD_KEYS),
            ("LimitForm", LIMIT_KEYS),
            ("LockForm", BREACH_KEYS),
        ] {
            assert_eq!(keys(&format!("/$defs/{name}/properties")), sorted(known), "{name}");
            assert_eq!(schema.pointer(&format!("/$defs/{name}/additionalProperties")), Some(&json!(false)), "{name}");
        }
        let words = |name: &str| -> BTreeSet<String> {
            let form = schema.pointer(&format!("/$defs/{name}")).unwrap();
            let listed = form.get("enum").or_else(|| form.get("oneOf")).unwrap().as_array().unwrap().iter();
            listed.filter_map(|word| word.get("const").unwrap_or(word).as_str()).map(str::to_owned).collect()
        };
        assert_eq!(words("SightWord"), sorted(SIGHT_WORDS));
        assert_eq!(words("FilterForm"), FILTER_WORDS.iter().map(|(word, _)| (*word).to_owned()).collect());
        assert_eq!(words("WriteBackForm"), WRITE_BACK_WORDS.iter().map(|(word, _)| (*word).to_owned()).collect());
        assert_eq!(words("ModeForm"), MODE_WORDS.iter().map(|(word, _)| (*word).to_owned()).collect());
        assert_eq!(words("StoredForm"), STORED_WORDS.iter().map(|(word, _)| (*word).to_owned()).collect());
        assert_eq!(words("BreachWord"), sorted(BREACH_WORDS));
        assert_eq!(words("CountedForm"), Counted::WORDS.iter().map(|(word, _)| (*word).to_owned()).collect());
        assert_eq!(words("PerForm"), Per::WORDS.iter().map(|(word, _)| (*word).to_owned()).collect());
        assert_eq!(words("AssertWord"), ASSERT_WORDS.iter().map(|(word, _)| (*word).to_owned()).collect());
        assert_eq!(words("WayWord"), WAY_WORDS.iter().map(|(word, _)| (*word).to_owned()).collect());
        assert_eq!(words("SubjectWord"), SUBJECT_WORDS.iter().map(|(word, _)| (*word).to_owned()).collect());
        assert_eq!(words("HiddenForm"), HIDDEN_WORDS.iter().map(|(word, _)| (*word).to_owned()).collect());
    }
}
