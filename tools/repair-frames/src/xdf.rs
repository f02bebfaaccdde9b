//! Recordings in XDF, brought to their end where they are.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use libframe::tool::{Account, Usage, Voice};
use libframe_xdf::chunk::MAGIC;
use libframe_xdf::repair;

use crate::Args;

/// Whether this is the path of a recording in XDF: by its first bytes, or by its name where
/// those are damaged.
pub(crate) fn made(path: &Path) -> bool {
    let mut bytes = [0; MAGIC.len()];
    let Ok(mut file) = File::open(path) else { return false };
    let begins = file.read_exact(&mut bytes).is_ok() && bytes == MAGIC;
    begins || path.extension().is_some_and(|ending| ending == "xdf")
}

pub(crate) fn mend(args: Args, voice: &Voice, account: &mut Account) -> Result<()> {
    if args.report.is_some() {
        let hint = "--report is for recordings in the pipe's format";
        return Err(Usage(hint.into()).into());
    }
    let Some(path) = args.file else { return Ok(()) };
    let name = path.display();
    let repair = repair(&path).with_context(|| name.to_string())?;
    if let Some((offset, bytes, tail)) = &repair.cut {
        let tail = tail.display();
        voice.tell(&format!(
            "{name}: {bytes} bytes cut off at byte {offset}, kept in {tail}"
        ));
        account.add_broken(format!("{name}: its last {bytes} bytes are no whole chunk"));
    }
    for (stream, number, samples) in &repair.footers {
        voice.tell(&format!(
            "{name}: {stream}: footer added, {samples} samples ({number})"
        ));
    }
    for damage in &repair.damage {
        let (offset, bytes, why) = (damage.offset, damage.bytes, &damage.why);
        voice.tell(&format!("{name}: {bytes} bytes at byte {offset}: {why}"));
    }
    if repair.is_nothing() {
        voice.detail(&format!("{name}: is complete, nothing to do"));
    }
    if let (1.., bytes) = repair.damaged {
        let places = repair.damaged.0;
        let what =
            format!("{name}: damaged, places: {places}, unreadable bytes: {bytes}");
        account.add_broken(what);
    }
    if let n @ 1.. = repair.undescribed {
        let what =
            format!("{name}: {n} samples are of streams whose header is not readable");
        account.add_broken(what);
    }
    Ok(())
}
