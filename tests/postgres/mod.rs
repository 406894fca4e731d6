//! A Postgres server for a single test: in a new folder, on a free port, killed with the test.
//!
//! Knows nothing of what is tested. Invariant: the server sees only its folder; its data survives a kill of the
//! server, not the test.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub struct Postgres {
    folder: TempDir,
    pub port: u16,
    owner: Option<(u32, u32)>,
    server: Option<Child>,
}

/// A program of Postgres: from the path, or from where Debian keeps it.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for version in fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        folders.push(version.path().join("bin"));
    }
    let found = folders.iter().map(|folder| folder.join(name)).find(|file| file.exists());
    found.unwrap_or_else(|| {
        panic!("no `{name}` here: install Postgres (Debian: postgresql), or run through ./dev")
    })
}

fn id(flag: &str) -> u32 {
    let output = Command::new("id").args([flag, "postgres"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("there is a user `postgres`")
}

impl Postgres {
    /// A server with an empty database `postgres`, whose superuser `postgres` needs no password.
    pub fn start() -> Postgres {
        Postgres::start_with(|_| String::new())
    }

    /// The same; `settings` may put files into the folder, and returns lines for postgresql.conf.
    pub fn start_with(settings: impl FnOnce(&Path) -> String) -> Postgres {
        let folder = tempfile::Builder::new().prefix("tidegate-pg-").tempdir_in("/tmp").unwrap();
        let is_root = fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
        let owner = is_root.then(|| (id("-u"), id("-g")));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut postgres = Postgres { folder, port, owner, server: None };
        postgres.own(postgres.folder.path());
        let mut initdb = postgres.command("initdb");
        initdb.args(["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C", "-D"]);
        let made = initdb.arg(postgres.data()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let more = settings(postgres.folder.path());
        for entry in fs::read_dir(postgres.folder.path()).unwrap() {
            postgres.own(&entry.unwrap().path());
        }
        let socket = postgres.folder.path().display();
        let lines = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{socket}'\nfsync = off\n{more}\n"
        );
        fs::write(postgres.data().join("postgresql.auto.conf"), lines).unwrap();
        postgres.own(&postgres.data().join("postgresql.auto.conf"));
        postgres.restart();
        postgres
    }

    fn own(&self, path: &Path) {
        if let Some((user, group)) = self.owner {
            chown(path, Some(user), Some(group)).unwrap();
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Starts the server again.
    pub fn restart(&mut self) {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            let log = fs::File::create(self.folder.path().join("log")).unwrap();
            let mut command = self.command("postgres");
            command.arg("-D").arg(self.data()).stdout(log.try_clone().unwrap()).stderr(log);
            let mut server = command.spawn().unwrap();
            while server.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", self.port)).is_ok() && self.answers() {
                    self.server = Some(server);
                    return;
                }
                sleep(Duration::from_millis(20));
            }
            // Processes of a server that was killed may still be exiting.
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
            assert!(Instant::now() < patience, "Postgres does not start:\n{log}");
            sleep(Duration::from_millis(200));
        }
    }

    fn answers(&self) -> bool {
        postgres::Client::connect(&self.url(""), postgres::NoTls).is_ok()
    }

    /// SIGKILL to the server.
    pub fn kill(&mut self) {
        let mut server = self.server.take().expect("it runs");
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// The URL of the database, with more settings.
    pub fn url(&self, more: &str) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres {more}", self.port)
    }

    pub fn run(&self, sql: &str) {
        let mut client = postgres::Client::connect(&self.url(""), postgres::NoTls).unwrap();
        client.batch_execute(sql).unwrap();
    }

    /// The rows that a query returns, as text: its only column.
    pub fn texts(&self, sql: &str) -> Vec<String> {
        let mut client = postgres::Client::connect(&self.url(""), postgres::NoTls).unwrap();
        client.query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
