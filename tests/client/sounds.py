"""What the Opus packets of a stereo stream sound like."""

import av
import numpy

RATE = 48000


def listen(packets, tones=()):
    """Strongest frequency of the last second with a resolution well below 1 Hz, its loudness, and shares of its energy."""
    context = av.CodecContext.create("opus", "r")
    context.sample_rate, context.layout = RATE, "stereo"
    pieces = [frame.to_ndarray() for packet in packets for frame in context.decode(av.Packet(packet))]
    if not pieces:
        return {"tone_hz": None, "rms": 0.0, "heard": dict.fromkeys(tones, 0.0)}
    wave = numpy.concatenate([mono(piece) for piece in pieces])[-RATE:]
    padded = 8 * RATE
    spectrum = numpy.abs(numpy.fft.rfft(wave * numpy.hanning(len(wave)), padded))
    return {
        "tone_hz": round(float(numpy.argmax(spectrum)) * RATE / padded, 2),
        "rms": round(float(numpy.sqrt((wave**2).mean())), 4),
        "heard": {tone: share(spectrum**2, int(tone) * padded // RATE, 10 * padded // RATE) for tone in tones},
    }


def share(energy, middle, width):
    """What of it lies around there."""
    return round(float(energy[middle - width : middle + width].sum() / max(energy.sum(), 1e-12)), 4)


def mono(samples):
    """Planar samples come as one row per channel, packed ones as a single row of left, right, left …"""
    return samples.mean(axis=0) if len(samples) > 1 else samples[0].reshape(-1, 2).mean(axis=1)
