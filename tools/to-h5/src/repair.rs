//! A recording in HDF5 that broke off, brought up to date where it is.

use anyhow::Result;
use libframe::tool::{Account, Voice};

use crate::Args;

pub(crate) fn repair(args: Args, voice: &Voice, account: &mut Account) -> Result<()> {
    let repair = libframe_record::repair(&args.file)?;
    let name = args.file.display();
    for (stream, before, after) in &repair.streams {
        let added = after - before;
        voice.tell(&format!("{name}: {stream}: {before} samples, {added} added"));
    }
    if repair.is_nothing() {
        voice.detail(&format!("{name}: is complete, nothing to do"));
    }
    if repair.damaged > 0 {
        let bytes = repair.damaged;
        account.add_broken(format!("{name}: {bytes} bytes of its journal are damaged"));
    }
    Ok(())
}
