"""A threadmesh client written from src/wire/protocol.md alone, with the standard library only.

    python3 mesh_client.py HOST:PORT

joins the node there as "python" and goes through the steps of `main`, one line each. Exit code 0: all went well.
"""

import os
import select
import socket
import struct
import sys
import threading
import time

DIALLER_MAGIC = b"\xf4tmesh\r\n"
LISTENER_MAGIC = b"\xf5tmesh\r\n"

HELLO, REQUEST, SERVICES, REPLY, READY, FAILURE, REFUSE, FAULT = 1, 2, 3, 4, 5, 6, 7, 8
GOODBYE, TICK, HEARTBEAT, CANCEL, CONSUMED, GRANT = 9, 10, 11, 13, 15, 17
OPTIONS, SERVICES_CHANGED = 19, 21
# The other kinds of protocol 1 are for routers and members, which this client is not.
QUESTIONS = {12, 14, 16, 20}
ROUTERS_AND_MEMBERS = QUESTIONS | {18, 22, 23, 25}
ARITY = {HELLO: 16, REQUEST: 6, SERVICES: 5, REPLY: 4, READY: 3, FAILURE: 7, REFUSE: 5, FAULT: 7,
         GOODBYE: 8, TICK: 5, HEARTBEAT: 7, CANCEL: 3, CONSUMED: 5, GRANT: 5, OPTIONS: 5,
         SERVICES_CHANGED: 6}

NO_HANDLER, HANDLER_ERROR, UNSUPPORTED, DUPLICATE_ID, REFUSED, DECODE = 6, 8, 22, 23, 24, 29
NEVER, UNKNOWN, HAPPENED = 0, 1, 2

MORE, CONTINUES = 1 << 31, 1 << 30
WHOLE, SEGMENT, LARGEST_FRAME = 64 << 10, 128 << 10, 256 << 10
HANDSHAKE_LIMIT, PAYLOAD_LIMIT, AROUND = 16 << 10, 16 << 20, 24 << 10
TICK_WINDOW, CALLS = 64 << 10, 1024
INTERVAL, TIMEOUT = 2.0, 10.0


class ProtocolError(Exception):
    """The other side broke the protocol."""


class CallFailed(Exception):
    """A call ended with a Failure or a Fault, or with its link."""

    def __init__(self, code, execution, message, data=None):
        super().__init__(f"{code}: {message}")
        self.code, self.execution, self.data = code, execution, data


# ── CBOR ──

def encode(value):
    """One item in the strict encoding."""
    if value is None:
        return b"\xf6"
    if value is True or value is False:
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, float):
        return encode_float(value)
    if isinstance(value, (bytes, bytearray)):
        return head(2, len(value)) + bytes(value)
    if isinstance(value, str):
        text = value.encode()
        return head(3, len(text)) + text
    if isinstance(value, (list, tuple)):
        return head(4, len(value)) + b"".join(encode(element) for element in value)
    entries = sorted((encode(key), encode(element)) for key, element in value.items())
    return head(5, len(entries)) + b"".join(key + element for key, element in entries)


def head(major, number):
    if number < 24:
        return bytes([major << 5 | number])
    for info, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if number < 1 << 8 * struct.calcsize(form):
            return bytes([major << 5 | info]) + struct.pack(form, number)
    raise ValueError("an integer beyond 64 bits")


def encode_float(value):
    if value != value:
        return b"\xf9\x7e\x00"
    for first, form in ((0xF9, ">e"), (0xFA, ">f")):
        try:
            packed = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, packed)[0] == value:
            return bytes([first]) + packed
    return b"\xfb" + struct.pack(">d", value)


def decode(data, strict=False):
    """The one item in `data`; a ValueError if there is none, or more."""
    value, at = decode_at(data, 0, 0)
    if at != len(data):
        raise ValueError("bytes follow the item")
    if strict and encode(value) != data:
        raise ValueError("another encoding than the strict one")
    return value


def decode_at(data, at, depth):
    if depth > 64:
        raise ValueError("nested too deeply")
    if at >= len(data):
        raise ValueError("an item is missing")
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7 and info in (20, 21, 22):
        return (False, True, None)[info - 20], at
    if info < 24:
        number = info
    elif info <= 27:
        size = 1 << info - 24
        raw = take(data, at, size)
        at += size
        if major == 7 and info > 24:
            return struct.unpack({2: ">e", 4: ">f", 8: ">d"}[size], raw)[0], at
        number = int.from_bytes(raw, "big")
    else:
        raise ValueError("an indefinite or reserved length")
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if major in (2, 3):
        raw = bytes(take(data, at, number))
        return (raw if major == 2 else raw.decode()), at + number
    if major == 4:
        out = []
        for _ in range(number):
            element, at = decode_at(data, at, depth + 1)
            out.append(element)
        return out, at
    if major == 5:
        out = {}
        for _ in range(number):
            key, at = decode_at(data, at, depth + 1)
            if isinstance(key, (list, dict)) or key in out:
                raise ValueError("a key that is a list or a map, or stands twice")
            out[key], at = decode_at(data, at, depth + 1)
        return out, at
    raise ValueError("a tag or an unknown simple value")


def take(data, at, size):
    if at + size > len(data):
        raise ValueError("an item is cut off")
    return data[at:at + size]


# ── Greeting and frames ──

def greeting(magic, low, high, modes, last):
    return magic + struct.pack(">4H", low, high, modes, last)


class Frames:
    """Bytes in, whole messages out."""

    def __init__(self):
        self.limit = HANDSHAKE_LIMIT
        self.buffer = bytearray()
        self.run = None

    def feed(self, data):
        self.buffer += data

    def next(self):
        """The next message, or None until there are more bytes."""
        while len(self.buffer) >= 4:
            (word,) = struct.unpack_from(">I", self.buffer)
            more, continues = bool(word & MORE), bool(word & CONTINUES)
            length = word & ~(MORE | CONTINUES)
            before = len(self.run) if self.run is not None and (more or continues) else 0
            if not 0 < length <= LARGEST_FRAME or before + length > self.limit:
                raise ProtocolError(f"a frame of {length} bytes")
            if continues != (self.run is not None) and (more or continues):
                raise ProtocolError("segments out of order")
            if len(self.buffer) < 4 + length:
                return None
            content = bytes(self.buffer[4:4 + length])
            del self.buffer[:4 + length]
            if not more and not continues:
                return content
            self.run = (self.run or bytearray()) + content
            if not more:
                whole, self.run = bytes(self.run), None
                return whole
        return None


def framed(message):
    if len(message) <= WHOLE:
        return struct.pack(">I", len(message)) + message
    out = bytearray()
    for at in range(0, len(message), SEGMENT):
        segment = message[at:at + SEGMENT]
        word = len(segment)
        word |= MORE if at + SEGMENT < len(message) else 0
        word |= CONTINUES if at else 0
        out += struct.pack(">I", word) + segment
    return bytes(out)


# ── The link ──

class Call:
    """A request of ours that is open."""

    def __init__(self, number):
        self.number = number
        self.done = threading.Event()
        self.result = None
        self.error = None

    def finish(self, result=None, error=None):
        self.result, self.error = result, error
        self.done.set()


class Mesh:
    """One joined link, with a thread that reads and keeps it alive.

    `handlers` answer requests, `on_tick` takes ticks: both map an event to a function of its data. They run on the
    reading thread, so they must be quick and must not call.
    """

    def __init__(self, host, port, node_id, options=None, handlers=None, on_tick=None):
        self.id = node_id
        self.handlers, self.on_tick = handlers or {}, on_tick or {}
        self.options = dict(options or {}, _id=node_id)
        self.lock = threading.Condition()
        self.calls, self.next_call = {}, 1
        self.finished_ticks = self.finished_cost = self.told_cost = 0
        self.sent_cost = self.confirmed_cost = self.confirmed_ticks = 0
        self.dropped_answers, self.skipped = 0, 0
        self.closing, self.lost = False, None
        self.handling, self.taken_up = [], None
        self.frames = Frames()
        self.socket = socket.create_connection((host, port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.last_written = self.last_read = time.monotonic()
        self.handshake()
        self.socket.settimeout(None)
        self.reader = threading.Thread(target=self.run, name="mesh-link", daemon=True)
        self.reader.start()

    def handshake(self):
        self.socket.sendall(greeting(DIALLER_MAGIC, 1, 1, 1, 0))
        self.take_greeting()
        self.peer = self.expect(HELLO)
        (self.peer_id, _, _, self.peer_options, _, _, _, _, _, peer_liveness, self.peer_calls,
         self.window, self.peer_limit) = self.peer
        self.interval = min(INTERVAL, peer_liveness / 3000)
        self.peer_services, last = [], False
        while not last:
            last, names = self.expect(SERVICES)
            self.peer_services += names
        if self.peer_id == self.id:
            self.send_control(REFUSE, 0, DUPLICATE_ID, "you have my id")
            raise ProtocolError("the other side has our id")
        self.send_control(HELLO, 0, self.id, os.urandom(16), 0, self.options, 0, None, None, {},
                          int(INTERVAL * 1000), int(TIMEOUT * 1000), CALLS, TICK_WINDOW, PAYLOAD_LIMIT)
        self.send_control(SERVICES, 0, True, sorted(self.handlers))
        self.send_control(READY, 0)
        self.expect(READY)
        self.frames.limit = PAYLOAD_LIMIT + AROUND

    def take_greeting(self):
        heard = b""
        while len(heard) < 16:
            data = self.socket.recv(16 - len(heard))
            heard += data
            if not data or heard[:8] != LISTENER_MAGIC[:len(heard)]:
                raise ProtocolError(f"no threadmesh listener: {heard!r}")
        low, high, modes, chosen = struct.unpack(">4H", heard[8:])
        if (low, high, modes, chosen) != (1, 1, 1, 1):
            raise ProtocolError(f"INCOMPATIBLE: versions {low} to {high}, modes {modes}")

    def expect(self, kind):
        """The fields of the next handshake message, which must be of this kind."""
        while True:
            message = self.frames.next()
            if message is None:
                data = self.socket.recv(65536)
                if not data:
                    raise ProtocolError("closed during the handshake")
                self.frames.feed(data)
                continue
            heard, call, headers, fields = self.opened(message)
            if heard == REFUSE:
                raise CallFailed(f"refused ({fields[0]})", NEVER, fields[1])
            if heard == kind and not any(type(key) is int and key % 2 == 0 for key in headers):
                return fields
            if heard == GOODBYE:
                raise CallFailed(f"goodbye ({fields[0]})", NEVER, fields[1])
            raise ProtocolError(f"kind {heard} where {kind} was expected")

    def opened(self, message):
        """Kind, call, headers and fields of an envelope."""
        try:
            envelope = decode(message)
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        if not isinstance(envelope, list) or len(envelope) < 3 or type(envelope[0]) is not int:
            raise ProtocolError("no envelope")
        kind, call, headers, *fields = envelope
        if kind in ARITY and (len(envelope) != ARITY[kind] or encode(envelope) != message):
            raise ProtocolError(f"a malformed message of kind {kind}")
        return kind, call, headers, fields

    # Writing. Every message goes out under the lock, whole.

    def send_control(self, kind, call, *fields):
        self.write(encode([kind, call, {}, *fields]))

    def write(self, message):
        with self.lock:
            if self.closing:
                raise CallFailed("CONNECTION_LOST", NEVER, "the link is closed")
            self.socket.sendall(framed(message))
            self.last_written = time.monotonic()

    def start(self, event, data=None, timeout=10.0, headers=None):
        """Sends a request and returns its Call; waits for room first."""
        payload, deadline = encode(data), time.monotonic() + timeout
        with self.lock:
            if not self.lock.wait_for(lambda: len(self.calls) < self.peer_calls or self.closing,
                                      timeout):
                raise CallFailed("BACKPRESSURE", NEVER, "too many calls are open")
            call = Call(self.next_call)
            left = max(1, -int(-(deadline - time.monotonic()) * 1000 // 1))
            message = encode([REQUEST, call.number, headers or {}, left, event, payload])
            if len(payload) > self.peer_limit:
                raise CallFailed("TOO_LARGE", NEVER, f"{len(payload)} > {self.peer_limit}")
            self.next_call += 1
            self.write(message)
            self.calls[call.number] = call
        return call

    def wait(self, call, timeout):
        if not call.done.wait(timeout):
            self.cancel(call)
            raise CallFailed("REQUEST_TIMEOUT", UNKNOWN, f"no answer within {timeout} s")
        if call.error:
            raise call.error
        return call.result

    def request(self, event, data=None, timeout=10.0, headers=None):
        return self.wait(self.start(event, data, timeout, headers), timeout)

    def cancel(self, call):
        """Gives up. An answer that is under way will be dropped."""
        with self.lock:
            if self.calls.pop(call.number, None):
                self.lock.notify_all()
                call.finish(error=CallFailed("CANCELLED", UNKNOWN, "cancelled by the caller"))
                self.send_control(CANCEL, call.number)

    def tick(self, event, data=None, timeout=10.0, headers=None):
        """Sends a tick; waits for room in the window first."""
        payload = encode(data)
        cost = max(128, len(payload))

        def has_room():
            unconfirmed = self.sent_cost - self.confirmed_cost
            return self.closing or unconfirmed == 0 or unconfirmed + cost <= self.window

        with self.lock:
            if not self.lock.wait_for(has_room, timeout):
                raise CallFailed("BACKPRESSURE", NEVER, "the tick window is full")
            self.write(encode([TICK, 0, headers or {}, event, payload]))
            self.sent_cost += cost

    def flush(self, timeout):
        """Whether every tick so far was confirmed within the time."""
        with self.lock:
            self.lock.wait_for(lambda: self.sent_cost == self.confirmed_cost or self.lost, timeout)
            return self.sent_cost == self.confirmed_cost

    def goodbye(self, reason=0, text=""):
        """The lingering close."""
        with self.lock:
            if not self.closing:
                self.send_control(GOODBYE, 0, reason, text, self.finished_ticks, self.finished_cost,
                                  self.handling)
                self.closing = True
                self.socket.shutdown(socket.SHUT_WR)
        if threading.current_thread() is not self.reader:
            self.reader.join(2)

    # Reading.

    def run(self):
        try:
            self.read_until_closed()
        except (ProtocolError, CallFailed, OSError) as error:
            self.lost = self.lost or str(error)
            if isinstance(error, ProtocolError) and not self.closing:
                self.goodbye(4, str(error))
        finally:
            with self.lock:
                self.lost = self.lost or "closed"
                self.closing = True
                for call in self.calls.values():
                    passed_over = self.taken_up is not None and call.number not in self.taken_up
                    execution = NEVER if passed_over else UNKNOWN
                    call.finish(error=CallFailed("CONNECTION_LOST", execution, self.lost))
                self.calls.clear()
                self.lock.notify_all()
            self.socket.close()

    def read_until_closed(self):
        lingers_until, lingered = None, 0
        while True:
            now = time.monotonic()
            if self.closing:
                lingers_until = lingers_until or now + 1
                if now > lingers_until or lingered > WHOLE:
                    return
            elif now - self.last_read > TIMEOUT:
                return self.goodbye(3)
            elif now - self.last_written >= self.interval:
                self.heartbeat(0)
            if not select.select([self.socket], [], [], 0.1)[0]:
                continue
            data = self.socket.recv(65536)
            if not data:
                return
            self.last_read = time.monotonic()
            if self.closing:
                lingered += len(data)
                continue
            self.frames.feed(data)
            while not self.closing and (message := self.frames.next()) is not None:
                self.take(*self.opened(message))

    def heartbeat(self, echo):
        with self.lock:
            self.told_cost = self.finished_cost
            self.send_control(HEARTBEAT, 0, self.finished_ticks, self.finished_cost, 0, echo)

    def take(self, kind, call, headers, fields):
        if kind not in ARITY:
            if kind in QUESTIONS:
                self.send_control(FAULT, call, REFUSED, NEVER, "this is no router", [])
            elif kind % 2 == 0 and kind not in ROUTERS_AND_MEMBERS:
                self.send_control(FAULT, call, UNSUPPORTED, NEVER, f"kind {kind}", [])
            else:
                self.skipped += 1
            return
        numbers = [key for key in headers if isinstance(key, int)]
        self.skipped += sum(key % 2 == 1 and key not in (1, 3, 5, 7, 9) for key in numbers)
        even = [key for key in numbers if key % 2 == 0]
        if even:
            self.send_control(FAULT, call, UNSUPPORTED, NEVER, f"header {even[0]}", [])
            if kind == TICK:
                self.finish_tick(fields[-1])
        elif kind == REQUEST:
            self.answer(call, *fields)
        elif kind in (REPLY, FAILURE, FAULT):
            self.take_answer(kind, call, fields)
        elif kind == TICK:
            self.take_tick(*fields)
        elif kind in (HEARTBEAT, CONSUMED):
            self.confirm(*fields[:2])
            if kind == HEARTBEAT and fields[2]:
                self.heartbeat(fields[2])
        elif kind == GRANT:
            with self.lock:
                self.window, self.peer_calls = fields
                self.lock.notify_all()
        elif kind == OPTIONS:
            self.peer_options = fields[1]
        elif kind == GOODBYE:
            taken_up = fields[4]
            if taken_up is not None and taken_up != sorted(set(taken_up)):
                raise ProtocolError("calls are not strictly ascending")
            self.confirm(*fields[2:4])
            self.taken_up = taken_up
            self.lost, self.closing = f"goodbye {fields[0]} {fields[1]}", True
            self.socket.shutdown(socket.SHUT_WR)
        elif kind not in (CANCEL, SERVICES_CHANGED):
            raise ProtocolError(f"kind {kind} after the handshake")

    def answer(self, call, _timeout_ms, event, payload):
        """Our handlers are done before the next message is read, so a Cancel finds nothing to cancel."""
        with self.lock:
            if self.closing:
                return
            self.handling = [call]
        answer = self.handled(call, event, payload)
        with self.lock:
            self.handling = []
            self.send_control(*answer)

    def handled(self, call, event, payload):
        """The answer, as `send_control` takes it."""
        handler = self.handlers.get(event)
        if handler is None:
            return FAULT, call, NO_HANDLER, NEVER, f"no handler for {event!r}", []
        try:
            data = decode(payload)
        except (ValueError, UnicodeDecodeError) as error:
            return FAULT, call, DECODE, NEVER, str(error), []
        try:
            result = handler(data)
        except CallFailed as error:
            data = encode(error.data)
            has_data = error.data is not None
            return FAILURE, call, error.code, str(error), has_data, data
        except Exception:  # Whatever else a handler raises is its panic.
            return FAULT, call, HANDLER_ERROR, HAPPENED, "handler panicked", []
        return REPLY, call, encode(result)

    def take_answer(self, kind, number, fields):
        with self.lock:
            call = self.calls.pop(number, None)
            self.lock.notify_all()
        if call is None:
            self.dropped_answers += 1
        elif kind == REPLY:
            call.finish(result=decode(fields[0]))
        elif kind == FAILURE:
            code, message, has_data, payload = fields
            data = decode(payload) if has_data else None
            call.finish(error=CallFailed(code, HAPPENED, message, data))
        else:
            error, execution, message, _asked = fields
            call.finish(error=CallFailed(f"fault {error}", execution, message))

    def take_tick(self, event, payload):
        try:
            self.on_tick.get(event, lambda data: None)(decode(payload))
        except Exception:  # A tick whose payload or handler fails is finished, too.
            self.skipped += 1
        finally:
            self.finish_tick(payload)

    def finish_tick(self, payload):
        with self.lock:
            self.finished_ticks += 1
            self.finished_cost += max(128, len(payload))
            if self.finished_cost - self.told_cost >= TICK_WINDOW // 4:
                self.told_cost = self.finished_cost
                self.send_control(CONSUMED, 0, self.finished_ticks, self.finished_cost)

    def confirm(self, ticks, cost):
        with self.lock:
            self.confirmed_ticks, self.confirmed_cost = ticks, cost
            self.lock.notify_all()


# ── The script ──

def main(address):
    host, _, port = address.rpartition(":")
    doubled = threading.Event()

    def double(data):
        doubled.set()
        return data * 2

    mesh = Mesh(host.strip("[]"), int(port), "python", {"role": "guest"}, {"python:double": double})

    def check(step, ok, told=""):
        print(f"{'ok' if ok else 'FAILED'} {step} {told}".rstrip(), flush=True)
        if not ok:
            mesh.goodbye()
            sys.exit(1)

    check("join", True, mesh.peer_id)
    value = {"text": "grüß", "list": [0, -1, 1 << 40, 1.5, True, None], "bytes": b"\0\1", "": ""}
    check("request", mesh.request("echo", value) == value)
    large = bytes(300_000)
    check("large request", mesh.request("echo", large) == large)
    try:
        mesh.request("python:nobody-handles-this", timeout=5)
        check("no handler", False)
    except CallFailed as error:
        check("no handler", error.code == f"fault {NO_HANDLER}" and error.execution == NEVER, error)
    check("answer", doubled.wait(10))
    mesh.tick("note", "from python")
    check("tick", mesh.flush(10), f"{mesh.confirmed_ticks} confirmed")
    slow = mesh.start("slow", timeout=30)
    check("slow has begun", mesh.request("slow:begun") is None)
    mesh.cancel(slow)
    check("cancel", slow.error is not None and slow.error.code == "CANCELLED")
    check("request after cancel", mesh.request("echo", 7) == 7)
    mesh.goodbye()
    check("goodbye", not mesh.reader.is_alive())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: mesh_client.py HOST:PORT")
    main(sys.argv[1])
