//! From the command line and LabRecorder's configuration to what is to be done. The command
//! line has the last word.

use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use libframe::tool::{Conductor, Usage};

use crate::Args;
use crate::choice::Choice;
use crate::config::{self, Config};
use crate::control::{Control, PORT};
use crate::desk::{Setup, folder};
use crate::pipeline::Pipeline;
use crate::study::{Form, Study};
use crate::template::{Labels, Template};

/// Reads a configuration.
pub(crate) fn configuration(path: Option<&Path>) -> Result<Config> {
    let Some(path) = path else { return Ok(Config::default()) };
    let context = || path.display().to_string();
    let mut text = String::new();
    let file = File::open(path).with_context(context)?;
    file.take(config::MAX_BYTES).read_to_string(&mut text).with_context(context)?;
    config::parse(&text).map_err(|why| anyhow!("{}: {why}", path.display()))
}

/// The study: what recordings are called.
pub(crate) fn study(args: &Args, config: &Config) -> Result<Study> {
    let usage = |why: String| anyhow!(Usage(why));
    let root = args.root.as_deref().map(Path::to_string_lossy);
    let root = root.as_deref().or(config.study_root.as_deref()).unwrap_or(".");
    let template = args.template.as_deref().or(config.path_template.as_deref());
    let usual = Labels::default();
    let or = |given: &Option<String>, usual: Option<&String>, last: String| {
        given.clone().or(usual.cloned()).unwrap_or(last)
    };
    let labels = Labels {
        participant: or(&args.participant, None, usual.participant),
        session: or(&args.session, None, usual.session),
        task: or(&args.task, config.blocks.first(), usual.task),
        acquisition: or(&args.acquisition, None, usual.acquisition),
        modality: or(&args.modality, config.modalities.first(), usual.modality),
    };
    let forms = match (args.xdf, args.h5) {
        (true, true) => vec![Form::Xdf, Form::H5],
        (false, true) => vec![Form::H5],
        (_, false) => vec![Form::Xdf],
    };
    Ok(Study {
        root: folder(root).map_err(usage)?,
        template: Template::parse(template.unwrap_or("bids")).map_err(usage)?,
        labels,
        run: args.run,
        forms,
    })
}

/// The tools' command lines, as far as all recordings share them.
pub(crate) fn pipeline(args: &Args, config: &Config) -> Pipeline {
    Pipeline {
        predicates: Vec::new(),
        required: [&args.required[..], &config.required[..]].concat(),
        wait: args.wait,
        for_source: Vec::new(),
        for_all: Vec::new(),
        options: args.options.clone(),
        mays: args.mays.clone(),
    }
}

/// All of it; listens already, since who cannot should not begin.
pub(crate) fn setup(
    args: &Args,
    config: &Config,
    conductor: &Conductor<'_>,
) -> Result<Setup> {
    let mut pipeline = pipeline(args, config);
    pipeline.for_source.extend(conductor.words_for_source());
    pipeline.for_all = conductor.words_for_all();
    let control = address(args, config);
    let control = control.map(|address| Control::open(address, args.bare_answers));
    let control = control.transpose()?;
    if let (Some(control), Some(file)) = (&control, &args.port_file) {
        let text = format!("{}\n", control.address()?);
        let part = file.with_extension("part");
        std::fs::write(&part, text)
            .and_then(|()| std::fs::rename(&part, file))
            .with_context(|| format!("--port-file {}", file.display()))?;
    }
    Ok(Setup {
        study: study(args, config)?,
        choice: Choice::new(args.queries.clone()),
        pipeline,
        auto_start: control.is_none() || args.auto_start || config.auto_start,
        control,
    })
}

/// Where remote control is, if anywhere.
pub(crate) fn address(args: &Args, config: &Config) -> Option<SocketAddr> {
    let by_config = || {
        let port = config.port.unwrap_or(PORT);
        config.control.unwrap_or(false).then(|| (Ipv4Addr::LOCALHOST, port).into())
    };
    args.control.or_else(by_config)
}
