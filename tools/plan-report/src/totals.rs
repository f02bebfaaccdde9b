//! What all stages take together, and what is missing.

use std::collections::BTreeMap;

use libframe::tool::{Disk, Need};
use serde::Serialize;

use crate::tree::Stage;

/// The sums.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Totals {
    /// The most memory of all tools, and how many stages are not counted.
    pub(crate) memory: u64,
    pub(crate) unknown_memory: u64,
    pub(crate) disks: Vec<DiskTotal>,
    /// When it would end by itself, seconds.
    pub(crate) seconds: Option<f64>,
    /// What is not there.
    pub(crate) missing: Vec<String>,
}

/// What would be written to one file system.
#[derive(Debug, Default, Serialize)]
pub(crate) struct DiskTotal {
    pub(crate) files: Vec<String>,
    pub(crate) bytes_per_hour: Option<f64>,
    pub(crate) free: u64,
    pub(crate) min_free: u64,
    /// How long there is room.
    pub(crate) lasts_seconds: Option<f64>,
}

impl Totals {
    pub(crate) fn new(pipelines: &[Vec<Stage>]) -> Totals {
        let mut totals = Totals::default();
        let mut disks = BTreeMap::new();
        for stage in pipelines.iter().flatten() {
            totals.add(stage, &mut disks);
        }
        let ends = pipelines.iter().filter_map(|stages| {
            stages
                .iter()
                .filter_map(|stage| stage.plan.as_ref()?.seconds)
                .reduce(f64::min)
        });
        totals.seconds = ends.reduce(f64::max);
        totals.disks = disks.into_values().map(DiskTotal::finish).collect();
        for disk in totals.disks.iter().filter(|disk| !disk.is_enough(totals.seconds)) {
            let problem = "the disk has less free space than that takes";
            totals.missing.push(format!("room for {}: {problem}", disk.files.join(", ")));
        }
        totals
    }

    fn add(&mut self, stage: &Stage, disks: &mut BTreeMap<u64, DiskTotal>) {
        match &stage.plan {
            Some(plan) => self.memory = self.memory.saturating_add(plan.memory),
            None => self.unknown_memory += 1,
        }
        let name = stage.command.first().map_or("", String::as_str);
        let of_plan = stage.plan.iter().flat_map(|plan| &plan.needs);
        for Need { what, problem } in of_plan.chain(&stage.needs) {
            if let Some(problem) = problem {
                self.missing.push(format!("{name}: {what}: {problem}"));
            }
        }
        let of_plan = stage.plan.iter().filter_map(|plan| plan.disk.as_ref());
        for disk in of_plan.chain(&stage.files) {
            disks.entry(disk.device).or_insert_with(|| DiskTotal::new(disk)).add(disk);
        }
        for stage in stage.branches.iter().flat_map(|branch| &branch.stages) {
            self.add(stage, disks);
        }
    }
}

impl DiskTotal {
    fn new(disk: &Disk) -> DiskTotal {
        DiskTotal { free: disk.free, bytes_per_hour: Some(0.0), ..DiskTotal::default() }
    }

    fn add(&mut self, disk: &Disk) {
        self.files.push(disk.file.clone());
        self.min_free = self.min_free.max(disk.min_free);
        let more = disk.stored_per_second().map(|bytes| bytes * 3600.0);
        self.bytes_per_hour = self.bytes_per_hour.zip(more).map(|(sum, more)| sum + more);
    }

    /// Whether there is room for so long, or for any time.
    pub(crate) fn is_enough(&self, seconds: Option<f64>) -> bool {
        let lasts = self.lasts_seconds.unwrap_or(f64::INFINITY);
        self.free > self.min_free && lasts >= seconds.unwrap_or(0.0)
    }

    fn finish(mut self) -> DiskTotal {
        let room = self.free.saturating_sub(self.min_free) as f64;
        let rate = self.bytes_per_hour.filter(|bytes| *bytes > 0.0);
        self.lasts_seconds = rate.map(|bytes| room / bytes * 3600.0);
        self
    }
}
