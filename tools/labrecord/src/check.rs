//! What `--check` tells: who is there, who is missing, and what files would be called.

use std::io::Write as _;

use anyhow::{Context as _, Result, anyhow, bail};
use libframe::clock::SECOND;
use libframe::tool::{Conductor, TextOut};

use crate::Args;
use crate::choice::Wanted;
use crate::config::Config;
use crate::roster::{self, Seen};
use crate::{desk, setup};

pub(crate) fn check(
    args: &Args,
    config: &Config,
    conductor: &Conductor<'_>,
) -> Result<()> {
    let pipeline = setup::pipeline(args, config);
    let study = setup::study(args, config)?;
    let names = study.next(desk::is_free).map_err(|why| anyhow!(why))?;
    let until = conductor.clock().now().saturating_add(args.wait);
    let (seen, missing) = loop {
        let seen = roster::look(&pipeline.list()).map_err(|why| anyhow!(why))?;
        let missing = roster::missing(&pipeline.required, &seen);
        let over = !conductor.is_running() || conductor.clock().now() >= until;
        if missing.is_empty() || over {
            break (seen, missing);
        }
        conductor.wait(&[], conductor.clock().now() + SECOND / 10)?;
    };
    let mut text = String::new();
    for stream in &seen {
        text += &format!(
            "found\t{} ({}){}\n",
            stream.name,
            stream.host,
            note(stream, &pipeline)
        );
    }
    missing.iter().for_each(|name| text += &format!("missing\t{name}\n"));
    let files = names.files.iter().map(|(_, path)| format!("file\t{}\n", path.display()));
    text.extend(files);
    let mut stdout = TextOut::stdout()?;
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("stdout")?;
    match missing.is_empty() {
        true => Ok(()),
        false => bail!("missing: {}", missing.join(", ")),
    }
}

fn note(stream: &Seen, pipeline: &crate::pipeline::Pipeline) -> &'static str {
    let is = |name: &String| Wanted::parse(name).is(&stream.name, &stream.host);
    if pipeline.required.iter().any(is) { "\trequired" } else { "" }
}
