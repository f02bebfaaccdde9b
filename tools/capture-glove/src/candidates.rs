//! Serial ports on USB that may be a glove, found through sysfs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;

/// The adapter in a glove: CH343, of the CH34x family.
const GLOVE: (&str, &str) = ("1a86", "55d3");

/// A serial port on USB.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Candidate {
    /// The device node.
    pub(crate) port: PathBuf,
    /// Whether its adapter is a glove's.
    pub(crate) glove: bool,
    pub(crate) vendor: String,
    pub(crate) product: String,
    pub(crate) serial: String,
    pub(crate) description: String,
    /// A path that stays the same when it is plugged in elsewhere or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<PathBuf>,
}

/// Where the system tells of its devices: a test has its own.
#[derive(Clone, Debug)]
pub(crate) struct System {
    sys: PathBuf,
    dev: PathBuf,
}

impl Default for System {
    fn default() -> System {
        System { sys: "/sys".into(), dev: "/dev".into() }
    }
}

impl System {
    /// All serial ports on USB, gloves first.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let ttys = fs::read_dir(self.sys.join("class/tty")).into_iter().flatten();
        let names = ttys.flatten().map(|entry| entry.file_name());
        let mut found: Vec<_> =
            names.filter_map(|name| self.usb(&self.dev.join(name))).collect();
        found.sort_by_key(|candidate| (!candidate.glove, candidate.port.clone()));
        found
    }

    /// What is known of a port, if it is one on USB.
    pub(crate) fn usb(&self, port: &Path) -> Option<Candidate> {
        let tty = self.sys.join("class/tty").join(port.file_name()?);
        let device = fs::canonicalize(tty.join("device")).ok()?;
        let mut parents = device.ancestors().take_while(|path| *path != self.sys);
        let usb = parents.find(|path| path.join("idVendor").exists())?;
        let text = |name: &str| -> String {
            let text = fs::read_to_string(usb.join(name)).unwrap_or_default();
            text.trim().into()
        };
        let (vendor, product) = (text("idVendor"), text("idProduct"));
        Some(Candidate {
            glove: (vendor.as_str(), product.as_str()) == GLOVE,
            serial: text("serial"),
            description: format!("{} {}", text("manufacturer"), text("product"))
                .trim()
                .into(),
            link: self.link(port),
            port: port.into(),
            vendor,
            product,
        })
    }

    /// The link to a port among those that udev keeps.
    fn link(&self, port: &Path) -> Option<PathBuf> {
        let links = fs::read_dir(self.dev.join("serial/by-id")).ok()?.flatten();
        let mut links = links.map(|entry| entry.path());
        let port = fs::canonicalize(port).ok()?;
        links.find(|link| fs::canonicalize(link).is_ok_and(|target| target == port))
    }

    /// The one glove that is plugged in; with a serial number, the one that has it.
    pub(crate) fn glove(&self, serial: Option<&str>) -> Result<Candidate> {
        let all = self.candidates();
        let wanted = |candidate: &&Candidate| {
            candidate.glove && serial.is_none_or(|serial| serial == candidate.serial)
        };
        let gloves: Vec<_> = all.iter().filter(wanted).collect();
        match gloves[..] {
            [glove] => Ok(glove.clone()),
            [] => bail!("auto: no glove is plugged in{}", hint(&all)),
            _ => {
                let ports: Vec<_> = gloves.iter().map(|glove| name(glove)).collect();
                bail!("auto: several gloves, say which: {}", ports.join(", "))
            }
        }
    }

    /// What to say when a port is not there: those that are.
    pub(crate) fn hint(&self) -> String {
        hint(&self.candidates())
    }
}

fn hint(all: &[Candidate]) -> String {
    if all.is_empty() {
        return "; there is no serial port on USB".into();
    }
    let ports: Vec<_> = all.iter().map(name).collect();
    format!("; serial ports on USB: {}", ports.join(", "))
}

/// A port for a message: its link lasts longer than its node.
fn name(candidate: &Candidate) -> String {
    let Candidate { port, link, glove, .. } = candidate;
    let path = link.as_ref().unwrap_or(port).display();
    if *glove { format!("{path} (a glove)") } else { path.to_string() }
}

/// The list for people, a line for each.
pub(crate) fn text(all: &[Candidate]) -> String {
    all.iter().fold(String::new(), |mut text, candidate| {
        let Candidate { port, glove, vendor, product, serial, description, link } =
            candidate;
        let glove = if *glove { "glove" } else { "other" };
        let link = link.as_deref().unwrap_or(port).display();
        // Writing to a text cannot fail.
        writeln!(
            text,
            "{:<14} {glove} {vendor}:{product} serial {serial:?} {description:?} {link}",
            port.display()
        )
        .unwrap_or_default();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A system in a folder, with these ports: name, ids, serial.
    fn system(name: &str, ports: &[(&str, &str, &str, &str)]) -> System {
        let root = std::env::temp_dir()
            .join(format!("candidates-{name}-{}", std::process::id()));
        let (sys, dev) = (root.join("sys"), root.join("dev"));
        fs::create_dir_all(sys.join("class/tty/tty0")).unwrap();
        fs::create_dir_all(dev.join("serial/by-id")).unwrap();
        for (n, (tty, vendor, product, serial)) in ports.iter().enumerate() {
            let usb = sys.join(format!("devices/usb1/1-{n}"));
            let device = usb.join(format!("1-{n}:1.0"));
            fs::create_dir_all(&device).unwrap();
            for (file, content) in [
                ("idVendor", *vendor),
                ("idProduct", product),
                ("serial", serial),
                ("product", "USB Single Serial"),
            ] {
                fs::write(usb.join(file), format!("{content}\n")).unwrap();
            }
            let class = sys.join("class/tty").join(tty);
            fs::create_dir_all(&class).unwrap();
            symlink(device, class.join("device")).unwrap();
            fs::write(dev.join(tty), "").unwrap();
            symlink(dev.join(tty), dev.join(format!("serial/by-id/usb-{serial}")))
                .unwrap();
        }
        System { sys: fs::canonicalize(sys).unwrap(), dev }
    }

    const OTHER: (&str, &str, &str, &str) = ("ttyUSB0", "0403", "6001", "A1");
    const LEFT: (&str, &str, &str, &str) = ("ttyACM1", "1a86", "55d3", "L7");
    const RIGHT: (&str, &str, &str, &str) = ("ttyACM0", "1a86", "55d3", "R8");

    fn clear(system: &System) {
        fs::remove_dir_all(system.sys.parent().unwrap()).unwrap();
    }

    #[test]
    fn the_one_glove_is_found_and_told_from_other_adapters() {
        let system = system("one", &[OTHER, LEFT]);
        let glove = system.glove(None).unwrap();
        assert_eq!(glove.port, system.dev.join("ttyACM1"));
        assert_eq!((glove.serial.as_str(), glove.glove), ("L7", true));
        assert_eq!(glove.description, "USB Single Serial");
        assert!(glove.link.as_ref().is_some_and(|link| link.ends_with("usb-L7")));
        assert!(system.glove(Some("R8")).is_err());
        assert_eq!(system.usb(Path::new("/dev/tty0")), None);
        let text = text(&system.candidates());
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].contains(" glove 1a86:55d3 serial \"L7\""), "{text}");
        assert!(lines[1].contains(" other 0403:6001 serial \"A1\""), "{text}");
        clear(&system);
    }

    #[test]
    fn several_gloves_and_none_are_errors_that_list_what_is_there() {
        let two = system("two", &[LEFT, RIGHT]);
        let error = two.glove(None).unwrap_err().to_string();
        assert!(
            error.contains("usb-R8 (a glove), ") && error.contains("usb-L7"),
            "{error}"
        );
        assert_eq!(two.glove(Some("R8")).unwrap().serial, "R8");
        clear(&two);
        let none = system("none", &[OTHER]);
        let error = none.glove(None).unwrap_err().to_string();
        assert!(
            error.contains("no glove is plugged in; serial ports on USB: "),
            "{error}"
        );
        assert!(error.contains("usb-A1") && !error.contains("glove)"), "{error}");
        clear(&none);
        let empty = system("empty", &[]);
        let error = empty.glove(None).unwrap_err().to_string();
        assert!(error.ends_with("there is no serial port on USB"), "{error}");
        clear(&empty);
    }
}
