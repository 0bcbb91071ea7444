use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::config::Secret as Setting;
use crate::crypto::{Bound, Mode, Nonce};

/// A directory of its own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("pgveil-keys-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Settings with provider `file`, nothing made yet.
    fn config(&self) -> KeysConfig {
        let provider = ProviderConfig::File { kek_file: self.0.join("kek") };
        KeysConfig { keyring: self.0.join("keyring.json"), provider }
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

const BOUND: Bound<'static> = Bound { domain: "email", tenant: None };

fn sealed(ring: &KeyRing) -> Vec<u8> {
    let mut out = Vec::new();
    ring.writing("customer", Mode::Deterministic).unwrap().seal(Nonce::Derived, &BOUND, b"jane", &mut out).unwrap();
    out
}

fn opens(ring: &KeyRing, stored: &[u8]) -> bool {
    ring.open("customer", stored, &BOUND, &mut Vec::new()).is_ok()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_makes_two_private_files_and_overwrites_none() {
    let scratch = Scratch::new();
    let config = scratch.config();
    assert!(matches!(load(&config), Err(KeysError::NoKeyring { .. })));
    assert!(matches!(create(&config, "customer"), Err(KeysError::NoKeyring { .. })));
    assert_eq!(init(&config).unwrap(), Initialised::KeyringAndKek);
    assert_eq!((mode(&scratch.0.join("kek")), mode(&config.keyring)), (0o600, 0o600));
    assert_eq!(scratch.names(), ["kek", "keyring.json", "keyring.json.lock"]);
    let kek = std::fs::read(scratch.0.join("kek")).unwrap();
    assert!(matches!(init(&config), Err(KeysError::Exists { .. })));
    std::fs::remove_file(&config.keyring).unwrap();
    assert_eq!(init(&config).unwrap(), Initialised::Keyring);
    assert_eq!(std::fs::read(scratch.0.join("kek")).unwrap(), kek);
}

#[test]
fn keys_survive_rotation_and_rewrapping_and_end_with_destruction() {
    let scratch = Scratch::new();
    let config = scratch.config();
    init(&config).unwrap();
    let first = create(&config, "customer").unwrap();
    let ring = load(&config).unwrap().ring;
    let value = sealed(&ring);
    let second = rotate(&config, "customer").unwrap();
    let ring = load(&config).unwrap().ring;
    assert_eq!(ring.writing("customer", Mode::Randomized).unwrap().id(), second);
    assert_eq!(sealed(&ring), value, "deterministic values stay where they are");
    assert_eq!(begin_move(&config, "customer", second).unwrap(), Equality { pinned: second, leaving: Some(first) });
    assert_eq!(load(&config).unwrap().ring.comparing("customer").unwrap().len(), 2);
    finish_move(&config, "customer").unwrap();
    retire(&config, first).unwrap();
    let old_keyring = std::fs::read(&config.keyring).unwrap();
    assert_eq!(rewrap(&config, Former::Kept).unwrap(), 2);
    let kept = load(&config).unwrap();
    assert!(kept.unavailable.is_empty() && opens(&kept.ring, &value));
    assert_eq!(std::fs::read_to_string(scratch.0.join("kek")).unwrap().lines().count(), 2);
    assert_eq!(rewrap(&config, Former::Forgotten).unwrap(), 2);
    assert_eq!(std::fs::read_to_string(scratch.0.join("kek")).unwrap().lines().count(), 1);
    assert!(opens(&load(&config).unwrap().ring, &value));
    destroy(&config, first).unwrap();
    let ring = load(&config).unwrap().ring;
    assert_eq!(ring.open("customer", &value, &BOUND, &mut Vec::new()), Err(crate::crypto::OpenError::Destroyed(first)));
    // An older copy of the keyring is of no use without the key-encryption key that it was made with.
    std::fs::write(&config.keyring, old_keyring).unwrap();
    let loaded = load(&config).unwrap();
    assert_eq!(loaded.unavailable.len(), 2);
    assert!(loaded.unavailable[0].reason.contains("which is not here"), "{loaded:?}");
    assert_eq!(scratch.names(), ["kek", "keyring.json", "keyring.json.lock"]);
}

#[test]
fn a_provider_that_is_gone_leaves_what_was_unwrapped() {
    let scratch = Scratch::new();
    let config = scratch.config();
    init(&config).unwrap();
    create(&config, "customer").unwrap();
    let mut keys = Keys::new(config.clone());
    let value = sealed(&keys.load().unwrap().ring);
    let new = rotate(&config, "customer").unwrap();
    let kek = scratch.0.join("kek");
    std::fs::rename(&kek, scratch.0.join("away")).unwrap();
    let loaded = keys.load().unwrap();
    assert!(opens(&loaded.ring, &value));
    assert_eq!(sealed(&loaded.ring), value);
    assert!(loaded.ring.writing("customer", Mode::Randomized).is_ok(), "under the version that is there");
    assert_eq!(loaded.unavailable.iter().map(|version| version.id).collect::<Vec<_>>(), [new]);
    assert_eq!(load(&config).unwrap().unavailable.len(), 2);
    std::fs::rename(scratch.0.join("away"), &kek).unwrap();
    let loaded = keys.load().unwrap();
    assert!(loaded.unavailable.is_empty());
    assert_eq!(loaded.ring.writing("customer", Mode::Randomized).unwrap().id(), new);
}

#[test]
fn files_that_others_could_read_or_change_are_refused() {
    let scratch = Scratch::new();
    let config = scratch.config();
    init(&config).unwrap();
    create(&config, "customer").unwrap();
    let chmod = |name: &str, mode| {
        std::fs::set_permissions(scratch.0.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    chmod("kek", 0o640);
    let error = rotate(&config, "customer").unwrap_err().to_string();
    assert!(error.ends_with("must be readable by its owner only (mode 0640): chmod 600 it"), "{error}");
    assert!(load(&config).unwrap().unavailable[0].reason.contains("chmod 600"));
    chmod("kek", 0o600);
    chmod("keyring.json", 0o620);
    assert!(matches!(load(&config), Err(KeysError::Permissions { mode: 0o620, .. })));
    chmod("keyring.json", 0o644);
    rotate(&config, "customer").unwrap();
    assert_eq!(mode(&config.keyring), 0o644, "a change keeps what the owner has chosen");
}

#[test]
fn a_kek_may_come_from_a_setting() {
    let scratch = Scratch::new();
    let config = |kek: &str| KeysConfig {
        keyring: scratch.0.join("keyring.json"),
        provider: ProviderConfig::Env { kek: Setting::from(kek.to_owned()) },
    };
    let (one, two) = ("0f".repeat(32), "f0".repeat(32));
    assert!(matches!(init(&config("0f")), Err(KeysError::Provider(ProviderError::Kek(NotKeks)))));
    assert_eq!(init(&config(&one)).unwrap(), Initialised::Keyring);
    create(&config(&one), "customer").unwrap();
    let value = sealed(&load(&config(&one)).unwrap().ring);
    assert_eq!(load(&config(&two)).unwrap().unavailable.len(), 1);
    rewrap(&config(&format!("{two},{one}")), Former::Kept).unwrap();
    assert!(opens(&load(&config(&two)).unwrap().ring, &value));
}

#[test]
fn commands_wait_for_each_other_and_lose_nothing() {
    let scratch = Scratch::new();
    let config = scratch.config();
    init(&config).unwrap();
    create(&config, "customer").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    rotate(&config, "customer").unwrap();
                }
            });
        }
    });
    assert_eq!(list(&config).unwrap().key("customer").unwrap().versions().len(), 41);
    assert!(load(&config).unwrap().unavailable.is_empty());
}
