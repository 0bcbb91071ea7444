//! What the whole analysis says of a text, against a live database's catalog and a policy.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use pgveil::catalog::load_rows::{Loader, Part};
use pgveil::catalog::{Catalog, CatalogVersion, Name};
use pgveil::mask::MaskKeys;
use pgveil::plan::{Caller, Inventory, Own, Reach, Scan, Snapshot, Verdict, judge, judge_opaque};
use pgveil::policy::{Policy, PolicySource, Principal};
use pgveil::sql::Limits;
use pgveil::sql::analyze::analyze;
use pgveil::sql::lineage::{FilterKind, Flow, Lineage, Source, Taint};
use pgveil::sql::statement::{Analysis, Reading, Statement};
use serde_json::{Value, json};
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// A database under a policy, and somebody who sees all of it masked.
pub struct Desk {
    snapshot: Snapshot,
    caller: Caller,
}

impl Desk {
    /// Read the catalog of the database that a connection string names, and the policy in a file.
    pub fn open(connection: &str, policy: &str) -> Result<Self, Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let catalog = runtime.block_on(catalog(connection))?;
        let text = std::fs::read_to_string(policy)?;
        let policy = Policy::parse(&[PolicySource { path: policy.into(), text }])
            .map_err(|found| format!("the policy is wrong: {found:?}"))?;
        let snapshot = Snapshot {
            version: 1,
            inventory: Arc::new(Inventory::new(&policy, &catalog, None)),
            policy: Arc::new(policy),
            catalog: Arc::new(catalog),
            keys: Arc::new(MaskKeys::default()),
            ring: Arc::default(),
            actor_keys: Arc::default(),
            access_log_ready: true,
            limits: Limits::default(),
            epoch: 0,
            since: 0,
            exact: true,
            past: Arc::default(),
        };
        let principal = Principal {
            user: Name::exact("nobody"),
            member_of: BTreeSet::new(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            certificate: None,
            application_name: None,
            actor: None,
        };
        let caller = Caller::new(principal, &snapshot);
        Ok(Self { snapshot, caller })
    }

    /// What is known of the statements in a text, and what becomes of them for somebody who sees everything masked. The
    /// answer to an empty text are the columns that the policy tags, as `relation.attnum`.
    pub fn analysis(&self, text: &str) -> Value {
        let snapshot = &self.snapshot;
        if text.is_empty() {
            let bindings = snapshot.inventory.bindings().iter();
            let tagged: Vec<String> =
                bindings.map(|binding| format!("{}.{}", binding.relation.0, binding.attnum)).collect();
            return json!({ "tagged": tagged });
        }
        let harmless = snapshot.inventory.scan(text.as_bytes()) == Scan::Harmless;
        match analyze(text.as_bytes(), &snapshot.catalog, &snapshot.limits) {
            Analysis::Opaque(why, words) => {
                let judged = judge_opaque(why, &words, snapshot, &self.caller);
                json!({ "harmless": harmless, "opaque": why.to_string(), "verdict": shown(&judged.verdict) })
            }
            Analysis::Statements(statements) => {
                let statements: Vec<Value> = statements.iter().map(|one| self.statement(text, one)).collect();
                json!({ "harmless": harmless, "statements": statements })
            }
        }
    }

    fn statement(&self, text: &str, statement: &Statement) -> Value {
        let verdict = judge(text, statement, &self.snapshot, &self.caller, &Own::default()).verdict;
        let (reading, lineage) = match &statement.reading {
            Reading::NoQuery => ("no query".to_owned(), Value::Null),
            Reading::NotUnderstood(why) => (format!("not understood: {why}"), Value::Null),
            Reading::Understood(lineage) => ("understood".to_owned(), self.lineage(lineage)),
        };
        json!({
            "kind": statement.kind.command(),
            "words": statement.words.iter().map(Name::as_str).collect::<Vec<_>>(),
            "verdict": shown(&verdict),
            "reading": reading,
            "lineage": lineage,
        })
    }

    fn lineage(&self, lineage: &Lineage) -> Value {
        let outputs: Vec<Value> = lineage
            .outputs
            .iter()
            .map(|output| json!({ "name": output.name.as_ref().map(Name::as_str), "of": self.taint(&output.origin.taint()) }))
            .collect();
        let filters: Vec<Value> = lineage
            .filters
            .iter()
            .map(|filter| {
                let columns = self.reach(&self.snapshot.inventory.source(filter.source).cloned().unwrap_or_default());
                json!({ "source": source(filter.source), "kind": kind(filter.kind), "tagged": columns })
            })
            .collect();
        let writes: Vec<Value> = lineage
            .writes
            .iter()
            .map(|write| {
                let relation = write.relation.map(|oid| oid.0);
                json!({ "relation": relation, "attnum": write.attnum, "of": self.taint(&write.taint) })
            })
            .collect();
        json!({
            "outputs": outputs,
            "open_ended": lineage.open_ended,
            "filters": filters,
            "filters_unknown": lineage.filters_unknown.map(|why| format!("{why:?}")),
            "writes": writes,
            "relations": lineage.relations.iter().map(|oid| oid.0).collect::<Vec<_>>(),
            "functions": lineage.functions.iter().map(|oid| oid.0).collect::<Vec<_>>(),
            "forbidden": lineage.forbidden.iter().map(Name::as_str).collect::<Vec<_>>(),
            "unresolved": lineage.unresolved.iter().map(Name::as_str).collect::<Vec<_>>(),
        })
    }

    fn taint(&self, taint: &Taint) -> Value {
        let sources: BTreeMap<String, &str> =
            taint.sources.iter().map(|(&from, &how)| (source(from), flow(how))).collect();
        json!({
            "sources": sources,
            "unknown": taint.unknown.map(|why| format!("{why:?}")),
            "tagged": self.reach(&self.snapshot.inventory.resolve(taint)),
        })
    }

    /// The tagged columns, as `relation.attnum`.
    fn reach(&self, reach: &Reach) -> BTreeMap<String, &'static str> {
        let bindings = self.snapshot.inventory.bindings().iter();
        bindings
            .filter_map(|binding| {
                let how = reach.columns.get(&binding.id)?;
                Some((format!("{}.{}", binding.relation.0, binding.attnum), flow(*how)))
            })
            .collect()
    }
}

fn shown(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => "pass".to_owned(),
        Verdict::Protect(_) => "protect".to_owned(),
        Verdict::Refuse(refusal) => format!("refuse: {}", refusal.message),
        Verdict::Recall(_) | Verdict::RecallPlan(_) => "recall".to_owned(),
    }
}

fn source(source: Source) -> String {
    match source {
        Source::Column { relation, attnum } => format!("{}.{attnum}", relation.0),
        Source::Function(oid) | Source::Field { function: oid, .. } => format!("function {}", oid.0),
    }
}

fn flow(flow: Flow) -> &'static str {
    match flow {
        Flow::Counted => "counted",
        Flow::Direct => "direct",
        Flow::Derived => "derived",
    }
}

fn kind(kind: FilterKind) -> &'static str {
    match kind {
        FilterKind::NullTest => "null test",
        FilterKind::Grouping => "grouping",
        FilterKind::Equality | FilterKind::Any(_) => "equality",
        FilterKind::Like(_) => "pattern",
        FilterKind::Join(_) => "join",
        FilterKind::Conversion => "conversion",
        FilterKind::Gathering => "gathering",
        FilterKind::Prefix => "prefix",
        FilterKind::Pattern => "pattern",
        FilterKind::Range => "range",
        FilterKind::Sort => "sort",
        FilterKind::MadeUp | FilterKind::Other => "other",
    }
}

async fn catalog(connection: &str) -> Result<Catalog, Box<dyn Error>> {
    let (client, driver) = tokio_postgres::connect(connection, NoTls).await?;
    let driver = tokio::spawn(driver);
    let mut rows = texts(&client, "SET search_path = ''").await?;
    rows.extend(
        texts(&client, "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.current_database()")
            .await?,
    );
    let [first] = &rows[..] else { return Err("the server does not say its version".into()) };
    let [Some(version), Some(database)] = &first[..] else { return Err("the server does not say its version".into()) };
    let version = version.parse()?;
    let mut loader = Loader::new(CatalogVersion(1), Name::exact(database));
    for part in Part::ALL {
        for row in texts(&client, &part.query(version)).await? {
            let cells: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
            loader.row(part, &cells)?;
        }
    }
    driver.abort();
    Ok(loader.finish())
}

async fn texts(
    client: &tokio_postgres::Client,
    query: &str,
) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
    let messages = client.simple_query(query).await?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
        _ => None,
    });
    Ok(rows.collect())
}
