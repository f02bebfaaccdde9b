//! What XDF files hold, and how long it took to find out:
//! `cargo run --release -p libframe-xdf --example survey -- FILE…`

#![allow(clippy::print_stdout, reason = "an example of a program, not of a tool")]

use std::path::Path;

use libframe::clock::{Clock, cpu_time};
use libframe_xdf::{ReadError, survey};

fn main() -> Result<(), ReadError> {
    for path in std::env::args().skip(1) {
        let (clock, cpu) = (Clock::system(), cpu_time());
        let began = clock.now();
        let survey = survey(Path::new(&path))?;
        let (took, cpu) = (clock.now() - began, cpu_time() - cpu);
        let [took, cpu] = [took, cpu].map(|ns| ns as f64 / 1e9);
        println!("{path}: {} bytes in {took:.3} s, {cpu:.3} s of CPU", survey.len);
        for stream in &survey.streams {
            let (name, n, chunks) = (stream.name(), stream.samples, stream.chunks);
            println!("  {}: {name}: {n} samples, {chunks} chunks", stream.stream);
        }
        for damage in &survey.damage {
            println!(
                "  damaged: {} bytes at {}: {}",
                damage.bytes, damage.offset, damage.why
            );
        }
    }
    Ok(())
}
