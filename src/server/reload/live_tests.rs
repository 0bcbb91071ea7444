//! What is in force while files, the database and the access log change under a running pgveil.

use std::path::PathBuf;

use super::*;
use crate::catalog::Name;
use crate::config::{Config, Settings};
use crate::server::Upstream;
use crate::server::catalog_login::live_server::{LiveServer, program_directories};
use crate::session::io::CatalogChanges;
use crate::telemetry::Metrics;

const POLICY: &str = "version: 1\ntags: { mail: { mask: email } }\ncolumns: { people: { email: mail } }\n";

/// A running reloader over a server and a directory of its own.
struct Running {
    directory: PathBuf,
    state: Arc<SharedState>,
    reloads: ReloadHandle,
}

impl Running {
    async fn start(server: &LiveServer) -> Self {
        let directory = std::env::temp_dir().join(format!("pgveil-reload-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(directory.join("policies")).unwrap();
        let mut settings = Settings { policies: Some(vec![directory.join("policies")]), ..server.reader() };
        settings.access_log.path = Some(directory.join("access.jsonl"));
        settings.catalog.refresh_seconds = Some(3600);
        let config = Arc::new(Config::complete(settings).unwrap());
        let running = |text: &str| std::fs::write(directory.join("policies/a.yaml"), text).unwrap();
        running(POLICY);
        let upstream = Arc::new(Upstream::new(&config.upstream).unwrap());
        let start = Start::new(config, upstream, Arc::new(Metrics::new().unwrap())).await.unwrap();
        let (state, reloads) = (start.state(), start.handle());
        tokio::spawn(start.run());
        state.refresher.first().await;
        tokio::task::yield_now().await; // files are watched from now on
        Self { directory, state, reloads }
    }

    fn write_policy(&self, text: &str) {
        std::fs::write(self.directory.join("policies/a.yaml"), text).unwrap();
    }

    /// Wait until this holds.
    async fn until(&self, what: &str, holds: impl Fn(&SharedState) -> bool) {
        for _ in 0..500 {
            if holds(&self.state) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never: {what}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _left = std::fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn what_is_in_force_follows_files_database_and_access_log() {
    let server = LiveServer::start(program_directories().last().unwrap());
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let owner = server.client().await;
        let schema = "CREATE ROLE reader LOGIN; CREATE TABLE people (id int, email text, note text)";
        owner.batch_execute(schema).await.unwrap();
        let running = Running::start(&server).await;
        files(&running).await;
        catalog(&running, &server).await;
        access_log(&running).await;
        drop(owner);
    });
}

async fn files(running: &Running) {
    let metrics = &running.state.metrics;
    let columns = |state: &SharedState| state.snapshot.load().policy.columns().count();
    let failures = metrics.policy_reload_failures.get();
    running.write_policy("version: 1\ntags: { mail: { mask: emial } }\n");
    running.until("a wrong policy is refused", |_| metrics.policy_reload_failures.get() == failures + 1).await;
    assert_eq!((columns(&running.state), metrics.policy_reload_ok.get()), (1, 0));
    running.write_policy(&POLICY.replace("email: mail", "email: mail, note: mail"));
    running.until("a changed policy is in force", |state| columns(state) == 2).await;
    assert_eq!((metrics.policy_reload_ok.get(), metrics.policy_reloads.get()), (1, 1));
    running.write_policy(&POLICY.replace("email: mail", "email: mail, phone: mail"));
    running.until("a column that is not there is refused", |_| metrics.policy_reload_ok.get() == 0).await;
    running.write_policy(POLICY);
    running.until("the policy of the start is in force again", |state| columns(state) == 1).await;
    running.reloads.reload();
    running.until("asked for, it is read without a change", |_| metrics.policy_reloads.get() == 3).await;
}

async fn catalog(running: &Running, server: &LiveServer) {
    let (state, metrics) = (&running.state, &running.state.metrics);
    let owner = server.client().await;
    let before = state.snapshot.load().catalog.version();
    state.refresher.refresh(CatalogChanges::All).await;
    assert_eq!(state.snapshot.load().catalog.version(), before, "nothing changed, so the version stays");
    owner.batch_execute("CREATE TABLE fresh ()").await.unwrap();
    let reads = metrics.catalog_reads.get();
    let storm: Vec<_> = (0..200)
        .map(|_| {
            let refresher = state.refresher.clone();
            tokio::spawn(async move { refresher.refresh(CatalogChanges::All).await })
        })
        .collect();
    for waiting in storm {
        waiting.await.unwrap();
    }
    assert!(metrics.catalog_reads.get() - reads <= 2, "those who wait share a reading");
    let fresh = Name::exact("fresh");
    assert!(state.snapshot.load().catalog.relations_named(None, &fresh).next().is_some());
    owner.batch_execute("ALTER TABLE people RENAME email TO mail").await.unwrap();
    state.refresher.refresh(CatalogChanges::All).await;
    assert_eq!(metrics.policy_misfits.get(), 1, "a tagged column that is gone raises an alarm");
    owner.batch_execute("ALTER TABLE people RENAME mail TO email").await.unwrap();
    drop(owner);
    server.control("stop");
    state.refresher.refresh(CatalogChanges::All).await;
    assert_eq!(metrics.catalog_read_failures.get(), 1, "those who wait hear of a failure too");
    server.control("start");
    let age = state.refresher.age().unwrap();
    running.until("the catalog is read again by itself", |state| state.refresher.age().unwrap() < age).await;
    assert_eq!(metrics.policy_misfits.get(), 0);
}

async fn access_log(running: &Running) {
    let aside = running.directory.with_extension("aside");
    std::fs::remove_file(running.directory.join("access.jsonl")).unwrap();
    std::fs::rename(&running.directory, &aside).unwrap();
    assert!(running.state.access_log.write(Vec::new()).await.is_err());
    running
        .until("the snapshot says that nothing can be logged", |state| !state.snapshot.load().access_log_ready)
        .await;
    std::fs::rename(&aside, &running.directory).unwrap();
    running.until("the snapshot says that it can be again", |state| state.snapshot.load().access_log_ready).await;
}
