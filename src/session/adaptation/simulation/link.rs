//! Ways to a client: packets lost by themselves, in bursts, or because a queue is full.

/// Numbers that look random and are the same in every run (splitmix64).
pub struct Seeded(pub u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0 to 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How packets get lost that find room.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    None,
    /// Each by itself, this share of them.
    Independent(f64),
    /// Gilbert and Elliott: this share of packets, in bursts of this mean length.
    Bursts {
        share: f64,
        length: f64,
    },
}

/// What a way is like, from a point in time on.
#[derive(Clone, Copy, Debug)]
pub struct Phase {
    /// In seconds.
    pub from: f64,
    pub loss: Loss,
    /// The narrowest link in kbit/s; 0 lets nothing through.
    pub kbps: f64,
}

/// One way, one direction.
pub struct Link {
    phases: Vec<Phase>,
    /// Of the narrowest link.
    queue_bytes: f64,
    /// One way, without a queue.
    pub delay: f64,
    random: Seeded,
    in_burst: bool,
    /// When the queue will be empty.
    free_at: f64,
}

impl Link {
    pub fn new(phases: &[Phase], queue_bytes: f64, delay: f64, seed: u64) -> Self {
        Self {
            phases: phases.to_vec(),
            queue_bytes,
            delay,
            random: Seeded(seed),
            in_burst: false,
            free_at: 0.0,
        }
    }

    fn phase(&self, now: f64) -> Phase {
        *self.phases.iter().rev().find(|phase| phase.from <= now).expect("the first begins at 0")
    }

    /// What waits in the queue, in seconds.
    pub fn queue(&self, now: f64) -> f64 {
        (self.free_at - now).max(0.0)
    }

    /// When a packet that leaves at `now` arrives, if it does.
    pub fn send(&mut self, now: f64, bytes: usize) -> Option<f64> {
        let phase = self.phase(now);
        if phase.kbps <= 0.0 {
            return None;
        }
        let rate = phase.kbps * 125.0;
        if self.queue(now) * rate + bytes as f64 > self.queue_bytes {
            return None;
        }
        self.free_at = self.free_at.max(now) + bytes as f64 / rate;
        (!self.loses(phase.loss)).then_some(self.free_at + self.delay)
    }

    fn loses(&mut self, loss: Loss) -> bool {
        match loss {
            Loss::None => false,
            Loss::Independent(share) => self.random.share() < share,
            Loss::Bursts { share, length } => {
                let end = 1.0 / length;
                let begin = end * share / (1.0 - share);
                let turn = self.random.share();
                self.in_burst = if self.in_burst { turn >= end } else { turn < begin };
                self.in_burst
            }
        }
    }
}
