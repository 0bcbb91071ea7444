//! A PostgreSQL server of the tests' own: that of the operating system, or the first of those whose program directories
//! the variable `PGVEIL_TEST_PG_BIN` names.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tokio_postgres::{Client, NoTls};

/// A server in a directory of its own, stopped and removed at the end.
pub struct Server {
    programs: PathBuf,
    directory: PathBuf,
    port: u16,
}

fn programs() -> PathBuf {
    if let Some(given) = std::env::var_os("PGVEIL_TEST_PG_BIN") {
        return std::env::split_paths(&given).next().expect("PGVEIL_TEST_PG_BIN names a directory");
    }
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = installed.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max();
    newest.expect("no PostgreSQL server in /usr/lib/postgresql, and PGVEIL_TEST_PG_BIN is not set")
}

impl Server {
    pub fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = std::env::temp_dir().join(format!("pgveil-values-{}-{port}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        if is_root() {
            assert!(Command::new("chown").arg("postgres").arg(&directory).status().unwrap().success());
        }
        let server = Self { programs: programs(), directory, port };
        server.run("initdb", &["-D", "data", "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"]);
        server.control("start");
        server
    }

    pub async fn client(&self) -> Client {
        let address = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.port);
        let (client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    fn control(&self, action: &str) {
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
}

impl Drop for Server {
    fn drop(&mut self) {
        self.control("stop");
        let _left = std::fs::remove_dir_all(&self.directory);
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}
