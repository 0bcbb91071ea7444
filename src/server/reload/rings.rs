//! The keys of encrypted columns, kept up to date: read anew when the keyring's file changes, at SIGHUP, and, where a key
//! could not be unwrapped, again and again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::watch::watch;
use crate::config::{KeysConfig, ProviderConfig};
use crate::crypto::{KeyRing, KeyState};
use crate::server::keys::{Keys, KeysError, Loaded};
use crate::telemetry::{KeyLabel, Metrics};

/// Time between two attempts to unwrap what could not be: at first, and at the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Time that the file has to be left alone after an event before it is read.
const SETTLE_TIME: Duration = Duration::from_millis(20);

/// The newest key ring. Without a keyring it is empty and stays so.
pub(super) struct Rings {
    newest: watch::Receiver<Arc<KeyRing>>,
    asked: Arc<Notify>,
    /// Ends the task that reads them.
    _task: Option<AbortOnDrop>,
    /// Without a task nobody else keeps the channel open.
    _sender: Option<watch::Sender<Arc<KeyRing>>>,
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Rings {
    /// Read the keyring for the first time, and keep reading it.
    ///
    /// # Errors
    /// It can not be read. What can not be unwrapped is logged and tried again.
    pub(super) async fn start(
        config: Option<&KeysConfig>,
        interval: Duration,
        metrics: Arc<Metrics>,
    ) -> Result<Self, KeysError> {
        let asked = Arc::new(Notify::new());
        let Some(config) = config else {
            let (sender, newest) = watch::channel(Arc::default());
            return Ok(Self { newest, asked, _task: None, _sender: Some(sender) });
        };
        let (outcome, keys) = read(Keys::new(config.clone())).await;
        let (sender, newest) = watch::channel(Arc::default());
        let mut reader = Reader {
            config: config.clone(),
            keys,
            sender,
            asked: Arc::clone(&asked),
            metrics,
            interval,
            unwrapping: None,
            said: String::new(),
        };
        reader.put_in_force(outcome?);
        let task = Some(AbortOnDrop(tokio::spawn(reader.run())));
        Ok(Self { newest, asked, _task: task, _sender: None })
    }

    /// Read the keyring anew, whether or not it looks changed.
    pub(super) fn reload(&self) {
        self.asked.notify_one();
    }

    /// The newest one.
    pub(super) fn newest(&mut self) -> Arc<KeyRing> {
        Arc::clone(&self.newest.borrow_and_update())
    }

    /// Wait until there is another one than that.
    pub(super) async fn changed(&mut self) {
        if self.newest.changed().await.is_err() {
            // The task has ended, which it does only by a fault that the log has.
            std::future::pending::<()>().await;
        }
    }
}

/// The task that reads the keyring.
struct Reader {
    config: KeysConfig,
    /// `None` while it is read, and for good after a fault.
    keys: Option<Keys>,
    sender: watch::Sender<Arc<KeyRing>>,
    asked: Arc<Notify>,
    metrics: Arc<Metrics>,
    /// Time between two looks at the file that nobody asked for.
    interval: Duration,
    /// When what could not be unwrapped is tried again, and how long after that.
    unwrapping: Option<(Instant, Duration)>,
    /// What was wrong last, so that it is said once.
    said: String,
}

impl Reader {
    async fn run(mut self) {
        let changed = Arc::new(Notify::new());
        let _watcher = match watch(&watched(&self.config), Arc::clone(&changed)) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "changes of the keyring are noticed by the timer and SIGHUP only");
                None
            }
        };
        loop {
            let asked = tokio::select! {
                () = self.asked.notified() => true,
                () = changed.notified() => {
                    while tokio::time::timeout(SETTLE_TIME, changed.notified()).await.is_ok() {}
                    // What was missing may be there now.
                    self.unwrapping.is_some()
                }
                () = tokio::time::sleep(self.interval) => false,
            };
            let due = self.unwrapping.is_some_and(|(at, _)| at <= Instant::now());
            let Some(keys) = self.keys.take() else { return };
            if !asked && !due && !keys.is_changed() {
                self.keys = Some(keys);
                continue;
            }
            let (outcome, keys) = read(keys).await;
            self.keys = keys;
            match outcome {
                Ok(loaded) => self.put_in_force(loaded),
                Err(error) => {
                    self.metrics.keyring_reload_failures.inc();
                    self.say(format!("the keyring is refused, the keys in use stay: {error}"));
                }
            }
        }
    }

    fn put_in_force(&mut self, loaded: Loaded) {
        let Loaded { ring, unavailable } = loaded;
        count(&ring, &self.metrics);
        let failures = u64::try_from(unavailable.len()).unwrap_or(u64::MAX);
        self.metrics.key_unwrap_failures.inc_by(failures);
        let reasons = unavailable.iter().map(|key| format!("\nkey {} of {:?}: {}", key.id, key.name, key.reason));
        let reasons: String = reasons.collect();
        if unavailable.is_empty() {
            self.unwrapping = None;
            self.said.clear();
            tracing::info!(keys = ring.names().count(), "keys of encrypted columns in force");
        } else {
            let (least, most) = BACK_OFF;
            let wait = self.unwrapping.map_or(least, |(_, wait)| wait.saturating_mul(2).min(most));
            self.unwrapping = Some((Instant::now() + wait, wait));
            self.say(format!("keys of encrypted columns can not be unwrapped, and are tried again:{reasons}"));
        }
        self.sender.send_replace(Arc::new(ring));
    }

    fn say(&mut self, message: String) {
        if self.said != message {
            tracing::error!("{message}");
            self.said = message;
        }
    }
}

/// Read the keyring on a thread that may wait. `None`: it failed there, and the log has why.
async fn read(mut keys: Keys) -> (Result<Loaded, KeysError>, Option<Keys>) {
    let read = tokio::task::spawn_blocking(move || (keys.load(), keys)).await;
    match read {
        Ok((outcome, keys)) => (outcome, Some(keys)),
        Err(_) => (Err(KeysError::Failed), None),
    }
}

/// The files whose change may give other keys.
fn watched(config: &KeysConfig) -> Vec<PathBuf> {
    let mut files = vec![config.keyring.clone()];
    match &config.provider {
        ProviderConfig::File { kek_file } => files.push(kek_file.clone()),
        ProviderConfig::Env { .. }
        | ProviderConfig::Pkcs11(_)
        | ProviderConfig::AwsKms(_)
        | ProviderConfig::Vault(_) => {}
    }
    files
}

fn count(ring: &KeyRing, metrics: &Metrics) {
    let versions: Vec<_> = ring.names().flat_map(|name| ring.versions(name)).collect();
    for label in KeyLabel::ALL {
        let count = versions.iter().filter(|version| label == label_of(version.state, version.key.is_some())).count();
        metrics.keys(label, i64::try_from(count).unwrap_or(i64::MAX));
    }
}

fn label_of(state: KeyState, there: bool) -> KeyLabel {
    match (state, there) {
        (KeyState::Destroyed, _) => KeyLabel::Destroyed,
        (KeyState::Active | KeyState::Retired, false) => KeyLabel::Unavailable,
        (KeyState::Active, true) => KeyLabel::Active,
        (KeyState::Retired, true) => KeyLabel::Retired,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Mode;
    use crate::server::keys;

    struct Scratch(PathBuf);

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _left = std::fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn changes_of_the_keyring_come_into_force_and_faults_keep_what_is() {
        let directory = std::env::temp_dir().join(format!("pgveil-rings-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&directory).unwrap();
        let scratch = Scratch(directory);
        let (keyring, kek_file) = (scratch.0.join("keyring.json"), scratch.0.join("kek"));
        let config = KeysConfig { keyring, provider: ProviderConfig::File { kek_file: kek_file.clone() } };
        let metrics = Arc::new(Metrics::new().unwrap());
        let start = || Rings::start(Some(&config), Duration::from_millis(50), Arc::clone(&metrics));
        assert!(matches!(start().await, Err(KeysError::NoKeyring { .. })));
        keys::init(&config).unwrap();
        let first = keys::create(&config, "customer").unwrap();
        let mut rings = start().await.unwrap();
        let writing = |ring: &KeyRing| ring.writing("customer", Mode::Randomized).map(crate::crypto::DataKey::id);
        assert_eq!(writing(&rings.newest()), Ok(first));
        let second = keys::rotate(&config, "customer").unwrap();
        rings.changed().await;
        assert_eq!(writing(&rings.newest()), Ok(second));

        // The provider goes away: what is there stays.
        let away = scratch.0.join("away");
        std::fs::rename(&kek_file, &away).unwrap();
        rings.reload();
        rings.changed().await;
        assert_eq!(writing(&rings.newest()), Ok(second));

        // A keyring that can not be read changes nothing.
        let good = std::fs::read(&config.keyring).unwrap();
        std::fs::write(&config.keyring, "{").unwrap();
        while metrics.keyring_reload_failures.get() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(writing(&rings.newest()), Ok(second));
        std::fs::write(&config.keyring, good).unwrap();

        // A start without the provider has no keys until it is there.
        let mut late = start().await.unwrap();
        assert!(late.newest().contains("customer") && writing(&late.newest()).is_err());
        assert_eq!(metrics.key_unwrap_failures.get(), 2);
        let shown = String::from_utf8(metrics.render(Duration::ZERO).unwrap()).unwrap();
        assert!(shown.contains("pgveil_encryption_keys{state=\"unavailable\"} 2"), "{shown}");
        std::fs::rename(&away, &kek_file).unwrap();
        while writing(&late.newest()).is_err() {
            late.changed().await;
        }
        assert_eq!(writing(&late.newest()), Ok(second));
    }
}
