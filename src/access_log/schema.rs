//! The JSON schema (draft 2020-12) of a line of the access log.
//!
//! A line has the fields of its kind, and others that a later version may add: who reads logs has to pass over what it does
//! not know. The published copy is `deploy/access-log.schema.json`.

#[cfg(test)]
use std::fmt::Write;

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::fields::*;

/// A kind of record, and what its lines have behind the fields that all lines have.
struct Kind {
    name: &'static str,
    schema: Value,
}

fn kinds(generator: &mut SchemaGenerator) -> Vec<Kind> {
    let mut kinds = Vec::new();
    let mut add = |name, schema: schemars::Schema| kinds.push(Kind { name, schema: schema.to_value() });
    add("reveal", RevealFields::json_schema(generator));
    add("close", CloseFields::json_schema(generator));
    add("entities", EntitiesFields::json_schema(generator));
    add("login", LoginFields::json_schema(generator));
    add("login_failed", LoginFailedFields::json_schema(generator));
    add("logout", LogoutFields::json_schema(generator));
    add("refusal", RefusalFields::json_schema(generator));
    add("filter", FilterFields::json_schema(generator));
    add("key_use", KeyUseFields::json_schema(generator));
    add("guard", GuardFields::json_schema(generator));
    add("reload", ReloadFields::json_schema(generator));
    add("admin", AdminFields::json_schema(generator));
    for kind in [
        "reveal_asked",
        "reveal_granted",
        "reveal_refused",
        "reveal_ended",
        "reveal_approved",
        "reveal_denied",
        "reveal_reviewed",
    ] {
        add(kind, GrantFields::json_schema(generator));
    }
    for kind in ["actor_asserted", "actor_refused", "actor_ended"] {
        add(kind, ActorFields::json_schema(generator));
    }
    add("suppressed", SuppressedFields::json_schema(generator));
    kinds
}

/// The fields that every line begins with.
fn head(kind: &str) -> Map<String, Value> {
    let fields = json!({
        "seq": { "type": "integer", "minimum": 1, "description": "The record's number in its log, without gaps." },
        "prev": { "type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of the line before this one, its line feed included." },
        "time": { "type": "string", "format": "date-time", "description": "UTC, microseconds (RFC 3339)." },
        "id": { "type": "string", "format": "uuid", "description": "The record's own id: one that comes twice is the same record." },
        "kind": { "const": kind },
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// The schema of one line, as text that ends in a line break. Lines of kinds that are not in it are the log's own
/// (checkpoints, segments), or of a later version.
pub fn json_schema() -> String {
    let mut generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let mut forms = Vec::new();
    for Kind { name, mut schema } in kinds(&mut generator) {
        let Some(form) = schema.as_object_mut() else { continue };
        form.remove("$schema");
        form.insert("title".to_owned(), json!(name));
        let mut required: Vec<Value> = ["seq", "prev", "time", "id", "kind"].map(Value::from).to_vec();
        if let Some(Value::Array(own)) = form.remove("required") {
            required.extend(own);
        }
        // A key that is always there, and may be null.
        if let Some(Value::Object(properties)) = form.get("properties") {
            for field in properties.keys() {
                if !required.iter().any(|known| known == field) {
                    required.push(json!(field));
                }
            }
        }
        form.insert("required".to_owned(), Value::Array(required));
        let mut properties = head(name);
        if let Some(Value::Object(own)) = form.remove("properties") {
            properties.extend(own);
        }
        form.insert("properties".to_owned(), Value::Object(properties));
        forms.push(schema);
    }
    let known: Vec<Value> = forms.iter().filter_map(|form| form.get("title").cloned()).collect();
    let other = json!({
        "title": "other",
        "description": "What the log says of itself, and what later versions may add.",
        "properties": { "kind": { "type": "string", "not": { "enum": known } } },
        "required": ["seq", "prev", "time", "id", "kind"],
    });
    forms.push(other);
    let definitions = generator.take_definitions(true);
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of pgveil's access log",
        "oneOf": forms,
        "$defs": definitions,
    });
    format!("{schema:#}\n")
}

/// The reference's tables: one for each kind, its fields in the order of the line.
#[cfg(test)]
fn reference() -> String {
    let mut generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let mut text = String::new();
    for Kind { name, schema } in kinds(&mut generator) {
        let said = |value: &Value| {
            let text = value.get("description").and_then(Value::as_str).unwrap_or_default();
            text.replace('\n', " ").replace('|', "\\|")
        };
        let _ = write!(text, "### `{name}`\n\n{}\n\n| field | what it says |\n|---|---|\n", said(&schema));
        if let Some(Value::Object(properties)) = schema.get("properties") {
            for (field, described) in properties {
                let _ = writeln!(text, "| `{field}` | {} |", said(described));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Hold a file against what it should be; with `BLESS=1` write it.
    fn published(path: &str, expected: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, expected).unwrap();
        }
        assert!(std::fs::read_to_string(&path).is_ok_and(|found| found == expected), "run this test with BLESS=1");
    }

    #[test]
    fn the_published_schema_is_that_of_the_code() {
        published("deploy/access-log.schema.json", &json_schema());
    }

    #[test]
    fn the_reference_has_every_field() {
        const BEGIN: &str = "<!-- fields -->\n";
        const END: &str = "<!-- end of fields -->\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/access_log/RECORDS.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        published("src/access_log/RECORDS.md", &format!("{before}{BEGIN}\n{}{END}{after}", reference()));
    }
}
