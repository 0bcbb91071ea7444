//! The database and the policy that the playbooks play on, and a stand-in for the analyst.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use crate::access_log::RevealRefused;
use crate::catalog::{
    Catalog, CatalogVersion, Column, Function, FunctionKind, Name, Oid, Relation, RelationKind, Type, TypeKind,
};
use crate::mask::MaskKeys;
use crate::plan::budget::{Charge, Ledger, Overdrawn, Payer};
use crate::plan::guard::{Stop, Watched, Windows};
use crate::plan::{Inventory, Refusal, Snapshot};
use crate::policy::{Counted, Policy, PolicySource};
use crate::session::io::{Analyst, Answer, Authority, Budgets, DecideError, Guard, Lookup, Now, Request, Waited, Who};
use crate::sql::Limits;
use crate::sql::analyze::analyze;
use crate::sql::statement::Analysis;

/// Who sees what: `clerk` sees masks, `boss` everything.
pub(super) const POLICY: &str = "
version: 1
tags:
  email: { mask: email }
  name: { mask: { show_first: 1 } }
columns:
  public.customers:
    email: email
    name: name
roles:
  billing:
    member_of: [billing]
    sees:
      email: clear
      name: clear
";

/// The same, and `note` is tagged as well.
pub(super) const STRICTER: &str = "
version: 1
tags:
  email: { mask: email }
  name: { mask: { show_first: 1 } }
  note: { mask: full }
columns:
  public.customers:
    email: email
    name: name
  public.notes:
    note: note
";

/// Tables `customers` (16384) and `notes` (16385).
fn catalog() -> Catalog {
    let mut catalog = Catalog::new(CatalogVersion(1), Name::exact("shop"));
    for (oid, name) in [(25, "text"), (23, "int4"), (20, "int8"), (16, "bool")] {
        let (schema, name) = (Name::exact("pg_catalog"), Name::exact(name));
        catalog.add_type(Type { oid: Oid(oid), schema, name, kind: TypeKind::Base });
    }
    let tables = [(16_384, "customers", &["id", "name", "email"][..]), (16_385, "notes", &["id", "note"])];
    for (oid, name, columns) in tables {
        let columns = columns.iter().zip(1..).map(|(column, attnum)| Column {
            attnum,
            name: Name::exact(column),
            type_oid: Oid(if *column == "id" { 23 } else { 25 }),
            not_null: false,
            unique: false,
            collated: false,
            defaulted: false,
            tight: false,
            generated: None,
        });
        catalog.add_relation(Relation {
            oid: Oid(oid),
            schema: Name::exact("public"),
            name: Name::exact(name),
            kind: RelationKind::Table,
            row_type: Oid(0),
            columns: columns.collect(),
            parents: Vec::new(),
            definition: None,
            has_rules: false,
            primary_key: Vec::new(),
        });
    }
    let functions = [
        ("lower", &[25][..], 25),
        ("upper", &[25], 25),
        ("set_config", &[25, 25, 16], 25),
        ("current_setting", &[25], 25),
    ];
    for ((name, inputs, returns), oid) in functions.into_iter().zip(900..) {
        catalog.add_function(Function {
            oid: Oid(oid),
            schema: Name::exact("pg_catalog"),
            name: Name::exact(name),
            kind: FunctionKind::Function,
            language: Name::exact("internal"),
            body: None,
            inputs: inputs.iter().copied().map(Oid).collect(),
            arguments: Vec::new(),
            outputs: Vec::new(),
            returns: Oid(returns),
            returns_set: false,
            volatility: crate::catalog::Volatility::Immutable,
            extension: None,
        });
    }
    catalog.add_memberships(Name::exact("boss"), [Name::exact("billing")].into());
    catalog.add_memberships(Name::exact("billing"), [].into());
    catalog
}

/// A snapshot of that database under a policy.
pub(super) fn snapshot(version: u64, policy: &str) -> Arc<Snapshot> {
    let policy = match policy {
        "" => Policy::empty(),
        text => Policy::parse(&[PolicySource { path: "p.yaml".into(), text: text.into() }])
            .unwrap_or_else(|found| panic!("{found:#?}")),
    };
    let catalog = catalog();
    Arc::new(Snapshot {
        version,
        inventory: Arc::new(Inventory::new(&policy, &catalog, None)),
        policy: Arc::new(policy),
        catalog: Arc::new(catalog),
        keys: Arc::new(MaskKeys::default()),
        actor_keys: Arc::default(),
        ring: Arc::default(),
        access_log_ready: true,
        limits: Limits::default(),
        epoch: 0,
        since: 0,
        exact: true,
        past: Arc::default(),
    })
}

/// Budgets, and a clock that stands still.
#[derive(Default)]
pub(super) struct Purse {
    pub now: Cell<Duration>,
    ledger: RefCell<Ledger>,
}

impl Budgets for Purse {
    fn spend(&self, payer: &Payer, charges: &[Charge<'_>]) -> Result<(), Overdrawn> {
        self.ledger.borrow_mut().spend(payer, charges, self.now.get())
    }
}

/// A guard, a clock that stands still, and a store that may be away.
#[derive(Default)]
pub(super) struct Tally {
    windows: Mutex<Windows>,
    pub away: AtomicBool,
    pub locked: AtomicBool,
}

impl Guard for Tally {
    fn take(&self, watched: &Watched, what: Counted, least: u64, most: u64) -> Result<u64, Stop> {
        if self.away.load(Ordering::Relaxed) && !watched.limits.is_empty() {
            return Err(Stop::StoreAway);
        }
        let taken = self.windows.lock().unwrap().take(watched, what, (least, most), Duration::from_secs(1_000_000));
        taken.granted.ok_or_else(|| {
            let breach = taken.breaches.iter().find(|breach| breach.limit.on_breach.refuse).unwrap();
            breach.stop()
        })
    }

    fn give_back(&self, watched: &Watched, what: Counted, count: u64) {
        self.windows.lock().unwrap().give_back(watched, what, count, Duration::from_secs(1_000_000));
    }

    fn locked_out(&self, user: &Name, actor: Option<&Arc<str>>, _address: IpAddr) -> Option<Refusal> {
        self.locked.load(Ordering::Relaxed).then(|| Refusal::locked_out(user, actor, None))
    }
}

/// Grants what is asked for, by a clock that the test moves; codes are `123456`.
#[derive(Default)]
pub(super) struct Office {
    pub now: Cell<Duration>,
    /// Whether somebody has approved what waits.
    pub approves: Cell<bool>,
    made: Cell<u32>,
}

impl Authority for Office {
    fn now(&self) -> Now {
        Now { elapsed: self.now.get(), unix: self.now.get() + Duration::from_secs(1_000_000) }
    }

    fn ask(&self, request: Request<'_>) -> Answer {
        if request.offer.totp && request.code != Some("123456") {
            return Answer::Refused(RevealRefused::CodeWrong);
        }
        self.made.set(self.made.get() + 1);
        let id = format!("g{}", self.made.get()).into();
        if request.offer.needs_approval() && !request.urgent {
            return Answer::Waiting { id };
        }
        Answer::Granted { id, ends: self.now.get() + request.offer.lasts }
    }

    fn answer(&self, _id: &str) -> Waited {
        match self.approves.take() {
            true => Waited::Approved { by: "lea".into(), ends: self.now.get() + Duration::from_secs(60) },
            false => Waited::Still,
        }
    }

    fn withdraw(&self, _id: &str) {}

    fn decide(&self, _id: &str, _approves: bool, _by: &Who, _roles: &[Arc<str>]) -> Result<(), DecideError> {
        Err(DecideError::Unknown)
    }

    fn review(&self, _id: &str, _by: &Who, _roles: &[Arc<str>]) -> Result<(), DecideError> {
        Err(DecideError::Unknown)
    }

    fn requests(&self, _by: &Who, _roles: &[Arc<str>]) -> String {
        "[]".to_owned()
    }

    fn reviews(&self, _by: &Who, _roles: &[Arc<str>]) -> String {
        "[]".to_owned()
    }
}

/// Analyses on a thread of its own, or says that it takes longer.
#[derive(Default)]
pub(super) struct Desk {
    pub later: Cell<bool>,
}

impl Analyst for Desk {
    fn analysis(&self, snapshot: &Arc<Snapshot>, text: &[u8]) -> Lookup {
        if self.later.get() {
            return Lookup::Later;
        }
        // They depend on the text and the catalog, which is always the same.
        static MADE: LazyLock<Mutex<HashMap<Vec<u8>, Arc<Analysis>>>> = LazyLock::new(Mutex::default);
        let mut made = MADE.lock().unwrap();
        Lookup::Ready(Arc::clone(
            made.entry(text.to_vec()).or_insert_with(|| Arc::new(on_a_large_stack(snapshot, text))),
        ))
    }
}

/// An analysis, on the stack that it needs.
pub(super) fn on_a_large_stack(snapshot: &Snapshot, text: &[u8]) -> Analysis {
    std::thread::scope(|scope| {
        let run = || analyze(text, &snapshot.catalog, &snapshot.limits);
        std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(scope, run).unwrap().join().unwrap()
    })
}
