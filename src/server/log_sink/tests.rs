//! The sink against real files: who is told what, and what is in the file afterwards.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::access_log::{AccessEvent, Action, Closing, How, RevealedColumn, Visit};
use crate::catalog::Name;
use crate::config::Durability;

/// A directory of its own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("pgveil-log-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn config(&self) -> AccessLogConfig {
        AccessLogConfig { path: self.0.join("access.jsonl"), durability: Durability::Write }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new().unwrap())
}

fn visit() -> Arc<Visit> {
    Arc::new(Visit {
        session: 1,
        user: Name::exact("ann"),
        actor: None,
        database: Name::exact("shop"),
        client: "127.0.0.1:5000".parse().unwrap(),
        application_name: None,
    })
}

fn event(column: &str) -> Record {
    Record::Reveal(AccessEvent {
        visit: visit(),
        execution: 1,
        role: None,
        rule: "shop.yaml:1".into(),
        column: Some(RevealedColumn {
            schema: Name::exact("public"),
            table: Name::exact("people"),
            column: Name::exact(column),
            tag: "email".into(),
        }),
        how: How::Clear,
        action: Action::View,
        fingerprint: 1,
        rows: Some(1),
        endpoint: None,
        entities: Vec::new(),
    })
}

fn closing() -> Record {
    Record::Closing(Closing {
        visit: visit(),
        execution: 1,
        rows: 1,
        complete: true,
        action: Action::View,
        entities: Vec::new(),
    })
}

fn columns(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.map(|line| line["column"].as_str().unwrap_or("(closing)").to_owned()).collect()
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

async fn until_ready(log: &AccessLog, ready: bool) {
    let mut readiness = log.readiness();
    tokio::time::timeout(Duration::from_secs(10), readiness.wait_for(|now| *now == ready)).await.unwrap().unwrap();
}

#[test]
fn events_are_in_the_file_when_their_writer_is_told() {
    let scratch = Scratch::new();
    let config = scratch.config();
    let log = AccessLog::open(&config, metrics(), true).unwrap();
    run(log.write(vec![event("email"), event("phone")])).unwrap();
    assert_eq!(columns(&config.path), ["email", "phone"]);
    assert_eq!(std::fs::metadata(&config.path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn requests_are_written_in_the_order_of_their_calls() {
    let scratch = Scratch::new();
    let config = AccessLogConfig { durability: Durability::Fsync, ..scratch.config() };
    let log = AccessLog::open(&config, metrics(), true).unwrap();
    let names: Vec<_> = (0..500).map(|number| format!("c{number}")).collect();
    let waiting: Vec<_> = names.iter().map(|name| log.write(vec![event(name)])).collect();
    log.note(closing());
    run(async {
        for written in waiting {
            written.await.unwrap();
        }
        log.flush().await;
    });
    let mut expected = names;
    expected.push("(closing)".to_owned());
    assert_eq!(columns(&config.path), expected);
}

#[test]
fn half_a_line_that_a_crash_left_is_not_glued_to_the_next_record() {
    let scratch = Scratch::new();
    let config = scratch.config();
    std::fs::write(&config.path, "{\"time\":\"2026").unwrap();
    let log = AccessLog::open(&config, metrics(), true).unwrap();
    run(log.write(vec![event("email")])).unwrap();
    let text = std::fs::read_to_string(&config.path).unwrap();
    let (half, whole) = text.split_once('\n').unwrap();
    assert_eq!(half, "{\"time\":\"2026");
    assert!(serde_json::from_str::<serde_json::Value>(whole).is_ok());
}

#[test]
fn a_directory_that_goes_away_stops_writing_until_it_is_back() {
    let scratch = Scratch::new();
    let config = scratch.config();
    let metrics = metrics();
    let log = AccessLog::open(&config, Arc::clone(&metrics), true).unwrap();
    run(async {
        log.write(vec![event("first")]).await.unwrap();
        std::fs::remove_dir_all(&scratch.0).unwrap();
        assert!(matches!(log.write(vec![event("lost")]).await, Err(AccessLogError::File { .. })));
        assert!(!log.is_ready());
        assert_eq!((metrics.access_log_failures.get(), metrics.access_log_ready.get()), (1, 0));
        log.note(closing());
        std::fs::create_dir(&scratch.0).unwrap();
        until_ready(&log, true).await;
        log.flush().await;
        assert_eq!(columns(&config.path), ["(closing)"]);
        log.write(vec![event("again")]).await.unwrap();
    });
    assert_eq!(columns(&config.path), ["(closing)", "again"]);
    assert_eq!((metrics.access_log_writes.get(), metrics.access_log_ready.get()), (3, 1));
}

#[test]
fn a_rotated_file_is_left_at_the_next_reopen() {
    let scratch = Scratch::new();
    let config = scratch.config();
    let rotated = scratch.0.join("access.jsonl.1");
    let log = AccessLog::open(&config, metrics(), true).unwrap();
    run(async {
        log.write(vec![event("one")]).await.unwrap();
        log.reopen(); // the file is where it was: nothing changes
        log.write(vec![event("two")]).await.unwrap();
        std::fs::rename(&config.path, &rotated).unwrap();
        log.write(vec![event("three")]).await.unwrap();
        log.reopen();
        log.write(vec![event("four")]).await.unwrap();
    });
    assert_eq!(columns(&rotated), ["one", "two", "three"]);
    assert_eq!(columns(&config.path), ["four"]);
}

#[test]
fn two_writers_do_not_share_a_file() {
    let scratch = Scratch::new();
    let first = AccessLog::open(&scratch.config(), metrics(), true).unwrap();
    assert!(matches!(AccessLog::open(&scratch.config(), metrics(), true), Err(AccessLogError::InUse { .. })));
    let second = AccessLog::open(&scratch.config(), metrics(), false).unwrap();
    run(async {
        assert!(second.write(vec![event("email")]).await.is_err());
        drop(first);
        until_ready(&second, true).await;
        second.write(vec![event("email")]).await.unwrap();
    });
}

/// `/dev/full` takes no byte, as a full disk.
#[test]
fn a_full_disk_is_an_error_and_not_a_lost_record() {
    let config = AccessLogConfig { path: "/dev/full".into(), durability: Durability::Write };
    let log = AccessLog::open(&config, metrics(), true).unwrap();
    let Err(AccessLogError::File { reason, .. }) = run(log.write(vec![event("email")])) else {
        panic!("written to a full disk");
    };
    assert!(reason.contains("No space left"), "{reason}");
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!log.is_ready(), "the next attempt fails too");
}
