//! The sink against real files: who is told what, and what is in the files afterwards.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::disk::Call;
use super::*;
use crate::access_log::checkpoint::PublicKey;
use crate::access_log::verify::{Moment, Report, Verdict, Verifier};
use crate::access_log::{AccessEvent, Action, Closing, Head, How, RevealedColumn, SegmentName, Visit};
use crate::catalog::Name;
use crate::config::{Durability, Retention};

/// A directory of its own, removed at the end.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("pgveil-log-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn config(&self) -> AccessLogConfig {
        AccessLogConfig::at(self.0.join("access.jsonl"))
    }

    /// With a key that signs.
    fn signed(&self) -> (AccessLogConfig, PublicKey) {
        let path = self.0.join("key");
        let public = signing::create(&path).unwrap();
        (AccessLogConfig { signing_key: Some(path), ..self.config() }, public)
    }

    /// The names of its files, but for the lock.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.ends_with(".lock") && name != "key");
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

/// What `pgveil log verify` makes of a log.
fn verified(config: &AccessLogConfig, trusted: &[PublicKey]) -> Result<Report, String> {
    let writing = is_written(&config.path);
    let mut verifier = Verifier::new(trusted.to_vec(), Vec::new(), true);
    let read = verify(open_segments(&config.path).unwrap(), &mut verifier, true).unwrap();
    read.and_then(|()| verifier.finish(Moment { now: now(), writing })).map_err(|flaw| flaw.to_string())
}

fn whole(config: &AccessLogConfig, trusted: &PublicKey) -> Report {
    let report = verified(config, std::slice::from_ref(trusted)).unwrap();
    assert_eq!(report.verdict(), Verdict::Whole, "{report:?}");
    report
}

/// What a process that was killed now would leave: the files as they are.
fn killed(scratch: &Scratch) -> Scratch {
    let image = Scratch::new();
    for name in scratch.names().into_iter().chain(["key".to_owned()]) {
        if std::fs::copy(scratch.0.join(&name), image.0.join(&name)).is_ok() {
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(image.0.join(&name), mode).unwrap();
        }
    }
    image
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
        tenant: None,
        entities: Vec::new(),
        grounds: None,
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
    let records = lines.filter(|line| line["kind"] == "reveal" || line["kind"] == "close");
    records.map(|line| line["column"].as_str().unwrap_or("(closing)").to_owned()).collect()
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
fn a_log_of_another_form_is_kept_beside_the_new_one() {
    let scratch = Scratch::new();
    let config = scratch.config();
    for former in ["{\"time\":\"2026\"}\n{\"time\":\"2026", "{\"time\":\"2026", "\n"] {
        std::fs::write(&config.path, former).unwrap();
        let log = AccessLog::open(&config, metrics(), true).unwrap();
        run(async {
            log.write(vec![event("email")]).await.unwrap();
            log.stop().await;
        });
        assert_eq!(columns(&config.path), ["email"]);
        let names = scratch.names();
        let kept = names.iter().find(|name| name.contains(".former-")).unwrap();
        assert_eq!(std::fs::read_to_string(scratch.0.join(kept)).unwrap(), former);
        std::fs::remove_file(scratch.0.join(kept)).unwrap();
        std::fs::remove_file(&config.path).unwrap();
    }
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
        assert!(matches!(log.write(vec![event("lost")]).await, Err(AccessLogError::Unwritable { .. })));
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
    assert_eq!(metrics.access_log_ready.get(), 1);
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
    let log = AccessLog::open(&AccessLogConfig::at("/dev/full".into()), metrics(), true).unwrap();
    assert!(matches!(run(log.write(vec![event("email")])), Err(AccessLogError::Full { .. })));
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!log.is_ready(), "the next attempt fails too");
}

#[test]
fn a_log_that_was_stopped_is_whole_and_goes_on_in_the_next_process() {
    let scratch = Scratch::new();
    let (config, public) = scratch.signed();
    for turn in 1..=3 {
        let log = AccessLog::open(&config, metrics(), true).unwrap();
        run(async {
            log.write(vec![event("email"), event("phone")]).await.unwrap();
            assert!(whole(&config, &public).crashes.is_empty(), "while it is being written");
            log.note(closing());
            log.stop().await;
            assert!(log.write(vec![event("late")]).await.is_err());
        });
        assert_eq!(whole(&config, &public).records, 2 + turn * 6 - 1);
    }
    assert_eq!(scratch.names(), ["access.jsonl"]);
}

#[test]
fn a_killed_process_leaves_a_log_that_the_next_one_mends() {
    let scratch = Scratch::new();
    let (config, public) = scratch.signed();
    let log = AccessLog::open(&config, metrics(), true).unwrap();
    run(log.write(vec![event("email"), event("phone")])).unwrap();
    let length = std::fs::metadata(&config.path).unwrap().len();
    // After each byte of the last line, and at its end.
    for cut in [0, 1, 2, 30, 200] {
        let image = killed(&scratch);
        let killed = AccessLogConfig { signing_key: Some(image.0.join("key")), ..image.config() };
        std::fs::OpenOptions::new().write(true).open(&killed.path).unwrap().set_len(length - cut).unwrap();
        let before = verified(&killed, std::slice::from_ref(&public)).unwrap();
        assert_eq!(before.verdict(), Verdict::Unfinished);
        let log = AccessLog::open(&killed, metrics(), true).unwrap();
        run(async {
            log.write(vec![event("name")]).await.unwrap();
            log.stop().await;
        });
        let report = whole(&killed, &public);
        let [crash] = report.crashes.as_slice() else { panic!("{report:?}") };
        assert_eq!((crash.cut_bytes > 0, crash.cut_lines), (cut > 0, 0));
        assert_eq!(image.names().len(), if cut > 0 { 2 } else { 1 }, "{:?}", image.names());
        let kept = if cut > 0 { vec!["email", "name"] } else { vec!["email", "phone", "name"] };
        assert_eq!(columns(&killed.path), kept);
    }
}

#[test]
fn what_a_damaged_disk_left_behind_the_end_is_kept_apart_and_not_called_whole() {
    let scratch = Scratch::new();
    let (config, public) = scratch.signed();
    let log = AccessLog::open(&config, metrics(), true).unwrap();
    run(log.stop());
    let mut bytes = std::fs::read(&config.path).unwrap();
    bytes.extend_from_slice(b"\0\0\0\n\0\0");
    std::fs::write(&config.path, &bytes).unwrap();
    run(AccessLog::open(&config, metrics(), true).unwrap().stop());
    let report = verified(&config, &[public]).unwrap();
    assert_eq!(report.verdict(), Verdict::Unfinished);
    assert_eq!((report.crashes[0].cut_bytes, report.crashes[0].cut_lines), (6, 1));
    let cut = scratch.names().into_iter().find(|name| name.contains(".cut-")).unwrap();
    assert_eq!(std::fs::read(scratch.0.join(cut)).unwrap(), b"\0\0\0\n\0\0");
}

#[test]
fn segments_end_by_size_and_can_be_read_across() {
    let scratch = Scratch::new();
    let (config, public) = scratch.signed();
    let config = AccessLogConfig { segment_bytes: 4096, ..config };
    let log = AccessLog::open(&config, metrics(), true).unwrap();
    let mut cursor = Cursor::at(&config.path, 1);
    let (mut line, mut read) = (Vec::new(), Vec::new());
    let mut follow = |read: &mut Vec<u64>| {
        while let Some(seq) = cursor.read(&mut line).unwrap() {
            assert_eq!(Head::read(&line).unwrap().seq, seq);
            read.push(seq);
        }
    };
    run(async {
        for number in 0..60 {
            log.write(vec![event(&format!("c{number}"))]).await.unwrap();
            follow(&mut read);
        }
        whole(&config, &public);
        log.stop().await;
    });
    follow(&mut read);
    let report = whole(&config, &public);
    assert!(report.segments > 3, "{report:?}");
    assert_eq!(report.segments, scratch.names().len() as u64);
    assert_eq!(read, (1..=report.records).collect::<Vec<_>>());
    // From the middle.
    let mut cursor = Cursor::at(&config.path, 17);
    assert_eq!(cursor.read(&mut Vec::new()).unwrap(), Some(17));
}

#[test]
fn a_process_that_ends_between_two_segments_is_followed_by_the_next() {
    let scratch = Scratch::new();
    let (config, public) = scratch.signed();
    let log = AccessLog::open(&AccessLogConfig { segment_bytes: 1, ..config.clone() }, metrics(), true).unwrap();
    run(async {
        log.write(vec![event("email")]).await.unwrap();
        log.flush().await;
    });
    let image = killed(&scratch);
    drop(log);
    let config = AccessLogConfig { signing_key: Some(image.0.join("key")), ..image.config() };
    let closed = image.names().into_iter().rfind(|name| SegmentName::read("access.jsonl", name).is_some()).unwrap();
    for live in [None, Some(&b""[..]), Some(b"{\"seq\":9,\"pr")] {
        match live {
            // It may have ended just before there was one.
            None => drop(std::fs::remove_file(&config.path)),
            Some(bytes) => std::fs::write(&config.path, bytes).unwrap(),
        }
        assert_ne!(verified(&config, std::slice::from_ref(&public)).map(|report| report.verdict()), Ok(Verdict::Whole));
        run(AccessLog::open(&config, metrics(), true).unwrap().stop());
        whole(&config, &public);
        let _cut = std::fs::remove_file(image.0.join("access.jsonl.cut-000000000000000000-0"));
    }
    // The end was written, and the file has not got its name yet.
    std::fs::remove_file(&config.path).unwrap();
    std::fs::rename(image.0.join(&closed), &config.path).unwrap();
    run(AccessLog::open(&config, metrics(), true).unwrap().stop());
    whole(&config, &public);
    assert!(image.names().contains(&closed));
}

#[test]
fn old_segments_are_deleted_by_rule_when_they_were_passed_on() {
    let scratch = Scratch::new();
    let (config, public) = scratch.signed();
    let config = AccessLogConfig { segment_bytes: 1, retention: Retention::Days(90), ..config };
    let log = AccessLog::open(&config, metrics(), true).unwrap();
    run(async {
        for _ in 0..3 {
            log.write(vec![event("email")]).await.unwrap();
        }
        log.stop().await;
    });
    let before = whole(&config, &public).segments;
    let mut journal = journal::Journal::new(config.clone(), metrics(), Disk::default());
    journal.open(None).unwrap();
    journal.retain(u64::MAX).unwrap();
    assert_eq!(scratch.names().len() as u64, before, "they are young");
    drop(journal);
    // As if they were of last year: by their names, which the verifier then does not take for theirs.
    let young = scratch.names();
    let old = |name: &SegmentName| SegmentName { second: name.second - 200 * 86_400, ..*name };
    let closed: Vec<_> = young.iter().filter_map(|name| SegmentName::read("access.jsonl", name)).collect();
    let [.., last] = closed.as_slice() else { panic!("{young:?}") };
    for name in &closed {
        let to = if name == last { *last } else { old(name) };
        std::fs::rename(scratch.0.join(name.beside("access.jsonl")), scratch.0.join(to.beside("access.jsonl")))
            .unwrap();
    }
    let mut journal = journal::Journal::new(config.clone(), metrics(), Disk::default());
    journal.open(None).unwrap();
    journal.retain(closed[1].first - 2).unwrap();
    assert_eq!(scratch.names().len() as u64, before, "nothing was passed on");
    journal.retain(u64::MAX).unwrap();
    journal.stop().unwrap();
    assert!((scratch.names().len() as u64) < before, "{:?}", scratch.names());
    let left: Vec<_> = scratch.names().iter().filter_map(|name| SegmentName::read("access.jsonl", name)).collect();
    std::fs::rename(
        scratch.0.join(left[0].beside("access.jsonl")),
        scratch.0.join(closed.iter().find(|name| name.first == left[0].first).unwrap().beside("access.jsonl")),
    )
    .unwrap();
    assert_eq!(whole(&config, &public).verdict(), Verdict::Whole);
}

#[test]
fn a_key_that_follows_signs_on_and_another_does_not() {
    let scratch = Scratch::new();
    let (config, public) = scratch.signed();
    let key = config.signing_key.clone().unwrap();
    let log = AccessLog::open(&config, metrics(), true).unwrap();
    let second = signing::rotate(&key, now()).unwrap();
    run(async {
        log.reopen(); // while it runs
        log.write(vec![event("email")]).await.unwrap();
        log.stop().await;
    });
    assert!(std::fs::read_to_string(&config.path).unwrap().contains(&format!("\"public_key\":\"{second}\"")));
    signing::rotate(&key, now()).unwrap();
    run(AccessLog::open(&config, metrics(), true).unwrap().stop());
    whole(&config, &public);
    whole(&config, &second);
    std::fs::remove_file(&key).unwrap();
    assert!(matches!(AccessLog::open(&config, metrics(), true), Err(AccessLogError::File { .. })), "it is gone");
    signing::create(&key).unwrap();
    assert!(matches!(AccessLog::open(&config, metrics(), true), Err(AccessLogError::File { .. })), "it is another");
    let unsigned = AccessLogConfig { signing_key: None, ..config };
    assert!(matches!(AccessLog::open(&unsigned, metrics(), true), Err(AccessLogError::File { .. })), "none");
}

#[test]
fn checkpoints_come_in_idle_time_too_and_are_put_where_they_are_taken_from() {
    let scratch = Scratch::new();
    let (config, public) = scratch.signed();
    let file = scratch.0.join("checkpoint");
    let interval = Duration::from_millis(50);
    let config = AccessLogConfig { checkpoint_file: Some(file.clone()), checkpoint_interval: interval, ..config };
    let log = AccessLog::open(&config, metrics(), true).unwrap();
    let first = std::fs::read_to_string(&file).unwrap();
    std::thread::sleep(interval * 10);
    assert_ne!(std::fs::read_to_string(&file).unwrap(), first);
    run(log.stop());
    assert!(whole(&config, &public).checkpoints > 3);
    assert!(public.open(&std::fs::read_to_string(&file).unwrap()).is_ok());
}

/// A disk of which calls of a kind fail: from the first on, as many as are said.
fn failing(call: Call, error: std::io::ErrorKind) -> (Disk, Arc<AtomicU32>) {
    let times = Arc::new(AtomicU32::new(0));
    let left = Arc::clone(&times);
    let fault = move |asked: Call| {
        let take = |left: u32| (asked == call).then(|| left.checked_sub(1)).flatten();
        match left.fetch_update(Ordering::AcqRel, Ordering::Acquire, take) {
            Ok(_) => Err(error.into()),
            Err(_) => Ok(()),
        }
    };
    (Disk { fault: Some(Arc::new(fault)) }, times)
}

#[test]
fn what_failed_is_not_in_the_log_and_what_comes_later_is() {
    for call in [Call::Write, Call::Sync] {
        let scratch = Scratch::new();
        let (config, public) = scratch.signed();
        let config = AccessLogConfig { durability: Durability::Fsync, ..config };
        let (disk, failures) = failing(call, std::io::ErrorKind::Other);
        let log = AccessLog::open_on(disk, &config, metrics(), true).unwrap();
        run(async {
            log.write(vec![event("first")]).await.unwrap();
            for failed in 0..3 {
                failures.store(1 + failed, Ordering::Release);
                let told = log.write(vec![event("lost")]).await;
                assert!(matches!(told, Err(AccessLogError::Unwritable { .. })), "{call:?}: {told:?}");
                assert!(!log.is_ready());
                log.note(closing()); // is kept
                until_ready(&log, true).await;
                log.write(vec![event("next")]).await.unwrap();
            }
            log.stop().await;
        });
        let expected = ["first", "(closing)", "next", "(closing)", "next", "(closing)", "next"];
        assert_eq!(columns(&config.path), expected, "{call:?}");
        assert_eq!(whole(&config, &public).outages, 3);
    }
}

#[test]
fn on_a_full_disk_the_log_still_says_what_it_has_to_say_of_itself() {
    let scratch = Scratch::new();
    let (config, public) = scratch.signed();
    let config = AccessLogConfig { checkpoint_interval: Duration::from_millis(100), ..config };
    let (disk, failures) = failing(Call::Reserve, std::io::ErrorKind::StorageFull);
    let log = AccessLog::open_on(disk, &config, metrics(), true).unwrap();
    let big = || vec![event("email"); 4000];
    run(async {
        failures.store(u32::MAX, Ordering::Release);
        // What the disk has kept room for is written, and no more.
        while log.write(vec![event("email"); 20]).await.is_ok() {}
        assert!(matches!(log.write(vec![event("email")]).await, Err(AccessLogError::Full { .. })));
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(!log.is_ready());
        failures.store(0, Ordering::Release);
        until_ready(&log, true).await;
        log.write(big()).await.unwrap();
        log.stop().await;
    });
    let report = whole(&config, &public);
    assert!(report.checkpoints > 8, "{report:?}");
    assert_eq!(report.outages, 1);
}

#[test]
fn a_file_that_others_changed_or_took_away_is_found_out() {
    let scratch = Scratch::new();
    let (config, public) = scratch.signed();
    let (disk, failures) = failing(Call::Write, std::io::ErrorKind::Other);
    let log = AccessLog::open_on(disk, &config, metrics(), true).unwrap();
    run(async {
        log.write(vec![event("first")]).await.unwrap();
        failures.store(1, Ordering::Release);
        std::fs::write(&config.path, "something else\n").unwrap();
        log.write(vec![event("lost")]).await.unwrap_err();
        until_ready(&log, true).await;
        log.write(vec![event("next")]).await.unwrap();
        log.stop().await;
    });
    assert_eq!(columns(&config.path), ["next"]);
    assert!(scratch.names().iter().any(|name| name.contains(".foreign-")), "{:?}", scratch.names());
    assert!(verified(&config, &[public]).is_err());
}

#[test]
fn what_is_lost_of_what_nobody_waits_for_is_counted_and_said() {
    let scratch = Scratch::new();
    let (config, public) = scratch.signed();
    let (disk, failures) = failing(Call::Write, std::io::ErrorKind::Other);
    let metrics = metrics();
    let log = AccessLog::open_on(disk, &config, Arc::clone(&metrics), true).unwrap();
    run(async {
        failures.store(1, Ordering::Release);
        log.write(vec![event("lost")]).await.unwrap_err();
        for _ in 0..10_005 {
            log.note(closing());
        }
        until_ready(&log, true).await;
        log.stop().await;
    });
    let text = std::fs::read_to_string(&config.path).unwrap();
    assert!(text.contains("\"lost\":5}"), "it says how many");
    assert_eq!(columns(&config.path).len(), 10_000);
    assert_eq!(metrics.access_log_failures.get(), 6);
    whole(&config, &public);
}
