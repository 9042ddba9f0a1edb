"""What the Opus packets of a stream sound like."""

import ctypes

import numpy

RATE = 48000
PADDED = 8 * RATE
# 120 ms, the longest that a packet may be.
MOST_SAMPLES = 5760


def listen(packets, opus, tones=()):
    """Strongest frequency of the last second with a resolution well below 1 Hz, its loudness, and shares of its energy:
    of all channels together, and of each."""
    if not packets:
        return {"tone_hz": None, "rms": 0.0, "heard": dict.fromkeys(tones, 0.0), "speakers": []}
    channels = decode(packets, opus)[-RATE:].T
    wave = channels.mean(axis=0)
    return {
        "tone_hz": round(float(numpy.argmax(spectrum(wave))) * RATE / PADDED, 2),
        "rms": loudness(wave),
        "heard": shares(wave, tones),
        "speakers": [{"rms": loudness(channel), "heard": shares(channel, tones)} for channel in channels],
    }


def decode(packets, opus):
    """Samples by channels, by libopus with what the client library tells those who play sound."""
    lib = ctypes.CDLL("libopus.so.0")
    lib.opus_multistream_decoder_create.restype = ctypes.c_void_p
    error = ctypes.c_int()
    mapping = bytes(opus["mapping"])
    decoder = lib.opus_multistream_decoder_create(
        RATE, opus["channels"], opus["streams"], opus["coupled"], mapping, ctypes.byref(error)
    )
    if error.value != 0:
        raise ValueError(f"libopus does not decode {opus}: {error.value}")
    decoder, pieces = ctypes.c_void_p(decoder), []
    room = (ctypes.c_float * (MOST_SAMPLES * opus["channels"]))()
    for packet in packets:
        count = lib.opus_multistream_decode_float(decoder, packet, len(packet), room, MOST_SAMPLES, 0)
        if count != opus["samples"]:
            raise ValueError(f"a packet of {len(packet)} bytes is {count} samples, not {opus['samples']}")
        pieces.append(numpy.ctypeslib.as_array(room)[: count * opus["channels"]].copy())
    lib.opus_multistream_decoder_destroy(decoder)
    return numpy.concatenate(pieces).reshape(-1, opus["channels"])


def spectrum(wave):
    return numpy.abs(numpy.fft.rfft(wave * numpy.hanning(len(wave)), PADDED))


def loudness(wave):
    return round(float(numpy.sqrt((wave**2).mean())), 4)


def shares(wave, tones):
    energy = spectrum(wave) ** 2 if tones else None
    return {tone: share(energy, int(tone) * PADDED // RATE, 10 * PADDED // RATE) for tone in tones}


def share(energy, middle, width):
    """What of it lies around there."""
    return round(float(energy[middle - width : middle + width].sum() / max(energy.sum(), 1e-12)), 4)
