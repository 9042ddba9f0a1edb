"""One stream through libmoonlight-common-c, the library inside every Moonlight client.

`Stream` fills in the library's callbacks, counts what they are told and keeps the access units and Opus packets.
Nothing is decoded while frames arrive, so that the client takes little of the machine that it measures.
"""

import hashlib
import random
import threading
import time
from pathlib import Path

import cffi
import moonlight_python
import nonsense
from moonlight_python.stream import CDEF

VIDEO_FORMATS = {"h264": 0x1, "hevc": 0x100, "av1": 0x1000}
ENCRYPTION = {"all": -1, "none": 0, "audio": 1, "video": 2}
SPEAKER_MASKS = {2: 0x3, 6: 0x3F, 8: 0x63F}
FRAME_TYPE_IDR = 1
# With --units-sha256 so many access units are kept, for the one who waits for the first picture.
UNITS_KEPT = 60
DIRECT_SUBMIT = 0x1
SLOW_OPUS_DECODER = 0x8
# Of a decoder that bears missing reference frames: H.264, HEVC, AV1.
REFERENCE_INVALIDATION = 0x2 | 0x4 | 0x40
# Of ENet: with neither, what comes late is dropped.
RELIABLE, UNSEQUENCED = 1, 2
CONTROL_CHANNELS = 48

MORE_DECLARATIONS = """
typedef struct { uint32_t data, fec, fecRecovered, fecFailed, oos, invalid, fecInvalid; } RTP_STATS;
const RTP_STATS* LiGetRTPAudioStats(void);
const RTP_STATS* LiGetRTPVideoStats(void);
bool LiGetEstimatedRttInfo(uint32_t*, uint32_t*);
int sendInputPacketOnControlStream(unsigned char* data, int length, uint8_t channel, uint32_t flags, bool more);
int LiSendMousePositionEvent(short x, short y, short referenceWidth, short referenceHeight);
int LiSendMouseMoveAsMousePositionEvent(short dx, short dy, short referenceWidth, short referenceHeight);
int LiSendMouseButtonEvent(char action, int button);
int LiSendHighResScrollEvent(short amount);
int LiSendScrollEvent(signed char clicks);
int LiSendHighResHScrollEvent(short amount);
int LiSendHScrollEvent(signed char clicks);
int LiSendKeyboardEvent(short key, char action, char modifiers);
int LiSendKeyboardEvent2(short key, char action, char modifiers, char flags);
int LiSendUtf8TextEvent(const char* text, unsigned int length);
int LiSendTouchEvent(uint8_t event, uint32_t id, float x, float y, float pressure, float major, float minor, uint16_t rotation);
int LiSendPenEvent(uint8_t event, uint8_t tool, uint8_t buttons, float x, float y, float pressure, float major, float minor, uint16_t rotation, uint8_t tilt);
int LiSendControllerEvent(int buttons, unsigned char left, unsigned char right, short lx, short ly, short rx, short ry);
int LiSendMultiControllerEvent(short pad, short plugged, int buttons, unsigned char left, unsigned char right, short lx, short ly, short rx, short ry);
int LiSendControllerArrivalEvent(uint8_t pad, uint16_t plugged, uint8_t kind, uint32_t buttons, uint16_t capabilities);
int LiSendControllerTouchEvent(uint8_t pad, uint8_t event, uint32_t id, float x, float y, float pressure);
int LiSendControllerMotionEvent(uint8_t pad, uint8_t sensor, float x, float y, float z);
int LiSendControllerBatteryEvent(uint8_t pad, uint8_t state, uint8_t percent);
extern void* reed_solomon_decode_fn;
extern uint32_t EncryptionFeaturesEnabled;
extern STREAM_CONFIGURATION StreamConfig;
extern int NegotiatedVideoFormat;
extern uint16_t VideoPortNumber;
extern uint16_t AudioPortNumber;
"""

# Lines of the library's own log that count as symptoms.
SYMPTOMS = {
    "IDR frame request sent": "idr_requests",
    "Invalidate reference frame request": "invalidations",
    "Unrecoverable frame": "unrecoverable",
    "FEC recovery returned corrupt": "corrupt_recoveries",
}


def surround_audio_info(channels):
    return SPEAKER_MASKS[channels] << 16 | channels


class Stream:
    """Start with `start`, end with `stop`; `result` is what was seen. One per process: the library is global state."""

    def __init__(self, options, server, url, key, iv, tell):
        self.options, self.tell, self.origin = options, tell, time.monotonic()
        self.ffi = cffi.FFI()
        self.ffi.cdef(CDEF + MORE_DECLARATIONS)
        self.lib = self.ffi.dlopen(str(Path(moonlight_python.__file__).parent / "libmoonlight-common-c.so"))
        self.units, self.packets, self.arrivals, self.host_latencies = [], [], [], []
        self.hashes = set()
        self.over = threading.Event()
        self.first_frame = threading.Event()
        self.last_index = 0
        self.counts = dict.fromkeys(
            ("frames", "idr", "lost", "lost_late", "bytes", "audio", "audio_lost", "fec_blocks", "fec_recovered", *SYMPTOMS.values()), 0
        )
        self.facts = {"terminated": None, "stage_failed": None, "opus": None, "max_gap_ms": 0.0}
        self._alive = []  # what C keeps pointers to
        self._describe(server, url, key, iv)
        self._listen()

    def start(self):
        """0, or the library's error; `facts["stage_failed"]` names the stage then."""
        null = self.ffi.NULL
        return self.lib.LiStartConnection(self.server, self.config, self.listener, self.video, self.sound, null, 0, null, 0)

    def stop(self):
        """Ends the connection as a client does that means to come back; what the library knows goes into `facts`."""
        lib = self.lib
        rtt, variance = self.ffi.new("uint32_t*"), self.ffi.new("uint32_t*")
        lib.LiGetEstimatedRttInfo(rtt, variance)
        audio, video = lib.LiGetRTPAudioStats(), lib.LiGetRTPVideoStats()
        self.facts.update(
            rtt_ms=rtt[0],
            audio_fec_recovered=audio.fecRecovered,
            audio_fec_packets=audio.fec,
            video_packets=video.data,
            video_fec_packets=video.fec,
            encryption=lib.EncryptionFeaturesEnabled,
            packet_size=lib.StreamConfig.packetSize,
            codec={v: k for k, v in VIDEO_FORMATS.items()}.get(lib.NegotiatedVideoFormat, hex(lib.NegotiatedVideoFormat)),
        )
        lib.LiStopConnection()

    def act(self, name, *arguments):
        """Does what a player does: `LiSend…` of this name. 0, or what the library says against it."""
        if name == "Utf8TextEvent":
            text = arguments[0].encode()
            return self.lib.LiSendUtf8TextEvent(text, len(text))
        # Characters of C are numbers here.
        chars = {"MouseButtonEvent": (0,), "KeyboardEvent": (1, 2), "KeyboardEvent2": (1, 2, 3)}.get(name, ())
        given = [bytes([a]) if at in chars else a for at, a in enumerate(arguments)]
        return getattr(self.lib, f"LiSend{name}")(*given)

    def flood(self, seed, rate, seconds):
        """Sends so many packets of nonsense a second as input. How many it sent."""
        chance, sent, start = random.Random(seed), 0, time.monotonic()
        while (passed := time.monotonic() - start) < seconds and not self.over.is_set():
            while sent < rate * passed:
                packet = nonsense.packet(chance)
                flags = chance.choice([RELIABLE, 0, 0, UNSEQUENCED])
                self.lib.sendInputPacketOnControlStream(packet, len(packet), chance.randrange(CONTROL_CHANNELS), flags, False)
                sent += 1
            time.sleep(0.001)
        return sent

    def progress(self):
        counts = self.counts
        return {"frames": counts["frames"], "idr": counts["idr"], "lost": counts["lost"], "audio": counts["audio"]}

    def result(self):
        gaps = sorted(b - a for a, b in zip(self.arrivals, self.arrivals[1:]))
        span = self.arrivals[-1] - self.arrivals[0] if gaps else 0.0
        latencies = sorted(self.host_latencies)
        return {
            **self.counts,
            **self.facts,
            "opus_bytes": sorted({len(packet) for packet in [*self.packets]}),
            "seconds": round(span, 3),
            "fps": round(len(gaps) / span, 2) if span else 0.0,
            "mbps": round(self.counts["bytes"] * 8 / span / 1e6, 3) if span else 0.0,
            "gap_p50_ms": round(1e3 * gaps[len(gaps) // 2], 2) if gaps else 0.0,
            "gap_p99_ms": round(1e3 * gaps[len(gaps) * 99 // 100], 2) if gaps else 0.0,
            "host_latency_p50_ms": latencies[len(latencies) // 2] if latencies else 0.0,
            **({"units_sha256": sorted(self.hashes)} if self.options.units_sha256 else {}),
        }

    def _describe(self, server, url, key, iv):
        ffi, options = self.ffi, self.options
        self.server = ffi.new("SERVER_INFORMATION*")
        texts = [ffi.new("char[]", t.encode()) for t in (options.host, server.app_version, server.gfe_version, url)]
        self._alive += texts
        info = self.server
        info.address, info.serverInfoAppVersion, info.serverInfoGfeVersion, info.rtspSessionUrl = texts
        info.serverCodecModeSupport = server.server_codec_mode_support

        self.config = ffi.new("STREAM_CONFIGURATION*")
        c = self.config
        c.width, c.height, c.fps, c.bitrate = options.width, options.height, options.fps, options.bitrate
        c.packetSize, c.streamingRemotely, c.colorSpace = options.packet_size, 0, 1
        c.audioConfiguration = SPEAKER_MASKS[options.channels] << 16 | options.channels << 8 | 0xCA
        c.supportedVideoFormats = VIDEO_FORMATS[options.codec]
        c.encryptionFlags = ENCRYPTION[options.encrypt]
        ffi.memmove(c.remoteInputAesKey, key, 16)
        ffi.memmove(c.remoteInputAesIv, iv, 16)

    def _callback(self, signature, function):
        made = self.ffi.callback(signature, function)
        self._alive.append(made)
        return made

    def _listen(self):
        ffi, callback = self.ffi, self._callback
        nothing = callback("void(void)", lambda: None)

        self.listener = ffi.new("CONNECTION_LISTENER_CALLBACKS*")
        self.listener.stageComplete = callback("void(int)", self._on_stage_complete)
        self.listener.stageFailed = callback("void(int,int)", self._on_stage_failed)
        self.listener.connectionTerminated = callback("void(int)", self._on_terminated)
        # Variadic in C; where integers travel in registers the arguments arrive all the same.
        log = callback("void(const char*,long,long,long,long)", self._on_log)
        self.listener.logMessage = ffi.cast("void(*)(const char*,...)", log)

        self.video = ffi.new("DECODER_RENDERER_CALLBACKS*")
        self.video.setup = callback("int(int,int,int,int,void*,int)", self._on_video_setup)
        self.video.submitDecodeUnit = callback("int(DECODE_UNIT*)", self._on_frame)
        self.video.start = self.video.stop = self.video.cleanup = nothing
        self.video.capabilities = DIRECT_SUBMIT | (REFERENCE_INVALIDATION if self.options.rfi else 0)
        # CAPABILITY_SLICES_PER_FRAME
        self.video.capabilities |= self.options.slices << 24

        self.sound = ffi.new("AUDIO_RENDERER_CALLBACKS*")
        self.sound.init = callback("int(int,OPUS_MULTISTREAM_CONFIGURATION*,void*,int)", self._on_audio_setup)
        self.sound.decodeAndPlaySample = callback("void(char*,int)", self._on_sample)
        self.sound.start = self.sound.stop = self.sound.cleanup = nothing
        self.sound.capabilities = DIRECT_SUBMIT | (SLOW_OPUS_DECODER if self.options.slow_sound else 0)

    def _on_stage_complete(self, stage):
        name = self.ffi.string(self.lib.LiGetStageName(stage)).decode()
        self.tell("stage", name=name)
        # The handshake has told the library where media comes from; a relay in between takes that place.
        if name == "RTSP handshake" and self.options.video_port:
            self.tell("video-port", port=self.lib.VideoPortNumber)
            self.lib.VideoPortNumber = self.options.video_port

    def _on_stage_failed(self, stage, error):
        self.facts["stage_failed"] = f"{self.ffi.string(self.lib.LiGetStageName(stage)).decode()}: {error}"

    def _on_terminated(self, code):
        self.facts["terminated"] = code
        self.tell("terminated", code=code)
        self.over.set()

    def _on_log(self, text, a, b, c, d):
        line = self.ffi.string(text).decode(errors="replace")
        for start, count in SYMPTOMS.items():
            self.counts[count] += line.startswith(start)
        if self.options.log:
            self.tell("log", text=line.rstrip(), arguments=[v & 0xFFFFFFFF for v in (a, b, c, d)][: line.count("%")])

    def _on_video_setup(self, video_format, width, height, fps, context, flags):
        # The library does not count recovered packets itself: stand in front of its decoder and count.
        self._decode_fec = self.ffi.cast("int(*)(void*,uint8_t**,uint8_t*,int,int)", self.lib.reed_solomon_decode_fn)
        counting = self._callback("int(void*,uint8_t**,uint8_t*,int,int)", self._on_recovery)
        self.lib.reed_solomon_decode_fn = self.ffi.cast("void*", counting)
        return 0

    def _on_recovery(self, code, shards, missing, total, size):
        data_shards = self.ffi.cast("int*", code)[0]
        lost = sum(1 for i in range(data_shards) if missing[i])
        outcome = self._decode_fec(code, shards, missing, total, size)
        if outcome == 0 and size == self.lib.StreamConfig.packetSize + 16:  # audio passes here too
            self.counts["fec_blocks"] += 1
            self.counts["fec_recovered"] += lost
        return outcome

    def _on_frame(self, unit):
        now, counts = time.monotonic(), self.counts
        if self.arrivals:
            lost = unit.frameNumber - self.last_index - 1
            counts["lost"] += lost
            counts["lost_late"] += lost if now - self.arrivals[0] > 3 else 0
            self.facts["max_gap_ms"] = max(self.facts["max_gap_ms"], round(1e3 * (now - self.arrivals[-1]), 1))
        self.last_index = unit.frameNumber
        self.arrivals.append(now)
        self.host_latencies.append(unit.frameHostProcessingLatency / 10)
        counts["frames"] += 1
        counts["idr"] += unit.frameType == FRAME_TYPE_IDR
        counts["bytes"] += unit.fullLength
        entry, data = unit.bufferList, b""
        while entry != self.ffi.NULL:
            data += bytes(self.ffi.buffer(entry.data, entry.length))
            entry = entry.next
        if self.options.units_sha256:
            # The library fills the last packet up with zeros, with which no unit ends.
            self.hashes.add(hashlib.sha256(data.rstrip(b"\0")).hexdigest())
        if not self.options.units_sha256 or len(self.units) < UNITS_KEPT:
            self.units.append(data)
        self.first_frame.set()
        return 0

    def _on_audio_setup(self, configuration, opus, context, flags):
        self.facts["opus"] = {
            "channels": opus.channelCount,
            "samples": opus.samplesPerFrame,
            "streams": opus.streams,
            "coupled": opus.coupledStreams,
            "mapping": [*opus.mapping][: opus.channelCount],
        }
        return 0

    def _on_sample(self, data, length):
        if length > 0:
            self.counts["audio"] += 1
            self.packets.append(bytes(self.ffi.buffer(data, length)))
        else:
            self.counts["audio_lost"] += 1
