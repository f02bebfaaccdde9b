//! The report for people.

use std::io::{Result, Write};

use libframe::tool::{Disk, Flow};

use crate::totals::{DiskTotal, Totals};
use crate::tree::{Branch, Stage};

pub(crate) fn write(
    pipelines: &[Vec<Stage>],
    totals: &Totals,
    out: &mut impl Write,
) -> Result<()> {
    for stages in pipelines {
        write_stages(stages, "", out)?;
        writeln!(out)?;
    }
    write_totals(totals, out)
}

fn write_stages(stages: &[Stage], indent: &str, out: &mut impl Write) -> Result<()> {
    stages.iter().try_for_each(|stage| write_stage(stage, indent, out))
}

fn write_stage(stage: &Stage, indent: &str, out: &mut impl Write) -> Result<()> {
    let shown: Vec<_> = stage.command.iter().map(|word| quoted(word)).collect();
    writeln!(out, "{indent}{}", shown.join(" "))?;
    match &stage.plan {
        Some(plan) => {
            let memory = format!("at most {} of memory", size(plan.memory as f64));
            let queue = plan.queue.map(|queue| format!(", queue {}", size(queue as f64)));
            let queue = queue.unwrap_or_default();
            writeln!(out, "{indent}    {}; {memory}{queue}", plan.about)?;
            if !plan.overload.is_empty() {
                writeln!(out, "{indent}    under overload: {}", plan.overload)?;
            }
            for note in &plan.notes {
                writeln!(out, "{indent}    {note}")?;
            }
        }
        None => writeln!(out, "{indent}    no framepipe tool; its memory is not known")?,
    }
    write_flows(stage, indent, out)?;
    let of_plan = stage.plan.iter().filter_map(|plan| plan.disk.as_ref());
    for disk in of_plan.chain(&stage.files) {
        writeln!(out, "{indent}    writes {}: {}", disk.file, stored(disk))?;
    }
    let of_plan = stage.plan.iter().flat_map(|plan| &plan.needs);
    for need in of_plan.chain(&stage.needs) {
        let state = need.problem.as_ref().map(|problem| format!("MISSING: {problem}"));
        let state = state.unwrap_or("ok".into());
        writeln!(out, "{indent}    needs {}: {state}", need.what)?;
    }
    stage.branches.iter().try_for_each(|branch| write_branch(branch, indent, out))
}

fn write_branch(branch: &Branch, indent: &str, out: &mut impl Write) -> Result<()> {
    let must = match branch.must {
        Some(true) => ", must have all",
        Some(false) => ", may miss some",
        None => "",
    };
    let queue = branch.queue.map(|queue| format!(", queue {}", size(queue as f64)));
    let overload = match branch.overload.as_str() {
        "" => String::new(),
        overload => format!(", under overload: {overload}"),
    };
    let (name, queue) = (&branch.name, queue.unwrap_or_default());
    writeln!(out, "{indent}    = {name}{must}{queue}{overload}")?;
    write_stages(&branch.stages, &format!("{indent}      "), out)
}

fn write_flows(stage: &Stage, indent: &str, out: &mut impl Write) -> Result<()> {
    let makes_records = stage.plan.as_ref().is_none_or(|plan| {
        matches!(plan.role.as_str(), "source" | "filter") || plan.output.is_some()
    });
    let Some(flows) = &stage.out else {
        let unknown = "which streams leave it is not known";
        return match makes_records && stage.plan.is_some() {
            true => writeln!(out, "{indent}    {unknown}; --rate STREAM=HZ:BYTES tells"),
            false => Ok(()),
        };
    };
    for flow in flows {
        writeln!(out, "{indent}    {}", stream(flow))?;
    }
    Ok(())
}

/// `glove: 217/s of 272 B, 76.9 kB/s, 277 MB/h`.
fn stream(flow: &Flow) -> String {
    let name = &flow.stream.name;
    let rate =
        flow.rate().map_or("unknown rate".into(), |hz| format!("{}/s", digits(hz)));
    let of = flow.size.map_or("unknown size".into(), size);
    let batch = match flow.batch {
        batch if batch > 1.0 => format!(", {} in a batch", digits(batch)),
        _ => String::new(),
    };
    let bytes = match flow.bytes_per_second() {
        Some(bytes) => format!("{}/s, {}/h", size(bytes), size(bytes * 3600.0)),
        None => "unknown bytes".into(),
    };
    format!("{name}: {rate} of {of}{batch}, {bytes}")
}

fn stored(disk: &Disk) -> String {
    match disk.stored_per_second() {
        Some(bytes) => format!("{}/h ({})", size(bytes * 3600.0), disk.assumption),
        None => "unknown bytes".into(),
    }
}

fn write_totals(totals: &Totals, out: &mut impl Write) -> Result<()> {
    write!(out, "memory: at most {}", size(totals.memory as f64))?;
    match totals.unknown_memory {
        0 => writeln!(out)?,
        n => writeln!(out, ", and that of {n} other programs")?,
    }
    if let Some(seconds) = totals.seconds {
        writeln!(out, "ends after {}", time(seconds))?;
    }
    for disk in &totals.disks {
        writeln!(out, "disk: {}", disk_line(disk, totals.seconds))?;
    }
    match totals.missing.is_empty() {
        true => writeln!(out, "ready: nothing is missing"),
        false => {
            let mut lines = totals.missing.iter();
            lines.try_for_each(|what| writeln!(out, "MISSING: {what}"))
        }
    }
}

fn disk_line(disk: &DiskTotal, seconds: Option<f64>) -> String {
    let (files, free) = (disk.files.join(", "), size(disk.free as f64));
    let kept = match disk.min_free {
        0 => String::new(),
        bytes => format!(", {} of it to be left", size(bytes as f64)),
    };
    let lasts = match (disk.lasts_seconds, disk.bytes_per_hour) {
        (Some(lasts), Some(bytes)) => {
            let needed =
                seconds.map(|s| format!(", {} in all", size(bytes * s / 3600.0)));
            let enough = disk.is_enough(seconds);
            let enough = if enough { "lasts" } else { "NOT ENOUGH: lasts" };
            let needed = needed.unwrap_or_default();
            format!("{}/h{needed}: {enough} {}", size(bytes), time(lasts))
        }
        _ => "how long that lasts is not known".into(),
    };
    format!("{files}: {free} free{kept}, {lasts}")
}

/// A word as it must be written.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%".contains(c);
    match word {
        "" => "(…)".into(),
        _ if word.chars().all(plain) => word.into(),
        _ => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Bytes, in the unit that suits them.
fn size(bytes: f64) -> String {
    let (scaled, unit) = match bytes {
        _ if bytes < 1e3 => (bytes, "B"),
        _ if bytes < 1e6 => (bytes / 1e3, "kB"),
        _ if bytes < 1e9 => (bytes / 1e6, "MB"),
        _ if bytes < 1e12 => (bytes / 1e9, "GB"),
        _ => (bytes / 1e12, "TB"),
    };
    format!("{} {unit}", digits(scaled))
}

/// Three digits, without zeros that say nothing.
fn digits(value: f64) -> String {
    let places = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}

fn time(seconds: f64) -> String {
    let (m, h) = (seconds / 60.0, seconds / 3600.0);
    match h {
        _ if seconds < 120.0 => format!("{} s", digits(seconds)),
        _ if m < 120.0 => format!("{} min", digits(m)),
        _ if h < 48.0 => format!("{} h", digits(h)),
        _ if h < 24.0 * 730.0 => format!("{} days", digits(h / 24.0)),
        _ => format!("{} years", digits(h / 24.0 / 365.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!((size(76_900.0), size(272.0)), ("76.9 kB".into(), "272 B".into()));
        assert_eq!(time(90_000.0), "25 h");
        assert_eq!(digits(217.0), "217");
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
