//! What files are called: nothing that is there is ever touched, and LabRecorder's own
//! configuration is heeded.

use std::fs;

use framepipe_tests::pipe;

use super::rig::Rig;

#[test]
fn what_is_there_is_left_alone_and_the_next_number_is_taken() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100"]) else { return };
    fs::create_dir(rig.folder.0.join("exp001")).unwrap();
    fs::write(rig.folder.0.join("exp001/x.h5"), "precious").unwrap();
    fs::write(rig.folder.0.join("plain.xdf"), "precious too").unwrap();
    rig.record("--template exp%n/x.xdf --duration 1s").run().expect(&[0]);
    rig.record("--template exp%n/x.xdf --duration 1s --h5").run().expect(&[0]);
    rig.record("--template plain.xdf --duration 1s").run().expect(&[0]);
    let files =
        ["exp001/x.h5", "exp001/x.xdf", "exp002/x.h5", "plain-001.xdf", "plain.xdf"];
    assert_eq!(rig.files(), files);
    let text = |file: &str| fs::read_to_string(rig.folder.file(file)).unwrap();
    assert_eq!(
        (text("exp001/x.h5").as_str(), text("plain.xdf").as_str()),
        ("precious", "precious too")
    );
}

#[test]
fn the_configuration_of_labrecorder_is_heeded() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100"]) else { return };
    let root = rig.folder.0.display();
    let config = format!(
        "StudyRoot={root}/study\nPathTemplate=exp%n\\block_%b.xdf\nSessionBlocks=\"Train\", \"Test\"\n\
         RequiredStreams=\"EEG\"\nOnlineSync=\"EEG (x) post_ALL\"\nRCSEnabled=0\n"
    );
    fs::write(rig.folder.file("lab.cfg"), config).unwrap();
    let line = format!("labrecord -v -c {root}/lab.cfg --duration 1s");
    let run = rig.lab.pipe(&line).run();
    run.expect(&[0]).expect_stderr(0, "OnlineSync is not needed");
    assert!(
        rig.files().contains(&"study/exp001/block_Train.xdf".into()),
        "{:?}",
        rig.files()
    );
    let line = format!("labrecord -c {root}/lab.cfg --duration 1s --task Test --run 5");
    rig.lab.pipe(&line).run().expect(&[0]).expect_silence();
    assert!(
        rig.files().contains(&"study/exp005/block_Test.xdf".into()),
        "{:?}",
        rig.files()
    );
}

#[test]
fn what_cannot_be_a_name_is_refused_before_anything_is_started() {
    for (options, why) in [
        ("--template ../x.xdf", "'..'"),
        ("--template /x.xdf", "below the root"),
        ("--template %Y.xdf", "no placeholder %Y"),
        ("--participant a/b", "no label"),
        ("--root 'C:\\Data'", "no folder of this machine"),
        ("--run 0", "0"),
        ("--control=host:port", "no port"),
        ("--with 'rm -rf'", "names no tool"),
    ] {
        let run = pipe(&format!("labrecord {options}")).run();
        run.expect(&[2]).expect_stderr(0, why);
    }
    pipe("labrecord -c /no/such.cfg")
        .run()
        .expect(&[1])
        .expect_stderr(0, "/no/such.cfg: ");
    let run = pipe("labrecord --plan --participant P7 --xdf --h5").run();
    let notes = run.json()[0]["notes"].to_string();
    assert!(notes.contains("sub-P7_ses-S001_task-Default_run-001_eeg.h5"), "{notes}");
}
