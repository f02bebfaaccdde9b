//! One block of a stream's messages on its way into its lane.

use anyhow::{Result, bail};

use crate::losses::Where;
use crate::sender::{HANDFUL, Key, Link, STEP, Sender};
use crate::track::Outlet;

/// One block of a stream's messages.
pub(crate) struct Block<'a> {
    pub(crate) sender: &'a mut Sender,
    pub(crate) key: Key,
    samples: u64,
    now: i64,
    failed: Result<()>,
}

impl Block<'_> {
    pub(crate) fn begin(sender: &mut Sender, key: Key) -> Block<'_> {
        let now = sender.clock().now();
        Block { sender, key, samples: 0, now, failed: Ok(()) }
    }

    /// Ends the block, whose samples last `time`: how many there are is asked.
    pub(crate) fn end(self, time: impl FnOnce(u64) -> i64) -> Result<()> {
        self.failed?;
        let sender = self.sender;
        let pace = sender.pace;
        if pace > 0.0
            && self.samples > 0
            && let Some(lane) = sender.lanes.get_mut(&self.key)
        {
            let time = time(self.samples);
            lane.spread(self.now, (time as f64 * pace) as i64, 2 * time, STEP);
        }
        if sender.waiting >= HANDFUL { sender.pump() } else { Ok(()) }
    }

    fn try_message(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let (sender, now) = (&mut *self.sender, self.now);
        let Some(lane) = sender.lanes.get_mut(&self.key) else {
            bail!("a lane that is gone");
        };
        sender.waiting += match &sender.link {
            Link::Datagrams(_) => lane.put(now, write),
            Link::Stream(_, framing) => {
                sender.scratch.clear();
                write(&mut sender.scratch);
                let (scratch, framing) = (&sender.scratch, *framing);
                lane.put(now, |out| framing.wrap(scratch, out))
            }
        };
        if sender.waiting > sender.capacity { sender.make_room(self.key) } else { Ok(()) }
    }
}

impl Outlet for Block<'_> {
    fn message(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.failed.is_ok() {
            self.failed = self.try_message(write);
        }
    }

    fn slab(&mut self, samples: u64) {
        self.samples += samples;
        let Some(lane) = self.sender.lanes.get_mut(&self.key) else { return };
        let (gone, left_out) = lane.close_slab(samples as u32);
        let gone = u64::from(gone);
        if left_out {
            self.sender.lose(self.key, gone, Where::Queue);
        } else if gone > 0 {
            self.sender.sent.samples += gone;
            if let Some(gauge) = &self.sender.gauge {
                gauge.sent(0, gone, 0);
            }
        }
    }
}
