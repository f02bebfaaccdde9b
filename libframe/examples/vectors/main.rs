//! Writes the golden vectors: `cargo run --example vectors -- DIRECTORY`.
//!
//! A vector is a stream, `NAME.frames`, and what a reader must find in it, `NAME.json`.
//! Together with the specification they are for whoever writes another implementation.

mod bad;
mod cases;
mod good;
mod statement;

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors");
    let root = env::args_os().nth(1).map_or_else(|| here.into(), PathBuf::from);
    for (folder, cases) in [("ok", good::ok()), ("bad", bad::bad())] {
        let folder = root.join(folder);
        fs::create_dir_all(&folder)?;
        for case in cases {
            let path = folder.join(case.name);
            let json = statement::of(case.about, &case.bytes);
            fs::write(path.with_extension("frames"), &case.bytes)?;
            fs::write(path.with_extension("json"), statement::text(&json))?;
        }
    }
    Ok(())
}
