//! The program itself, as a process.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a start may take on a busy machine, including crash recovery.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(90);

/// A folder that other users can pass through.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tenantry"))
}

/// A running `tenantry`, killed when dropped.
pub(crate) struct Server {
    pub child: Child,
    pub address: String,
    /// Its output until it served.
    pub banner: String,
}

impl Server {
    pub(crate) fn start(data_dir: &Path) -> Self {
        Self::start_as(program(), data_dir)
    }

    pub(crate) fn start_as(command: Command, data_dir: &Path) -> Self {
        Self::start_with(command, data_dir, &[])
    }

    pub(crate) fn start_with(mut command: Command, data_dir: &Path, environment: &[(&str, &str)]) -> Self {
        let command = quiet(&mut command, data_dir).envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut errors = child.stderr.take().unwrap();
        let (mut banner, mut line) = (String::new(), String::new());
        while !banner.contains("Stop with Ctrl-C.") {
            line.clear();
            if lines.read_line(&mut line).unwrap() == 0 {
                let mut text = String::new();
                errors.read_to_string(&mut text).unwrap();
                panic!("it ended before it served: {banner}{text}");
            }
            banner.push_str(&line);
        }
        // Later output is read, so that it never waits for a reader.
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::stderr()));
        let address = banner.split("http://").nth(1).and_then(|it| it.split([' ', '\n']).next()).unwrap().to_owned();
        Self { child, address, banner }
    }

    /// Sends a document and returns the response.
    pub(crate) fn run(&self, query: &str, token: Option<&str>) -> Value {
        let answer = self.try_run(query, token).expect("an answer");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// Sends a document to a server that may die from it, and returns the body of the response.
    pub(crate) fn try_run(&self, query: &str, token: Option<&str>) -> std::io::Result<String> {
        let body = json!({ "query": query }).to_string();
        let authorization = token.map_or(String::new(), |it| format!("Authorization: Bearer {it}\r\n"));
        let request = format!(
            "POST /graphql HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n{authorization}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let answer = self.send(&request)?;
        Ok(answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
    }

    pub(crate) fn get(&self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)).unwrap()
    }

    pub(crate) fn send(&self, request: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    pub(crate) fn sign_in(&self, email: &str) -> String {
        let query = format!(
            "mutation {{ login(input: {{ email: \"{email}\", password: \"demo-demo-demo\" }}) {{ session {{ accessToken }} }} }}"
        );
        let answer = self.run(&query, None);
        answer["data"]["login"]["session"]["accessToken"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Books the yoga class, which has room for twelve, and returns the booking's id once it was acknowledged.
    pub(crate) fn book(&self, token: &str) -> String {
        let services = self.run("{ services(filter: { search: \"yoga\" }) { nodes { id } } }", Some(token));
        let service = services["data"]["services"]["nodes"][0]["id"].as_str().unwrap_or_else(|| panic!("{services}"));
        let starts_at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 30);
        let query = format!(
            "mutation {{ createBooking(input: {{ serviceId: \"{service}\", startsAt: \"{starts_at}\" }}) {{ booking {{ id }} userErrors {{ code }} }} }}"
        );
        let answer = self.run(&query, Some(token));
        answer["data"]["createBooking"]["booking"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    pub(crate) fn has(&self, token: &str, booking: &str) -> bool {
        let answer = self.run(&format!("{{ booking(id: \"{booking}\") {{ id }} }}"), Some(token));
        answer["data"]["booking"]["id"] == booking
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits until it has ended and returns the exit code.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let begin = Instant::now();
        while begin.elapsed() < START_LIMIT {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// With none of this machine's environment, and its own port.
pub(crate) fn quiet<'a>(command: &'a mut Command, data_dir: &Path) -> &'a mut Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    command
        .env_clear()
        .env("PATH", path)
        .env("PORT", "0")
        .env("TENANTRY_DATA_DIR", data_dir)
        .current_dir("/tmp")
        .stdin(Stdio::null())
}
