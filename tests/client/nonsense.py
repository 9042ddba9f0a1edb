"""Input packets that no client sends: random bytes, and packets of every kind with something wrong."""

import struct

# Of each kind, the bytes of its body.
KINDS = {
    0x03: 6, 0x04: 6, 0x05: 10, 0x07: 4, 0x08: 1, 0x09: 1, 0x0A: 6, 0x0C: 26, 0x0D: 2, 0x17: 4,
    0x55000001: 2, 0x55000002: 36, 0x55000003: 36, 0x55000004: 8, 0x55000005: 20, 0x55000006: 16, 0x55000007: 4,
}  # fmt: skip
MOST_BYTES = 128


def packet(chance):
    """One of them. `chance` is a `random.Random`."""
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(MOST_BYTES))
    kind = chance.choice([*KINDS])
    body = chance.randbytes(KINDS[kind])
    whole = struct.pack(">I", 4 + len(body)) + struct.pack("<I", kind) + body
    fault = chance.random()
    if fault < 0.2:
        return whole[: chance.randrange(len(whole))]
    if fault < 0.3:
        return whole + chance.randbytes(chance.randrange(MOST_BYTES))
    if fault < 0.4:
        return struct.pack(">I", chance.getrandbits(32)) + whole[4:]
    if fault < 0.5:
        return whole[:4] + struct.pack("<I", chance.getrandbits(32)) + whole[8:]
    return whole
