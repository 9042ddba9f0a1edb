//! Resampling at a ratio next to one that may change from portion to portion, without a step in the wave.

use std::f64::consts::PI;

/// Of the filter; half of them is how late the sound becomes, a third of a millisecond at 48 kHz.
const TAPS: usize = 32;
const BEFORE: usize = TAPS / 2 - 1;
/// Between two samples; in between it is interpolated.
const PHASES: usize = 256;

/// Of interleaved samples.
pub struct Resampler {
    channels: usize,
    /// `PHASES + 1` filters of `TAPS`.
    filters: Vec<f32>,
    /// The last samples in, as many as the filter may need again.
    kept: Vec<f32>,
    /// Where the next sample out lies, in samples of `kept`.
    position: f64,
}

impl Resampler {
    pub fn new(channels: usize) -> Resampler {
        // As if silence came before.
        let kept = vec![0.0; BEFORE * channels];
        Self { channels, filters: filters(), kept, position: BEFORE as f64 }
    }

    /// `stretch` samples out, behind what is in `made`, for each one in.
    pub fn resample(&mut self, samples: impl Iterator<Item = i16>, stretch: f64, made: &mut Vec<i16>) {
        self.kept.extend(samples.map(f32::from));
        let step = 1.0 / stretch;
        let count = self.kept.len() / self.channels;
        while self.position as usize + TAPS - BEFORE <= count {
            self.make(made);
            self.position += step;
        }
        let done = (self.position as usize).saturating_sub(BEFORE);
        self.kept.drain(..done * self.channels);
        self.position -= done as f64;
    }

    /// One sample of each channel.
    fn make(&self, made: &mut Vec<i16>) {
        let whole = self.position as usize;
        let phase = (self.position - whole as f64) * PHASES as f64;
        let (first, between) = (phase as usize, phase.fract() as f32);
        let [early, late] = [first, first + 1].map(|phase| &self.filters[phase * TAPS..][..TAPS]);
        let from = &self.kept[(whole - BEFORE) * self.channels..];
        for channel in 0..self.channels {
            let samples = from[channel..].iter().step_by(self.channels);
            let taps = early.iter().zip(late);
            let sum: f32 = samples
                .zip(taps)
                .map(|(sample, (early, late))| sample * (early + (late - early) * between))
                .sum();
            made.push(sum.round().clamp(i16::MIN.into(), i16::MAX.into()) as i16);
        }
    }
}

/// Sinc in a Blackman window, each with a sum of one.
fn filters() -> Vec<f32> {
    let mut filters = Vec::with_capacity((PHASES + 1) * TAPS);
    for phase in 0..=PHASES {
        let taps = (0..TAPS).map(|tap| tap_at(tap as f64 - BEFORE as f64 - phase as f64 / PHASES as f64));
        let taps: Vec<f64> = taps.collect();
        let sum: f64 = taps.iter().sum();
        filters.extend(taps.iter().map(|tap| (tap / sum) as f32));
    }
    filters
}

fn tap_at(x: f64) -> f64 {
    let half = TAPS as f64 / 2.0;
    if x.abs() >= half {
        return 0.0;
    }
    let sinc = if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
    let turn = PI * x / half;
    sinc * (0.42 + 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f64 = 48_000.0;
    const LEVEL: f64 = 10_000.0;

    fn tone(hertz: f64, at: f64) -> f64 {
        LEVEL * (2.0 * PI * hertz * at / RATE).sin()
    }

    /// Two channels of a tone each, in portions of odd lengths, and what became of them.
    fn resampled(hertz: [f64; 2], stretches: &[f64]) -> (usize, Vec<i16>) {
        let mut resampler = Resampler::new(2);
        let (mut came, mut left) = (0, Vec::new());
        for (portion, stretch) in stretches.iter().cycle().take(2000).enumerate() {
            let length = 200 + portion % 111;
            let samples =
                (came..came + length).flat_map(|at| hertz.map(|hertz| tone(hertz, at as f64).round() as i16));
            resampler.resample(samples, *stretch, &mut left);
            came += length;
        }
        (came, left)
    }

    /// Signal to noise in dB of one channel against the tone it should be.
    fn quality(made: &[i16], channel: usize, hertz: f64, stretch: f64) -> f64 {
        let noise: f64 = (made.chunks(2).enumerate().skip(100))
            .map(|(at, frame)| (f64::from(frame[channel]) - tone(hertz, at as f64 / stretch)).powi(2))
            .sum::<f64>()
            / (made.len() / 2 - 100) as f64;
        10.0 * (LEVEL * LEVEL / 2.0 / noise).log10()
    }

    #[test]
    fn tones_are_what_they_were() {
        for stretch in [1.0, 1.0 + 200e-6, 1.0 - 200e-6, 1.0 + 500e-6] {
            let hertz = [997.0, 15_000.0];
            let (came, left) = resampled(hertz, &[stretch]);
            let made = left.len() / 2;
            assert!((made as f64 - came as f64 * stretch).abs() <= TAPS as f64, "{came} became {made}");
            for (channel, hertz) in hertz.into_iter().enumerate() {
                let quality = quality(&left, channel, hertz, stretch);
                assert!(quality > 65.0, "{stretch}, {hertz} Hz: {quality} dB");
            }
        }
    }

    #[test]
    fn a_ratio_that_changes_makes_no_step() {
        let (_, left) = resampled([997.0; 2], &[1.0 + 500e-6, 1.0 - 500e-6, 1.0]);
        let steepest = LEVEL * 2.0 * PI * 997.0 / RATE * 1.001 + 2.0;
        let step = |pair: &[i16]| (f64::from(pair[2]) - f64::from(pair[0])).abs();
        assert!(left.windows(4).step_by(2).all(|pair| step(pair) <= steepest));
    }
}
