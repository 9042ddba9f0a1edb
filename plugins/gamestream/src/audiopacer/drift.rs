//! How much sound has to be stretched for one clock to have it at the rate that another one recorded it at.

/// Arrivals are averaged over so long: a portion may come a few milliseconds late, and is no slower clock.
const WINDOW_NS: u64 = 4_000_000_000;
/// Of the loop, in radians a second: what a clock is off by is learnt in a minute or so.
const SPEED: f64 = 0.05;
/// Of both clocks together; crystals are within 100 ppm each.
const MOST: f64 = 500e-6;
/// Beyond this it is no drift but a source that stood still, or one that was started again.
const JUMP_S: f64 = 0.1;

/// A loop that holds what has left against what should have.
#[derive(Debug)]
pub struct Drift {
    rate: f64,
    /// When the first portion came, and all that has left since, in samples.
    begun: Option<u64>,
    left: f64,
    window: Window,
    /// By how much the clocks differ, as far as that is known.
    learnt: f64,
    stretch: f64,
}

#[derive(Debug, Default)]
struct Window {
    begun: u64,
    sum: f64,
    count: u32,
}

impl Drift {
    /// `rate`: samples in a second.
    pub fn new(rate: u32) -> Drift {
        Self {
            rate: rate.into(),
            begun: None,
            left: 0.0,
            window: Window::default(),
            learnt: 0.0,
            stretch: 1.0,
        }
    }

    /// `samples` came at `now`, in nanoseconds of the clock that counts. How many have to be made of each of them.
    pub fn handle_portion(&mut self, now: u64, samples: usize) -> f64 {
        let begun = *self.begun.get_or_insert_with(|| {
            self.window = Window { begun: now, ..Window::default() };
            now
        });
        let ahead = self.left / self.rate - now.saturating_sub(begun) as f64 / 1e9;
        if ahead.abs() > JUMP_S {
            self.begin_again(now);
        } else {
            self.handle_ahead(now, ahead);
        }
        self.left += samples as f64 * self.stretch;
        self.stretch
    }

    /// By how many ppm the recording clock is faster.
    pub fn learnt_ppm(&self) -> f64 {
        self.learnt * 1e6
    }

    fn begin_again(&mut self, now: u64) {
        (self.begun, self.left) = (Some(now), 0.0);
        self.window = Window { begun: now, ..Window::default() };
        self.stretch = 1.0 - self.learnt;
    }

    /// So many seconds of sound have left too early.
    fn handle_ahead(&mut self, now: u64, ahead: f64) {
        self.window.sum += ahead;
        self.window.count += 1;
        let passed = now.saturating_sub(self.window.begun);
        if passed < WINDOW_NS {
            return;
        }
        let mean = self.window.sum / f64::from(self.window.count);
        self.learnt = (self.learnt + SPEED * SPEED * mean * passed as f64 / 1e9).clamp(-MOST, MOST);
        self.stretch = 1.0 - (self.learnt + 2.0 * SPEED * mean).clamp(-MOST, MOST);
        self.window = Window { begun: now, ..Window::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 48_000;
    const PORTION: usize = 256;
    const MINUTE_NS: u64 = 60_000_000_000;

    /// What became of half an hour.
    struct Told {
        /// Most that sound was too early or too late after the first two minutes, against its own mean, in seconds.
        most_s: f64,
        /// Mean of the second minute and of the last.
        means_s: [f64; 2],
        most_stretch: f64,
        least_stretch: f64,
    }

    /// Portions of a clock that is off by `ppm`, each up to `late_ms` late.
    fn half_an_hour(ppm: f64, late_ms: f64) -> Told {
        let mut drift = Drift::new(RATE);
        let (mut seed, mut left) = (7_u64, 0.0);
        let mut ahead = Vec::new();
        let (mut most_stretch, mut least_stretch) = (0.0_f64, 2.0_f64);
        for portion in 1.. {
            let recorded_s = (portion * PORTION) as f64 / f64::from(RATE) / (1.0 + ppm * 1e-6);
            let recorded = (recorded_s * 1e9) as u64;
            if recorded > 30 * MINUTE_NS {
                break;
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let late = (seed >> 33) as f64 / f64::from(1_u32 << 31) * late_ms * 1e6;
            let stretch = drift.handle_portion(recorded + late as u64, PORTION);
            left += PORTION as f64 * stretch;
            ahead.push((recorded, left / f64::from(RATE) - recorded_s));
            if recorded > 2 * MINUTE_NS {
                most_stretch = most_stretch.max(stretch);
                least_stretch = least_stretch.min(stretch);
            }
        }
        let mean = |minute: u64| {
            let of: Vec<f64> =
                ahead.iter().filter(|(at, _)| at / MINUTE_NS == minute).map(|(_, ahead)| *ahead).collect();
            of.iter().sum::<f64>() / of.len() as f64
        };
        let later = ahead.iter().filter(|(at, _)| *at > 2 * MINUTE_NS);
        let all = later.clone().map(|(_, ahead)| ahead).sum::<f64>() / later.clone().count() as f64;
        let most_s = later.map(|(_, ahead)| (ahead - all).abs()).fold(0.0, f64::max);
        Told { most_s, means_s: [mean(2), mean(29)], most_stretch, least_stretch }
    }

    #[test]
    fn two_clocks_stay_together_for_half_an_hour() {
        for ppm in [-200.0, -50.0, 0.0, 50.0, 200.0] {
            for late_ms in [0.0, 5.0, 20.0] {
                let told = half_an_hour(ppm, late_ms);
                let what = format!("{ppm} ppm, up to {late_ms} ms late");
                assert!(told.most_s < 0.003, "{what}: {} s off", told.most_s);
                let grown = told.means_s[1] - told.means_s[0];
                assert!(grown.abs() < 0.001, "{what}: {grown} s more at the end");
                let [low, high] =
                    [told.least_stretch, told.most_stretch].map(|s| (1.0 / s - 1.0) * 1e6 - ppm);
                assert!(low.abs() < 100.0 && high.abs() < 100.0, "{what}: stretched {low} to {high} ppm off");
            }
        }
    }

    #[test]
    fn a_source_that_stood_still_is_not_made_up_for() {
        let mut drift = Drift::new(RATE);
        let portion_ns = 1_000_000_000 * PORTION as u64 / u64::from(RATE);
        let mut now = 0;
        for _ in 0..20_000 {
            now += portion_ns;
            drift.handle_portion(now, PORTION);
        }
        now += 5_000_000_000;
        for _ in 0..20_000 {
            now += portion_ns;
            let stretch = drift.handle_portion(now, PORTION);
            assert!((stretch - 1.0).abs() < 20e-6, "{stretch}");
        }
    }

    #[test]
    fn nothing_is_stretched_beyond_what_clocks_are_off() {
        let mut drift = Drift::new(RATE);
        for portion in 0..100_000_u64 {
            // A hundredth too fast: no clock, but a rate that somebody got wrong.
            let stretch = drift.handle_portion(portion * 5_280_000, PORTION);
            assert!((stretch - 1.0).abs() <= MOST + 1e-9, "{stretch}");
        }
    }
}
