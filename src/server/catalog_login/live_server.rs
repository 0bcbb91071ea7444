//! Real servers for tests: the one of the operating system, or those whose program directories the variable
//! `PGVEIL_TEST_PG_BIN` names, with colons between them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tokio_postgres::{Client, NoTls};

use crate::config::Settings;

/// A server of its own in a directory of its own, stopped and removed at the end.
pub(in crate::server) struct LiveServer {
    programs: PathBuf,
    directory: PathBuf,
    port: u16,
}

pub(in crate::server) fn program_directories() -> Vec<PathBuf> {
    if let Some(given) = std::env::var_os("PGVEIL_TEST_PG_BIN") {
        return std::env::split_paths(&given).collect();
    }
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = installed.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max();
    vec![newest.expect("no PostgreSQL server in /usr/lib/postgresql, and PGVEIL_TEST_PG_BIN is not set")]
}

impl LiveServer {
    pub(in crate::server) fn start(programs: &Path) -> Self {
        let directory = std::env::temp_dir().join(format!("pgveil-pg-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&directory).unwrap();
        if is_root() {
            let owned = Command::new("chown").arg("postgres").arg(&directory).status().unwrap();
            assert!(owned.success());
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { programs: programs.to_owned(), directory, port };
        server.run("initdb", &["-D", "data", "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"]);
        server.control("start");
        server
    }

    pub(in crate::server) fn control(&self, action: &str) {
        let options = format!("-p {} -k '' -c listen_addresses=127.0.0.1 -c fsync=off", self.port);
        self.run("pg_ctl", &["-D", "data", "-o", &options, "-l", "log", "-w", "-m", "fast", action]);
    }

    /// PostgreSQL does not run as root.
    fn run(&self, program: &str, arguments: &[&str]) {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.env("LD_LIBRARY_PATH", self.programs.join("../lib")).env("LC_ALL", "C");
        let done = command.args(arguments).current_dir(&self.directory).stdout(Stdio::null()).status().unwrap();
        assert!(done.success(), "{arguments:?}");
    }

    pub(in crate::server) async fn client(&self) -> Client {
        let address = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.port);
        let (client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// How `reader` gets to it.
    pub(in crate::server) fn reader(&self) -> Settings {
        let text = format!("port = {}\nsslmode = \"disable\"", self.port);
        Settings {
            upstream: toml::from_str(&text).unwrap(),
            catalog: toml::from_str("user = \"reader\"\ndatabase = \"postgres\"").unwrap(),
            ..Settings::default()
        }
    }
}

impl Drop for LiveServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            eprintln!("{log}");
        }
        self.control("stop");
        let _left = std::fs::remove_dir_all(&self.directory);
    }
}

fn is_root() -> bool {
    let whoami = Command::new("id").arg("-u").output().unwrap();
    whoami.stdout == b"0\n"
}
