//! The stages of pipelines with all that is known of each, branches within them.

use std::path::{Path, PathBuf};

use libframe::tool::{Disk, Flow, Need, Plan, Usage, find_program};
use serde::Serialize;

use crate::ask;
use crate::rates::Rate;
use crate::shell::{self, Command, Pipeline};

/// Programs that pass on what they read; the files of `tee` are written as well.
const PASSING: [&str; 4] = ["cat", "mbuffer", "pv", "tee"];
/// What the shell does itself.
const BUILT_IN: [&str; 6] = [":", "cd", "exec", "set", "trap", "wait"];

/// A stage.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Stage {
    /// What is written.
    pub(crate) command: Vec<String>,
    /// What its tool says; null for other programs.
    pub(crate) plan: Option<Plan>,
    /// Streams that leave it; null if that is not known.
    pub(crate) out: Option<Vec<Flow>>,
    /// What it must have, beside what is in the plan.
    pub(crate) needs: Vec<Need>,
    /// Files that are written beside that of the plan.
    pub(crate) files: Vec<Disk>,
    pub(crate) branches: Vec<Branch>,
}

/// A pipeline that hangs on a stage.
#[derive(Debug, Serialize)]
pub(crate) struct Branch {
    pub(crate) name: String,
    /// Whether it is waited for; null for a process substitution, which the kernel joins.
    pub(crate) must: Option<bool>,
    pub(crate) queue: Option<u64>,
    pub(crate) overload: String,
    pub(crate) stages: Vec<Stage>,
}

/// Asks all stages, in order.
pub(crate) fn stages(
    pipeline: &Pipeline,
    before: Option<Vec<Flow>>,
    rates: &[Rate],
) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for command in pipeline {
        let known = match (&command.reads, stages.last()) {
            (Some(_), _) => None,
            (None, Some(stage)) => stage.out.clone(),
            (None, None) => before.clone(),
        };
        // The first stage reads none, unless it is of a branch or reads a file.
        let reads = !stages.is_empty() || before.is_some() || command.reads.is_some();
        let flows = known.or_else(|| Rate::supplied(rates)).filter(|_| reads);
        stages.push(Stage::new(command, flows, rates));
    }
    stages
}

impl Stage {
    fn new(command: &Command, flows: Option<Vec<Flow>>, rates: &[Rate]) -> Stage {
        let mut stage = Stage { command: command.words.clone(), ..Stage::default() };
        if let Some(file) = &command.reads {
            stage.needs.push(Need::file(Path::new(file)));
        }
        let inputs = command.inputs.iter().map(|pipeline| stages(pipeline, None, rates));
        let inputs: Vec<_> = inputs.collect();
        stage.ask(flows, rates);
        stage.out = stage.out.take().map(|flows| Rate::apply(rates, flows));
        if let Some(file) = &command.writes {
            stage.write(file);
        }
        let named = |name: &str, stages| Branch {
            name: name.into(),
            must: None,
            queue: None,
            overload: String::new(),
            stages,
        };
        stage.branches.extend(inputs.into_iter().map(|stages| named("input", stages)));
        for pipeline in &command.outputs {
            let stages = stages(pipeline, stage.out.clone(), rates);
            stage.branches.push(named("output", stages));
        }
        stage
    }

    /// Asks the tool, or tells what is known of another program.
    fn ask(&mut self, flows: Option<Vec<Flow>>, rates: &[Rate]) {
        let Some((program, words)) = self.command.split_first() else { return };
        let Some(path) = find_program(program) else {
            if !BUILT_IN.contains(&program.as_str()) {
                self.needs.push(Need::program(program));
            }
            return;
        };
        if !ask::is_tool(&path) {
            return self.pass(flows);
        }
        // A pipeline in the place of a file is one that can be read.
        let words: Vec<String> = words
            .iter()
            .map(|word| if word.is_empty() { "/dev/null".into() } else { word.clone() })
            .collect();
        let before = Plan { output: flows, ..Plan::default() };
        match ask::plan(&path, &words, Some(&before)) {
            Ok(plan) => self.take(plan, rates),
            Err(err) => {
                let what = "to start".into();
                self.needs.push(Need { what, problem: Some(format!("{err:#}")) });
            }
        }
    }

    fn take(&mut self, plan: Plan, rates: &[Rate]) {
        self.out.clone_from(&plan.output);
        let known = |flows: &Option<Vec<Flow>>| flows.clone().or(Rate::supplied(rates));
        for branch in &plan.branches {
            let flows = known(&plan.output).or(known(&plan.input));
            let stages = match branch_stages(&branch.command, flows, rates) {
                Ok(stages) => stages,
                Err(err) => {
                    let what = format!("branch {}", branch.name);
                    self.needs.push(Need { what, problem: Some(err.to_string()) });
                    Vec::new()
                }
            };
            self.branches.push(Branch {
                name: branch.name.clone(),
                must: Some(branch.must),
                queue: Some(branch.queue),
                overload: branch.overload.clone(),
                stages,
            });
        }
        self.plan = Some(plan);
    }

    /// A program that is no tool of ours.
    fn pass(&mut self, flows: Option<Vec<Flow>>) {
        let name = self.command.first().map(PathBuf::from);
        let name = name.as_ref().and_then(|path| path.file_name()?.to_str());
        let Some(name) = name.filter(|name| PASSING.contains(name)) else { return };
        self.out = flows;
        let files = self.command.iter().skip(1);
        let files: Vec<_> = files
            .filter(|word| !word.is_empty() && !word.starts_with('-'))
            .cloned()
            .collect();
        for file in files {
            match name {
                "tee" => self.write(&file),
                "cat" => {
                    self.needs.push(Need::file(Path::new(&file)));
                    self.out = None;
                }
                _ => {}
            }
        }
    }

    /// What leaves the stage goes to a file.
    fn write(&mut self, file: &str) {
        let path = Path::new(file);
        // A device is no place that fills up.
        if path.exists() && !path.is_file() {
            return;
        }
        self.needs.push(Need::new_file(path, true));
        let bytes = |flows: &Vec<Flow>| {
            flows.iter().map(Flow::bytes_per_second).sum::<Option<f64>>()
        };
        let bytes_per_second = self.out.as_ref().and_then(bytes);
        let assumption = "as in the pipe".into();
        if let Ok(disk) = Disk::of(path) {
            self.files.push(Disk { bytes_per_second, assumption, ..disk });
        }
    }
}

fn branch_stages(
    command: &str,
    flows: Option<Vec<Flow>>,
    rates: &[Rate],
) -> Result<Vec<Stage>, Usage> {
    let pipelines = shell::parse(command)?;
    Ok(pipelines
        .iter()
        .flat_map(|pipeline| stages(pipeline, flows.clone(), rates))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_branches_of_a_plan_are_asked_too() {
        let branch = |name: &str, command: &str, must| libframe::tool::Branch {
            name: name.into(),
            command: command.into(),
            must,
            queue: 5,
            overload: "drops the oldest".into(),
        };
        let branches = vec![
            branch("disk", "cat | no-such 'a b'", true),
            branch("odd", "a '", false),
        ];
        let output = Some(vec![Flow::default()]);
        let mut stage = Stage::default();
        stage.take(Plan { branches, output, ..Plan::default() }, &[]);
        let [disk, odd] = &stage.branches[..] else { panic!("{stage:?}") };
        assert_eq!((disk.must, disk.queue, disk.stages.len()), (Some(true), Some(5), 2));
        assert_eq!(disk.stages[0].out.as_ref().map(Vec::len), Some(1));
        assert_eq!(disk.stages[1].command, ["no-such", "a b"]);
        assert!(disk.stages[1].needs[0].problem.is_some());
        assert_eq!((odd.must, odd.stages.len()), (Some(false), 0));
        assert!(stage.needs[0].problem.as_ref().is_some_and(|why| why.contains("quote")));
    }
}
