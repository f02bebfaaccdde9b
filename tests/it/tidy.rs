//! The repository keeps its own rules: every tool has all of its parts, and what is
//! written about the code agrees with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use framepipe_tests::{Lab, Scratch, binary, pipe, root, tools};

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

/// All files below a folder with this ending, build products left out.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let hidden = path.file_name().unwrap().to_string_lossy().starts_with('.');
            if path.is_dir() && !path.ends_with("target") && !hidden {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no {ending} below {folder}");
    found
}

/// The first line of a tool's main.rs: its summary.
fn summary(tool: &str) -> String {
    let main = read(format!("tools/{tool}/src/main.rs"));
    let first = main.lines().next().unwrap_or_default();
    let summary = first.strip_prefix("//! ").and_then(|line| line.strip_suffix('.'));
    summary.unwrap_or_else(|| panic!("{tool}: no `//! Summary.` on line 1")).to_owned()
}

#[test]
fn every_tool_is_described_alike_everywhere() {
    let (readme, modules) = (read("README.md"), read("tests/it/main.rs"));
    for tool in tools() {
        let summary = summary(&tool);
        let row = format!("| `{tool}` | {summary} |");
        assert!(readme.contains(&row), "README.md lacks the row {row}");
        let manifest = read(format!("tools/{tool}/Cargo.toml"));
        assert!(manifest.contains(&format!("name = \"{tool}\"")), "{tool}: name");
        assert!(
            manifest.contains(&format!("description = \"{summary}\"")),
            "{tool}: description"
        );
        let module = format!("mod {};", tool.replace('-', "_"));
        assert!(modules.contains(&module), "tests/it/main.rs lacks {module}");
    }
}

#[test]
fn readme_names_no_tool_that_does_not_exist() {
    let readme = read("README.md");
    let (_, rows) = readme.split_once("\n## Tools\n").unwrap();
    let (rows, _) = rows.split_once("\n## ").unwrap();
    let named = rows.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    for (name, _) in named {
        assert!(tools().contains(name), "README.md has {name}");
    }
}

#[test]
fn man_pages_are_fresh() {
    for tool in tools() {
        let page = pipe(&format!("{tool} --generate man")).run();
        let committed = read(format!("man/{tool}.1"));
        assert!(page.text() == committed, "man/{tool}.1 is stale: run scripts/man");
    }
}

#[test]
fn the_examples_of_every_tool_run() {
    let lab = Lab::new();
    let bin = binary("sim-src");
    let path = format!("{}:/usr/bin:/bin", bin.parent().unwrap().display());
    for tool in tools() {
        let help = pipe(&format!("{tool} --help")).run();
        let text = help.text().to_owned();
        let after =
            text.split("Examples:\n").nth(1).unwrap_or_else(|| panic!("{tool}: none"));
        let examples: Vec<_> =
            after.lines().take_while(|line| line.starts_with("  ")).collect();
        assert!(!examples.is_empty(), "{tool} has no examples");
        for example in examples {
            if lab.is_none() && example.contains("lsl") {
                continue;
            }
            let run_example =
                |line: &str, path: &str| run_example(line, path, lab.as_ref());
            let mut run = run_example(example, &path);
            // A busy machine has jitter, and the report is right to say so.
            for _ in 0..4 {
                if run.1.contains("over --jitter-fail") {
                    run = run_example(example, &path);
                }
            }
            let expected = if example.contains("--fault") { Some(3) } else { Some(0) };
            assert_eq!(run.0, expected, "{example}\n{}", run.1);
        }
    }
}

/// Runs a line in a folder of its own; its exit status, and what it says on stderr.
/// Streams stay in a laboratory of their own.
fn run_example(line: &str, path: &str, lab: Option<&Lab>) -> (Option<i32>, String) {
    let folder = Scratch::new();
    let mut bash = Command::new("bash");
    bash.envs(lab.iter().flat_map(|lab| lab.env()));
    bash.args(["-o", "pipefail", "-c", line]).env("PATH", path).current_dir(&folder.0);
    let output = bash.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn every_module_says_why_it_exists() {
    for folder in ["libframe", "tools", "tests", "bench"] {
        for path in files(folder, ".rs") {
            let text = fs::read_to_string(&path).unwrap();
            let generated = text.starts_with("#![no_main]");
            let told = text.starts_with("//! ") || generated && text.contains("//! ");
            assert!(told, "{}: no module docs", path.display());
        }
    }
}

#[test]
fn no_file_is_a_drawer_and_none_is_a_monolith() {
    for folder in ["libframe", "tools", "tests", "bench"] {
        for path in files(folder, ".rs") {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            let drawers = ["common", "helpers", "manager", "misc", "util", "utils"];
            assert!(!drawers.contains(&stem.as_str()), "{}", path.display());
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= 700, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn every_crate_inherits_the_lints() {
    for path in
        files("libframe", "Cargo.toml").into_iter().chain(files("tools", "Cargo.toml"))
    {
        if path.ends_with("fuzz/Cargo.toml") {
            continue;
        }
        let manifest = fs::read_to_string(&path).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{}", path.display());
    }
}

#[test]
fn architecture_gives_a_reason_for_every_dependency() {
    let architecture = read("ARCHITECTURE.md");
    let manifest = read("Cargo.toml");
    let table = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    let table = table.split("\n[").next().unwrap();
    for line in table.lines().filter(|line| line.contains(" = ")) {
        let name = line.split(" = ").next().unwrap();
        let rows = architecture.lines().filter(|line| line.starts_with('|'));
        let told = rows.clone().any(|row| {
            let names = row.split('|').nth(1).unwrap_or_default();
            names.split(',').any(|other| other.trim() == name)
        });
        assert!(
            told || name.starts_with("libframe"),
            "ARCHITECTURE.md does not say why {name}"
        );
    }
}

#[test]
fn architecture_names_every_module_of_libframe() {
    let architecture = read("ARCHITECTURE.md");
    for path in files("libframe/src", ".rs") {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let known = ["lib", "mod", "account", "args", "filter", "sink", "stage"];
        let told = architecture.contains(&format!("`{stem}`"));
        assert!(told || known.contains(&stem.as_str()), "ARCHITECTURE.md: {stem}");
    }
}

#[test]
fn options_are_spelled_alike_in_all_tools() {
    // The long options that more than one tool may define, each with its one meaning.
    // --rate is samples a second: those to make, to pass on at most, or that must have come.
    // --high and --low are watermarks of what waits, each in the measure of its tool.
    let shared = [
        "--channel",
        "--end",
        "--event",
        "--fifo",
        "--flush",
        "--force",
        "--format",
        "--fsync",
        "--help",
        "--high",
        "--linger",
        "--list",
        "--low",
        "--map",
        "--may",
        "--markers",
        "--min-free",
        "--port-file",
        "--rate",
        "--require",
        "--rotate",
        "--silence",
        "--start",
        "--stream",
        "--version",
        "--wait",
    ];
    let mut seen = std::collections::BTreeMap::new();
    for tool in tools() {
        let help = pipe(&format!("{tool} --help")).run();
        let own = help.text().split("Common options:").next().unwrap().to_owned();
        let words = own.split_whitespace().filter(|word| word.starts_with("--"));
        let options =
            words.map(|word| word.trim_end_matches([',', '.', ';', ':']).to_owned());
        let options: std::collections::BTreeSet<_> = options.collect();
        for option in
            options.into_iter().filter(|option| !shared.contains(&option.as_str()))
        {
            seen.entry(option).or_insert_with(Vec::new).push(tool.clone());
        }
    }
    // --every is a count in one tool and an age in another: both are how often.
    seen.retain(|option, tools| tools.len() > 1 && option != "--every");
    assert!(seen.is_empty(), "defined twice: {seen:?}");
}

#[test]
fn scripts_are_short_and_executable() {
    use std::os::unix::fs::PermissionsExt as _;
    for entry in fs::read_dir(root().join("scripts")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() <= 60, "{}", path.display());
        assert!(
            text.lines().nth(1).unwrap().starts_with("# "),
            "{}: says what",
            path.display()
        );
        assert!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o111 != 0,
            "{}",
            path.display()
        );
    }
}
