#!/usr/bin/env python3
"""A Moonlight client without a screen, for tests. Everything on the wire is done by the real client library.

Prints JSON lines: events while things happen, and last {"event": "result", ...}.

  client.py --identity DIR pair --pin 1234
  client.py --identity DIR stream --seconds 10 --decode --tone
"""

import argparse
import hashlib
import itertools
import json
import os
import re
import secrets
import sys
import threading
import time
from xml.etree import ElementTree

import requests
from moonlight_python.discovery import connect_to_server, discover_mdns
from moonlight_python.http_client import NvHTTP
from moonlight_python.identity import Identity
from moonlight_python.pairing import pair

import library
import phases
import pictures
import sounds


def tell(event, **facts):
    # One write, so that lines of several threads stay whole.
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


def url_host(host):
    return f"[{host}]" if ":" in host else host


def connect(o):
    """The client's certificate, what the host says of itself, and a connection that uses both."""
    identity = Identity(o.identity)
    server = connect_to_server(url_host(o.host), identity, o.port)
    return identity, server, NvHTTP(url_host(o.host), identity, http_port=o.port, https_port=server.https_port)


def do_pair(o):
    identity, server, http = connect(o)
    tell("pairing", sha256=hashlib.sha256(identity.cert_der).hexdigest())
    try:
        pair(http, identity, o.pin, server, timeout=60)
    except Exception as refused:
        return {"paired": False, "error": type(refused).__name__, "message": str(refused)}
    return {"paired": True, "apps": [[a.id, a.name] for a in http.get_app_list()]}


def do_phases(o):
    identity, _, http = connect(o)
    tell("pairing", sha256=hashlib.sha256(identity.cert_der).hexdigest())
    pairing = phases.Phases(http, identity, o.pin)
    return {"answers": [pairing.send(phase) for phase in o.order.split(",")]}


def do_get(o):
    """One request; `root` holds the attributes and the children of the XML answer."""
    identity, _, http = connect(o)
    if o.plain:
        base, certificate = http.base_url_http, None
    else:
        base = http.base_url_https
        certificate = None if o.no_certificate else (f"{o.identity}/cert.pem", f"{o.identity}/key.pem")
    query = f"{o.path}{'&' if '?' in o.path else '?'}uniqueid=0123456789ABCDEF&uuid={secrets.token_hex(16)}"
    answer = requests.get(base + query, verify=False, cert=certificate, timeout=20)
    found = {"http_status": answer.status_code, "type": answer.headers.get("content-type"), "bytes": len(answer.content)}
    try:
        root = ElementTree.fromstring(answer.text)
        found |= {"status": int(root.get("status_code", "-1")), "message": root.get("status_message", "")}
        found["root"] = {child.tag: child.text for child in root}
    except ElementTree.ParseError:
        pass
    return found


def do_apps(o):
    _, _, http = connect(o)
    return {"apps": {a.name: a.id for a in http.get_app_list()}}


def do_cancel(o):
    _, _, http = connect(o)
    http.quit_app()
    return {"game": http.parse_server_info(http.open_https("serverinfo")).current_game}


def do_discover(o):
    deadline, found = time.monotonic() + o.seconds, []
    while not found and time.monotonic() < deadline:
        found = discover_mdns(1.0)
    return {"addresses": found}


def do_stream(o):
    _, server, http = connect(o)
    key, iv = secrets.token_bytes(16), secrets.token_bytes(4) + bytes(12)
    t_launch = time.monotonic()
    try:
        url = launch(o, http, key, iv)
    except Exception as refused:
        return {"error": -1, "refused": str(refused)}
    if o.rtsp_port:
        url = re.sub(r":\d+$", f":{o.rtsp_port}", url)
    launch_ms = 1e3 * (time.monotonic() - t_launch)
    tell("launched", url=url)
    stream = library.Stream(o, server, url, key, iv, tell)
    first_decoded = []
    threading.Thread(target=decode_first, args=(stream, o.codec, first_decoded), daemon=True).start()
    if o.beat:
        threading.Thread(target=beat, args=(stream, o.beat), daemon=True).start()
    error = stream.start()
    result = {"error": error, "launch_ms": round(launch_ms, 1), "connect_ms": round(1e3 * (time.monotonic() - t_launch), 1)}
    if error == 0:
        wait(o, stream)
        stream.stop()
        if o.leave == "quit":
            http.quit_app()
    result |= stream.result()
    if stream.arrivals:
        result["first_frame_ms"] = round(1e3 * (stream.arrivals[0] - t_launch), 1)
        if first_decoded:
            result["first_decoded_ms"] = round(1e3 * (first_decoded[0] - t_launch), 1)
    if o.slices:
        result["slices"] = sorted({pictures.slices(o.codec, unit) for unit in stream.units})
    result |= look(o, stream)
    return result


def look(o, stream):
    """What there is to see and to hear in what has arrived."""
    found = {}
    if o.decode and stream.units:
        found |= pictures.look(
            o.codec, [*stream.units], stream.arrivals, o.counter_at, dict(o.colour), dict(o.brightness), o.png
        )
    if o.tone or o.hear:
        found |= sounds.listen([*stream.packets], stream.facts["opus"], o.hear)
    return found


def launch(o, http, key, iv):
    # The library's parameters ask for the encrypted RTSP; without them the host offers the plain one.
    extra = ("" if o.plain_rtsp else library_parameters()) + o.launch_more
    speakers = library.surround_audio_info(o.channels)
    if o.resume:
        return http.resume_app(key, iv, speakers, extra)
    app = next(a for a in http.get_app_list() if a.name == o.app)
    formats = library.VIDEO_FORMATS[o.codec]
    return http.launch_app(
        app.id, o.width, o.height, o.fps, o.bitrate, formats, key, iv, speakers,
        local_audio=o.local_audio, launch_query_params=extra,
    )


def library_parameters():
    import ctypes
    from pathlib import Path

    import moonlight_python

    lib = ctypes.CDLL(str(Path(moonlight_python.__file__).parent / "libmoonlight-common-c.so"))
    lib.LiGetLaunchUrlQueryParameters.restype = ctypes.c_char_p
    return lib.LiGetLaunchUrlQueryParameters().decode()


def decode_first(stream, codec, when):
    """Notes the moment at which the first picture is there: the one figure that needs decoding while frames arrive."""
    context, done = pictures.decoder(codec), 0
    context.thread_count = 1
    stream.first_frame.wait()
    while not stream.over.is_set():
        if len(stream.units) == done:
            time.sleep(0.001)
            continue
        try:
            pictured = context.decode(pictures.av.Packet(stream.units[done]))
        except pictures.av.error.FFmpegError:
            pictured = []
        done += 1
        if pictured:
            when.append(time.monotonic())
            tell("first-picture")
            return


def beat(stream, interval):
    """Says again and again what has arrived, for the one who waits for more of it."""
    while not stream.over.wait(interval):
        tell("beat", **stream.progress())


def obey(o, stream):
    """The line `look` tells what has been seen and heard so far, `act` with JSON does what a player does, `flood` sends
    nonsense as input, each answered with its number; every other one and the end of input end the stream."""
    for number in itertools.count(1):
        word, _, rest = sys.stdin.readline().partition(" ")
        if word == "look\n":
            facts = {**stream.result(), **look(o, stream)}
        elif word == "act":
            facts = {"answers": [stream.act(*what) for what in json.loads(rest)]}
        elif word == "flood":
            facts = {"sent": stream.flood(*json.loads(rest))}
        else:
            stream.over.set()
            return
        tell(f"answer-{number}", **facts)


def wait(o, stream):
    if o.until_told:
        threading.Thread(target=obey, args=(o, stream), daemon=True).start()
    deadline = time.monotonic() + o.seconds + 15
    # Seconds of streaming, not of waiting for the first frame; the library gives up by itself after ten.
    while not stream.first_frame.wait(0.05) and not stream.over.is_set() and time.monotonic() < deadline:
        pass
    stream.over.wait(o.seconds)


def area(text):
    name, numbers = text.split("=")
    return name, tuple(int(n) for n in numbers.split(","))


def arguments():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--host", default="127.0.0.1")
    a.add_argument("--port", type=int, default=47989, help="the host's HTTP port")
    a.add_argument("--identity", required=True, help="folder of the client's certificate; made when it is missing")
    commands = a.add_subparsers(dest="command", required=True)

    p = commands.add_parser("pair")
    p.add_argument("--pin", default="1234")
    p = commands.add_parser("phases")
    p.add_argument("--pin", default="1234")
    p.add_argument("--order", required=True, help="certificate,challenge,response,secret,short_challenge,not_hex")
    p = commands.add_parser("get")
    p.add_argument("path")
    p.add_argument("--plain", action="store_true", help="HTTP instead of HTTPS")
    p.add_argument("--no-certificate", action="store_true")
    commands.add_parser("apps")
    commands.add_parser("cancel")
    p = commands.add_parser("discover")
    p.add_argument("--seconds", type=float, default=15)

    p = commands.add_parser("stream")
    p.add_argument("--app", default="Desktop")
    p.add_argument("--resume", action="store_true")
    p.add_argument("--leave", choices=["quit", "disconnect"], default="quit")
    p.add_argument("--width", type=int, default=1280)
    p.add_argument("--height", type=int, default=720)
    p.add_argument("--fps", type=int, default=60)
    p.add_argument("--bitrate", type=int, default=10000, help="kbit/s")
    p.add_argument("--packet-size", type=int, default=1392)
    p.add_argument("--codec", choices=library.VIDEO_FORMATS, default="h264")
    p.add_argument("--encrypt", choices=library.ENCRYPTION, default="all")
    p.add_argument("--plain-rtsp", action="store_true")
    p.add_argument("--launch-more", default="", metavar="&NAME=VALUE", help="what else the launch asks for")
    p.add_argument("--channels", type=int, choices=library.SPEAKER_MASKS, default=2)
    p.add_argument("--local-audio", action="store_true", help="the host is to play the sound as well")
    p.add_argument("--slow-sound", action="store_true", help="with a decoder of sound that is slow")
    p.add_argument("--rfi", action="store_true", help="with a decoder that goes on without lost frames, where the host does")
    p.add_argument("--slices", type=int, default=0, help="slices that the decoder asks for; tells how many each frame has")
    p.add_argument("--video-port", type=int, default=0, help="where video comes from instead of the port in SETUP's answer")
    p.add_argument("--rtsp-port", type=int, default=0, help="where the conversation is held instead of the port in the launch's answer")
    p.add_argument("--beat", type=float, default=0, metavar="SECONDS", help="tell so often what has arrived")
    p.add_argument("--seconds", type=float, default=5)
    p.add_argument("--until-told", action="store_true", help="end at a line, or the end, of standard input; `look` tells instead, `act` JSON does what a player does")
    p.add_argument("--decode", action="store_true", help="decode every frame afterwards")
    p.add_argument("--counter-at", type=lambda t: tuple(int(n) for n in t.split(",")), default=(0, 0))
    p.add_argument("--colour", type=area, action="append", default=[], metavar="NAME=X,Y,W,H")
    p.add_argument("--brightness", type=area, action="append", default=[], metavar="NAME=X,Y,W,H", help="tell when it changes")
    p.add_argument("--png", default="", help="write the last decoded picture here")
    p.add_argument("--units-sha256", action="store_true", help="tell the hash of each different access unit instead of keeping all of them")
    p.add_argument("--hear", action="append", default=[], metavar="HERTZ", help="how much of the sound is this tone, in all and of each channel")
    p.add_argument("--tone", action="store_true", help="find the strongest audio frequency")
    p.add_argument("--log", action="store_true", help="tell every line of the library's log")
    return a.parse_args()


def main():
    o = arguments()
    result = globals()["do_" + o.command](o)
    tell("result", **result)
    # The library's threads outlive a failed start.
    os._exit(0)


if __name__ == "__main__":
    requests.packages.urllib3.disable_warnings()
    main()
