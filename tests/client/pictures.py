"""What a decoded stream shows: sizes, colours, and the frame counter that the host draws into its test picture."""

import re

import av
import numpy

CELLS, CELL = 32, 16  # 32 bits of 16×16 px, most significant first, white = 1
DECODERS = {"h264": "h264", "hevc": "hevc", "av1": "libdav1d"}


def decoder(codec):
    context = av.CodecContext.create(DECODERS[codec], "r")
    context.thread_count = 2
    return context


def slices(codec, unit):
    """How many slices an access unit has."""
    headers = [unit[at.end()] for at in re.finditer(b"\0\0\1", unit)]
    is_slice = {"h264": lambda header: header & 0x1F in (1, 5), "hevc": lambda header: header >> 1 & 0x3F < 32}[codec]
    return sum(map(is_slice, headers))


def read_counter(luma, x=0, y=0):
    """The number in the cells whose top-left corner is (x, y), or None where no cells are to be seen."""
    row = luma[y : y + CELL, x : x + CELLS * CELL]
    if row.shape != (CELL, CELLS * CELL):
        return None
    middles = row[4:12].reshape(8, CELLS, CELL)[:, :, 4:12].astype(float).mean(axis=(0, 2))
    if ((middles > 96) & (middles < 160)).any():
        return None
    return int(sum(1 << (CELLS - 1 - i) for i in range(CELLS) if middles[i] > 128))


def mean_colour(picture, x, y, width, height):
    rgb = picture.to_ndarray(format="rgb24")[y : y + height, x : x + width]
    return [round(float(v), 1) for v in rgb.mean(axis=(0, 1))]


def luma_of(picture):
    plane = picture.planes[0]
    return numpy.frombuffer(plane, numpy.uint8).reshape(-1, plane.line_size)[: picture.height, : picture.width]


def judge_counters(counters):
    """Steps between neighbouring pictures, leaving out those in which no counter could be read."""
    seen = [c for c in counters if c is not None]
    steps = [b - a for a, b in zip(seen, seen[1:])]
    return {
        "read": len(seen),
        "unreadable": len(counters) - len(seen),
        "first": seen[0] if seen else None,
        "last": seen[-1] if seen else None,
        "back": sum(1 for s in steps if s < 0),
        "repeated": sum(1 for s in steps if s == 0),
        "skipped": sum(1 for s in steps if s > 1),
        "by_one": round(sum(1 for s in steps if s == 1) / len(steps), 4) if steps else 0.0,
    }


BRIGHTER = 8  # of 255: less is the noise of a codec


class Brightness:
    """When the mean luma of an area changed: [seconds, luma], the first picture included."""

    def __init__(self, area):
        self.area, self.changes = area, []

    def see(self, luma, seconds):
        x, y, width, height = self.area
        mean = round(float(luma[y : y + height : 4, x : x + width : 4].mean()), 1)
        if not self.changes or abs(mean - self.changes[-1][1]) > BRIGHTER:
            self.changes.append([seconds, mean])


def look(codec, units, arrivals, counter_at, colours, brightness, png):
    """Decodes all access units. `colours` maps a name to (x, y, width, height) in the last picture, `brightness` does so
    for all of them."""
    context, counters, sizes, errors, corrupt, last = decoder(codec), [], set(), 0, 0, None
    watched = {name: Brightness(area) for name, area in brightness.items()}
    for unit in [*units, None]:
        try:
            pictures = context.decode(av.Packet(unit) if unit is not None else None)
        except av.error.FFmpegError:
            errors += 1
            continue
        for picture in pictures:
            corrupt += bool(picture.is_corrupt)
            sizes.add((picture.width, picture.height))
            for area in watched.values():
                area.see(luma_of(picture), arrivals[min(len(counters), len(arrivals) - 1)])
            counters.append(read_counter(luma_of(picture), *counter_at))
            last = picture
    found = {
        "decoded": len(counters),
        "decode_errors": errors + corrupt,
        "sizes": sorted(sizes),
        "counter": judge_counters(counters),
        "brightness": {name: area.changes for name, area in watched.items()},
    }
    if last is not None:
        found["colours"] = {name: mean_colour(last, *area) for name, area in colours.items()}
        if png:
            last.to_image().save(png)
    return found
