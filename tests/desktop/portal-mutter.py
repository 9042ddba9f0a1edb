#!/usr/bin/python3
"""The backend of a desktop portal that shows a virtual monitor of Mutter, made for each screencast.

Enough of org.freedesktop.impl.portal.ScreenCast for tests. SIGUSR1 ends all monitors, and nobody is told; SIGUSR2 makes
one without being asked.
"""

import signal

from gi.repository import Gio, GLib

NAME = "org.freedesktop.impl.portal.desktop.mutter"
MUTTER = "org.gnome.Mutter.ScreenCast"
INTERFACES = """
<node>
  <interface name="org.freedesktop.impl.portal.ScreenCast">
    <method name="CreateSession">
      <arg type="o" direction="in"/><arg type="o" direction="in"/><arg type="s" direction="in"/>
      <arg type="a{sv}" direction="in"/><arg type="u" direction="out"/><arg type="a{sv}" direction="out"/>
    </method>
    <method name="SelectSources">
      <arg type="o" direction="in"/><arg type="o" direction="in"/><arg type="s" direction="in"/>
      <arg type="a{sv}" direction="in"/><arg type="u" direction="out"/><arg type="a{sv}" direction="out"/>
    </method>
    <method name="Start">
      <arg type="o" direction="in"/><arg type="o" direction="in"/><arg type="s" direction="in"/><arg type="s" direction="in"/>
      <arg type="a{sv}" direction="in"/><arg type="u" direction="out"/><arg type="a{sv}" direction="out"/>
    </method>
    <property name="AvailableSourceTypes" type="u" access="read"/>
    <property name="AvailableCursorModes" type="u" access="read"/>
    <property name="version" type="u" access="read"/>
  </interface>
  <interface name="org.freedesktop.impl.portal.Session">
    <method name="Close"/>
    <signal name="Closed"/>
    <property name="version" type="u" access="read"/>
  </interface>
</node>
"""
# Virtual monitors, with the pointer in the picture.
PROPERTIES = {"AvailableSourceTypes": 4, "AvailableCursorModes": 2, "version": 4}


class Backend:
    def __init__(self, bus):
        self.bus = bus
        self.interfaces = Gio.DBusNodeInfo.new_for_xml(INTERFACES)
        # Session handle: Mutter's session, and what is registered for the portal.
        self.monitors, self.exported = {}, {}
        self.export("/org/freedesktop/portal/desktop", "org.freedesktop.impl.portal.ScreenCast")

    def export(self, path, interface):
        info = self.interfaces.lookup_interface(interface)
        return self.bus.register_object(path, info, self.handle_call, self.handle_get, None)

    def handle_get(self, _bus, _sender, _path, _interface, name):
        return GLib.Variant("u", PROPERTIES[name])

    def handle_call(self, _bus, _sender, path, _interface, method, arguments, invocation):
        if method == "Close":
            self.end(path)
            self.bus.unregister_object(self.exported.pop(path))
            invocation.return_value(None)
            return
        session = arguments[1]
        if method == "CreateSession":
            self.exported[session] = self.export(session, "org.freedesktop.impl.portal.Session")
        if method == "Start":
            self.begin(session, lambda node: answer(invocation, streams(node)))
        else:
            answer(invocation, {})

    def begin(self, session, ready):
        """Has Mutter make a monitor; `ready` hears of its node."""
        monitor = self.ask("/org/gnome/Mutter/ScreenCast", MUTTER, "CreateSession", GLib.Variant("(a{sv})", ({},)))[0]
        options = {"cursor-mode": GLib.Variant("u", 1)}
        stream = self.ask(monitor, f"{MUTTER}.Session", "RecordVirtual", GLib.Variant("(a{sv})", (options,)))[0]
        self.monitors[session] = monitor
        self.bus.signal_subscribe(
            MUTTER, f"{MUTTER}.Stream", "PipeWireStreamAdded", stream, None, Gio.DBusSignalFlags.NONE,
            lambda *told: ready(told[5][0]),
        )
        self.ask(monitor, f"{MUTTER}.Session", "Start")

    def end(self, session):
        if monitor := self.monitors.pop(session, None):
            self.ask(monitor, f"{MUTTER}.Session", "Stop")

    def add(self):
        self.begin("a monitor of nobody", lambda _node: None)
        return GLib.SOURCE_CONTINUE

    def end_all(self):
        for session in list(self.monitors):
            self.end(session)
        return GLib.SOURCE_CONTINUE

    def ask(self, path, interface, method, arguments=None):
        return self.bus.call_sync(MUTTER, path, interface, method, arguments, None, Gio.DBusCallFlags.NONE, 5000, None)


def streams(node):
    return {"streams": GLib.Variant("a(ua{sv})", [(node, {"source_type": GLib.Variant("u", 4)})])}


def answer(invocation, results):
    invocation.return_value(GLib.Variant("(ua{sv})", (0, results)))


def main():
    loop = GLib.MainLoop()
    bus = Gio.bus_get_sync(Gio.BusType.SESSION)
    backend = Backend(bus)
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGUSR1, backend.end_all)
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGUSR2, backend.add)
    Gio.bus_own_name_on_connection(bus, NAME, Gio.BusNameOwnerFlags.NONE, None, lambda *_: loop.quit())
    loop.run()


main()
