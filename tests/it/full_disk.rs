//! A file system that is full to the last byte: what `to-h5` accepted is all there.

use std::io::Write as _;
use std::process::{Command, Stdio};

use framepipe_tests::{Scratch, binary, pipe};

use crate::to_h5::{Frames, expect_whole, h5py};

/// A file system of this many MiB on a folder, which is gone with this.
pub(crate) struct Small<'a>(&'a Scratch);

impl<'a> Small<'a> {
    /// `None`, loudly, where mounting is not allowed.
    pub(crate) fn mount(at: &'a Scratch, mib: u32) -> Option<Small<'a>> {
        let options = format!("size={mib}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&at.0);
        match mount.stderr(Stdio::null()).status() {
            Ok(status) if status.success() => Some(Small(at)),
            _ => {
                eprintln!("skipped: mounting a small file system is not allowed here");
                None
            }
        }
    }

    fn grow(&self, mib: u32) {
        let options = format!("remount,size={mib}m");
        let mut mount = Command::new("mount");
        assert!(mount.args(["-o", &options]).arg(&self.0.0).status().unwrap().success());
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0.0).status());
    }
}

#[test]
fn a_full_disk_stops_the_recorder_and_takes_nothing_back() {
    for compress in ["deflate:1", "none"] {
        let folder = Scratch::new();
        let Some(small) = Small::mount(&folder, 24) else { return };
        let file = folder.file("a.h5");
        let mut command = Command::new(binary("to-h5"));
        command.args([&file, "--flush", "50ms", "--compress", compress]);
        // A disk that is nearly full stalls too, and what is read ahead then was not accepted.
        command.args(["--queue", "256KiB"]);
        let mut child =
            command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut frames = Frames { next: 0 };
        stdin.write_all(&frames.begin()).unwrap();
        let mut sent = 0;
        while stdin.write_all(&frames.some(100)).is_ok() {
            sent = frames.next;
        }
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        for part in ["free some space, then: repair-frames", "a.h5"] {
            assert!(stderr.contains(part), "{part}: {stderr}");
        }
        small.grow(200);
        pipe(&format!("repair-frames -q {file}")).run().expect(&[0]).expect_silence();
        let Some(found) = h5py("frames", &file) else { return };
        // What a pipe holds, and what was being read, was never accepted.
        let ahead = 2 * (256 << 10) + (128 << 10);
        let in_pipe = ((64 << 10) + ahead) / 320 + 101;
        expect_whole(&found, sent.saturating_sub(in_pipe), frames.next);
        eprintln!(
            "disk full with {compress}: {} of {} frames that were sent are there",
            found["rows"], frames.next
        );
        drop(small);
    }
}
