//! What a tool must have to run, looked at without being opened: a serial port that is
//! opened resets what hangs on it.

use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Something that a tool must have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// What it is.
    pub what: String,
    /// What is wrong with it; none if nothing is.
    pub problem: Option<String>,
}

impl Need {
    fn new(what: String, found: Result<(), String>) -> Need {
        Need { what, problem: found.err() }
    }

    /// A file to read.
    pub fn file(path: &Path) -> Need {
        Need::new(format!("file {}", path.display()), allows(path, Access::READ_OK))
    }

    /// A device to read and to write.
    pub fn device(path: &Path) -> Need {
        let both = Access::READ_OK | Access::WRITE_OK;
        Need::new(format!("device {}", path.display()), allows(path, both))
    }

    /// A file to make, in a folder that is there; one of this name may only be there if it
    /// is written over.
    pub fn new_file(path: &Path, force: bool) -> Need {
        let folder = folder_of(path);
        let found = allows(&folder, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|why| format!("folder {}: {why}", folder.display()))
            .and_then(|()| match path.try_exists() {
                Ok(true) if !force => Err("is there already".into()),
                Err(err) => Err(err.to_string()),
                Ok(_) => Ok(()),
            });
        Need::new(format!("new file {}", path.display()), found)
    }

    /// A program on the path.
    pub fn program(name: &str) -> Need {
        let found = match find_program(name) {
            Some(_) => Ok(()),
            None => Err("is not installed, or not on PATH".into()),
        };
        Need::new(format!("program {name}"), found)
    }

    /// A TCP port that nobody else listens on.
    pub fn free_port(address: SocketAddr) -> Need {
        let found = TcpListener::bind(address).map(drop).map_err(|err| plain(&err));
        Need::new(format!("port {address} to listen on"), found)
    }

    /// A TCP server that answers, as `host:port`.
    pub fn server(address: &str) -> Need {
        let connect = || {
            let mut addresses = address.to_socket_addrs()?;
            let none = || std::io::Error::other("no such host");
            let first = addresses.next().ok_or_else(none)?;
            TcpStream::connect_timeout(&first, PATIENCE).map(drop)
        };
        Need::new(format!("server {address}"), connect().map_err(|err| plain(&err)))
    }
}

/// An error without the number of the system's.
fn plain(err: &std::io::Error) -> String {
    let text = err.to_string();
    let cut = text.split(" (os error").next().unwrap_or_default().to_owned();
    cut[..1].to_lowercase() + &cut[1..]
}

fn allows(path: &Path, wanted: Access) -> Result<(), String> {
    access(path, wanted).map_err(|err| plain(&err.into()))
}

fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).into()
}

/// Where a program is that is called by its name or path.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let is_program =
        |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| is_program(path));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| is_program(path))
}

/// The file system that a file would be on, and what a user may still write there.
pub(super) fn disk_of(file: &Path) -> Result<(u64, u64), String> {
    let folder = folder_of(file);
    let told = |err: rustix::io::Errno| plain(&err.into());
    let stat = rustix::fs::stat(&folder).map_err(told)?;
    let room = rustix::fs::statvfs(&folder).map_err(told)?;
    Ok((stat.st_dev, room.f_bavail.saturating_mul(room.f_frsize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let problem = |need: Need| need.problem.unwrap_or_default();
        assert_eq!(problem(Need::file(Path::new("/etc/passwd"))), "");
        assert_eq!(
            problem(Need::device(Path::new("/dev/no"))),
            "no such file or directory"
        );
        assert_eq!(problem(Need::program("sh")), "");
        assert!(problem(Need::program("no-such-program")).contains("PATH"));
        assert_eq!(
            problem(Need::new_file(Path::new("/etc/passwd"), false)),
            "is there already"
        );
        let need = Need::new_file(Path::new("/no/such/x"), false);
        assert!(problem(need).starts_with("folder /no/such: no such file"));
    }

    #[test]
    fn a_port_is_free_or_in_use_and_a_server_answers_or_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(
            Need::free_port(address).problem.as_deref(),
            Some("address already in use")
        );
        assert_eq!(Need::server(&address.to_string()).problem, None);
        drop(listener);
        assert_eq!(Need::free_port(address).problem, None);
        assert_eq!(
            Need::server(&address.to_string()).problem.as_deref(),
            Some("connection refused")
        );
    }
}
