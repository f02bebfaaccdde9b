//! `zmq-src`, at publishers made with pyzmq.

mod lines;
mod others;
mod rig;
mod truth;

use libframe::payload::{Gap, Reason, Value};
use libframe::schema::{Dtype, Stream};

use self::rig::{
    Rig, Sample, events, expect_values, gaps, number, samples, stop_after, value,
};

const RHYTHM: &str = "Rhythm Data";

#[test]
fn two_channels_with_a_message_lost_between_them_stay_aligned() {
    let Some(mut rig) = Rig::new() else { return };
    let capture = rig.capture("");
    // Blocks of 300, 480 and 17 samples; the second message of the second is lost.
    rig.block(&[4, 6], 0, 300);
    rig.data(4, 300, 480);
    rig.order(&["skip"]);
    rig.block(&[4, 6], 780, 17);
    rig.block(&[4, 6], 797, 480);
    let run = stop_after(capture, 797 + 480 + 4);
    run.expect(&[3]);
    let got = samples(&run, RHYTHM);
    assert_eq!(got.len(), 1277);
    assert!(got.iter().zip(0..).all(|(s, n)| (s.seq, s.number) == (n, n)));
    let lost: Vec<_> = (300..780).map(|n| (n, 6)).collect();
    expect_values(&got, &[4, 6], &lost);
    assert_eq!(gaps(&run), [(300, None, Some(480), vec![1])]);
    let streams = run.payloads::<Stream>();
    let stream = streams.iter().find(|stream| stream.name == RHYTHM).unwrap();
    let labels: Vec<_> = stream.channels.iter().map(|c| c.label.as_str()).collect();
    assert_eq!((labels.as_slice(), &stream.shape[..]), (&["CH5", "CH7"][..], &[2][..]));
    assert_eq!((stream.dtype, stream.rate), (Some(Dtype::F32), Some(30_000.0)));
    assert_eq!(stream.meta["channel_num"], "4,6");
    assert_eq!(stream.channels[0].unit, "uV");
    assert_eq!(stream.device.port, format!("tcp://127.0.0.1:{}", rig.port));
    assert_eq!((stream.version, stream.stamp.as_str()), (0, "arrival-fitted"));
}

#[test]
fn lost_blocks_are_gaps_where_they_were_and_drop_leaves_out_what_is_not_whole() {
    let Some(mut rig) = Rig::new() else { return };
    let capture = rig.capture("--missing drop --no-arrivals");
    rig.block(&[0, 1], 0, 10);
    rig.data(0, 10, 10);
    rig.order(&["skip"]);
    rig.block(&[0, 1], 20, 10);
    (0..4).for_each(|_| drop(rig.order(&["skip"])));
    rig.block(&[0, 1], 50, 10);
    let run = stop_after(capture, 30);
    run.expect(&[3]);
    let got = samples(&run, RHYTHM);
    let numbers: Vec<u64> = got.iter().map(|sample| sample.number).collect();
    assert_eq!(
        numbers,
        [(0..10), (20..30), (50..60)].into_iter().flatten().collect::<Vec<_>>()
    );
    expect_values(&got, &[0, 1], &[]);
    assert!(got.iter().all(|sample| sample.seq == sample.number));
    let whole = [(10, Some(10), None, vec![]), (30, Some(20), None, vec![])];
    assert_eq!(gaps(&run), whole);
}

#[test]
fn a_block_of_as_many_samples_as_channels_is_not_turned_over() {
    let Some(mut rig) = Rig::new() else { return };
    let capture = rig.capture("-n 12");
    let channels = [0, 1, 2, 3];
    (0..4).for_each(|n| rig.block(&channels, 4 * n, 4));
    let run = capture.wait();
    run.expect(&[0]).expect_silence();
    let got = samples(&run, RHYTHM);
    assert_eq!(got.len(), 12);
    expect_values(&got, &channels, &[]);
}

#[test]
fn channels_that_come_and_go_open_new_versions_without_a_restart() {
    let Some(mut rig) = Rig::new() else { return };
    let capture = rig.capture("");
    for n in 0..4 {
        rig.block(&[0, 1], 5 * n, 5);
    }
    // In one piece, so that no channel comes after its block has gone out.
    for n in 4..8 {
        rig.block(&[0, 1, 2], 5 * n, 5);
    }
    for n in 8..12 {
        rig.block(&[1], 5 * n, 5);
    }
    let run = stop_after(capture, 12 * 6);
    let got = samples(&run, RHYTHM);
    assert_eq!(got.len(), 60);
    // A channel that is new behind all others may come when its block is gone.
    let late = gaps(&run).len() as u64;
    assert!(late <= 1, "{:?}", gaps(&run));
    let third = 20 + 5 * late as usize;
    let parts = [(0..third, &[0, 1][..]), (third..40, &[0, 1, 2]), (40..60, &[1])];
    for (range, channels) in parts {
        expect_values(&got[range], channels, &[]);
    }
    let id = number(&run, RHYTHM);
    let mut versions: Vec<_> = run
        .payloads::<Stream>()
        .iter()
        .filter(|s| s.name == RHYTHM)
        .map(|s| s.version)
        .collect();
    versions.dedup();
    assert_eq!((versions, id), (vec![0, 1, 2], 1));
}

#[test]
fn what_contradicts_itself_is_told_once_and_its_samples_are_missing() {
    let Some(mut rig) = Rig::new() else { return };
    let capture = rig.capture("");
    let wrong = |size: &str| {
        format!(
            "{{\"message_num\": %, \"type\": \"data\", \"content\": {{\"stream\": \"Rhythm Data\", \
             \"channel_num\": 1, \"num_samples\": 2, \"sample_num\": 2, \"sample_rate\": 30000.0}}, \
             \"data_size\": {size}}}"
        )
    };
    rig.block(&[0, 1], 0, 2);
    rig.data(0, 2, 2);
    rig.send(&["DATA\\0", &wrong("7"), "zeros:8"]);
    rig.send(&["DATA\\0", &wrong("7"), "zeros:8"]);
    rig.send(&["DATA\\0", &wrong("5"), "zeros:5"]);
    rig.block(&[0, 1], 4, 2);
    rig.block(&[0, 1], 6, 2);
    let run = stop_after(capture, 12);
    run.expect(&[3]);
    run.expect_stderr(0, "unusable message: \"data_size\" is not the size of the data\n");
    run.expect_stderr(0, "\"data_size\" is not the size of the data, times: 2");
    run.expect_stderr(0, "unusable message: not as many bytes as samples need\n");
    assert_eq!(gaps(&run), [(2, None, Some(2), vec![1])]);
    expect_values(&samples(&run, RHYTHM), &[0, 1], &[(2, 1), (3, 1)]);
    assert_eq!(events(&run, "unusable").len(), 2);
    assert_eq!(run.payloads::<Gap>()[0].reason, Reason::Parser);
}

#[test]
fn events_are_events_of_their_stream_at_the_time_of_their_sample() {
    let Some(mut rig) = Rig::new() else { return };
    let capture = rig.capture("");
    for n in 0..4 {
        rig.block(&[0, 1], 480 * n, 480);
    }
    let json = |kind: u32, size: u32| {
        format!(
            "{{\r\\n  \"message_num\": %, \"type\": \"event\", \"content\": {{\"stream\": \
             \"Rhythm Data\", \"source_node\": 102, \"type\": {kind}, \"sample_num\": 1500}}, \
             \"data_size\": {size}, \"timestamp\": 1}}"
        )
        .replace("\r\\n", " ")
    };
    rig.send(&["EVENT\\0", &json(3, 10), "hex:02010400000000000000"]);
    rig.send(&["EVENT\\0", &json(3, 10), "hex:02000000000000000080"]);
    rig.send(&["EVENT\\0", &json(5, 5), "hello"]);
    rig.send(&["EVENT\\0", &json(7, 0)]);
    rig.block(&[0, 1], 480 * 4, 480);
    let run = stop_after(capture, 5 * 481);
    run.expect(&[0]).expect_silence();
    let id = number(&run, RHYTHM);
    let told: Vec<_> =
        ["ttl", "event"].iter().flat_map(|label| events(&run, label)).collect();
    let words: Vec<_> =
        told.iter().map(|(_, e)| (e.label.as_str(), e.value.clone())).collect();
    let expected = [
        ("ttl 2 on", Value::Int(4)),
        ("ttl 2 off", Value::Int(i64::MIN)),
        ("event 5", Value::Text("hello".into())),
        ("event 7", Value::Nil),
    ];
    assert_eq!(words, expected);
    assert!(told.iter().all(|(h, e)| h.stream == id && e.source == "102"));
    let got = samples(&run, RHYTHM);
    let off = told[0].0.time - got[1500].time;
    assert!(off.abs() < 20_000_000, "{off} ns");
}

#[test]
fn a_spike_has_a_stream_of_its_electrode_whatever_its_envelope_says() {
    let Some(mut rig) = Rig::new() else { return };
    let capture = rig.capture("");
    rig.block(&[0], 0, 480);
    rig.block(&[0], 480, 480);
    let json = "{\"message_num\": %, \"type\": \"spike\", \"spike\": {\"stream\": \"Rhythm Data\", \
                \"source_node\": 103, \"electrode\": \"Stereotrode 1\", \"sample_num\": 700, \
                \"num_channels\": 2, \"num_samples\": 3, \"sorted_id\": 5, \
                \"threshold\": [-50.0, -60.5]}, \"timestamp\": 1}";
    // 1, 2, 3, −1, −2, −3; then the same as versions up to 0.2.0 cut it.
    let all = "hex:0000803f0000004000004040000080bf000000c0000040c0";
    rig.send(&["EVENT\\0", json, all]);
    rig.send(&["EVENT\\0", &json.replace("700", "800"), "hex:0000803f0000"]);
    let run = stop_after(capture, 962 + 2);
    run.expect(&[3]).expect_stderr(0, "spikes of which only a part was sent");
    let got = samples(&run, "Rhythm Data.spikes-Stereotrode 1");
    assert_eq!((got[0].number, got[1].number), (700, 800));
    assert_eq!(got[0].values, [1.0, 2.0, 3.0, -1.0, -2.0, -3.0, -50.0, -60.5, 5.0]);
    assert_eq!(got[1].values[0], 1.0);
    assert!(got[1].values[1..6].iter().all(|value| value.is_nan()));
    assert_eq!(got[1].values[6..], [-50.0, -60.5, 5.0]);
    let streams = run.payloads::<Stream>();
    let spikes = streams.iter().find(|s| s.name.contains("spikes")).unwrap();
    let fields: Vec<_> =
        spikes.fields.iter().map(|f| (f.name.as_str(), f.offset, f.count)).collect();
    assert_eq!(fields, [("waveform", 0, 6), ("threshold", 24, 2), ("sorted_id", 32, 1)]);
}

#[test]
fn older_plugins_are_understood() {
    let Some(mut rig) = Rig::new() else { return };
    let capture = rig.capture("");
    // Up to 0.2.0: all channels in one message, with room behind the valid samples.
    for n in 0..3 {
        rig.order(&["block", "3", &(7 * n).to_string(), "7", "10"]);
    }
    // Of 2022, before 0.3.0.
    for n in 0..2 {
        let json = format!(
            "{{\"message_num\": %, \"type\": \"data\", \"content\": {{\"stream_id\": 7, \
             \"channel_num\": 0, \"n_samples\": 2, \"n_real_samples\": 2, \"sample_num\": {}, \
             \"sample_rate\": 1000}}, \"data_size\": 8}}",
            2 * n
        );
        rig.send(&["DATA\\0", &json, "hex:0000803f000020c0"]);
    }
    let run = stop_after(capture, 21 + 3 + 2 + 1);
    run.expect(&[0]).expect_silence();
    let got = samples(&run, "open-ephys");
    assert_eq!(got.len(), 21);
    expect_values(&got, &[0, 1, 2], &[]);
    let got: Vec<Sample> = samples(&run, "stream 7");
    assert!(got.iter().all(|s| s.values == [[1.0], [-2.5]][s.number as usize % 2]));
    assert!(got.len() >= 2);
}

#[test]
fn a_selection_takes_what_it_names_and_misses_nothing_of_the_rest() {
    let Some(mut rig) = Rig::new() else { return };
    let capture = rig.capture("--channel 1-2,CH5 --no-arrivals -n 20");
    for n in 0..5 {
        rig.block(&[0, 1, 2, 3, 4], 5 * n, 5);
    }
    let run = capture.wait();
    run.expect(&[0]).expect_silence();
    let got = samples(&run, RHYTHM);
    assert_eq!(got[3].values, [1, 2, 4].map(|channel| value(0, channel, 3)));
    assert_eq!(got.len(), 20);
}
