//! The textfile for node_exporter.

use std::fs;

use framepipe_tests::{Scratch, pipe};
use libframe::clock::{Clock, SECOND};

use super::http::{Page, until};
use super::made;

#[test]
fn a_textfile_is_whole_at_any_time_and_has_the_end_at_last() {
    let line = "sim-src sine glove --rate 2000 --duration 2s \
                | to-metrics --textfile {new}/x.prom --refresh 100ms";
    let started = pipe(line).start();
    let file = started.scratch().file("x.prom");
    until("the file", || fs::exists(&file).unwrap());
    let (began, mut seen, mut pages) = (Clock::system().now(), String::new(), 0);
    while Clock::system().now() - began < SECOND {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.ends_with("framepipe_build_info{version=\"0.1.0\"} 1\n"), "{text}");
        pages += u64::from(text != seen);
        seen = text;
    }
    assert!(pages > 3, "{pages}");
    let folder = started.scratch().0.clone();
    let run = started.wait();
    run.expect(&[0, 0]).expect_silence();
    let page = Page::read(&fs::read_to_string(&file).unwrap());
    page.expect("framepipe_input_over", 1.0)
        .expect("framepipe_sessions_ended_total", 1.0);
    page.expect(
        "framepipe_stream_samples_total{stream=\"sine\"}",
        page.get("framepipe_stage_output_samples_total{stage=\"sim-src\",index=\"0\"}")
            .unwrap()
            / 2.0,
    );
    // What depends on when it is read is not in it, nor what nobody could ask.
    assert!(!page.text.contains("_age_seconds{stream"), "{}", page.text);
    assert!(!page.text.contains("framepipe_exporter"), "{}", page.text);
    let names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["x.prom"]);
}

#[test]
fn with_a_textfile_nothing_listens_unless_asked_to() {
    let desk = Scratch::new();
    let file = desk.file("x.prom");
    let whole = made("sim-src sine -n 3 --rate max");
    let line = format!("to-metrics --textfile {file} -v");
    let run = pipe(&line).input(&whole[..]).run();
    run.expect(&[0]).expect_silence();
    let line = format!("to-metrics --textfile {file} --port-file {}", desk.file("port"));
    pipe(&line).input(&whole[..]).run().expect(&[2]).expect_stderr(0, "name ADDR");
    let line = format!("to-metrics 0 -v --textfile {file}");
    let run = pipe(&line).input(&whole[..]).run();
    run.expect(&[0]).expect_stderr(0, "listening on");
}

#[test]
fn a_textfile_that_cannot_be_is_told_at_once() {
    let run = pipe("to-metrics --textfile /tmp/metrics.txt").run();
    run.expect(&[2]).expect_stderr(0, "does not end in .prom");
    let run = pipe("to-metrics --textfile /no/such/x.prom").run();
    run.expect(&[1]).expect_stderr(0, "/no/such/x.prom: No such file");
}

#[test]
fn a_textfile_that_can_be_no_more_is_told_and_the_pipe_goes_on() {
    let desk = Scratch::new();
    let folder = desk.file("folder");
    fs::create_dir(&folder).unwrap();
    let line = format!(
        "sim-src sine --rate 1000 | to-metrics --textfile {folder}/x.prom --refresh 100ms"
    );
    let mut started = pipe(&line).start();
    until("the file", || fs::exists(format!("{folder}/x.prom")).unwrap());
    fs::remove_dir_all(&folder).unwrap();
    started.until_stderr(1, "No such file");
    assert!(started.is_running(1));
    fs::create_dir(&folder).unwrap();
    until("the file again", || fs::exists(format!("{folder}/x.prom")).unwrap());
    started.signal(0, rustix::process::Signal::TERM);
    started.wait().expect(&[0, 0]);
}
