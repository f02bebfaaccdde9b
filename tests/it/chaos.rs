//! `scripts/chaos` itself: what says that every sample is accounted for must be able to say
//! that one is not.

use std::process::{Command, Output};

use framepipe_tests::{binary, root};

fn chaos(options: &str) -> Output {
    let tools = binary("to-h5").parent().unwrap().to_owned();
    let mut command = Command::new(root().join("scripts/chaos"));
    command.args(options.split_whitespace()).env("TOOLS_BIN_DIR", tools);
    command.output().unwrap()
}

#[test]
fn a_stolen_record_is_found_in_every_recording() {
    let output = chaos("--rounds 2 --shape line --fault steal");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("chaos: 2 rounds, 2 failed"), "{text}");
    assert!(text.contains("nobody owns up to losses"), "{text}");
}

#[test]
fn a_pipeline_that_nobody_harms_loses_nothing() {
    let output = chaos("--rounds 4 --shape line --fault nothing");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("chaos: 4 rounds, 0 failed"), "{text}");
    assert!(text.contains(" 0 explained, 0 beyond"), "{text}");
}
