# -*- coding: utf-8 -*-
"""The worker's program for Python 2.7 and 3: a supervisor and the child that calls the user's handler.

Standard library only, one file. `python runner.py` is the supervisor, process 1 of the worker's container; it runs
itself again, with --child, as the process that loads the user's module once and calls handler(event) input by input.

A map:

  1  Both processes     clocks, descriptors, "17,20-31", the frames between the two
  2  The child          loading, calling, encoding, and the end of each input
  3  Output             what inputs printed: kept per input, and passed on live
  4  The child's keeper spawning, feeding, recalling, collecting, killing a whole tree
  5  Memory             what the cgroup knows of limits and of kills
  6  The exchange       one persistent connection on a thread, repeating until answered
  7  The supervisor     what is held, when to call, time limits, the end

Between the two processes:

  claim    pipe, 8 bytes an input. Whoever reads a record owns the input: the child to run it, the supervisor to take it
           back. The kernel decides, so what is handed back is never executed.
  result   pipe, a line an outcome, written before the next input is claimed. So what a dying child had finished is never
           lost, and the first claimed input without an outcome is the one that it died of.
  control  socket. To the child: inputs in batches, and acknowledgements. From the child: single bytes, "look now";
           without one the supervisor leaves the result pipe alone, so that short inputs do not wake it one by one.
  out, err what the child and all that it starts print. The child looks whether they hold anything at the end of each
           input, and reads that itself if the supervisor has read nothing, which short inputs give it no time to.
  noted    pipe. The supervisor puts a byte in before it reads out or err. A child that sees it at the end of an input
           waits until the supervisor has collected what that input printed.
"""
import binascii
import collections
import errno
import fcntl
import json
import marshal
import os
import select
import signal
import socket
import struct
import sys
import termios
import time
import types

PYTHON2 = sys.version_info[0] == 2
PROTOCOL = 1
MODULE = 'handler'               # the name under which the user's module is known to itself and to pickle
FILENAME = 'handler.py'          # what its tracebacks call it
SIGNATURE = 'the code needs to have the following signature: def handler(event)'

# ---------------------------------------------------------------------------------------------------------------------
# 1  Both processes

CLAIM = struct.Struct('<Q')      # twice the number of the input, plus one where the child shall say that it began
LENGTH = struct.Struct('<I')     # of a batch on the control socket; 0 is an acknowledgement
# How a line on the result pipe begins. ASCII, and JSON has no line breaks of its own.
OUTCOME = b'{'                   # an outcome, whole
OUTCOME_PRINTED = b'='           # two words in base64, stdout and stderr, and an outcome without its closing brace
OUTCOME_COLLECT = b'+'           # the same, but more was printed: collect it, then acknowledge
LOADED = b'>'                    # collect and acknowledge, too
NOT_LOADED = b'<'                # an error follows

POD_ENDED = 143                  # exit status: 0 would complete the worker's index, and no pod would take its place
DESCRIPTORS_LOST = 197           # exit status: the handler closed what the child needs to report
LIMITS = {'resultBytes': 16 << 20, 'outputBytes': 256 << 10}
ERROR_TEXT = 64 << 10            # bounds of an error's message and of its traceback

if hasattr(time, 'monotonic'):
    monotonic = time.monotonic
else:
    def monotonic():
        """Seconds of a clock that nobody sets; to 1/100 s, which is what Python 2 offers."""
        return os.times()[4]

if PYTHON2:
    text_type = unicode          # noqa: F821
else:
    text_type = str


def micros(seconds):
    return int(seconds * 1e6)


def retried(call, *arguments):
    """The call, again while a signal interrupts it: Python 2 leaves that to the caller."""
    while True:
        try:
            return call(*arguments)
        except (OSError, IOError, select.error) as error:
            if error.args[0] != errno.EINTR:
                raise


def set_flag(fd, get, put, flag, on):
    flags = fcntl.fcntl(fd, get)
    fcntl.fcntl(fd, put, flags | flag if on else flags & ~flag)


def set_inherited(fd, on):
    set_flag(fd, fcntl.F_GETFD, fcntl.F_SETFD, fcntl.FD_CLOEXEC, not on)


def set_blocking(fd, on):
    set_flag(fd, fcntl.F_GETFL, fcntl.F_SETFL, os.O_NONBLOCK, not on)


def unread(fd):
    """How many bytes wait in a pipe."""
    return struct.unpack('i', fcntl.ioctl(fd, termios.FIONREAD, b'\0\0\0\0'))[0]


def write_all(fd, data):
    while data:
        data = data[retried(os.write, fd, data):]


def compress(indexes):
    """[17, 20, 21, 22] as "17,20-22"."""
    parts, first, last = [], None, None
    indexes = sorted(indexes)
    if len(indexes) > 1 and indexes[-1] - indexes[0] == len(indexes) - 1:
        return '%d-%d' % (indexes[0], indexes[-1])
    for index in indexes:
        if last is not None and index == last + 1:
            last = index
            continue
        if last is not None:
            parts.append((first, last))
        first = last = index
    if last is not None:
        parts.append((first, last))
    return ','.join(str(a) if a == b else '%d-%d' % (a, b) for a, b in parts)


def expand(text):
    """The set that "17,20-22" names."""
    indexes = set()
    for part in filter(None, (text or '').split(',')):
        first, _, last = part.partition('-')
        indexes.update(range(int(first), int(last or first) + 1))
    return indexes


def as_text(value):
    """Text of what may be bytes (Python 2's str), for JSON."""
    return value if isinstance(value, text_type) else value.decode('utf-8', 'replace')


def clipped(text, limit=ERROR_TEXT):
    """The text, its middle cut out where it is too long."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return u'%s\n[... %d characters cut ...]\n%s' % (text[:half], len(text) - 2 * half, text[-half:])


def error_object(kind, message, traceback=u''):
    return {'type': as_text(kind), 'message': clipped(as_text(message)), 'traceback': clipped(as_text(traceback))}


class UnlimitedDigits(object):
    """Lets integers of any size become text and back, which Python 3 otherwise refuses beyond 4,300 digits."""

    def __enter__(self):
        if hasattr(sys, 'set_int_max_str_digits'):
            self.limit = sys.get_int_max_str_digits()
            sys.set_int_max_str_digits(0)

    def __exit__(self, *_):
        if hasattr(sys, 'set_int_max_str_digits'):
            sys.set_int_max_str_digits(self.limit)


# ---------------------------------------------------------------------------------------------------------------------
# 2  The child
#
# The user's code shares this process and may do anything to it. So all that the loop needs is bound before that code
# is loaded, and descriptors are moved to high numbers, out of the way of those who close "all" of the low ones.

quote = json.encoder.encode_basestring_ascii
dumps = json.JSONEncoder(allow_nan=False, separators=(',', ':')).encode


class ResultTooLarge(Exception):
    """The value cannot be reported: it is over limits.resultBytes."""


class Source(object):
    """The loader that inspect, linecache and traceback ask for the text of the user's module."""

    def __init__(self, data):
        self.data = data

    def get_source(self, _name=None):
        if PYTHON2:
            return self.data
        import importlib.util
        return importlib.util.decode_source(self.data)

    def remember(self):
        """Puts the lines where tracebacks look first: a handler.py in the current folder is another file."""
        import linecache
        try:
            lines = self.get_source().splitlines(True)
        except (SyntaxError, UnicodeError):
            return
        linecache.cache[FILENAME] = (len(self.data), None, lines, FILENAME)


def without_runner(trace):
    """The part of a traceback that is the user's: the frames of this file come first and mean nothing to him."""
    while trace is not None and trace.tb_frame.f_code.co_filename == without_runner.__code__.co_filename:
        trace = trace.tb_next
    return trace


def describe(error, trace, source):
    """An exception as the error of an outcome."""
    try:
        message = text_type(error)
    except BaseException:
        try:
            message = as_text(str(error))
        except BaseException:
            message = u'<the message of the exception cannot be shown>'
    try:
        import traceback
        source.remember()
        lines = traceback.format_exception(type(error), error, without_runner(trace))
        shown = u''.join(as_text(line) for line in lines)
    except Exception:
        shown = u'%s: %s\n' % (type(error).__name__, message)
    return error_object(type(error).__name__, message, shown)


DIGITS = 'set_int_max_str_digits'   # named by the error that refuses a long integer


def encode(value):
    """A value as (JSON, text) for result and resultText; either may be None.

    Text is left out where it follows from the JSON; JSON is left out where it cannot say the value.
    """
    kind = type(value)
    if kind is int or (PYTHON2 and kind is long):  # noqa: F821
        return str(value), None
    if kind is text_type:
        return quote(value), None
    if kind is float and value - value == 0:
        shown = repr(value)
        return shown, None if not PYTHON2 or str(value) == shown else quote(str(value))
    if kind is bytes and PYTHON2:
        try:
            return quote(value.decode('utf-8')), None
        except UnicodeDecodeError:
            return None, quote(as_text(value))
    try:
        result = dumps(value)
        if PYTHON2:
            json.loads(result)   # there str() of an integer's subclass is written as it is
    except Exception as error:
        if DIGITS in str(error):
            raise
        result = None            # not a value of JSON: too deep, circular, NaN, an object of a class of its own
    return result, quote(as_text(str(value)))


def encoded(value, limit):
    """The fields result and resultText of a value, within the limit and with integers of any length."""
    kind = type(value)
    if kind is int and -1 << 63 < value < 1 << 63:
        return '"result":%d,' % value
    try:
        result, shown = encode(value)
    except ValueError as error:
        if DIGITS not in str(error):
            raise
        with UnlimitedDigits():
            result, shown = encode(value)
    size = max(len(result or ''), len(shown or ''))
    # Both together have to fit into one call beside the output.
    if size > limit or len(result or '') + len(shown or '') > limit * 7 // 4:
        raise ResultTooLarge('the result takes %d bytes and may take %d: return less, or put it where a reference to it '
                             'can be returned' % (size, limit))
    return (('"result":%s,' % result if result is not None else '') +
            ('"resultText":%s,' % shown if shown is not None else ''))


class Child(object):
    """The process that runs the user's code."""

    def __init__(self, path, descriptors):
        self.path = path
        base = max(3, min(900, os.sysconf('SC_OPEN_MAX') - 32))
        (self.claim, self.result, self.control, self.noted, self.out, self.err, self.saved_out, self.saved_err,
         self.null) = [self.move(fd, base) for fd in descriptors + [1, 2, 0]]
        self.limit = LIMITS['resultBytes']
        self.batch = {}
        self.together = 1        # how many inputs one call of the handler gets
        self.unannounced = 0     # bytes in the result pipe that the supervisor was not told of
        self.running = False     # the handler is: an interrupt is for it
        self.forked = False      # this is a copy that the handler made by fork
        self.timer_set = False
        self.by_pid = not hasattr(os, 'register_at_fork')
        self.pid = os.getpid()
        self.announce_at = fcntl.fcntl(self.result, F_GETPIPE_SZ) // 4
        self.modules = list(sys.modules.values())    # Python 2 empties a module that nobody holds
        self.source = Source(b'')
        self.poller = select.poll()
        for fd in (self.claim, self.noted, self.out, self.err):
            self.poller.register(fd, select.POLLIN)
        # No byte can be read from the pipes behind 1 and 2 by their writing end: if one of them is readable, something
        # else was put there; if it is closed, poll says so.
        self.poller.register(1, select.POLLIN)
        self.poller.register(2, select.POLLIN)
        self.poller.register(0, 0)
        self.waiter = select.poll()
        self.waiter.register(self.claim, select.POLLIN)

    @staticmethod
    def move(fd, base):
        moved = fcntl.fcntl(fd, fcntl.F_DUPFD, base)
        set_inherited(moved, False)
        if fd > 2:
            os.close(fd)
        return moved

    # -- the process

    def settle(self):
        """Makes this a process of its own: session, signals, the kernel's first choice when memory is short."""
        try:
            os.setsid()
        except OSError:
            pass                 # it leads a session already
        for name in IGNORED_SIGNALS:
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        signal.signal(signal.SIGINT, self.interrupt)
        try:
            with open('/proc/self/oom_score_adj', 'w') as score:
                score.write('1000')
        except (OSError, IOError):
            pass
        if not self.by_pid:
            os.register_at_fork(after_in_child=self.note_fork)
        self.watch_timers()
        try:
            import faulthandler
            faulthandler.enable(file=2)
        except Exception:
            pass                 # Python 2 has none
        self.open_streams()

    def interrupt(self, _signal, _frame):
        if self.running:
            raise KeyboardInterrupt()

    def note_fork(self):
        self.forked = True

    def watch_timers(self):
        """Notes when a timer is set: one that a handler leaves behind must not end another input's."""
        def watched(function):
            def call(*arguments):
                self.timer_set = True
                return function(*arguments)
            call.__name__, call.__doc__ = function.__name__, function.__doc__
            return call
        signal.alarm, signal.setitimer, self.alarm = watched(signal.alarm), watched(signal.setitimer), signal.alarm

    def open_streams(self):
        """sys.stdout and sys.stderr by line and in UTF-8, whatever the image's locale is."""
        if PYTHON2:
            return               # -u and PYTHONIOENCODING, set by the supervisor, have done it
        import io
        for name, fd, errors in (('stdout', 1, 'surrogateescape'), ('stderr', 2, 'backslashreplace')):
            chosen = os.environ.get('PYTHONIOENCODING', '').partition(':')
            stream = io.TextIOWrapper(io.open(fd, 'wb', closefd=False), encoding=chosen[0] or 'utf-8',
                                      errors=chosen[2] or errors, line_buffering=True)
            stream.mode = 'w'
            setattr(sys, name, stream)
            setattr(sys, '__%s__' % name, stream)

    def reopen_stream(self, name, fd):
        """A new stream in place of one that the handler closed."""
        if PYTHON2:
            setattr(sys, name, os.fdopen(os.dup(fd), 'w', 0))
        else:
            import io
            setattr(sys, name, io.TextIOWrapper(io.open(fd, 'wb', closefd=False), encoding='utf-8',
                                                errors='backslashreplace', line_buffering=True))

    # -- loading

    def load(self):
        """Runs the user's module and returns its handler, or ends with the report of why there is none."""
        sys.argv[:] = [self.path]
        sys.modules['__main__'] = types.ModuleType('__main__')   # ours is out of reach, and a spawned process runs none
        module = types.ModuleType(MODULE)
        module.__file__ = self.path
        sys.modules[MODULE] = module
        self.running = True
        try:
            with open(self.path, 'rb') as code:
                self.source = Source(code.read())
            module.__loader__ = self.source
            # Flags given: what this file imports from __future__ is nothing to the user's.
            exec(compile(self.source.data, FILENAME, 'exec', 0, True), module.__dict__)
        except SystemExit as error:
            self.leave(error)
        except BaseException as error:
            self.refuse(describe(error, sys.exc_info()[2], self.source))
        self.running = False
        self.stay_one()
        self.modules += sys.modules.values()
        handler = module.__dict__.get('handler')
        if handler is None:
            self.refuse(error_object('HandlerMissing', SIGNATURE + ': there is no handler in it'))
        if not callable(handler):
            self.refuse(error_object('HandlerNotCallable', SIGNATURE + ': its handler is %s, which cannot be called'
                                     % type(handler).__name__))
        self.streams = sys.stdout, sys.stderr
        self.keep_timer = signal.getitimer(signal.ITIMER_REAL)[0] > 0
        self.depth = sys.getrecursionlimit()
        return handler

    def refuse(self, error):
        self.running = False
        self.stay_one(error)
        self.flush(True)
        self.show(error)
        self.report(NOT_LOADED + dumps(error).encode('ascii') + b'\n')
        self.poke()
        os._exit(1)

    def show(self, error):
        """Writes an error to stderr as an interpreter would."""
        try:
            write_all(2, (error['traceback'] or error['message'] + u'\n').encode('utf-8', 'replace'))
        except OSError:
            pass

    def stay_one(self, error=None):
        """Ends a copy of this process that the user's fork made: it must not report."""
        if self.forked or self.by_pid and os.getpid() != self.pid:
            self.flush()
            if error:
                self.show(error)
            os._exit(1 if error else 0)

    def leave(self, exit_):
        """Ends the process as sys.exit asks: the supervisor sees the status."""
        status = exit_.code
        if status is None:
            status = 0
        elif not isinstance(status, int):
            try:
                os.write(2, as_text(str(status)).encode('utf-8', 'replace') + b'\n')
            except Exception:
                pass
            status = 1
        self.flush()
        os._exit(status & 0xff)

    # -- the loop

    def work(self, handler):
        """Claims and runs inputs until the supervisor closes the claim pipe."""
        read, clock, wall, claim, batch = os.read, CLOCK, time.time, self.claim, self.batch
        ready = [(claim, select.POLLIN)]
        events = None
        while True:
            if events != ready:
                self.poke()
                retried(self.waiter.poll)
            try:
                record = read(claim, CLAIM.size)
            except OSError as error:
                events = None
                if error.errno not in (errno.EAGAIN, errno.EINTR):
                    self.lost()
                continue         # the supervisor took it back
            if not record:
                return
            number = CLAIM.unpack(record)[0]
            if number & 1:
                self.poke()
            item = batch.pop(number >> 1, None)
            while item is None:
                self.receive()
                item = batch.pop(number >> 1, None)
            if self.together > 1:
                self.call_many(handler, item)
                events = None
                continue
            index, form, value = item
            started = wall()
            before = clock()
            coarse = monotonic() if PYTHON2 else 0
            try:
                self.running = True
                event = read_text(form, value) if form else tuple(value)
                before = clock()
                value = handler(event)
                spent = clock() - before
                fields = encoded(value, self.limit)
                self.running = False
                failure = None
            except SystemExit as error:
                self.running = False
                self.leave(error)
            except BaseException as error:
                self.running = False
                spent = clock() - before
                failure = error, sys.exc_info()[2]
            item = value = event = None              # what the handler made may be large: let go of it now
            if PYTHON2 and abs(monotonic() - coarse - spent) > 0.1:
                spent = monotonic() - coarse         # somebody set the clock
            if failure:
                status, fields = 'Failed', self.failed(failure)
                failure = None
            else:
                status = 'Succeeded'
                if self.forked or self.by_pid:
                    self.stay_one()
            if self.timer_set:
                self.stop_timer()
            self.flush(spent > 0.0002)
            head = ('{"index":%d,"status":"%s",%s"startTime":%d,"durationMicros":%d'
                    % (index, status, fields, started * 1e6, spent * 1e6)).encode('ascii')
            events = retried(self.poller.poll, 0) if PYTHON2 else self.poller.poll(0)
            if events == ready or not events:
                self.report(head + b'}\n')
            else:
                self.report_printed(head, events)
                events = retried(self.poller.poll, 0)

    def call_many(self, handler, first):
        """One call of handler(events), for the input that was claimed and those that can be claimed with it."""
        items = [first]
        try:
            records = retried(os.read, self.claim, CLAIM.size * (self.together - 1))
        except OSError:
            records = b''        # EAGAIN: there is no other
        self.poke()
        for position in range(0, len(records), CLAIM.size):
            number = CLAIM.unpack(records[position:position + CLAIM.size])[0] >> 1
            while number not in self.batch:
                self.receive()
            items.append(self.batch.pop(number))
        started, before, values, failure = time.time(), CLOCK(), (), None
        try:
            self.running = True
            values = handler([read_text(form, value) if form else tuple(value) for _, form, value in items])
            if isinstance(values, dict) or not hasattr(values, '__len__') or len(values) != len(items):
                raise TypeError('with batchSize, handler(events) returns a list with one result for each of its %d events, and not %s'
                                % (len(items), 'a list of %d' % len(values) if isinstance(values, (list, tuple))
                                   else type(values).__name__))
            values = [self.one_of(value) for value in values]
            self.running = False
        except SystemExit as error:
            self.running = False
            self.leave(error)
        except BaseException as error:
            self.running = False
            failure = error, sys.exc_info()[2]
        spent = (CLOCK() - before) / len(items)
        if failure:
            values, failure = [('Failed', self.failed(failure))] * len(items), None
        else:
            self.stay_one()
        if self.timer_set:
            self.stop_timer()
        self.flush(True)
        for position, (item, (status, fields)) in enumerate(zip(items, values)):
            head = ('{"index":%d,"status":"%s",%s"startTime":%d,"durationMicros":%d'
                    % (item[0], status, fields, started * 1e6, spent * 1e6)).encode('ascii')
            if position:
                self.report(head + b'}\n')
            else:
                self.report_printed(head, retried(self.poller.poll, 0))

    def one_of(self, value):
        """(status, fields) of one of many results; an exception in its place is that input's."""
        failure = None
        if isinstance(value, BaseException):
            failure = value, getattr(value, '__traceback__', None)
        else:
            try:
                return 'Succeeded', encoded(value, self.limit)
            except Exception as error:
                failure = error, sys.exc_info()[2]
        return 'Failed', self.failed(failure)

    def receive(self):
        """Reads one message from the supervisor; True for an acknowledgement."""
        size = LENGTH.unpack(self.read_exactly(LENGTH.size))[0]
        if not size:
            return True
        first, self.limit, self.together, items = marshal.loads(self.read_exactly(size))
        # The supervisor may have taken back what an earlier batch brought.
        for number in [number for number in self.batch if number < first - MOST_CLAIMS]:
            del self.batch[number]
        self.batch.update(enumerate(literals_read(items), first))
        return False

    def read_exactly(self, size):
        parts = []
        while size:
            try:
                part = retried(os.read, self.control, min(size, 1 << 20))
            except OSError:
                self.lost()
            if not part:
                os._exit(0)      # the supervisor is gone
            parts.append(part)
            size -= len(part)
        return b''.join(parts)

    def failed(self, failure):
        """The error of a handler that raised, as a field; its traceback goes to the input's stderr, too."""
        try:
            error = describe(failure[0], failure[1], self.source)
        except BaseException:
            # A recursion limit that the handler lowered, most likely.
            sys.setrecursionlimit(max(self.depth, 1000))
            error = describe(failure[0], failure[1], self.source)
        self.stay_one(error)
        self.flush(True)
        self.show(error)
        return '"error":%s,' % dumps(error)

    # -- the end of an input

    def flush(self, restore=False):
        """Writes out what the handler left in sys.stdout and sys.stderr, and mends both."""
        try:
            if (sys.stdout, sys.stderr) != self.streams:
                raise ValueError('replaced')
            self.streams[0].flush()
            self.streams[1].flush()
        except Exception:
            self.mend_streams()
        if restore:
            self.flush_c()
            self.restore()

    streams = None, None
    c_flush = None

    def flush_c(self):
        """Writes out what C code left in its own buffers."""
        if self.c_flush is None:
            try:
                import ctypes
                self.c_flush = ctypes.CDLL(None).fflush
            except Exception:
                self.c_flush = bool      # there is no ctypes, or no such C library
        try:
            self.c_flush(None)
        except Exception:
            pass

    def mend_streams(self):
        replaced = sys.stdout, sys.stderr
        self.restore()
        for position, (name, fd) in enumerate((('stdout', 1), ('stderr', 2))):
            for stream in (replaced[position], self.streams[position]):
                try:
                    stream.flush()
                except Exception:
                    pass
            kept = self.streams[position]
            if kept is None:
                continue         # still loading
            setattr(sys, name, kept)
            try:
                kept.flush()
            except Exception:
                self.reopen_stream(name, fd)
        if self.streams[0] is not None:
            self.streams = sys.stdout, sys.stderr

    def restore(self):
        """Puts our pipes back to 1 and 2, and nothing to read to 0."""
        try:
            os.dup2(self.saved_out, 1)
            os.dup2(self.saved_err, 2)
            os.dup2(self.null, 0)
        except OSError:
            self.lost()

    def stop_timer(self):
        self.timer_set = False
        if not self.keep_timer:
            self.alarm(0)

    def report(self, line):
        try:
            # So much there is always room for. The supervisor that sees a part of a line reads until it has the rest.
            written = retried(os.write, self.result, line if len(line) <= self.announce_at else line[:self.announce_at])
            self.unannounced += written
            if self.unannounced > self.announce_at or written < len(line):
                self.poke()
            if written < len(line):
                write_all(self.result, line[written:])
        except OSError:
            self.lost()

    def report_printed(self, head, events):
        """The outcome of an input that printed something, or that damaged its streams."""
        for fd, event in events:
            if fd in (0, 1, 2):
                self.restore()
            elif event & (select.POLLNVAL | select.POLLERR):
                self.lost()
        printed = [self.printed(self.out), self.printed(self.err)]
        # Looked at after reading: now whatever is missing here is with the supervisor, and comes before it.
        collect = any(fd == self.noted for fd, _ in retried(self.poller.poll, 0))
        if not collect and not any(printed):
            self.report(head + b'}\n')
            return
        self.report((OUTCOME_COLLECT if collect else OUTCOME_PRINTED) +
                    b' '.join([binascii.b2a_base64(data)[:-1] for data in printed] + [head]) + b'\n')
        if collect:
            self.wait_for_collection()

    @staticmethod
    def printed(fd):
        """All that is in one of the pipes, in one read: it holds no more."""
        try:
            return retried(os.read, fd, PIPE)
        except OSError:
            return b''           # EAGAIN

    def wait_for_collection(self):
        self.poke()
        while not self.receive():
            pass

    def poke(self):
        """Tells the supervisor to look at the result pipe."""
        self.unannounced = 0
        try:
            retried(os.write, self.control, b'!')
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.ECONNRESET):
                os._exit(0)      # the supervisor is gone
            self.lost()

    def lost(self):
        os._exit(DESCRIPTORS_LOST)


CLOCK = getattr(time, 'perf_counter', None) or time.time
MOST_CLAIMS = 4096               # inputs in the child's hands, at most
PIPE = 64 << 10                  # what a pipe holds
F_SETPIPE_SZ, F_GETPIPE_SZ = 1031, 1032   # Linux's own, which only later versions of Python name
# What the supervisor ignores. The child gets the default back.
IGNORED_SIGNALS = ('SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGPROF', 'SIGTSTP',
                   'SIGTTIN', 'SIGTTOU')


LITERAL, JSON_TEXT = 1, 2        # how an input's text is to be read; 0 is a value


def read_text(form, text):
    """An input from its text, literals as ast.literal_eval reads them, with integers of any length."""
    if form == JSON_TEXT:
        return tuple(json.loads(text))
    import ast
    if len(text) > 4000:
        with UnlimitedDigits():
            value = ast.literal_eval(text)
    else:
        value = ast.literal_eval(text)
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def literals_read(items):
    """A batch with its literals evaluated, in one go where they are plain: one by one takes four times as long.

    What is odd is left as it is, to fail, if it does, as the input that it belongs to.
    """
    texts = [text for _, form, text in items if form == LITERAL]
    if len(texts) < 2 or len(texts) != len(items):
        return items
    for text in texts:
        if len(text) > 1000 or text[:1] != '(' or text[-1:] != ')' or text.count('(') + text.count('[') > 20 or '{' in text:
            return items
    try:
        import ast
        values = ast.literal_eval('[' + ',\n'.join(texts) + ']')
    except Exception:
        return items
    if len(values) != len(texts) or not all(type(value) is tuple for value in values):
        return items
    return [(item[0], 0, value) for item, value in zip(items, values)]


def child_main(path, descriptors):
    child = Child(path, descriptors)
    child.settle()
    runner = os.path.dirname(os.path.abspath(sys.argv[0]))
    if sys.path and os.path.abspath(sys.path[0]) == runner:
        del sys.path[0]
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    if os.environ.pop('SHAREDCLOUD_ENCODING_SET', None):
        del os.environ['PYTHONIOENCODING']
    handler = child.load()
    child.flush(True)
    child.report(LOADED + b'\n')
    child.wait_for_collection()
    child.work(handler)


# ---------------------------------------------------------------------------------------------------------------------
# 3  Output

class Tail(object):
    """The last bytes of one stream of one input. Holds the limit and one chunk at most."""

    def __init__(self):
        self.parts, self.kept, self.total = collections.deque(), 0, 0

    def add(self, data, limit):
        self.parts.append(data)
        self.kept += len(data)
        self.total += len(data)
        while self.parts and self.kept - len(self.parts[0]) >= limit:
            self.kept -= len(self.parts.popleft())

    def take(self, limit):
        """What is kept and how many bytes before it are not; empties the tail."""
        data = b''.join(self.parts)
        data = data[max(0, len(data) - limit):]
        dropped = self.total - len(data)
        self.__init__()
        return data, dropped


class Live(object):
    """The container's own stream. Never blocks: nobody may be reading it."""

    MOST = 1 << 20

    def __init__(self, fd):
        self.fd, self.parts, self.pending, self.lost = fd, collections.deque(), 0, 0
        self.poller = select.poll()
        self.poller.register(fd, select.POLLOUT)

    def write(self, data):
        if self.fd is None:
            return
        if self.pending > self.MOST:
            self.lost += len(data)
            return
        self.parts.append(data)
        self.pending += len(data)
        self.flush()

    def flush(self):
        """Writes what can be written at once. A pipe that is writable takes PIPE_BUF bytes without blocking."""
        try:
            while self.parts and retried(self.poller.poll, 0):
                part = self.parts.popleft()
                written = retried(os.write, self.fd, part[:select.PIPE_BUF])
                self.pending -= written
                if written < len(part):
                    self.parts.appendleft(part[written:])
                if self.lost and not self.parts:
                    mark = b'\n[sharedcloud: %s bytes of output were left out here: nobody read them in time]\n'
                    self.parts.append(mark.replace(b'%s', str(self.lost).encode('ascii')))
                    self.pending, self.lost = len(self.parts[0]), 0
        except (OSError, IOError):
            self.fd, self.parts, self.pending = None, collections.deque(), 0


class Stream(object):
    """What one child prints to stdout or to stderr."""

    def __init__(self, name, fd, live):
        self.name, self.fd, self.live, self.tail, self.open = name, fd, live, Tail(), True
        self.fresh = []          # read, and not yet known to be of which input

    def read(self, most):
        try:
            data = retried(os.read, self.fd, most)
        except OSError:
            return 0             # EAGAIN: empty
        self.open = bool(data)
        if data:
            self.fresh.append(data)
            self.live.write(data)
        return len(data)

    def settle(self, limit):
        """What was read is of the input that is at its end, or that runs."""
        for data in self.fresh:
            self.tail.add(data, limit)
        self.fresh = []

    def printed(self):
        """How many bytes the input that runs has printed, as far as they were read."""
        return self.tail.total + sum([len(data) for data in self.fresh])

    def since(self, start, most):
        """What the input that runs has printed from byte `start` on, the end of it: (number of its first byte, bytes)."""
        data = b''.join(list(self.tail.parts) + self.fresh)
        end = self.printed()
        data = data[-min(len(data), end - start, most):] if end > start else b''
        return end - len(data), data

    def drain(self, limit):
        """Reads what is there now, and not for ever: something left behind may print without end."""
        left = unread(self.fd)
        while left > 0:
            size = self.read(min(left, PIPE))
            if not size:
                break
            left -= size
        self.settle(limit)


# ---------------------------------------------------------------------------------------------------------------------
# 4  The child's keeper

def processes():
    """pid: (parent, session, state) of every process that can be seen."""
    found = {}
    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue
        try:
            with open('/proc/%s/stat' % name, 'rb') as stat:
                fields = stat.read().rpartition(b')')[2].split()
        except (OSError, IOError):
            continue             # it has ended meanwhile
        found[int(name)] = int(fields[1]), int(fields[3]), fields[0]
    return found


def tree(root):
    """The living processes that the child `root` started, itself included.

    What lost its parent is handed to process 1. So where that is the supervisor, all that descends from it is the
    child's; `kubectl exec` comes from outside and does not. Elsewhere the session tells, as far as it can.
    """
    table, own = processes(), os.getpid()

    def belongs(pid):
        while pid in table and pid != own:
            if pid == root:
                return True
            pid = table[pid][0]
        return pid == own == 1
    return [pid for pid, (_, session, state) in table.items()
            if pid != own and state != b'Z' and (session == root or belongs(pid))]


def signal_name(number):
    for name in dir(signal):
        if name.startswith('SIG') and not name.startswith('SIG_') and getattr(signal, name) == number:
            return name
    return 'SIG%d' % number


def packed(first, limit, together, batch):
    """A batch as a message to the child."""
    try:
        return marshal.dumps((first, limit, together, batch), 2)
    except ValueError:
        # Something is nested more deeply than marshal goes. It travels as text, and fails in the child if it has to.
        def shallow(item):
            try:
                marshal.dumps(item, 2)
                return item
            except ValueError:
                return item[0], JSON_TEXT, json.dumps(item[2])
        return marshal.dumps((first, limit, together, [shallow(item) for item in batch]), 2)


class Keeper(object):
    """One child: its process, its pipes, and the inputs that it was given and has not answered for."""

    def __init__(self, code, limits, live):
        self.limits = limits
        self.number = 0
        self.given = collections.deque()    # in the order of their claims
        self.ignored = set()                # of them, indexes that were revoked while a call with others goes on
        self.unsent = b''                   # for the control socket
        self.lines = b''                    # of the result pipe, not whole yet
        self.loading, self.error, self.status, self.noted = True, None, None, False
        self.started = monotonic()
        claim, self.claim_end = os.pipe()
        self.result, result_end = os.pipe()
        self.noted_pipe, self.noted_end = os.pipe()
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        ours, theirs = socket.socketpair()
        self.claim, self.control = claim, ours
        self.streams = [Stream('stdout', out, live[0]), Stream('stderr', err, live[1])]
        self.open = [claim, self.claim_end, self.result, self.noted_pipe, self.noted_end, out, err]
        for fd in self.open + [ours.fileno(), out_end, err_end]:
            set_inherited(fd, False)
        for fd in (claim, self.result, self.noted_pipe, out, err, ours.fileno()):
            set_blocking(fd, False)
        try:
            fcntl.fcntl(self.result, F_SETPIPE_SZ, 256 << 10)
        except (OSError, IOError):
            pass                 # the user's share of pipe memory is used up
        # Both hold the reading ends of claim, noted, out and err: the child only looks whether there is something.
        inherited = [claim, result_end, theirs.fileno(), self.noted_pipe, out, err]
        for fd in inherited:
            set_inherited(fd, True)
        try:
            self.pid = self.spawn(code, inherited, out_end, err_end)
        finally:
            for fd in (result_end, out_end, err_end):
                os.close(fd)
            theirs.close()
            for fd in (claim, self.noted_pipe, out, err):
                set_inherited(fd, False)

    @staticmethod
    def spawn(code, inherited, out, err):
        import subprocess
        command, environment = [sys.executable], None
        if PYTHON2:
            command.append('-u')
            if 'PYTHONIOENCODING' not in os.environ:
                # Read when the interpreter starts; the child takes it out again.
                environment = dict(os.environ, PYTHONIOENCODING='utf-8', SHAREDCLOUD_ENCODING_SET='1')
        command += [os.path.abspath(__file__), '--child', code] + [str(fd) for fd in inherited]
        with open(os.devnull, 'rb') as null:
            process = subprocess.Popen(command, stdin=null, stdout=out, stderr=err, close_fds=False, env=environment)
        process.returncode = 0   # reap() is who waits for it
        return process.pid

    # -- inputs

    def waiting(self):
        """How many of the given inputs are not claimed yet."""
        return unread(self.claim) // CLAIM.size

    def executing(self):
        """The input whose handler runs, or None."""
        return self.given[0] if len(self.given) > self.waiting() else None

    def feed(self, queue, at_once, announced, together):
        """Gives inputs to the child, as many as it may hold, at_once in one message, for calls with `together` of them.

        It says so when it begins one behind which that many wait; where `announced` is None, when it begins any.
        """
        room = MOST_CLAIMS - len(self.given)
        while queue and room > 0 and len(self.unsent) < 1 << 20:
            batch = [queue.popleft() for _ in range(min(len(queue), room, at_once))]
            first, self.number = self.number, self.number + len(batch)
            room -= len(batch)
            self.given.extend(batch)
            message = packed(first, self.limits['resultBytes'], together, batch)
            self.unsent += LENGTH.pack(len(message)) + message
            claims = [number * 2 + (announced is None) for number in range(first, self.number)]
            if announced is not None and 0 <= announced - len(queue) < len(batch):
                claims[-1 - announced + len(queue)] += 1
            # The pipe holds MOST_CLAIMS of them; a claim may arrive before its input, which the child then waits for.
            os.write(self.claim_end, struct.pack('<%dQ' % len(claims), *claims))
        self.send()

    def recall(self):
        """Takes back what the child has not claimed, in order. None of it is executed by this child any more."""
        try:
            records = os.read(self.claim, CLAIM.size * MOST_CLAIMS * 2)
        except OSError:
            return []            # EAGAIN: all is claimed
        items = [self.given.pop() for _ in range(len(records) // CLAIM.size)]
        items.reverse()
        return items

    def send(self):
        try:
            while self.unsent:
                self.unsent = self.unsent[self.control.send(self.unsent[:1 << 20]):]
        except socket.error as error:
            if error.args[0] not in (errno.EAGAIN, errno.EINTR):
                self.unsent = b''    # the child is gone; reap() will say so

    # -- outcomes

    def collect(self):
        """The outcomes that the child wrote since the last time: (index, JSON) in order."""
        parts = [self.lines]
        try:
            while True:
                parts.append(retried(os.read, self.result, 1 << 20))
                if not parts[-1]:
                    break
        except OSError:
            pass                 # EAGAIN: that was all
        data, lines = b''.join(parts), []
        if any(b'\n' in part for part in parts[1:]):
            lines = data.split(b'\n')
            data = lines.pop()
        self.lines = data
        done = []
        for line in lines:
            kind = line[:1]
            if kind == OUTCOME and self.given:
                done.append((self.given.popleft()[0], line))
            elif kind in (OUTCOME_PRINTED, OUTCOME_COLLECT) and self.given:
                words = line[1:].split(b' ', 2)
                if kind == OUTCOME_COLLECT:
                    self.collect_output(words)
                else:
                    self.add_output(words)
                done.append((self.given.popleft()[0], words[2] + self.output() + b'}'))
            elif kind == LOADED:
                self.loading = False
                self.collect_output()
                for stream in self.streams:
                    stream.tail = Tail()     # what loading printed belongs to no input
            elif kind == NOT_LOADED:
                self.error = json.loads(line[1:].decode('ascii'))
        # Only now: what was printed after these outcomes is not of these inputs.
        for stream in self.streams:
            stream.settle(self.limits['outputBytes'])
        return done

    def add_output(self, words):
        """What the child read itself, in base64."""
        for stream, word in zip(self.streams, words):
            if word:
                data = binascii.a2b_base64(word)
                stream.tail.add(data, self.limits['outputBytes'])
                stream.live.write(data)

    def note(self):
        """Tells the child, before anything is read, that it must ask for what it printed to be collected."""
        if not self.noted:
            os.write(self.noted_end, b'!')
            self.noted = True

    def read_output(self, stream):
        self.note()
        stream.read(PIPE)

    def collect_output(self, words=()):
        """Everything that the input at its end has printed; then the child may go on."""
        for stream in self.streams:
            stream.settle(self.limits['outputBytes'])
        self.add_output(words)
        for stream in self.streams:
            stream.drain(self.limits['outputBytes'])
        if self.noted:
            os.read(self.noted_pipe, 1)
            self.noted = False
        self.unsent += LENGTH.pack(0)
        self.send()

    def output(self):
        """The fields of an outcome that say what was printed."""
        fields = b''
        for stream in self.streams:
            data, dropped = stream.tail.take(self.limits['outputBytes'])
            if data:
                fields += (',"%s":"' % stream.name).encode('ascii') + binascii.b2a_base64(data)[:-1] + b'"'
            if dropped:
                fields += (',"%sDropped":%d' % (stream.name, dropped)).encode('ascii')
        return fields

    # -- the process

    def reap(self):
        """Waits for whatever has ended, orphans too; lets a child that stopped itself go on."""
        while True:
            try:
                pid, status = retried(os.waitpid, -1, os.WNOHANG | os.WUNTRACED)
            except OSError:
                return           # there is no child at all
            if not pid:
                return
            if os.WIFSTOPPED(status):
                self.signal_group(pid, signal.SIGCONT)
            elif pid == self.pid:
                self.status = status

    @staticmethod
    def signal_group(pid, number):
        for send in (os.killpg, os.kill):
            try:
                send(pid, number)
            except OSError:
                pass

    def kill(self):
        """Ends the child and all that it started. What the kernel cannot end within 5 s is left to itself."""
        started = monotonic()
        while monotonic() < started + 5:
            victims = tree(self.pid)
            if victims and os.getpid() == 1 and monotonic() > started + 1:
                victims = [-1]   # they multiply faster than they can be counted: everything but process 1, at a stroke
            for pid in victims:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            self.reap()
            if not victims and self.status is not None:
                return
            time.sleep(0.002)

    def dismiss(self, patience):
        """Lets the child end as an interpreter does, exit handlers and all, for as long as patience says."""
        os.close(self.claim_end)
        self.open.remove(self.claim_end)
        deadline = monotonic() + patience
        while self.status is None and monotonic() < deadline:
            for stream in self.streams:
                stream.drain(0)
                stream.live.flush()
            time.sleep(0.002)
            self.reap()
        self.kill()

    def death(self, doing):
        """(type, sentence) for a child that ended by itself."""
        if self.status is None:
            return 'ProcessKilled', 'the process did not end when it was told to, ' + doing
        if os.WIFSIGNALED(self.status):
            number = os.WTERMSIG(self.status)
            return 'ProcessKilled', 'the process was ended by signal %d (%s) %s' % (number, signal_name(number), doing)
        status = os.WEXITSTATUS(self.status)
        if status == DESCRIPTORS_LOST:
            return 'ProcessExited', ('the process closed the descriptors by which it reports (status %d) %s: close only what was opened'
                                     % (status, doing))
        return 'ProcessExited', 'the process exited with status %d %s: handler(event) must return' % (status, doing)

    def close(self):
        for stream in self.streams:
            stream.drain(self.limits['outputBytes'])
        for fd in self.open:
            os.close(fd)
        self.control.close()


# ---------------------------------------------------------------------------------------------------------------------
# 5  Memory

class Memory(object):
    """What the container's cgroup knows of memory: its limit, how near that is, and how often the kernel killed.

    On cgroup v2 the kernel, when memory is out, kills every process of the container, the supervisor too. So there the
    child is ended a little before that. On v1 the kernel takes one process, and that is the child by its oom_score_adj.
    """

    def __init__(self, root='/sys/fs/cgroup'):
        self.unified = os.path.exists(os.path.join(root, 'cgroup.controllers'))
        own = {}
        for line in self.read('/proc/self/cgroup').splitlines():
            _, controllers, path = line.split(':', 2)
            own.update((name, path.lstrip('/')) for name in controllers.split(','))
        base = root if self.unified else os.path.join(root, 'memory')
        path = os.path.join(base, own.get('' if self.unified else 'memory', ''))
        # Inside a container the own cgroup is often mounted as the root.
        probe = 'memory.events' if self.unified else 'memory.oom_control'
        self.folder = path if os.path.exists(os.path.join(path, probe)) else base
        self.limit = self.number('memory.max' if self.unified else 'memory.limit_in_bytes')
        if self.limit is not None and self.limit > 1 << 60:
            self.limit = None    # v1's way to say that there is none
        self.kills = self.killed()

    @staticmethod
    def read(path):
        try:
            with open(path) as data:
                return data.read()
        except (OSError, IOError):
            return ''

    def number(self, name):
        text = self.read(os.path.join(self.folder, name)).strip()
        return int(text) if text.isdigit() else None

    def table(self, name):
        words = [line.split() for line in self.read(os.path.join(self.folder, name)).splitlines()]
        return dict((pair[0], int(pair[1])) for pair in words if len(pair) == 2 and pair[1].isdigit())

    def killed(self):
        return self.table('memory.events' if self.unified else 'memory.oom_control').get('oom_kill', 0)

    def killed_since(self):
        """Whether the kernel has killed for memory since this was last asked."""
        before, self.kills = self.kills, self.killed()
        return self.kills > before

    def headroom(self):
        """Bytes until the child should be ended; None where nobody has to look."""
        if not self.unified or self.limit is None:
            return None
        self.limit = self.number('memory.max') or self.limit     # it may be changed while the container runs
        margin = min(max(self.limit // 32, 8 << 20), 256 << 20)
        used = self.number('memory.current') or 0
        if used > self.limit // 2:
            # The kernel gives these up before it kills.
            stat = self.table('memory.stat')
            used -= sum(stat.get(name, 0) for name in ('active_file', 'inactive_file', 'slab_reclaimable'))
        return self.limit - margin - used

    def sentence(self):
        limit = self.limit
        return 'the container ran out of memory' + (' (its limit is %d MiB)' % (limit >> 20) if limit else '')


# ---------------------------------------------------------------------------------------------------------------------
# 6  The exchange

class Refused(Exception):
    """An answer after which the same call is repeated."""


class Exchange(object):
    """Makes the calls, one at a time and on a thread of its own, each repeated until it is answered."""

    SLACK = 15                   # seconds that an answer may take beyond the time that the server was asked to wait

    def __init__(self, url, token_file, ca_file, wake):
        self.url, self.token_file, self.ca_file, self.wake = url, token_file, ca_file, wake
        self.answers, self.notes = collections.deque(), collections.deque()
        self.connection = self.token = self.asked = None
        self.calls, self.calls_end = os.pipe()
        for fd in (self.calls, self.calls_end):
            set_inherited(fd, False)
        from threading import Thread
        thread = Thread(target=self.run)
        thread.daemon = True
        thread.start()

    def call(self, body, wait):
        self.asked = body, wait
        os.write(self.calls_end, b'!')

    def run(self):
        try:                     # these cost more than all the rest of a start; the child starts meanwhile
            global httplib, ssl
            if PYTHON2:
                import httplib
                import urlparse as parse
            else:
                import http.client as httplib
                from urllib import parse
            import ssl
            address = parse.urlsplit(self.url)
            self.address, self.path = address, address.path + ('?' + address.query if address.query else '')
            try:
                self.connect(self.SLACK)
            except Exception:
                self.close()     # the first call says what is wrong
            while True:
                retried(os.read, self.calls, 1)
                self.post(self.repeat(*self.asked))
        except Exception as error:
            self.post((0, 'the worker cannot speak to the exchange: %s: %s' % (type(error).__name__, error)))

    def post(self, answer):
        self.answers.append(answer)
        os.write(self.wake, b'!')

    def repeat(self, body, wait):
        """(status, text or object) of the first answer that is one."""
        delay, told = 0.1, False
        while True:
            used = self.connection is not None
            try:
                status, data = self.attempt(body, wait)
                if status == 200:
                    answer = json.loads(data.decode('utf-8'))
                    if told:
                        self.note('the exchange answers again')
                    return status, answer
                if status in (400, 404, 409, 413):
                    return status, data.decode('utf-8', 'replace')
                if status in (401, 403):
                    self.close()     # the next connection reads the token again
                raise Refused('it answers %d' % status)
            except Exception as error:
                if not isinstance(error, Refused):
                    self.close()
                    if used:
                        continue     # the server had closed a connection that was kept open: no reason to wait
                if delay > 1 and not told:
                    told = True
                    self.note('the exchange does not take a call (%s: %s); it is repeated until it does'
                              % (type(error).__name__, error))
            time.sleep(delay * (0.5 + ord(os.urandom(1)) / 256.0))
            delay = min(delay * 2, 5)

    def note(self, text):
        self.notes.append(text)
        os.write(self.wake, b'!')

    def connect(self, timeout):
        with open(self.token_file) as token:
            self.token = token.read().strip()
        if self.address.scheme == 'https':
            context = ssl.create_default_context(cafile=self.ca_file)
            # Newer versions demand extensions that say nothing about trust; chain and name are always verified.
            context.verify_flags &= ~getattr(ssl, 'VERIFY_X509_STRICT', 0)
            connection = httplib.HTTPSConnection(self.address.hostname, self.address.port, timeout=timeout,
                                                 context=context)
        else:
            connection = httplib.HTTPConnection(self.address.hostname, self.address.port, timeout=timeout)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        set_inherited(connection.sock.fileno(), False)
        self.connection = connection

    def attempt(self, body, wait):
        if self.connection is None:
            self.connect(self.SLACK)
        self.connection.sock.settimeout(wait + self.SLACK)
        self.connection.request('POST', self.path, body, {
            'Authorization': 'Bearer ' + self.token, 'Content-Type': 'application/json'})
        response = self.connection.getresponse()
        data = response.read()
        if response.will_close:
            self.close()
        return response.status, data

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


# ---------------------------------------------------------------------------------------------------------------------
# 7  The supervisor

class Verdict(object):
    """Why the supervisor ended a child, and what becomes of the input that it executed."""

    def __init__(self, status, kind, sentence, crash=False):
        self.status, self.kind, self.sentence, self.crash = status, kind, sentence, crash


NO_OUTCOME = Verdict(None, None, None)
AT_ONCE = 128                    # inputs in one message to the child
BRIEF = 0.005                    # seconds
BODY = 8 << 20                   # what a call's body may take before outcomes are left for the next
HARVEST = 0.1                    # seconds that a finished outcome waits for others to travel with
LIVE = 64 << 10                  # bytes of each stream that one call tells of the input that runs
LOADING = 600                    # seconds that loading may take; as long as an input may, where that is longer
LEAVING = 20                     # seconds that the executing input gets after a SIGTERM that Kubernetes means
MEMORY_SPEED = 4 << 30           # bytes a second that a child is believed able to fill


class Supervisor(object):
    """Holds inputs, decides when to call, and ends what has to be ended. All on one thread."""

    def __init__(self, environment):
        self.code = environment['SHAREDCLOUD_CODE']
        self.live = Live(1), Live(2)
        self.limits = dict(LIMITS)
        self.lease, self.timeout, self.hand_back = 15.0, None, None     # before the first answer
        self.device = environment.get('NVIDIA_VISIBLE_DEVICES')
        self.now = monotonic()
        self.alarm = self.now
        self.exit_status = None

        self.queue = collections.deque()    # (index, form, value): not given to the child
        self.done = collections.deque()     # (index, JSON): not reported
        self.done_since = self.now
        self.keeper = None
        self.executing, self.since, self.wall = None, self.now, time.time()
        self.load_error, self.load_delay, self.spawn_at = None, 0, self.now
        self.live_delay = None              # seconds after which new output of the input that runs is told; None: never
        self.told, self.told_at = None, self.now    # what was told of which input, (stdout, stderr) in bytes, and when
        self.together = 1                   # inputs that one call of the handler gets
        self.suspects = []                  # indexes that one call had when its process ended
        self.average = None                 # seconds that an input takes
        self.busy_since = self.now          # since when the child works without a pause, or since the last outcome

        self.sequence, self.calling, self.reporting = 0, None, []
        self.called_at = None
        self.body_limit = BODY
        self.round_trip = 0.005
        self.urgent = False                 # call at once
        self.dry = False                    # the last call that wanted inputs brought none
        self.idle_until, self.idle_delay = self.now, 0.01
        self.finished = False

        self.told_to_end = False            # SIGTERM came
        self.leaving = self.meant = False
        self.leave_by = self.now

        self.memory = Memory()
        self.memory_at = self.now
        self.wake, wake_end = os.pipe()
        for fd in (self.wake, wake_end):
            set_blocking(fd, False)
            set_inherited(fd, False)
        self.take_signals(wake_end)
        # Spawned before there is a second thread, and before the imports that a connection needs.
        self.spawn()
        self.exchange = Exchange(environment['SHAREDCLOUD_EXCHANGE_URL'], environment['SHAREDCLOUD_TOKEN_FILE'],
                                 environment.get('SHAREDCLOUD_CA_FILE'), wake_end)

    def take_signals(self, wake_end):
        for name in IGNORED_SIGNALS:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        signal.set_wakeup_fd(wake_end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self.terminated)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.siginterrupt(number, False)   # Python 2 would lose the answer to a call

    def terminated(self, *_):
        self.told_to_end = True

    def say(self, sentence):
        self.live[1].write(('sharedcloud: %s\n' % sentence).encode('utf-8'))

    # -- the loop

    def run(self):
        while self.exit_status is None:
            self.now = monotonic()
            self.alarm = self.now + 3600
            self.step()
            if self.exit_status is None:
                self.wait()
        return self.end()

    def step(self):
        self.collect()
        self.take_answers()
        self.consider_leaving()
        self.watch_child()
        self.consider_handing_back()
        self.feed()
        self.consider_calling()
        self.consider_end()

    def reached(self, moment):
        """Whether the moment has come. If not, the loop wakes when it does."""
        if self.now >= moment:
            return True
        self.alarm = min(self.alarm, moment)
        return False

    def wait(self):
        """Until something happens or the next moment has come."""
        poller, keeper = select.poll(), self.keeper
        poller.register(self.wake, select.POLLIN)
        for live in self.live:
            if live.pending:
                poller.register(live.fd, select.POLLOUT)
        if keeper is not None:
            poller.register(keeper.control, select.POLLIN | (select.POLLOUT if keeper.unsent else 0))
            if keeper.lines:
                poller.register(keeper.result, select.POLLIN)    # the rest of a long line
            if not keeper.given or not self.brief() or self.now - self.since > HARVEST / 2:
                for stream in keeper.streams:
                    if stream.open:
                        poller.register(stream.fd, select.POLLIN)
        timeout = max(0, self.alarm - monotonic())
        try:
            events = dict(poller.poll(int(timeout * 1000) + 1 if timeout else 0))
        except select.error:
            return               # a signal, in Python 2
        if self.wake in events:
            os.read(self.wake, 4096)
        for live in self.live:
            live.flush()
        if keeper is None:
            return
        control = keeper.control.fileno()
        if events.get(control, 0) & select.POLLOUT:
            keeper.send()
        if events.get(control, 0) & ~select.POLLOUT:
            try:
                if not keeper.control.recv(4096):
                    time.sleep(0.001)    # its end is closed, so the child is about to go
            except socket.error:
                pass
        for stream in keeper.streams:
            if stream.fd in events:
                keeper.read_output(stream)

    # -- the child

    def spawn(self):
        self.memory.killed_since()
        try:
            self.keeper = Keeper(self.code, self.limits, self.live)
        except (OSError, IOError) as error:
            # No process or no descriptor is to be had. Whatever takes them all may let go of some.
            self.not_loaded(error_object('ProcessNotStarted', 'no process could be started for the module: %s' % error))

    def collect(self):
        keeper = self.keeper
        if keeper is None:
            return
        keeper.reap()
        loading = keeper.loading
        done = [pair for pair in keeper.collect() if pair[0] not in keeper.ignored]
        if loading and not keeper.loading:
            self.load_error, self.load_delay = None, 0
        if done:
            if not self.done:
                self.done_since = self.now
            self.done.extend(done)
            each = (self.now - self.busy_since) / len(done)
            self.average = each if self.average is None else (self.average + each) / 2
            self.busy_since = self.now

    def brief(self):
        """Whether inputs are so short that to be woken for each, or for what it prints, would cost more than it does."""
        return self.average is not None and self.average < BRIEF

    def watch_child(self):
        keeper = self.keeper
        if keeper is None:
            if (self.queue or not self.finished) and self.reached(self.spawn_at):
                self.spawn()
            return
        if keeper.status is not None:
            self.bury()
            return
        if keeper.loading:
            patience = max(LOADING, self.timeout or 0)
            if self.reached(keeper.started + patience):
                self.end_child(Verdict('TimedOut', 'LoadTimedOut', 'the module was not loaded within %g s' % patience))
                return
        else:
            executing = keeper.executing()
            if executing is not self.executing:
                self.executing, self.since, self.wall = executing, self.now, time.time()
            if keeper.given and self.brief():
                self.reached(self.now + HARVEST / 2)     # it may be with the next already, and prints unheard
            if executing is not None and self.timeout and self.reached(self.since + self.timeout):
                self.end_child(Verdict('TimedOut', 'TimeLimitExceeded',
                                       'the handler was ended at its time limit of %g s' % self.timeout))
                return
        self.watch_memory()

    def watch_memory(self):
        if self.memory.limit is None or not self.memory.unified or not self.reached(self.memory_at):
            return
        headroom = self.memory.headroom()
        if headroom <= 0:
            self.end_child(Verdict('Failed', 'OutOfMemory', self.memory.sentence() +
                                   ': the process was ended before the kernel would end all of the container', True))
            return
        self.memory_at = self.now + min(max(float(headroom) / MEMORY_SPEED, 0.01), 0.5)
        self.reached(self.memory_at)

    def end_child(self, verdict):
        self.keeper.kill()
        self.bury(verdict)

    def bury(self, verdict=None):
        """Settles what a child leaves: outcomes, inputs that it did not begin, and the one that it died of."""
        keeper = self.keeper
        keeper.kill()            # what it started and left behind
        self.collect()           # it may have finished in the last moment, and then it did
        self.queue.extendleft(reversed(keeper.recall()))
        doing = 'while it loaded the module' if keeper.loading else 'while it ran this input'
        if verdict is None:
            kind, sentence = keeper.death(doing)
            if keeper.status == signal.SIGKILL and self.memory.killed_since():
                kind, sentence = 'OutOfMemory', self.memory.sentence() + ': the kernel ended the process ' + doing
            verdict = Verdict('Failed', kind, sentence, True)
        for stream in keeper.streams:
            stream.drain(self.limits['outputBytes'])
        if keeper.loading:
            self.not_loaded(keeper.error or error_object(verdict.kind, verdict.sentence))
        elif keeper.given:
            if verdict is not NO_OUTCOME:
                self.conclude(keeper, verdict)
        elif verdict is not NO_OUTCOME:
            self.say('the process ended between two inputs (%s); a fresh one is started' % verdict.sentence)
        keeper.close()
        self.keeper = self.executing = None

    def conclude(self, keeper, verdict):
        """The outcome of the input that a child was ended at or died of; of several it is to be found out which it was."""
        if len(keeper.given) > 1:
            self.suspects += [item[0] for item in keeper.given if item[0] not in keeper.ignored]
            self.say('%s; it had %d inputs at once, which are now tried one by one' % (verdict.sentence, len(keeper.given)))
            keeper.given.clear()
            self.urgent = True
            return
        begun = keeper.given[0] is self.executing
        spent = monotonic() - self.since if begun else 0
        # Where a program knows nothing but stderr, it has to find the reason there.
        sentence = ('sharedcloud: %s\n' % verdict.sentence).encode('utf-8')
        keeper.streams[1].tail.add(sentence, self.limits['outputBytes'])
        self.live[1].write(sentence)
        index = keeper.given[0][0]
        head = json.dumps({'index': index, 'status': verdict.status, 'crash': verdict.crash,
                           'error': error_object(verdict.kind, verdict.sentence),
                           'startTime': micros(self.wall if begun else time.time()), 'durationMicros': micros(spent)})
        if not self.done:
            self.done_since = self.now
        self.done.append((index, head[:-1].encode('ascii') + keeper.output() + b'}'))

    def not_loaded(self, error):
        self.load_error = error
        self.load_delay = min(max(1, self.load_delay * 2), 10)
        self.spawn_at = self.now + self.load_delay
        self.say('the module could not be loaded (%s: %s); the next try is in %d s'
                 % (error['type'], error['message'], self.load_delay))
        self.give_back()         # another worker may be able to
        self.urgent = True

    # -- what is held

    def give_back(self):
        """Lets go of all that no handler has begun: the next call, made at once, does not list it."""
        if self.keeper is not None:
            self.queue.extendleft(reversed(self.keeper.recall()))
        if self.queue:
            self.queue.clear()
            self.urgent = True

    def held(self):
        indexes = [item[0] for item in self.queue] + [index for index, _ in self.done]
        if self.keeper is not None:
            indexes.extend([item[0] for item in self.keeper.given if item[0] not in self.keeper.ignored])
        return indexes

    def overlong(self):
        """Whether what runs now, the loading of the module too, has run for so long that nothing may wait behind it."""
        if self.hand_back is None:
            return False
        if self.keeper is None or self.keeper.loading:
            return self.reached((self.keeper.started if self.keeper else self.spawn_at) + self.hand_back)
        return self.executing is not None and self.reached(self.since + self.hand_back)

    def consider_handing_back(self):
        behind = self.queue or self.keeper is not None and len(self.keeper.given) > 1
        if behind and (self.leaving or self.overlong()):
            self.give_back()

    def feed(self):
        keeper = self.keeper
        if not self.queue or keeper is None or keeper.loading:
            return
        if not keeper.given:
            self.busy_since = self.now
        # Whole calls in one message: it and its claims arrive at once.
        keeper.feed(self.queue, max(AT_ONCE // self.together * self.together, self.together),
                    int(self.time_to_call() / max(self.average, 1e-6)) if self.brief() else None, self.together)

    def time_to_call(self):
        """How many seconds of work are left in the queue when the next call should be made."""
        return 2 * self.round_trip + 0.001

    def drop(self, revoked):
        """What the server gave to others is not ours any more, wherever it is."""
        self.done = collections.deque(pair for pair in self.done if pair[0] not in revoked)
        keeper = self.keeper
        if keeper is not None:
            self.queue.extendleft(reversed(keeper.recall()))
        self.queue = collections.deque(item for item in self.queue if item[0] not in revoked)
        claimed = set() if keeper is None else set([item[0] for item in keeper.given])
        if claimed - revoked:
            keeper.ignored |= claimed & revoked      # the call goes on for the others
        elif claimed:
            self.end_child(NO_OUTCOME)
            # It may have finished while it was being ended.
            self.done = collections.deque(pair for pair in self.done if pair[0] not in revoked)

    # -- calls

    def hungry(self):
        keeper = self.keeper
        if keeper is None or keeper.loading or self.leaving or self.finished:
            return False
        waiting = len(self.queue) + keeper.waiting()
        if waiting and (self.average is None or waiting * self.average > self.time_to_call()):
            return False
        return not self.overlong()

    def consider_calling(self):
        if self.calling is not None:
            return
        keeper = self.keeper
        busy = bool(self.queue or keeper is not None and keeper.given)
        want = self.hungry()
        due = self.urgent or self.reached(self.heartbeat())
        if not due and self.live_delay is not None and self.unheard():
            due = self.reached(self.tells_at())
        if self.done:
            due = due or not busy or self.reached(self.done_since + HARVEST)
        if want:
            due = due or (not self.dry if busy else self.reached(self.idle_until))
        if due:
            self.call(want, 0 if busy or not want else self.patience())

    def unheard(self):
        """Whether the input that runs has printed something that the server does not know of."""
        if self.executing is None or self.keeper is None or self.keeper.loading:
            return False
        known = self.told[1:] if self.told and self.told[0] is self.executing else (0, 0)
        return tuple(stream.printed() for stream in self.keeper.streams) > known

    def tells_at(self):
        return max(self.told_at, self.since) + self.live_delay

    def live_output(self):
        """The field `live` of a call, or None."""
        if self.live_delay is None or self.now < self.tells_at() or not self.unheard():
            return None
        if not self.told or self.told[0] is not self.executing:
            self.told = self.executing, 0, 0
        fields = {'index': self.executing[0], 'startTime': micros(self.wall)}
        for position, stream in enumerate(self.keeper.streams):
            start, data = stream.since(self.told[1 + position], LIVE)
            if data:
                fields[stream.name] = binascii.b2a_base64(data)[:-1].decode('ascii')
                fields[stream.name + 'From'] = start
        self.told = (self.executing,) + tuple(stream.printed() for stream in self.keeper.streams)
        self.told_at = self.now
        return fields

    def heartbeat(self):
        if self.called_at is None:
            return self.keeper.started + 1 if self.keeper is not None else self.now
        return self.called_at + self.lease * 0.3

    def patience(self):
        """Seconds that the server may keep a call open: not more, for SIGTERM has to be answered meanwhile."""
        return max(1, int(min(10, self.lease * 0.3)))

    def call(self, want, wait):
        size = 0
        while self.done and (not self.reporting or size + len(self.done[0][1]) <= self.body_limit):
            size += len(self.done[0][1])
            self.reporting.append(self.done.popleft())
        if self.done:
            wait = 0             # the next call is made at once
        fields = {'protocol': PROTOCOL, 'sequence': self.sequence + 1, 'held': compress(self.held()), 'want': want,
                  'waitSeconds': wait, 'leaving': self.leaving}
        if self.executing is not None and self.executing[0] not in self.keeper.ignored:
            fields['executing'] = self.executing[0]
            live = self.live_output()
            if live:
                fields['live'] = live
        if self.load_error is not None:
            fields['loadError'], self.load_error = self.load_error, None
        if self.device is not None:
            fields['device'] = self.device
        if self.suspects:
            fields['suspects'], self.suspects = compress(self.suspects), []
        body = b''.join((json.dumps(fields)[:-1].encode('ascii'), b',"outcomes":[',
                         b','.join(data for _, data in self.reporting), b']}'))
        self.calling = fields, self.now
        self.called_at = self.now
        self.urgent = bool(self.done)
        self.exchange.call(body, wait)

    def take_answers(self):
        while self.exchange.notes:
            self.say(self.exchange.notes.popleft())
        while self.exchange.answers:
            status, answer = self.exchange.answers.popleft()
            if status == 200:
                self.take_answer(answer)
            elif status == 404:
                self.exit_status = 0
            elif status == 413:
                self.split()
            else:
                self.say('the exchange refuses this worker (%s): %s' % (status or 'no call', answer))
                self.exit_status = 1

    def split(self):
        """The call was too large: its outcomes go in several, and one that is too large alone is replaced."""
        fields, _ = self.calling
        if len(self.reporting) == 1:
            index, data = self.reporting[0]
            error = error_object('ResultTooLarge', 'the exchange does not take an outcome of %d bytes: return less, '
                                 'or put it where a reference to it can be returned' % len(data))
            head = json.loads(data.decode('ascii'))
            self.reporting[0] = index, json.dumps({
                'index': index, 'status': 'Failed', 'error': error, 'startTime': head['startTime'],
                'durationMicros': head['durationMicros']}).encode('ascii')
        self.body_limit = max(1 << 16, sum(len(data) for _, data in self.reporting) // 2)
        self.done.extendleft(reversed(self.reporting))
        self.load_error = self.load_error or fields.get('loadError')
        self.suspects = sorted(expand(fields.get('suspects'))) + self.suspects
        self.reporting, self.calling, self.urgent = [], None, True

    def take_answer(self, answer):
        asked, called = self.calling
        self.sequence += 1
        self.reporting, self.calling = [], None
        self.lease = float(answer.get('leaseSeconds') or self.lease)
        self.timeout = answer.get('timeoutSeconds') or self.timeout
        self.together = answer.get('batchSize') or 1
        if answer.get('handBackMillis'):
            self.hand_back = answer['handBackMillis'] / 1000.0
        if answer.get('liveMillis'):
            self.live_delay = answer['liveMillis'] / 1000.0
        self.limits.update(answer.get('limits') or {})
        inputs = answer.get('inputs') or []
        if answer.get('revoked'):
            self.drop(expand(answer['revoked']))
        self.queue.extend([(one['index'], 0, one['json']) if 'json' in one else (one['index'], LITERAL, one['literal'])
                           for one in inputs])
        took = monotonic() - called
        if inputs or not asked['waitSeconds']:
            self.round_trip += (min(took, 1) - self.round_trip) / 4
        if asked['want']:
            self.dry = not inputs
        if inputs or took > 0.05:
            self.idle_delay = 0.01
        else:
            # The server did not keep the call open: do not ask faster and faster.
            self.idle_delay = min(self.idle_delay * 2, 0.5)
            self.idle_until = self.now + self.idle_delay
        action = answer.get('action')
        if asked['leaving']:
            # Without its being meant, `finished` is for those alone who hold nothing.
            if action == 'finished' and asked['held']:
                self.meant = True
            elif action not in ('finished', 'stop'):
                self.leaving = self.meant = False
        self.finished = action == 'finished'
        if action == 'stop':
            self.exit_status = POD_ENDED if asked['leaving'] else 0
        if answer.get('podEnding'):
            self.told_to_end = True     # its SIGTERM came before there was a handler for it

    # -- the end

    def consider_leaving(self):
        if self.told_to_end:
            self.told_to_end = False
            if not self.leaving:
                self.leaving, self.meant, self.urgent = True, False, True
                self.leave_by = self.now + LEAVING
                self.give_back()
        if self.meant and self.keeper is not None and self.keeper.given and self.reached(self.leave_by):
            self.end_child(NO_OUTCOME)
            self.urgent = True

    def consider_end(self):
        if self.finished and self.calling is None and self.exit_status is None and not self.held():
            self.exit_status = POD_ENDED if self.meant else 0

    def end(self):
        if self.keeper is not None:
            if self.finished and self.exit_status == 0 and not self.keeper.loading:
                self.keeper.dismiss(1)
            else:
                self.keeper.kill()
            self.keeper.close()
        deadline = monotonic() + 1
        while (self.live[0].pending or self.live[1].pending) and monotonic() < deadline:
            time.sleep(0.005)
            for live in self.live:
                live.flush()
        return self.exit_status


def main(arguments):
    if arguments[1:2] == ['--child']:
        child_main(arguments[2], [int(fd) for fd in arguments[3:]])
        return 0
    if hasattr(sys, 'set_int_max_str_digits'):
        sys.set_int_max_str_digits(0)
    sys.setrecursionlimit(12000)         # as deep as the server lets an input be
    missing = [name for name in ('SHAREDCLOUD_EXCHANGE_URL', 'SHAREDCLOUD_TOKEN_FILE', 'SHAREDCLOUD_CODE')
               if not os.environ.get(name)]
    if missing:
        os.write(2, ('sharedcloud: this program is started by the operator, with %s in its environment\n'
                     % ', '.join(missing)).encode('ascii'))
        return 1
    return Supervisor(os.environ).run()


if __name__ == '__main__':
    status = main(sys.argv)
    if sys.argv[1:2] != ['--child']:
        os._exit(status)         # the thread of the exchange may be in the middle of a call

