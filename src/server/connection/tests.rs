//! The whole shell on loopback: real sockets, workers and access log, a session that obeys its client, and a server that
//! is part of the test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::fixtures::snapshot;
use crate::catalog::Catalog;
use crate::config::{
    AccessLogConfig, CatalogCheck, CatalogConfig, ClientTlsConfig, Config, LogConfig, LogFormat, LoginConfig, SslMode,
    StateConfig, TcpConfig, UpstreamConfig,
};
use crate::server::Verifiers;
use crate::server::budgets::SharedBudgets;
use crate::server::guard::SharedGuard;
use crate::server::listener::{ServerHandle, serve};
use crate::server::log_sink::AccessLog;
use crate::server::reveals::Reveals;
use crate::server::seeds::SessionSeeds;
use crate::server::shared_state::StateStore;
use crate::server::shipping::Shipping;
use crate::server::state::{RefreshQueue, SharedState, refresh_channel};
use crate::server::tls::fixtures::Authority;
use crate::server::tls::load_client_tls;
use crate::server::tls::upstream::load_upstream_tls;
use crate::server::upstream::Upstream;
use crate::sql::Limits;
use crate::sql::statement::Analysis;
use crate::telemetry::Metrics;

/// A running shell and the server that it connects to.
struct Shop {
    runtime: tokio::runtime::Runtime,
    state: Arc<SharedState>,
    handle: Option<ServerHandle>,
    server: TcpListener,
    refreshes: RefreshQueue,
    directory: PathBuf,
}

fn no_statements(text: &[u8], _: &Catalog, _: &Limits) -> Analysis {
    assert_ne!(text, b"panic");
    if text == b"slow" {
        std::thread::sleep(Duration::from_millis(300));
    }
    Analysis::Statements(Vec::new())
}

impl Shop {
    fn open(adjust: impl FnOnce(&mut Config)) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("pgveil-shell-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            admin_listen: "127.0.0.1:0".parse().unwrap(),
            upstream: UpstreamConfig {
                host: "127.0.0.1".into(),
                port: server.local_addr().unwrap().port(),
                sslmode: SslMode::Disable,
                sslrootcert: None,
                client_certificate: None,
                connect_timeout: Duration::from_secs(5),
                tcp: TcpConfig::default(),
            },
            catalog: CatalogConfig {
                user: "pgveil".into(),
                password: None,
                database: "shop".into(),
                refresh_interval: Duration::from_secs(60),
                check: CatalogCheck::default(),
                check_interval: Duration::from_secs(60),
            },
            login: LoginConfig {
                hba_file: None,
                ident_file: None,
                verifier_query: "SELECT 1".into(),
                user: "pgveil".into(),
                password: None,
            },
            tls: None,
            policies: Vec::new(),
            mask_keys_file: None,
            actor_keys_file: None,
            totp_file: None,
            reveal_state_file: directory.join("reveals.json"),
            keys: None,
            state: StateConfig::Memory,
            alerts: None,
            access_log: AccessLogConfig::at(directory.join("access.log")),
            ship: Vec::new(),
            log: LogConfig { level: "info".into(), format: LogFormat::Text },
            workers: 2.try_into().unwrap(),
            max_connections: 100,
            startup_timeout: Duration::from_secs(20),
            drain_timeout: Duration::from_secs(5),
            reuse_port: false,
            tcp: TcpConfig::default(),
        };
        adjust(&mut config);
        let metrics = Arc::new(Metrics::new().unwrap());
        let (refresher, refreshes) = refresh_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let upstream = Arc::new(Upstream::new(&config.upstream).unwrap());
        let entered = runtime.enter();
        let verifiers = Verifiers::start(Arc::clone(&upstream), config.login.clone(), "shop".into()).unwrap();
        drop(entered);
        let (store, _unstarted) = StateStore::new(&StateConfig::Memory);
        let access_log = AccessLog::open(&config.access_log, Arc::clone(&metrics), false).unwrap();
        let state = Arc::new(SharedState {
            snapshot: ArcSwap::from_pointee(snapshot(1)),
            access_log: access_log.clone(),
            metrics: Arc::clone(&metrics),
            budgets: Arc::new(SharedBudgets::new(store.clone())),
            reveals: Reveals::open(&config, &store).unwrap(),
            guard: Arc::new(SharedGuard::new(store, metrics, access_log, false)),
            shipping: Shipping::none(),
            seen: ArcSwapOption::empty(),
            refresher,
            client_tls: ArcSwapOption::from(config.tls.as_ref().map(|tls| load_client_tls(tls).unwrap())),
            rules: ArcSwap::default(),
            verifiers,
            seeds: SessionSeeds::draw().unwrap(),
            config: Arc::new(config),
            draining: Default::default(),
        });
        let handle = serve(Arc::clone(&state), upstream, no_statements).unwrap();
        Self { runtime, state, handle: Some(handle), server, refreshes, directory }
    }

    fn address(&self) -> SocketAddr {
        self.handle.as_ref().unwrap().address()
    }

    fn client(&self) -> TcpStream {
        let client = TcpStream::connect(self.address()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client
    }

    /// A client, and the server's end of its session.
    fn connected(&self) -> (TcpStream, TcpStream) {
        let mut client = self.client();
        client.write_all(b"connect\n").unwrap();
        expect(&mut client, "connected false\n");
        let (server, _) = self.server.accept().unwrap();
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        (client, server)
    }

    fn drain(&mut self, patience: Duration) -> usize {
        self.runtime.block_on(self.handle.take().unwrap().drain(patience))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("access.log")).unwrap_or_default()
    }

    fn metric(&self, line: &str) -> bool {
        let shown = String::from_utf8(self.state.metrics.render(Duration::ZERO).unwrap()).unwrap();
        shown.lines().any(|shown| shown == line)
    }

    /// Wait until a metric stands at this.
    fn settles_at(&self, line: &str) {
        let started = Instant::now();
        while !self.metric(line) {
            assert!(started.elapsed() < Duration::from_secs(10), "{line} is not reached");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_dir_all(&self.directory);
    }
}

fn expect(from: &mut impl Read, text: &str) {
    let mut got = vec![0; text.len()];
    let outcome = from.read_exact(&mut got);
    assert_eq!(String::from_utf8_lossy(&got), text, "{outcome:?}");
}

/// All that comes until the end.
fn rest(from: &mut impl Read) -> String {
    let mut got = Vec::new();
    from.read_to_end(&mut got).unwrap();
    String::from_utf8(got).unwrap()
}

#[test]
fn bytes_go_both_ways_in_order() {
    let shop = Shop::open(|_| {});
    let (mut client, mut server) = shop.connected();
    client.write_all(b"up one\nup two\nsay own\n").unwrap();
    expect(&mut server, "one\ntwo\n");
    expect(&mut client, "own\n");
    server.write_all(b"answer\n").unwrap();
    expect(&mut client, "answer\n");
}

#[test]
fn what_comes_before_the_server_is_connected_is_served_after_it() {
    let shop = Shop::open(|_| {});
    let mut client = shop.client();
    client.write_all(b"connect\nsay after\n").unwrap();
    expect(&mut client, "connected false\nafter\n");
}

#[test]
fn a_line_may_come_in_pieces() {
    let shop = Shop::open(|_| {});
    let mut client = shop.client();
    client.set_nodelay(true).unwrap();
    for byte in b"say piece by piece\n" {
        client.write_all(&[*byte]).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    expect(&mut client, "piece by piece\n");
}

#[test]
fn what_the_server_says_before_it_hangs_up_arrives() {
    let shop = Shop::open(|_| {});
    let (mut client, mut server) = shop.connected();
    let long = "last words\n".repeat(100_000);
    let sent = long.clone();
    let writer = std::thread::spawn(move || server.write_all(sent.as_bytes()).unwrap());
    assert_eq!(rest(&mut client), format!("{long}end UpstreamLeft\n"));
    writer.join().unwrap();
    shop.settles_at("pgveil_client_connections_closed_total{reason=\"upstream_left\"} 1");
}

#[test]
fn a_client_that_hangs_up_ends_its_server_session() {
    let shop = Shop::open(|_| {});
    let (client, mut server) = shop.connected();
    drop(client);
    assert_eq!(rest(&mut server), "terminate\n");
    shop.settles_at("pgveil_client_connections_closed_total{reason=\"client_left\"} 1");
    shop.settles_at("pgveil_client_connections{state=\"startup\"} 0");
}

#[test]
fn a_client_that_does_not_read_stops_the_server_from_sending() {
    let shop = Shop::open(|_| {});
    let (mut client, mut server) = shop.connected();
    server.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let block = vec![b'x'; 1 << 20];
    let mut sent = 0usize;
    while let Ok(length) = server.write(&block) {
        sent += length;
        assert!(sent < 256 << 20, "everything is taken");
    }
    drop(server);
    let got = rest(&mut client);
    assert_eq!(got.len(), sent + "end UpstreamLeft\n".len());
}

#[test]
fn nothing_leaves_before_its_event_is_in_the_log() {
    let shop = Shop::open(|_| {});
    let mut client = shop.client();
    client.write_all(b"say before\nreveal secret\nsay after\n").unwrap();
    expect(&mut client, "before\nsecret\n");
    assert!(shop.log().contains("\"column\":\"email\""), "{}", shop.log());
    expect(&mut client, "after\n");
}

#[test]
fn an_event_that_can_not_be_written_stops_all_outputs_after_it() {
    let shop = Shop::open(|config| config.access_log.path = "/nonexistent/access.log".into());
    let mut client = shop.client();
    client.write_all(b"say before\nreveal secret\nsay after\n").unwrap();
    assert_eq!(rest(&mut client), "before\nnot written\n");
    shop.settles_at("pgveil_client_connections_closed_total{reason=\"access_log_failed\"} 1");
}

#[test]
fn what_comes_while_an_analysis_is_awaited_is_served_after_it() {
    let shop = Shop::open(|_| {});
    let mut client = shop.client();
    client.write_all(b"analyze select 1\nsay after\n").unwrap();
    expect(&mut client, "analysed 0\nafter\n");
    client.write_all(b"analyze panic\nsay after\n").unwrap();
    assert_eq!(rest(&mut client), "end ClientFault\n");
}

#[test]
fn an_analysis_that_a_new_snapshot_overtook_is_made_again() {
    let shop = Shop::open(|_| {});
    let mut client = shop.client();
    client.write_all(b"analyze slow\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    shop.state.snapshot.store(Arc::new(snapshot(2)));
    expect(&mut client, "analysed 0\n");
    assert!(shop.metric("pgveil_analysis_cache_misses_total 2"));
}

#[test]
fn the_server_is_heard_while_a_refresh_is_awaited() {
    let shop = Shop::open(|_| {});
    let (mut client, mut server) = shop.connected();
    client.write_all(b"refresh\nsay after\n").unwrap();
    shop.runtime.block_on(shop.refreshes.wanted());
    let reading = shop.refreshes.start();
    server.write_all(b"meanwhile\n").unwrap();
    expect(&mut client, "meanwhile\n");
    shop.refreshes.finish(reading, true);
    expect(&mut client, "refreshed\nafter\n");
}

#[test]
fn a_startup_that_does_not_end_is_ended() {
    let shop = Shop::open(|config| config.startup_timeout = Duration::from_millis(100));
    let mut client = shop.client();
    assert_eq!(rest(&mut client), "end Timeout\n");
    let mut client = shop.client();
    client.write_all(b"login 1\n").unwrap();
    expect(&mut client, "logged in\n");
    std::thread::sleep(Duration::from_millis(300));
    client.write_all(b"say still here\n").unwrap();
    expect(&mut client, "still here\n");
}

#[test]
fn sessions_above_the_cap_are_told_so_and_places_come_back() {
    let shop = Shop::open(|config| config.max_connections = 1);
    let (first, _server) = shop.connected();
    let mut second = shop.client();
    second.write_all(b"connect\n").unwrap();
    let told = rest(&mut second);
    assert!(told.starts_with('E') && told.contains("C53300\0Msorry, too many clients already"), "{told:?}");
    drop(first);
    shop.settles_at("pgveil_client_connections_closed_total{reason=\"client_left\"} 1");
    shop.settles_at("pgveil_client_connections{state=\"startup\"} 0");
    shop.connected();
}

#[test]
fn a_server_that_is_down_is_reported_to_the_client() {
    let shop = Shop::open(|config| {
        let unused = TcpListener::bind("127.0.0.1:0").unwrap();
        config.upstream.port = unused.local_addr().unwrap().port();
    });
    let mut client = shop.client();
    client.write_all(b"connect\n").unwrap();
    assert_eq!(rest(&mut client), "the server does not accept connections (connection refused)\n");
    assert!(shop.metric("pgveil_upstream_connect_errors_total 1"));
}

#[test]
fn a_cancel_request_goes_to_the_server_only_with_a_key_of_a_session() {
    let shop = Shop::open(|_| {});
    let (mut client, _server) = shop.connected();
    client.write_all(b"login 77\n").unwrap();
    expect(&mut client, "logged in\n");
    let mut stranger = shop.client();
    stranger.write_all(b"cancel 78\n").unwrap();
    assert_eq!(rest(&mut stranger), "");
    assert!(shop.metric("pgveil_cancel_requests_total{outcome=\"unknown_key\"} 1"));
    let mut friend = shop.client();
    friend.write_all(b"cancel 77\n").unwrap();
    let (mut server, _) = shop.server.accept().unwrap();
    let mut request = [0; 16];
    server.read_exact(&mut request).unwrap();
    assert_eq!(request, *b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x4dabcd");
    drop(server);
    assert_eq!(rest(&mut friend), "");
    shop.settles_at("pgveil_cancel_requests_total{outcome=\"forwarded\"} 1");
}

#[test]
fn at_a_drain_idle_sessions_end_at_once_and_others_when_they_are_idle() {
    let mut shop = Shop::open(|_| {});
    let mut clients: Vec<TcpStream> = (1..=3).map(|_| shop.client()).collect();
    let [idle, busy, stranger] = clients.as_mut_slice() else { unreachable!() };
    idle.write_all(b"login 1\n").unwrap();
    expect(idle, "logged in\n");
    busy.write_all(b"login 2\nbegin\nsay begun\n").unwrap();
    expect(busy, "logged in\nbegun\n");
    stranger.write_all(b"say hello\n").unwrap();
    expect(stranger, "hello\n");
    let address = shop.address();
    let drain = std::thread::scope(|scope| {
        let drain = scope.spawn(|| shop.drain(Duration::from_secs(10)));
        assert_eq!(rest(idle), "end Shutdown\n");
        assert_eq!(rest(stranger), "end Shutdown\n");
        busy.write_all(b"say still busy\n").unwrap();
        expect(busy, "still busy\n");
        assert!(TcpStream::connect(address).is_err());
        busy.write_all(b"say done\ncommit\n").unwrap();
        assert_eq!(rest(busy), "done\nend Shutdown\n");
        drain.join().unwrap()
    });
    assert_eq!(drain, 0);
}

#[test]
fn at_the_deadline_of_a_drain_busy_sessions_end_too() {
    let mut shop = Shop::open(|_| {});
    let mut busy = shop.client();
    busy.write_all(b"login 2\nbegin\nsay begun\n").unwrap();
    expect(&mut busy, "logged in\nbegun\n");
    assert_eq!(shop.drain(Duration::from_millis(50)), 0);
    assert_eq!(rest(&mut busy), "end Shutdown\n");
}

/// A shell with TLS, and what a client needs for it.
fn with_tls() -> (Shop, Authority) {
    let authority = Authority::new("shop");
    let own = authority.files("pgveil", &["127.0.0.1"]);
    let shop = Shop::open(|config| {
        config.tls = Some(ClientTlsConfig {
            certificate: own.certificate,
            key: own.key,
            client_ca: Some(authority.root()),
            required: false,
        });
    });
    (shop, authority)
}

#[test]
fn a_client_with_a_certificate_is_known_by_its_name() {
    let (shop, authority) = with_tls();
    let strangers = Authority::new("strangers");
    for (certificate, expected) in [
        (None, Some("tls -\nencrypted\n")),
        (Some(authority.files("billing", &[])), Some("tls billing\nencrypted\n")),
        (Some(strangers.files("billing", &[])), None),
    ] {
        let upstream = UpstreamConfig {
            host: "127.0.0.1".into(),
            port: 0,
            sslmode: SslMode::VerifyFull,
            sslrootcert: Some(crate::config::RootCertificates::File(authority.root())),
            client_certificate: certificate,
            connect_timeout: Duration::ZERO,
            tcp: TcpConfig::default(),
        };
        let crate::server::tls::upstream::Encryption::Required(config) = load_upstream_tls(&upstream).unwrap() else {
            unreachable!()
        };
        let mut socket = shop.client();
        socket.write_all(b"tls\n").unwrap();
        expect(&mut socket, "S");
        let mut tls = rustls::ClientConnection::new(config, "127.0.0.1".try_into().unwrap()).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut socket);
        let written = stream.write_all(b"say encrypted\n");
        match expected {
            Some(expected) => expect(&mut stream, expected),
            None => assert!(written.is_err() || stream.read_exact(&mut [0; 4]).is_err()),
        }
    }
}

#[test]
fn bytes_that_come_with_the_request_for_tls_close_the_connection() {
    let (shop, _authority) = with_tls();
    let mut client = shop.client();
    // the obeying session leaves what has no line end, as the engine leaves half a message
    client.write_all(b"tls\nsay injected").unwrap();
    assert_eq!(rest(&mut client), "S");
}

#[test]
fn a_session_that_panics_is_closed_and_leaves_the_others_and_its_place() {
    let shop = Shop::open(|config| {
        config.workers = 1.try_into().unwrap();
        config.max_connections = 2;
    });
    let (mut other, _other_server) = shop.connected();
    for _ in 0..3 {
        let (mut client, mut server) = shop.connected();
        client.write_all(b"bogus\n").unwrap();
        assert_eq!((rest(&mut client).as_str(), rest(&mut server).as_str()), ("", ""));
        shop.settles_at("pgveil_client_connections{state=\"startup\"} 1");
    }
    other.write_all(b"say alive\n").unwrap();
    expect(&mut other, "alive\n");
}

#[test]
fn many_sessions_at_once_are_dealt_out_and_all_served() {
    let shop = Shop::open(|config| config.workers = 3.try_into().unwrap());
    let mut clients: Vec<TcpStream> = (0..60).map(|_| shop.client()).collect();
    for round in 0..20 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.write_all(format!("say {round} {number}\n").as_bytes()).unwrap();
        }
        for (number, client) in clients.iter_mut().enumerate() {
            expect(client, &format!("{round} {number}\n"));
        }
    }
    assert!(shop.metric("pgveil_client_connections_total 60"));
}
