//! The dashboard, the alerts and the manual speak of what there really is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use framepipe_tests::root;

use super::http::{Page, ask, scrape_until};
use super::{close, made, shown};

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// A page of a pipe in which all kinds of things happened.
fn full_page() -> Page {
    let line = "sim-src glove control -n 300 --rate 600 --event hit/100ms --fault gap=5% \
                | batch-frames -n 3";
    let mut bytes = made(line);
    bytes[2000] ^= 1;
    let (started, address) = shown(bytes);
    scrape_until(&address, "framepipe_sessions_ended_total", 1.0);
    ask(&address, "GET /nothing", "");
    let page = Page::read(&ask(&address, "GET /metrics", "").body);
    close(started);
    page
}

/// Type and meaning of each family, in order.
fn families(page: &Page) -> Vec<(String, String, String)> {
    let mut families = Vec::new();
    let mut lines = page.text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            let kind = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
            let (same, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, same);
            families.push((name.to_owned(), kind.to_owned(), help.to_owned()));
        }
    }
    families
}

#[test]
fn every_metric_is_documented_and_every_one_that_is_exists() {
    let page = full_page();
    let mut documented = BTreeMap::new();
    let text = read("man/framepipe-metrics.5").replace("\\-", "-").replace("\\(aq", "'");
    for entry in text.split(".TP\n.BR framepipe_").skip(1) {
        let (line, rest) = entry.split_once('\n').unwrap();
        let (name, kind) = line.split_once(" \" (").unwrap_or_else(|| panic!("{line:?}"));
        let kind = kind.trim_end_matches(")\"");
        let help = rest.lines().take_while(|line| !line.starts_with('.'));
        let help = help.collect::<Vec<_>>().join(" ");
        documented.insert(format!("framepipe_{name}"), (kind.to_owned(), help));
    }
    let families = families(&page);
    for (name, kind, help) in &families {
        let (said, meaning) = documented
            .remove(name)
            .unwrap_or_else(|| panic!("framepipe-metrics(5) lacks {name}"));
        assert_eq!(meaning, *help, "{name}");
        let (said, labels) = said.split_once("; ").unwrap_or((&said, ""));
        assert_eq!(said, kind, "{name}");
        for (sample, _) in page.all(name) {
            let pairs = sample.split_once('{').map_or("", |(_, pairs)| pairs);
            let mut names: Vec<_> = pairs.split("=\"").collect();
            names.pop();
            let names: Vec<_> = names
                .iter()
                .map(|name| name.rsplit(['"', ',']).next().unwrap())
                .collect();
            assert_eq!(names.join(", "), labels, "{sample}");
        }
    }
    assert!(documented.is_empty(), "there is no {documented:?}");
    assert!(families.len() > 50, "{}", families.len());
}

/// Names of metrics in a text.
fn named(text: &str) -> BTreeSet<String> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let words = text.split(word).filter(|word| word.starts_with("framepipe_"));
    words.map(str::to_owned).collect()
}

#[test]
fn the_dashboard_and_the_alerts_name_only_metrics_that_there_are() {
    let page = full_page();
    let mut known: BTreeSet<_> = page
        .samples
        .keys()
        .map(|key| key.split('{').next().unwrap().to_owned())
        .collect();
    // Only where clocks are compared, or disciplined.
    known.extend(families(&page).into_iter().map(
        |(name, kind, _)| match kind.as_str() {
            "histogram" => name + "_bucket",
            _ => name,
        },
    ));
    for file in ["framepipe.json", "alerts.yml", "alerts-test.yml"] {
        let names = named(&read(&format!("examples/grafana/{file}")));
        assert!(names.len() >= 7, "{file}: {names:?}");
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

#[test]
fn the_dashboard_is_one_that_grafana_takes() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("examples/grafana/framepipe.json")).unwrap();
    assert!(dashboard["schemaVersion"].as_u64() >= Some(38));
    let names = |list: &serde_json::Value, key: &str| -> Vec<String> {
        let all = list.as_array().unwrap().iter();
        all.map(|one| one[key].to_string().trim_matches('"').to_owned()).collect()
    };
    let variables = names(&dashboard["templating"]["list"], "name");
    for name in ["datasource", "job", "instance", "session", "stream"] {
        assert!(variables.iter().any(|known| known == name), "{variables:?}");
    }
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = names(&dashboard["panels"], "id").into_iter().collect();
    assert_eq!(ids.len(), panels.len());
    let types: BTreeSet<_> = names(&dashboard["panels"], "type").into_iter().collect();
    assert!(types.contains("heatmap") && types.contains("timeseries"));
    // A variable that is asked for must be one.
    let text = dashboard.to_string();
    let asked = text.split('$').skip(1).map(|rest| {
        let rest = rest.trim_start_matches('{');
        rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap()
    });
    for name in asked {
        // One may also be the end of a regular expression.
        let own = name.starts_with("__") || name.is_empty();
        assert!(own || variables.iter().any(|known| known == name), "${name}");
    }
}

#[test]
fn promtool_accepts_page_rules_and_configuration() {
    if Command::new("promtool").arg("--version").output().is_err() {
        eprintln!("skipped: no promtool; Debian has it in the package prometheus");
        return;
    }
    let folder = root().join("examples/grafana");
    for args in [
        &["check", "config", "prometheus.yml"][..],
        &["check", "rules", "alerts.yml"],
        &["test", "rules", "alerts-test.yml"],
    ] {
        let output =
            Command::new("promtool").args(args).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    }
    let page =
        std::env::temp_dir().join(format!("framepipe-{}.prom", std::process::id()));
    fs::write(&page, full_page().text).unwrap();
    let mut promtool = Command::new("promtool");
    let promtool =
        promtool.args(["check", "metrics"]).stdin(fs::File::open(&page).unwrap());
    let output = promtool.output().unwrap();
    fs::remove_file(page).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}
