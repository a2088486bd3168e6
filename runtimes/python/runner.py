# -*- coding: utf-8 -*-
"""The worker's program for Python 2.7 and 3: a supervisor, and the child that calls the user's handler.

One file, which needs the standard library only. `python runner.py` is the supervisor, process 1 of the container. It runs
itself again, with --child, as the process that loads the user's module once and calls handler(event) for one input after
the other.

Contents:

  1  Both processes     clocks, descriptors, "17,20-31", messages between the two
  2  The child          loading, calling, encoding, and the end of each input
  3  Output             what inputs print: kept for each input, and passed on to the container's streams
  4  The child's handle starting, feeding, recalling, collecting, killing the whole process tree
  5  Surroundings       memory and CPUs, from the cgroup; what the image lacks; what a child leaves behind
  6  The exchange       one persistent connection on a thread; each call is repeated until it is answered
  7  Decisions          when to call, what to report, time limits, the end: from values and the time
  8  The supervisor     acts on the decisions

Between the two processes:

  claim    pipe, 8 bytes for each input. The process that reads a record owns the input: the child to execute it, or the
           supervisor to take it back. So an input that was handed back is never executed.
  result   pipe, a line for each outcome, written before the next input is claimed. So the outcomes of a child that ends
           are not lost, and the first claimed input without an outcome is the one that ended it.
  control  socket. To the child: inputs in batches, and acknowledgements. From the child: single bytes, on which the
           supervisor reads the result pipe. Short inputs have no such byte each, so that they do not wake it one by one.
  out, err pipes for what the child and the processes that it starts print. At the end of each input the child checks
           whether they hold anything. If the supervisor has read nothing of it, as with short inputs, the child reads it.
  reading  pipe. The supervisor writes a byte before it reads out or err. A child that sees the byte at the end of an
           input waits until the supervisor has collected the rest of that input's output.
"""
import binascii
import collections
import errno
import fcntl
import itertools
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
FILENAME = 'handler.py'          # what tracebacks that are shown call it
SIGNATURE = 'the code needs to have the following signature: def handler(event)'

# ---------------------------------------------------------------------------------------------------------------------
# 1  Both processes

CLAIM = struct.Struct('<Q')      # twice the number of the input, plus one if the child announces its start
LENGTH = struct.Struct('<I')     # of a message on the control socket; 0 is an acknowledgement
# The first byte of a line on the result pipe. The rest is ASCII, and JSON without line breaks.
OUTCOME = b'{'                   # a complete outcome
OUTCOME_PRINTED = b'='           # stdout and stderr in base64, and an outcome without its closing brace
OUTCOME_COLLECT = b'+'           # the same; the supervisor collects the rest of the output and acknowledges
LOADED = b'>'                    # the module is loaded; the supervisor collects its output and acknowledges
NOT_LOADED = b'<'                # followed by the error; the same

POD_ENDED = 143                  # exit status; with 0 the Job counts the index as completed and starts no other pod
DESCRIPTORS_LOST = 197           # exit status: the handler closed the child's own descriptors
LIMITS = {'resultBytes': 16 << 20, 'outputBytes': 256 << 10}
LOAD_OUTPUT = 8 << 10            # bytes of each stream that are reported of what the module prints while it is loaded
MAX_ERROR_TEXT = 64 << 10        # characters of an error's message, and of its traceback

if hasattr(time, 'monotonic'):
    monotonic = time.monotonic
else:
    def monotonic():
        """Seconds of a clock that is never set. Python 2 has one with a resolution of 1/100 s."""
        return os.times()[4]

if PYTHON2:
    text_type = unicode          # noqa: F821
else:
    text_type = str


def micros(seconds):
    return int(seconds * 1e6)


def retried(call, *arguments):
    """Repeats the call while a signal interrupts it, which Python 2 leaves to the caller."""
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
    """Returns how many bytes are in a pipe."""
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
    """Returns text for JSON. The value may be bytes: Python 2's str."""
    return value if isinstance(value, text_type) else value.decode('utf-8', 'replace')


def clipped(text, limit=MAX_ERROR_TEXT):
    """Returns the text; if it is too long, without its middle."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return u'%s\n[... %d characters cut ...]\n%s' % (text[:half], len(text) - 2 * half, text[-half:])


def error_object(kind, message, traceback=u''):
    return {'type': as_text(kind), 'message': clipped(as_text(message)), 'traceback': clipped(as_text(traceback))}


class UnlimitedDigits(object):
    """Allows conversions of integers with more than 4,300 digits, which Python 3 rejects by default."""

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
# The user's code runs in this process and can change anything in it. So what the loop needs is bound before that code is
# loaded, and descriptors are moved to high numbers, because code that closes "all" descriptors closes low ones.

quote = json.encoder.encode_basestring_ascii


def json_encoder():
    """Returns what json.JSONEncoder.encode does, in half the time for small values: it prepares for them only once."""
    markers = {}

    def refuse(value):
        raise TypeError('%s is not serializable' % type(value).__name__)

    def encode_json(value):
        try:
            return ''.join(prepared(value, 0))
        except BaseException:
            markers.clear()
            raise
    try:
        prepared = json.encoder.c_make_encoder(markers, refuse, quote, None, ':', ',', False, False, False)
        if encode_json([1.5, {u'a': None}]) == '[1.5,{"a":null}]':
            return encode_json
    except Exception:
        pass                     # another implementation of Python
    return json.JSONEncoder(allow_nan=False, separators=(',', ':')).encode


dumps = json_encoder()


class ResultTooLarge(Exception):
    """The value is larger than limits.resultBytes."""


class ResultNotSerializable(Exception):
    """A part of the value cannot be represented in JSON without a loss."""


class Source(object):
    """The user's module: its text, and the loader of which inspect, linecache and pkgutil ask for it."""

    def __init__(self, path='', data=b''):
        self.path, self.data = path, data
        try:
            # Valid UTF-8 is text that arrived as Unicode: a BOM is dropped, and a coding cookie ignored.
            self.text = data.decode('utf-8-sig')
        except UnicodeDecodeError:
            self.text = None     # compile() follows the cookie

    def compiled(self):
        """Compiles the module under its real path."""
        code = self.data if self.text is None else self.text
        if PYTHON2 and code is self.text:
            import re            # compile() accepts no Unicode with a cookie, but bytes with a BOM and no cookie
            first = re.sub(br'(?m)^([ \t\f]*#.*?coding)[:=]', br'\1 ', b'\n'.join(code.encode('utf-8').split(b'\n', 2)[:2]))
            code = b'\xef\xbb\xbf' + b'\n'.join([first] + code.encode('utf-8').split(b'\n', 2)[2:])
        # dont_inherit: imports from __future__ in this file must not affect the user's module.
        return compile(code, self.path, 'exec', 0, True)

    def attach(self, module):
        """Makes the module look like one that was imported from its file."""
        module.__file__, module.__loader__, module.__package__ = self.path, self, ''
        if not PYTHON2:
            from importlib.machinery import ModuleSpec
            module.__spec__ = ModuleSpec(MODULE, self, origin=self.path)
            module.__spec__.has_location = True
        if b'coding' in b''.join(self.data.split(b'\n', 2)[:2]):
            self.remember()      # linecache would follow the cookie

    def get_source(self, _name=None):
        if PYTHON2:
            return self.data
        if self.text is not None:
            return self.text
        import importlib.util
        return importlib.util.decode_source(self.data)

    def get_filename(self, _name=None):
        return self.path

    def get_data(self, path):
        with open(path, 'rb') as data:
            return data.read()

    def is_package(self, _name=None):
        return False

    def remember(self):
        """Puts the lines into linecache."""
        import linecache
        try:
            text = self.get_source()
        except (SyntaxError, UnicodeError):
            return
        lines = [line + '\n' for line in text.replace('\r\n', '\n').replace('\r', '\n').split('\n')]
        linecache.cache[self.path] = (len(self.data), None, lines, self.path)


ASYNCIO = os.path.join(os.path.dirname(os.__file__), 'asyncio', '')


def without_runner(trace):
    """Returns the part of a traceback that is the user's, without the frames of this file and of its event loop before it."""
    while trace is not None and (trace.tb_frame.f_code.co_filename == RUNNER or
                                 trace.tb_frame.f_code.co_filename.startswith(ASYNCIO)):
        trace = trace.tb_next
    return trace


RUNNER = without_runner.__code__.co_filename


def members_of(error):
    """Returns the exceptions of an exception group of any class."""
    try:
        members = error.exceptions
    except Exception:
        return []
    return [member for member in members[:15] if isinstance(member, BaseException)] if type(members) in (list, tuple) else []


def trace_of(error, trace, depth=0):
    """Returns the traceback of an exception as text, with its causes, its notes, and the members of a group."""
    import traceback
    if PYTHON2:
        lines, shown = traceback.format_exception(type(error), error, without_runner(trace)), None
    else:
        shown = traceback.TracebackException(type(error), error, without_runner(trace))
        found, seen = [shown], set()
        while found:
            part = found.pop()
            if part is None or id(part) in seen:
                continue
            seen.add(id(part))
            part.stack[:] = [frame for frame in part.stack if frame.filename != RUNNER]
            found += [part.__cause__, part.__context__] + list(getattr(part, 'exceptions', None) or ())
        lines = list(shown.format())
    if sys.version_info < (3, 11):
        notes = getattr(error, '__notes__', None)
        lines += [u'%s\n' % (note,) for note in notes] if isinstance(notes, (list, tuple)) else []
    if depth < 10 and not getattr(shown, 'exceptions', None):
        for member in members_of(error):
            lines.append(u'\nOne of its exceptions:\n\n')
            lines.append(trace_of(member, getattr(member, '__traceback__', None), depth + 1))
    return u''.join(as_text(line) for line in lines)


def describe(error, trace, source):
    """Returns the error of an outcome for an exception."""
    try:
        message = text_type(error)
    except BaseException:
        try:
            message = as_text(str(error))
        except BaseException:
            message = u'<the message of the exception cannot be shown>'
    if isinstance(error, SystemExit) and not message:
        message = u'sys.exit() was called'
    try:
        source.remember()
        shown = trace_of(error, trace).replace(u'File "%s"' % as_text(source.path), u'File "%s"' % FILENAME)
    except Exception:
        shown = u'%s: %s\n' % (type(error).__name__, message)
    if u'No space left on device' in message or u'Bus error' in message:
        shown += shared_memory_advice(u'shm' in message, u'%s\n')
    return error_object(type(error).__name__, message, shown)


try:
    RecursionError
except NameError:
    RecursionError = RuntimeError

DIGITS = 'set_int_max_str_digits'   # named by the error that refuses a long integer
MAX_DEPTH = 9990                 # lists and dictionaries inside each other in a result: the exchange reads 10,000 in a call
MAX_CONVERTED_DEPTH = 200        # the same where a value has to be converted, which is a recursion in Python
NOT_BRACKETS = bytes(bytearray(set(range(256)) - set(bytearray(b'[]{}'))))
EXACT = frozenset([type(None), bool, int, text_type] + ([long, bytes] if PYTHON2 else []))  # noqa: F821
FLOAT = frozenset([float])
SCALARS = EXACT | FLOAT
TEXT = frozenset([text_type] + ([bytes] if PYTHON2 else []))
DICT = frozenset([dict])
CONTAINERS = DICT | {list, tuple}
# A value that has only these types has the text by which Python shows it.
OWN = SCALARS | CONTAINERS | {bytes, bytearray, complex, set, frozenset, collections.OrderedDict, collections.defaultdict}
SHOWN_AS_TEXT = ('datetime', 'decimal', '_decimal', 'fractions', 'ipaddress', 'pathlib', 'uuid')   # modules
abstract = sys.modules.get('_collections_abc') or collections
DATA = 'return its data as numbers, strings, lists and dictionaries'


class Text(text_type):
    """The text of a value that JSON has no form for. Inside a structure it is a string."""


class DeepRecursion(object):
    """Allows the encoder as many levels as a result may have, and no more: its recursion uses the stack of C."""

    def __enter__(self):
        self.limit = sys.getrecursionlimit()
        sys.setrecursionlimit(MAX_DEPTH + 100)

    def __exit__(self, *_):
        sys.setrecursionlimit(self.limit)


def alone(error):
    """Returns an error whose traceback does not show another one, which was handled before it."""
    error.__suppress_context__ = True
    return error


def too_large(size, limit):
    return ResultTooLarge('the result has %s bytes, more than the limit of %d: return less, or store the data elsewhere and '
                          'return a reference to it' % (size, limit))


def too_deep():
    return alone(ResultNotSerializable('the result is nested too deeply, at most %d levels of lists and dictionaries can be '
                                       'stored: return a flatter structure' % MAX_DEPTH))


def is_too_deep(result):
    """Whether JSON has more levels than a result may have."""
    if result.count('[') + result.count('{') <= MAX_DEPTH:
        return False
    brackets = result.encode('ascii').translate(None, NOT_BRACKETS)
    for _ in range(32):
        brackets = brackets.replace(b'[]', b'').replace(b'{}', b'')
        if not brackets:
            return False         # of many values side by side
    import re
    depth = deepest = 0
    for bracket in re.sub(r'"(?:[^"\\]|\\.)*"|[^\[\]{}"]+', '', result):
        depth += 1 if bracket in '[{' else -1
        deepest = max(deepest, depth)
    return deepest > MAX_DEPTH


def key_text(key):
    """Returns a key as json.dumps writes it."""
    kind = type(key)
    if kind is text_type:
        return key
    if key is None or kind is bool:
        return {None: u'null', True: u'true', False: u'false'}[key]
    return as_text(repr(key) if kind is float else str(key))


def is_exact(value):
    """Whether a value that json.dumps accepts has only JSON's own types, and no keys that are the same in JSON.

    It takes one level after the other, so that the interpreter's own code loops over the values.
    """
    kind = type(value)
    if kind is dict:
        if TEXT.issuperset(map(type, value)) and SCALARS.issuperset(map(type, value.values())):
            return True          # the usual small result
    elif SCALARS.issuperset(map(type, value) if kind is list or kind is tuple else [kind]):
        return True
    level, flatten = [value], itertools.chain.from_iterable
    while True:
        kinds = set(map(type, level))
        if kinds <= SCALARS:
            return True
        if not kinds <= SCALARS | CONTAINERS:
            return False
        dicts = level if kinds <= DICT else [one for one in level if type(one) is dict] if dict in kinds else []
        lists = level if kinds <= CONTAINERS - DICT else [one for one in level if type(one) is list or type(one) is tuple]
        if not TEXT.issuperset(map(type, flatten(dicts))):
            for one in dicts:
                if not SCALARS.issuperset(map(type, one)) or len(set(map(key_text, one))) < len(one):
                    return False
        level = list(flatten(map(dict.values, dicts)))
        level.extend(flatten(lists))


def encode(value):
    """Returns a value of JSON's own types as (JSON, text), for result and resultText. Returns None for another value.

    The text is None if it follows from the JSON.
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
            return None
    try:
        result = dumps(value)
    except RecursionError:
        raise
    except Exception as error:
        if DIGITS in str(error):
            raise
        return None
    return (result, quote(as_text(str(value)))) if is_exact(value) else None


def encode_own(value):
    """Returns the same for any number of digits and levels. Raises ResultNotSerializable if there are too many levels."""
    try:
        if sys.getrecursionlimit() <= MAX_DEPTH + 100:
            return encode(value)
    except ValueError as error:
        if DIGITS not in str(error):
            raise
    except RecursionError:
        pass
    try:
        with UnlimitedDigits(), DeepRecursion():
            return encode(value)
    except RecursionError:
        raise too_deep()


def encoded(value, limit):
    """Returns the fields result and resultText of a value, and whether code of the user ran for it.

    Raises ResultTooLarge if a field exceeds the limit, and ResultNotSerializable.
    """
    kind = type(value)
    if kind is int and -1 << 63 < value < 1 << 63:
        return '"result":%d,' % value, False
    if value is None:
        return '"result":null,"resultText":"None",', False
    ran = False
    while kind not in OWN and is_awaitable(value):
        value, ran = EventLoop.complete(value), True
        kind = type(value)
    pair = encode_own(value)
    if pair is None:
        conversion = Conversion(limit)
        pair = conversion.result(value)
        ran = ran or conversion.ran
    result, shown = pair
    size = max(len(result or ''), len(shown or ''))
    # Both together must fit into one call with the output.
    if size > limit or len(result or '') + len(shown or '') > limit * 7 // 4:
        raise too_large(size, limit)
    if size > 2 * MAX_DEPTH and is_too_deep(result or ''):
        raise too_deep()
    return (('"result":%s,' % result if result is not None else '') +
            ('"resultText":%s,' % shown if shown is not None else '')), ran


def batch_results(values, count, limit):
    """Returns the results of a call with several inputs, one for each, from what it returned."""
    while type(values) not in OWN and is_awaitable(values):
        values = EventLoop.complete(values)
    kind = type(values)
    if has(kind, 'iloc') and has(kind, 'columns'):
        values = Conversion(limit * count).table(values, kind)
    elif is_iterator(values):
        taken, values = values, []
        for value in taken:
            values.append(value)
            if len(values) > count:
                break
        close(taken)
    elif is_async_iterator(values):
        taken, values = values, []

        def add(value):
            values.append(value)
            if len(values) > count:
                raise wrong_results(values, count)
        EventLoop.collect(taken, add)
    if isinstance(values, (dict, set, frozenset, text_type, bytes)) or not hasattr(values, '__len__') or len(values) != count:
        raise wrong_results(values, count)
    return values


def wrong_results(values, count):
    shown = 'a list of %d' % len(values) if isinstance(values, (list, tuple)) else type(values).__name__
    return TypeError('with batchSize, handler(events) returns a list with one result for each of its %d events, and not %s'
                     % (count, shown))


def has(kind, *names):
    """Whether a type has one of the names. Objects such as mocks and proxies answer to every name themselves."""
    return any(base.__dict__.get(name) is not None for base in kind.__mro__ for name in names)


def is_awaitable(value):
    kind = type(value)
    of_types_coroutine = isinstance(value, types.GeneratorType) and value.gi_code.co_flags & 0x100
    return not PYTHON2 and bool(has(kind, '__await__') or of_types_coroutine)


def is_iterator(value):
    kind = type(value)
    return (kind not in OWN and has(kind, '__iter__') and has(kind, '__next__', 'next') and
            not has(kind, 'fileno', 'readline') and iter(value) is value)


def is_async_iterator(value):
    kind = type(value)
    return kind not in OWN and has(kind, '__aiter__') and has(kind, '__anext__') and value.__aiter__() is value


def close(iterator):
    if has(type(iterator), 'close'):
        try:
            iterator.close()
        except Exception:
            pass                 # the outcome does not depend on it


class EventLoop(object):
    """The event loop on which awaitables of the handler run: the one that the module has set, or one for the process."""

    own = None
    running = False
    # Python 2 cannot parse it.
    COLLECT = '''
async def collect(source, add):
    try:
        async for one in source:
            add(one)
    finally:
        if hasattr(type(source), 'aclose'):
            await source.aclose()
'''

    @classmethod
    def get(cls, awaited):
        import asyncio
        import warnings
        if has(type(awaited), 'get_loop'):
            return awaited.get_loop()        # a future belongs to a loop
        loop = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                loop = asyncio.get_event_loop()
        except RuntimeError:
            pass                 # none is set
        if loop is None or loop.is_closed():
            if cls.own is None or cls.own.is_closed():
                cls.own = asyncio.new_event_loop()
            loop = cls.own
            asyncio.set_event_loop(loop)
        return loop

    @classmethod
    def complete(cls, awaited):
        """Returns the result of an awaitable."""
        loop = cls.get(awaited)
        cls.running = True
        try:
            return loop.run_until_complete(awaited)
        except BaseException as error:
            raise error.with_traceback(cls.without_loop(sys.exc_info()[2]))
        finally:
            cls.running = False

    @staticmethod
    def without_loop(trace):
        """Returns the part of a traceback that begins in the user's code."""
        import asyncio
        folder, own = os.path.dirname(asyncio.__file__) + os.sep, without_runner.__code__.co_filename
        shown = trace
        while shown is not None and shown.tb_frame.f_code.co_filename.startswith((folder, own)):
            shown = shown.tb_next
        return shown or trace

    @classmethod
    def collect(cls, source, add):
        """Calls add for each value of an asynchronous iterator."""
        names = {}
        exec(compile(cls.COLLECT, without_runner.__code__.co_filename, 'exec', 0, True), names)
        cls.complete(names['collect'](source, add))


class Conversion(object):
    """Converts a value to JSON's types, by what the types of its parts can do: it imports no library."""

    def __init__(self, limit):
        self.limit, self.size = limit, 0     # the JSON has at least this size
        self.path, self.open = [], {}
        self.ran = False         # code of the user ran
        self.foreign = False     # there are types other than Python's own

    def result(self, value):
        """Returns (JSON, text), as encode does."""
        with UnlimitedDigits():
            self.shown = value   # whose text is that of a result without parts
            converted = self.convert(value)
            if isinstance(converted, (list, dict)):
                self.shown = converted if self.foreign else value
            return None if isinstance(converted, Text) else dumps(converted), quote(as_text(str(self.shown)))

    def refused(self, value, reason, advice=DATA):
        path, kind = u'$', type(value)
        for step in self.path[:12]:
            name = isinstance(step, text_type)
            simple = name and step.replace(u'_', u'a').isalnum() and not step[:1].isdigit() and len(step) < 80
            path += u'.' + step if simple else u'[%s]' % (quote(step[:80]) if name else step)
        module = '' if kind.__module__ in ('builtins', '__builtin__', MODULE) else kind.__module__ + '.'
        return alone(ResultNotSerializable(u'the result cannot be stored as JSON: %s is of the type %s%s %s: %s' % (
            path + u'...' * (len(self.path) > 12), as_text(module), as_text(kind.__name__), as_text(reason), advice)))

    def count(self, size):
        self.size += size
        if self.size > self.limit:
            raise too_large('at least %d' % self.size, self.limit)

    def convert(self, value):
        kind = type(value)
        if kind in EXACT:
            return self.scalar(value, kind)
        if kind is float:
            self.count(2)
            return value if value - value == 0 else Text('NaN' if value != value else 'Infinity' if value > 0 else '-Infinity')
        if id(value) in self.open:
            raise self.refused(value, 'and contains itself', 'return a structure without cycles')
        if len(self.path) > MAX_CONVERTED_DEPTH:
            raise self.refused(value, 'and is nested more than %d levels deep' % MAX_CONVERTED_DEPTH,
                               'return a flatter structure')
        self.open[id(value)] = value
        self.foreign = self.foreign or kind not in OWN
        converted = self.structure(value, kind)
        del self.open[id(value)]
        return converted

    def scalar(self, value, kind):
        if PYTHON2 and kind is bytes:
            try:
                value = value.decode('utf-8')
            except UnicodeDecodeError:
                value = Text(as_text(value))
        self.count(len(value) + 3 if isinstance(value, text_type) else 2)
        return value

    def structure(self, value, kind):
        """Converts a value that has parts, or a type of its own. docs/functions.md has the order of these checks."""
        if kind is list or kind is tuple:
            return self.elements(value)
        if issubclass(kind, dict):
            return self.members(value.items(), value)
        enum = sys.modules.get('enum')
        if enum is not None and issubclass(kind, enum.Enum):
            if not issubclass(kind, (int, float, text_type)):
                self.shown = value.value
            return self.convert(value.value)
        if issubclass(kind, text_type):
            return self.convert(text_type.__getitem__(value, slice(None)))
        if issubclass(kind, int):
            return self.convert(int.__add__(value, 0))
        if issubclass(kind, float):
            return self.convert(float.__add__(value, 0.0))
        if issubclass(kind, (bytes, bytearray, complex)):
            return self.text(value)
        fields = self.fields(kind)
        if fields is not None:
            return self.members(((name, self.field(value, name)) for name in fields), value)
        if is_awaitable(value) or EventLoop.running and is_async_iterator(value):
            close(value)         # Python would print that it was never awaited
            raise self.refused(value, 'and was not awaited',
                               'await it before you return it, several at once with asyncio.gather')
        if has(kind, 'isoformat'):
            return self.string(None if value != value else as_text(value.isoformat()))
        if kind.__name__ == 'NAType':
            return self.string(None)
        if (has(kind, 'iloc', 'tolist', 'to_pylist', 'to_dicts', 'toarray', '__array__') or
                has(kind, 'dtype') and has(kind, 'item', 'numpy')):
            return self.array(value, kind)
        if issubclass(kind, abstract.Mapping):
            return self.members(value.items(), value)
        if has(kind, 'fileno', 'readline'):
            raise self.refused(value, 'and is open', 'return what you read from it')
        return self.iterable(value, kind)

    @staticmethod
    def fields(kind):
        """Returns the names of the fields of a dataclass, a named tuple, or a class of attrs or pydantic; None for others."""
        if has(kind, '__dataclass_fields__'):
            return [field.name for field in sys.modules['dataclasses'].fields(kind)]
        if has(kind, '__attrs_attrs__'):
            return [field.name for field in kind.__attrs_attrs__]
        if issubclass(kind, tuple) and has(kind, '_fields'):
            return kind._fields
        for name in ('__pydantic_fields__', 'model_fields', '__fields__'):
            if has(kind, name) and isinstance(getattr(kind, name), dict):
                return list(getattr(kind, name))
        return None

    def field(self, value, name):
        try:
            return getattr(value, name)
        except AttributeError:
            raise self.refused(value, 'and its field %s has no value' % name)

    def string(self, value):
        self.count(2 if value is None else len(value) + 3)
        return value

    def text(self, value):
        """Returns the text of a value that has no other form."""
        kind = type(value)
        if issubclass(kind, (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType)):
            raise self.refused(value, 'and is not data')
        shown = as_text(str(value))
        if kind not in OWN:
            lowered, address = shown.lower(), '%x' % id(value)
            if (kind.__str__ is object.__str__ and (kind.__repr__ is object.__repr__ or ' at 0x' in lowered) or
                    address in lowered or str(id(value)) in shown):
                raise self.refused(value, 'and its text shows only where it is in memory')
        self.string(shown)
        return shown if any(base.__module__.partition('.')[0] in SHOWN_AS_TEXT for base in kind.__mro__) else Text(shown)

    # -- lists and dictionaries

    def elements(self, values):
        """Returns the converted values. They may be an iterator that does not end."""
        if type(values) is list or type(values) is tuple:
            kinds = set(map(type, values))
            plain = kinds <= EXACT and bytes not in kinds
            if plain or kinds <= FLOAT and sum(values) - sum(values) == 0:
                self.count(2 * len(values))
                if text_type in kinds:
                    self.count(sum([len(one) for one in values if type(one) is text_type]))
                return list(values)
        converted, path = [], self.path
        path.append(0)
        for value in values:
            converted.append(self.convert(value))
            path[-1] += 1
        path.pop()
        return converted

    def members(self, items, value):
        converted, keys = collections.OrderedDict() if sys.version_info < (3, 6) else {}, {}
        for key, member in items:
            name = self.key(key)
            if name in keys:
                raise self.refused(value, 'and its keys %r and %r are the same in JSON' % (keys[name], key),
                                   'return keys that differ as text')
            keys[name] = key
            self.count(len(name) + 3)
            self.path.append(name)
            converted[name] = self.convert(member)
            self.path.pop()
        return converted

    def key(self, key):
        if type(key) is text_type:
            return key
        size, foreign, self.foreign = self.size, self.foreign, False
        converted = self.convert(key)
        if isinstance(converted, (list, dict)):
            converted = as_text(str(converted if self.foreign else key))
        self.size, self.foreign = size, foreign or self.foreign
        if isinstance(converted, text_type):
            return text_type.__getitem__(converted, slice(None))
        return key_text(converted)

    def iterable(self, value, kind):
        if is_iterator(value):
            self.ran = True
            try:
                return self.elements(value)
            finally:
                close(value)
        if is_async_iterator(value):
            self.ran = True
            converted = []

            def add(one):
                self.path.append(len(converted))
                converted.append(self.convert(one))
                self.path.pop()
            EventLoop.collect(value, add)
            return converted
        if issubclass(kind, (list, tuple, abstract.Sequence, abstract.Set, abstract.MappingView)):
            return self.elements(value)
        return self.text(value)

    # -- arrays, tensors and tables

    def array(self, value, kind):
        try:
            shape = getattr(value, 'shape', None)
            if shape is None:
                shape = (len(value),) if has(kind, '__len__') else ()
            size = 2
            for length in shape:
                size *= max(int(length), 1)
            if self.size + size > self.limit:
                raise too_large('at least %d' % (self.size + size), self.limit)
            listed = self.table(value, kind) if has(kind, 'iloc') else self.listed(value, kind)
        except (ResultTooLarge, ResultNotSerializable):
            raise
        except Exception as error:
            raise self.refused(value, 'and cannot be converted (%s: %s)' % (type(error).__name__, as_text(str(error))[:300]))
        if not isinstance(listed, (list, dict)) and has(kind, '__len__'):
            self.shown = listed  # of an array without dimensions
        return self.convert(listed)

    def listed(self, value, kind):
        """Returns the content of an array: nested lists, one value, or an object of a structure's fields."""
        dtype = getattr(value, 'dtype', None)
        names, code = getattr(dtype, 'names', None), getattr(dtype, 'kind', None)
        if has(kind, 'item') and not has(kind, '__len__'):
            if code in ('m', 'M'):
                return None if str(value) == 'NaT' else str(value)
            item = value.item()
            if type(item) is not kind:
                return item
            if code == 'c':
                return complex(value)        # of numpy's longdouble, whose item is itself
            number = float(value)
            return number if number - number == 0 or value - value != 0 else str(value)
        if names or code in ('m', 'M'):
            if value.shape or not names:
                return list(value) if value.shape else value[()]
            return collections.OrderedDict((name, value[name]) for name in names)
        if has(kind, 'toarray') and has(kind, 'nnz'):
            raise self.refused(value, 'and is sparse', 'return its coordinates and values, or toarray() of a small one')
        for step in ('detach', 'cpu'):
            if has(type(value), step):
                value = getattr(value, step)()
        for name in ('tolist', 'to_pylist', 'to_dicts', 'to_list', 'numpy', 'to_numpy', '__array__', 'toarray'):
            if has(type(value), name):
                return getattr(value, name)()
        raise TypeError('it has no method tolist')

    def table(self, value, kind):
        """Returns the records of a data frame, or the values of a series; with an index of its own, that too."""
        if has(kind, 'to_pandas'):
            value = value.to_pandas()
        index, rows = value.index, len(value)
        keys = index.tolist()
        default = keys == list(range(rows)) and not any(name is not None for name in index.names)
        if not has(type(value), 'columns'):
            return value.tolist() if default else [list(pair) for pair in zip(keys, value.tolist())]
        labels = list(value.columns)
        columns = [value.iloc[:, position].tolist() for position in range(len(labels))]
        if not default:
            levels = [name if name is not None else 'index' if len(index.names) == 1 else 'level_%d' % level
                      for level, name in enumerate(index.names)]
            columns = list(zip(*keys) if len(levels) > 1 else [keys]) + columns
            labels = levels + labels
        for label in labels:
            if not isinstance(label, (str, text_type)) or labels.count(label) > 1:
                raise self.refused(value, 'and has the column label %r, which is %s' % (
                    label, 'there twice' if isinstance(label, (str, text_type)) else 'not a string'),
                    'give each column, and the index, a name that is a string of its own')
        if self.size + rows * sum(len(label) + 5 for label in labels) > self.limit:
            raise too_large('at least %d' % (self.size + rows * sum(len(label) + 5 for label in labels)), self.limit)
        if not labels:
            return [{} for _ in range(rows)]
        return [collections.OrderedDict(zip(labels, row)) if sys.version_info < (3, 6) else dict(zip(labels, row))
                for row in zip(*columns)]


class Child(object):
    """The process that runs the user's code."""

    def __init__(self, path, descriptors):
        self.path = path
        base = max(3, min(900, os.sysconf('SC_OPEN_MAX') - 32))
        (self.claim, self.result, self.control, self.reading, self.out, self.err, self.saved_out, self.saved_err,
         self.null) = [self.move(fd, base) for fd in descriptors + [1, 2, 0]]
        self.limit = LIMITS['resultBytes']
        self.batch = {}
        self.batch_size = 1      # inputs of one call of the handler
        self.unannounced = 0     # bytes in the result pipe that the supervisor was not notified of
        self.running = False     # the user's code runs: an interrupt is for it
        self.forked = False      # this process is a copy that the user's code made by fork
        self.timer_set = False
        self.by_pid = not hasattr(os, 'register_at_fork')
        self.pid = os.getpid()
        self.announce_at = fcntl.fcntl(self.result, F_GETPIPE_SZ) // 4
        self.modules = list(sys.modules.values())    # Python 2 clears a module without references
        self.source = Source()
        self.poller = select.poll()
        for fd in (self.claim, self.reading, self.out, self.err):
            self.poller.register(fd, select.POLLIN)
        # 1 and 2 are writing ends of pipes, which are never readable: if one is, another file is in its place. For a
        # closed descriptor poll returns POLLNVAL.
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
        """Sets up the process: its session, its signals, and that the kernel kills it first when memory runs out."""
        try:
            os.setsid()
        except OSError:
            pass                 # it is a session leader already
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
            pass                 # Python 2 has no faulthandler
        self.open_streams()

    def interrupt(self, _signal, _frame):
        if self.running:
            raise KeyboardInterrupt()

    def note_fork(self):
        self.forked = True

    def watch_timers(self):
        """Notes when a timer is set: one that a handler leaves behind must not interrupt the next input."""
        def watched(function):
            def call(*arguments):
                self.timer_set = True
                return function(*arguments)
            call.__name__, call.__doc__ = function.__name__, function.__doc__
            return call
        signal.alarm, signal.setitimer, self.alarm = watched(signal.alarm), watched(signal.setitimer), signal.alarm

    def open_streams(self):
        """Makes sys.stdout and sys.stderr line-buffered and UTF-8 in every locale."""
        if PYTHON2:
            return               # the supervisor has set -u and PYTHONIOENCODING
        import io
        for name, fd, errors in (('stdout', 1, 'surrogateescape'), ('stderr', 2, 'backslashreplace')):
            chosen = os.environ.get('PYTHONIOENCODING', '').partition(':')
            stream = io.TextIOWrapper(io.open(fd, 'wb', closefd=False), encoding=chosen[0] or 'utf-8',
                                      errors=chosen[2] or errors, line_buffering=True)
            stream.mode = 'w'
            setattr(sys, name, stream)
            setattr(sys, '__%s__' % name, stream)

    def reopen_stream(self, name, fd):
        """Replaces a stream that the handler has closed."""
        if PYTHON2:
            setattr(sys, name, os.fdopen(os.dup(fd), 'w', 0))
        else:
            import io
            setattr(sys, name, io.TextIOWrapper(io.open(fd, 'wb', closefd=False), encoding='utf-8',
                                                errors='backslashreplace', line_buffering=True))

    # -- loading

    def load(self):
        """Runs the user's module and returns its handler; reports an error and exits if there is none."""
        sys.argv[:] = [self.path]
        sys.modules['__main__'] = types.ModuleType('__main__')   # hides the runner's, also from multiprocessing
        module = types.ModuleType(MODULE)
        sys.modules[MODULE] = module
        self.running = True
        try:
            with open(self.path, 'rb') as code:
                self.source = Source(self.path, code.read())
            self.source.attach(module)
            exec(self.source.compiled(), module.__dict__)
        except BaseException as error:
            self.exit_as_asked(error)
            self.report_load_error(describe(error, sys.exc_info()[2], self.source))
        self.running = False
        self.exit_if_forked()
        self.modules += sys.modules.values()
        handler = module.__dict__.get('handler')
        if handler is None:
            self.report_load_error(error_object('HandlerMissing', SIGNATURE + ': it defines no handler'))
        if not callable(handler):
            message = SIGNATURE + ': its handler is %s, which cannot be called' % type(handler).__name__
            self.report_load_error(error_object('HandlerNotCallable', message))
        self.streams = sys.stdout, sys.stderr
        self.keep_timer = signal.getitimer(signal.ITIMER_REAL)[0] > 0
        self.depth = sys.getrecursionlimit()
        return handler

    def report_load_error(self, error):
        self.running = False
        self.exit_if_forked(error)
        self.flush(True)
        self.report(NOT_LOADED + dumps(error).encode('ascii') + b'\n')
        self.wait_for_collection()   # the error that follows is not what the module printed
        self.show(error)
        os._exit(1)

    def show(self, error):
        """Writes an error to stderr, as an interpreter does."""
        try:
            write_all(2, (error['traceback'] or error['message'] + u'\n').encode('utf-8', 'replace'))
        except OSError:
            pass

    def is_copy(self):
        """Whether the user's code has forked this process."""
        return self.forked or self.by_pid and os.getpid() != self.pid

    def exit_if_forked(self, error=None):
        """Ends the process if it is a copy, which must not report."""
        if self.is_copy():
            self.flush()
            if error:
                self.show(error)
            os._exit(1 if error else 0)

    def exit_as_asked(self, exit_):
        """Ends a copy of the process with the status of a SystemExit. In the process itself, that is an exception."""
        if not isinstance(exit_, SystemExit) or not self.is_copy():
            return
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
        """Claims and executes inputs until the supervisor closes the claim pipe."""
        read, clock, wall, claim, batch = os.read, CLOCK, time.time, self.claim, self.batch
        ready = [(claim, select.POLLIN)]
        events = None
        while True:
            if events != ready:
                self.notify()
                retried(self.waiter.poll)
            try:
                record = read(claim, CLAIM.size)
            except OSError as error:
                events = None
                if error.errno not in (errno.EAGAIN, errno.EINTR):
                    self.exit_lost()
                continue         # the supervisor has taken it back
            if not record:
                return
            number = CLAIM.unpack(record)[0]
            if number & 1:
                self.notify()
            item = batch.pop(number >> 1, None)
            while item is None:
                self.receive()
                item = batch.pop(number >> 1, None)
            if self.batch_size > 1:
                self.call_batch(handler, item)
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
                fields, ran = encoded(value, self.limit)
                if ran:
                    spent = clock() - before
                self.running = False
                failure = None
            except BaseException as error:
                self.running = False
                spent = clock() - before
                failure = error, sys.exc_info()[2]
            item = value = event = None          # they may be large
            if PYTHON2 and abs(monotonic() - coarse - spent) > 0.1:
                spent = monotonic() - coarse         # the clock was set
            if failure:
                status, fields = 'Failed', self.failed(failure)
                failure = None
            else:
                status = 'Succeeded'
                if self.forked or self.by_pid:
                    self.exit_if_forked()
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

    def call_batch(self, handler, first):
        """Calls handler(events) for the input that was claimed and those that can be claimed with it."""
        items = [first]
        try:
            records = retried(os.read, self.claim, CLAIM.size * (self.batch_size - 1))
        except OSError:
            records = b''        # EAGAIN: there are no others
        self.notify()
        for position in range(0, len(records), CLAIM.size):
            number = CLAIM.unpack(records[position:position + CLAIM.size])[0] >> 1
            while number not in self.batch:
                self.receive()
            items.append(self.batch.pop(number))
        started, before, values, failure = time.time(), CLOCK(), (), None
        try:
            self.running = True
            values = handler([read_text(form, value) if form else tuple(value) for _, form, value in items])
            values = [self.outcome_of(value) for value in batch_results(values, len(items), self.limit)]
            self.running = False
        except BaseException as error:
            self.running = False
            failure = error, sys.exc_info()[2]
        spent = (CLOCK() - before) / len(items)
        if failure:
            values, failure = [('Failed', self.failed(failure))] * len(items), None
        else:
            self.exit_if_forked()
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

    def outcome_of(self, value):
        """Returns (status, fields) for one result of a batch. An exception in its place fails that input alone."""
        failure = None
        if isinstance(value, BaseException):
            failure = value, getattr(value, '__traceback__', None)
        else:
            try:
                if type(value) not in OWN and is_awaitable(value):
                    raise TypeError('an awaitable is in place of a result: await all of them with asyncio.gather')
                return 'Succeeded', encoded(value, self.limit)[0]
            except (Exception, SystemExit) as error:
                failure = error, sys.exc_info()[2]
        return 'Failed', self.failed(failure)

    def receive(self):
        """Reads one message from the supervisor. Returns True for an acknowledgement."""
        size = LENGTH.unpack(self.read_exactly(LENGTH.size))[0]
        if not size:
            return True
        first, self.limit, self.batch_size, items = marshal.loads(self.read_exactly(size))
        # The supervisor may have taken back inputs of earlier messages.
        for number in [number for number in self.batch if number < first - MAX_CLAIMS]:
            del self.batch[number]
        self.batch.update(enumerate(read_literals(items), first))
        return False

    def read_exactly(self, size):
        parts = []
        while size:
            try:
                part = retried(os.read, self.control, min(size, 1 << 20))
            except OSError:
                self.exit_lost()
            if not part:
                os._exit(0)      # the supervisor has ended
            parts.append(part)
            size -= len(part)
        return b''.join(parts)

    def failed(self, failure):
        """Returns the field for the error of a handler that raised. Its traceback goes to the input's stderr, too."""
        self.exit_as_asked(failure[0])
        try:
            error = describe(failure[0], failure[1], self.source)
        except BaseException:
            # The handler may have lowered the recursion limit.
            sys.setrecursionlimit(max(self.depth, 1000))
            error = describe(failure[0], failure[1], self.source)
        self.exit_if_forked(error)
        self.flush(True)
        self.show(error)
        return '"error":%s,' % dumps(error)

    # -- the end of an input

    def flush(self, restore=False):
        """Writes out what the handler left in sys.stdout and sys.stderr, and restores both."""
        try:
            if (sys.stdout, sys.stderr) != self.streams:
                raise ValueError('replaced')
            self.streams[0].flush()
            self.streams[1].flush()
        except Exception:
            self.restore_streams()
        if restore:
            self.flush_c()
            self.restore_descriptors()

    streams = None, None
    c_flush = None

    def flush_c(self):
        """Writes out the buffers of the C library."""
        if self.c_flush is None:
            try:
                import ctypes
                self.c_flush = ctypes.CDLL(None).fflush
            except Exception:
                self.c_flush = bool      # no ctypes, or another C library
        try:
            self.c_flush(None)
        except Exception:
            pass

    def restore_streams(self):
        replaced = sys.stdout, sys.stderr
        self.restore_descriptors()
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

    def restore_descriptors(self):
        """Makes 1 and 2 the child's pipes again, and 0 a file without content."""
        try:
            os.dup2(self.saved_out, 1)
            os.dup2(self.saved_err, 2)
            os.dup2(self.null, 0)
        except OSError:
            self.exit_lost()

    def stop_timer(self):
        self.timer_set = False
        if not self.keep_timer:
            self.alarm(0)

    def report(self, line):
        try:
            # The pipe always has room for this much. A supervisor that has read a part of a line waits for the rest.
            written = retried(os.write, self.result, line if len(line) <= self.announce_at else line[:self.announce_at])
            self.unannounced += written
            if self.unannounced > self.announce_at or written < len(line):
                self.notify()
            if written < len(line):
                write_all(self.result, line[written:])
        except OSError:
            self.exit_lost()

    def report_printed(self, head, events):
        """Reports the outcome of an input that printed something, or that closed or replaced descriptors."""
        for fd, event in events:
            if fd in (0, 1, 2):
                self.restore_descriptors()
            elif event & (select.POLLNVAL | select.POLLERR):
                self.exit_lost()
        printed = [self.printed(self.out), self.printed(self.err)]
        # Checked after reading: what is missing in `printed` was read by the supervisor, and precedes it.
        collect = any(fd == self.reading for fd, _ in retried(self.poller.poll, 0))
        if not collect and not any(printed):
            self.report(head + b'}\n')
            return
        self.report((OUTCOME_COLLECT if collect else OUTCOME_PRINTED) +
                    b' '.join([binascii.b2a_base64(data)[:-1] for data in printed] + [head]) + b'\n')
        if collect:
            self.wait_for_collection()

    @staticmethod
    def printed(fd):
        """Returns the content of one of the pipes. One read is enough: a pipe holds no more."""
        try:
            return retried(os.read, fd, PIPE)
        except OSError:
            return b''           # EAGAIN

    def wait_for_collection(self):
        self.notify()
        while not self.receive():
            pass

    def notify(self):
        """Asks the supervisor to read the result pipe."""
        self.unannounced = 0
        try:
            retried(os.write, self.control, b'!')
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.ECONNRESET):
                os._exit(0)      # the supervisor has ended
            self.exit_lost()

    @staticmethod
    def exit_lost():
        """Exits because a descriptor was closed by the handler."""
        os._exit(DESCRIPTORS_LOST)


CLOCK = getattr(time, 'perf_counter', None) or time.time
MAX_CLAIMS = 4096                # inputs that are given to the child at a time
PIPE = 64 << 10                  # bytes that a pipe holds
F_SETPIPE_SZ, F_GETPIPE_SZ = 1031, 1032   # of Linux; the fcntl module has them from Python 3.10 on
# Signals that the supervisor ignores. The child has their defaults.
IGNORED_SIGNALS = ('SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGPROF', 'SIGTSTP',
                   'SIGTTIN', 'SIGTTOU')


LITERAL, JSON_TEXT = 1, 2        # how the text of an input is read; 0 is a value, not a text


def read_text(form, text):
    """Returns the input for the text of an input: JSON, or a Python literal with integers of any length."""
    if form == JSON_TEXT:
        return tuple(json.loads(text))
    import ast
    if len(text) > 4000:
        with UnlimitedDigits():
            value = ast.literal_eval(text)
    else:
        value = ast.literal_eval(text)
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def read_literals(items):
    """Evaluates the literals of a batch together if all are simple, which is four times as fast as one by one.

    Otherwise returns the items as they are, so that an invalid literal fails its own input.
    """
    texts = [text for _, form, text in items if form == LITERAL]
    if len(texts) < 2 or len(texts) != len(items):
        return items
    for text in texts:
        if len(text) > 1000 or text[:1] != '(' or text[-1:] != ')' or '{' in text:
            return items
        if text.count('(') + text.count('[') > 20:
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
    child = Child(os.path.abspath(path), descriptors)
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

def over(shown, text):
    """Returns what a line shows after a carriage return and a text; before, it shows `shown`."""
    text = text.rstrip(b'\b')
    if text.endswith(b'\x1b[2K'):
        return b''
    if not text or not shown or b'\x1b[K' in text or b'\x1b[2K' in text:
        return text or shown
    old, new = shown.decode('utf-8', 'replace'), text.decode('utf-8', 'replace')
    return text + old[len(new):].encode('utf-8') if len(new) < len(old) else text


def collapsed(line):
    """Returns a line as a terminal shows it when it has executed the carriage returns; one at its end is kept."""
    if b'\r' not in line:
        return line
    shown = b''
    for text in line.split(b'\r'):
        shown = over(shown, text)
    return shown + b'\r' if line.endswith(b'\r') else shown


class Tail(object):
    """The last bytes that one input printed to one stream. Holds about twice the limit and one chunk, at most.

    Up to the limit, they are kept as they are. If there are more, what carriage returns overwrite is dropped before
    anything is cut, so that a progress bar does not push out the lines before it.
    """

    def __init__(self):
        self.parts, self.kept, self.total = collections.deque(), 0, 0
        # From the limit on: the incomplete line, and the last bytes as they were printed.
        self.line = self.recent = None

    def add(self, data, limit):
        self.total += len(data)
        if self.line is None:
            self.parts.append(data)
            self.kept += len(data)
            if self.kept <= limit:
                return
            data, self.line, self.recent = b''.join(self.parts), b'', b''
            self.parts, self.kept = collections.deque(), 0
        self.recent = (self.recent + data)[-MAX_LIVE:]
        lines, end, self.line = (self.line + data).rpartition(b'\n')
        if b'\r' in lines:
            lines = b'\n'.join([collapsed(line) for line in lines.split(b'\n')])
        if b'\r' in self.line:
            before, _, last = self.line.rpartition(b'\r')
            self.line = collapsed(before).rstrip(b'\r') + b'\r' + last
        self.keep(lines + end, limit)
        if len(self.line) > limit:
            self.keep(self.line, limit)
            self.line = b''

    def keep(self, data, limit):
        if data:
            self.parts.append(data)
            self.kept += len(data)
        while self.parts and self.kept - len(self.parts[0]) >= limit:
            self.kept -= len(self.parts.popleft())

    def raw(self):
        """Returns chunks that end with the last bytes as they were printed."""
        return list(self.parts) if self.recent is None else [self.recent]

    def take(self, limit):
        """Returns the bytes that are kept and the number of those that are not; empties the tail."""
        if self.kept > limit and self.line is None:
            self.add(b'', limit)
        data = b''.join(self.parts)
        if self.line:
            data += collapsed(self.line)
        data = data[max(0, len(data) - limit):]
        dropped = self.total - len(data)
        self.__init__()
        return data, dropped

    def text(self):
        """Returns the end of the output as text of at most LOAD_OUTPUT bytes; empties the tail."""
        data, dropped = self.take(LOAD_OUTPUT)
        data = data.decode('utf-8', 'replace').encode('utf-8')
        if not dropped and len(data) <= LOAD_OUTPUT:
            return data.decode('utf-8')
        kept = data[-(LOAD_OUTPUT - 40):].decode('utf-8', 'ignore')      # with room for the first line
        return u'[... %d bytes cut ...]\n%s' % (dropped + len(data) - len(kept.encode('utf-8')), kept)


class ContainerStream(object):
    """Writes to the container's own stream without blocking: its reader may be slow, or there may be none."""

    MAX_PENDING = 1 << 20        # bytes that wait to be written

    def __init__(self, fd):
        self.fd, self.parts, self.pending, self.lost = fd, collections.deque(), 0, 0
        self.poller = select.poll()
        self.poller.register(fd, select.POLLOUT)

    def write(self, data):
        if self.fd is None:
            return
        if self.pending > self.MAX_PENDING:
            self.lost += len(data)
            return
        self.parts.append(data)
        self.pending += len(data)
        self.flush()

    def flush(self):
        """Writes what can be written now. A pipe that poll reports as writable takes PIPE_BUF bytes."""
        try:
            while self.parts and retried(self.poller.poll, 0):
                part = self.parts.popleft()
                written = retried(os.write, self.fd, part[:select.PIPE_BUF])
                self.pending -= written
                if written < len(part):
                    self.parts.appendleft(part[written:])
                if self.lost and not self.parts:
                    mark = b'\n[sharedcloud: %s bytes of output are missing here: they were not read in time]\n'
                    self.parts.append(mark.replace(b'%s', str(self.lost).encode('ascii')))
                    self.pending, self.lost = len(self.parts[0]), 0
        except (OSError, IOError):
            self.fd, self.parts, self.pending = None, collections.deque(), 0


class OutputStream(object):
    """The stdout or stderr of one child."""

    def __init__(self, name, fd, container_stream):
        self.name, self.fd, self.tail, self.open = name, fd, Tail(), True
        self.container_stream = container_stream
        self.fresh = []          # read, and not assigned to an input yet

    def read(self, limit):
        try:
            data = retried(os.read, self.fd, limit)
        except OSError:
            return 0             # EAGAIN: empty
        self.open = bool(data)
        if data:
            self.fresh.append(data)
            self.container_stream.write(data)
        return len(data)

    def settle(self, limit):
        """Assigns what was read to the input that is ending or executing."""
        for data in self.fresh:
            self.tail.add(data, limit)
        self.fresh = []

    def printed(self):
        """Returns how many bytes of the executing input were read."""
        return self.tail.total + sum([len(data) for data in self.fresh])

    def since(self, start, limit):
        """Returns the end of what the executing input has printed from byte `start` on: (offset of the first one, bytes)."""
        data = b''.join(self.tail.raw() + self.fresh)
        end = self.printed()
        data = data[-min(len(data), end - start, limit):] if end > start else b''
        return end - len(data), data

    def drain(self, limit):
        """Reads what is in the pipe now. Bounded, because a process left behind may print for ever."""
        left = unread(self.fd)
        while left > 0:
            size = self.read(min(left, PIPE))
            if not size:
                break
            left -= size
        self.settle(limit)


# ---------------------------------------------------------------------------------------------------------------------
# 4  The child's handle

def processes():
    """Returns (parent, session, state) of every visible process, by pid."""
    found = {}
    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue
        try:
            with open('/proc/%s/stat' % name, 'rb') as stat:
                fields = stat.read().rpartition(b')')[2].split()
        except (OSError, IOError):
            continue             # it has ended
        found[int(name)] = int(fields[1]), int(fields[3]), fields[0]
    return found


def tree(root):
    """Returns the pids of the living processes that the child `root` started, and its own.

    Process 1 inherits orphans. If that is the supervisor, all its descendants belong to the child; a process of
    `kubectl exec` is not one of them. Outside a container only
    sessions are compared, which a process can leave.
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


def packed(first, limit, batch_size, batch):
    """Returns the message that brings a batch to the child."""
    try:
        return marshal.dumps((first, limit, batch_size, batch), 2)
    except ValueError:
        # An input is nested too deeply for marshal. It is sent as text, which the child may be unable to read.
        def shallow(item):
            try:
                marshal.dumps(item, 2)
                return item
            except ValueError:
                return item[0], JSON_TEXT, json.dumps(item[2])
        return marshal.dumps((first, limit, batch_size, [shallow(item) for item in batch]), 2)


class ChildHandle(object):
    """One child: its process, its pipes, and the inputs that it was given and that have no outcome yet."""

    def __init__(self, code, limits, container_streams, environment):
        self.limits = limits
        self.number = 0
        self.given = collections.deque()    # in the order of their claims
        self.ignored = set()                # indexes of them that were revoked
        self.unsent = b''                   # for the control socket
        self.lines = b''                    # of the result pipe: an incomplete line
        self.loading, self.load_error, self.status = True, None, None
        self.load_output = {}
        self.reading = False                # the byte is in the pipe of this name
        self.started = monotonic()
        claim, self.claim_end = os.pipe()
        self.result, result_end = os.pipe()
        self.reading_pipe, self.reading_end = os.pipe()
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        ours, theirs = socket.socketpair()
        self.claim, self.control = claim, ours
        self.streams = [OutputStream('stdout', out, container_streams[0]), OutputStream('stderr', err, container_streams[1])]
        self.open = [claim, self.claim_end, self.result, self.reading_pipe, self.reading_end, out, err]
        for fd in self.open + [ours.fileno(), out_end, err_end]:
            set_inherited(fd, False)
        for fd in (claim, self.result, self.reading_pipe, out, err, ours.fileno()):
            set_blocking(fd, False)
        try:
            fcntl.fcntl(self.result, F_SETPIPE_SZ, 256 << 10)
        except (OSError, IOError):
            pass                 # the user's limit for pipes is reached
        # Both processes have the reading ends of claim, reading, out and err.
        inherited = [claim, result_end, theirs.fileno(), self.reading_pipe, out, err]
        for fd in inherited:
            set_inherited(fd, True)
        try:
            self.pid = self.spawn(code, inherited, out_end, err_end, environment)
        finally:
            for fd in (result_end, out_end, err_end):
                os.close(fd)
            theirs.close()
            for fd in (claim, self.reading_pipe, out, err):
                set_inherited(fd, False)

    @staticmethod
    def spawn(code, inherited, out, err, environment):
        import subprocess
        command = [sys.executable]
        if PYTHON2:
            command.append('-u')
            if 'PYTHONIOENCODING' not in environment:
                # The interpreter reads it when it starts; the child removes it again.
                environment = dict(environment, PYTHONIOENCODING='utf-8', SHAREDCLOUD_ENCODING_SET='1')
        command += [os.path.abspath(__file__), '--child', code] + [str(fd) for fd in inherited]
        with open(os.devnull, 'rb') as null:
            process = subprocess.Popen(command, stdin=null, stdout=out, stderr=err, close_fds=False, env=environment)
        process.returncode = 0   # reap() waits for it
        return process.pid

    # -- inputs

    def waiting(self):
        """Returns how many of the given inputs are not claimed yet."""
        return unread(self.claim) // CLAIM.size

    def feed(self, queue, at_once, announce_before, batch_size):
        """Gives inputs to the child, as many as it may hold, at most `at_once` in one message.

        The child announces the start of the input behind which `announce_before` others wait; of each input if that is
        None.
        """
        room = MAX_CLAIMS - len(self.given)
        while queue and room > 0 and len(self.unsent) < 1 << 20:
            batch = [queue.popleft() for _ in range(min(len(queue), room, at_once))]
            first, self.number = self.number, self.number + len(batch)
            room -= len(batch)
            self.given.extend(batch)
            message = packed(first, self.limits['resultBytes'], batch_size, batch)
            self.unsent += LENGTH.pack(len(message)) + message
            claims = [number * 2 + (announce_before is None) for number in range(first, self.number)]
            if announce_before is not None and 0 <= announce_before - len(queue) < len(batch):
                claims[-1 - announce_before + len(queue)] += 1
            # The pipe holds MAX_CLAIMS of them. A child that claims an input which has not arrived waits for the message.
            os.write(self.claim_end, struct.pack('<%dQ' % len(claims), *claims))
        self.send()

    def recall(self):
        """Takes back the inputs that the child has not claimed, in order. This child does not execute them any more."""
        try:
            records = os.read(self.claim, CLAIM.size * MAX_CLAIMS * 2)
        except OSError:
            return []            # EAGAIN: all are claimed
        items = [self.given.pop() for _ in range(len(records) // CLAIM.size)]
        items.reverse()
        return items

    def send(self):
        try:
            while self.unsent:
                self.unsent = self.unsent[self.control.send(self.unsent[:1 << 20]):]
        except socket.error as error:
            if error.args[0] not in (errno.EAGAIN, errno.EINTR):
                self.unsent = b''    # the child has ended, as reap() will find

    # -- outcomes

    def collect(self):
        """Returns the outcomes that the child has written since the last call: (index, JSON) in order."""
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
                self.load_output = self.take_load_output()   # it belongs to no input
            elif kind == NOT_LOADED:
                self.load_error = json.loads(line[1:].decode('ascii'))
                self.collect_output()
                self.load_output = self.take_load_output()
        # Only after these outcomes: what is left was not printed by their inputs.
        for stream in self.streams:
            stream.settle(self.limits['outputBytes'])
        return done

    def take_load_output(self):
        """Returns the field loadOutput of a call."""
        texts = [(stream.name, stream.tail.text()) for stream in self.streams]
        return dict((name, text) for name, text in texts if text)

    def add_output(self, words):
        """Adds the output that the child has read itself, in base64."""
        for stream, word in zip(self.streams, words):
            if word:
                data = binascii.a2b_base64(word)
                stream.tail.add(data, self.limits['outputBytes'])
                stream.container_stream.write(data)

    def announce_reading(self):
        """Makes the child wait at the end of its input until its output is collected. Called before output is read."""
        if not self.reading:
            os.write(self.reading_end, b'!')
            self.reading = True

    def read_output(self, stream):
        self.announce_reading()
        stream.read(PIPE)

    def collect_output(self, words=()):
        """Reads the rest of what the ending input has printed, and lets the child continue."""
        for stream in self.streams:
            stream.settle(self.limits['outputBytes'])
        self.add_output(words)
        for stream in self.streams:
            stream.drain(self.limits['outputBytes'])
        if self.reading:
            os.read(self.reading_pipe, 1)
            self.reading = False
        self.unsent += LENGTH.pack(0)
        self.send()

    def output(self):
        """Returns the fields of an outcome for what was printed."""
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
        """Waits for processes that have ended, orphans too. Continues a child that has stopped itself."""
        while True:
            try:
                pid, status = retried(os.waitpid, -1, os.WNOHANG | os.WUNTRACED)
            except OSError:
                return           # there are no children
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
        """Kills the child and all that it started. Gives up after 5 s."""
        started = monotonic()
        while monotonic() < started + 5:
            pids = tree(self.pid)
            if pids and os.getpid() == 1 and monotonic() > started + 1:
                pids = [-1]      # they fork faster than they are listed: kill everything but process 1 with one call
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            self.reap()
            if not pids and self.status is not None:
                return
            time.sleep(0.002)

    def dismiss(self, timeout):
        """Lets the child exit by itself, so that its exit handlers run. Kills it after `timeout` seconds."""
        os.close(self.claim_end)
        self.open.remove(self.claim_end)
        deadline = monotonic() + timeout
        while self.status is None and monotonic() < deadline:
            for stream in self.streams:
                stream.drain(0)
                stream.container_stream.flush()
            time.sleep(0.002)
            self.reap()
        self.kill()

    def close(self):
        for stream in self.streams:
            stream.drain(self.limits['outputBytes'])
        for fd in self.open:
            os.close(fd)
        self.control.close()


# ---------------------------------------------------------------------------------------------------------------------
# 5  Memory and surroundings

def content(path):
    """Returns the text of a file of the kernel, '' if there is none."""
    try:
        with open(path) as data:
            return data.read()
    except (OSError, IOError):
        return ''


def cgroup(root, controller, probe2, probe1):
    """Returns whether the cgroups have version 2, and the folder of this process's own one."""
    unified = os.path.exists(os.path.join(root, 'cgroup.controllers'))
    own = {}
    for line in content('/proc/self/cgroup').splitlines():
        _, controllers, path = line.split(':', 2)
        own.update((name, path.lstrip('/')) for name in controllers.split(','))
    base = root if unified else os.path.join(root, controller)
    path = os.path.join(base, own.get('' if unified else controller, ''))
    # Inside a container, the container's own cgroup is often mounted as the root.
    return unified, path if os.path.exists(os.path.join(path, probe2 if unified else probe1)) else base


def cpu_limit(root='/sys/fs/cgroup'):
    """Returns how many CPUs the cgroup allows, rounded up; None if it has no limit."""
    unified, folder = cgroup(root, 'cpu', 'cpu.max', 'cpu.cfs_quota_us')
    found = []
    while len(folder) >= len(root):
        files = ['cpu.max'] if unified else ['cpu.cfs_quota_us', 'cpu.cfs_period_us']
        words = ' '.join([content(os.path.join(folder, name)) for name in files]).split()
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
            found.append(-(-int(words[0]) // int(words[1])))
        folder = os.path.dirname(folder)
    return max(1, min(found)) if found else None


class Memory(object):
    """Memory as the container's cgroup reports it: the limit, the bytes left, and the number of kills by the kernel.

    On cgroup v2, a kernel that is out of memory kills every process of the container, including the supervisor. The
    supervisor therefore ends the child shortly before. On v1 it kills one process: the child, by its oom_score_adj.
    """

    def __init__(self, root='/sys/fs/cgroup'):
        self.unified, self.folder = cgroup(root, 'memory', 'memory.events', 'memory.oom_control')
        self.limit = self.number('memory.max' if self.unified else 'memory.limit_in_bytes')
        if self.limit is not None and self.limit > 1 << 60:
            self.limit = None    # v1 shows "no limit" like this
        self.kills = self.killed()

    def number(self, name):
        text = content(os.path.join(self.folder, name)).strip()
        return int(text) if text.isdigit() else None

    def table(self, name):
        words = [line.split() for line in content(os.path.join(self.folder, name)).splitlines()]
        return dict((pair[0], int(pair[1])) for pair in words if len(pair) == 2 and pair[1].isdigit())

    def killed(self):
        return self.table('memory.events' if self.unified else 'memory.oom_control').get('oom_kill', 0)

    def killed_since(self):
        """Whether the kernel has killed a process for memory since the last call."""
        before, self.kills = self.kills, self.killed()
        return self.kills > before

    def headroom(self):
        """Returns the number of bytes left before the child is ended; None if no limit is enforced here."""
        if not self.unified or self.limit is None:
            return None
        self.limit = self.number('memory.max') or self.limit     # it can change while the container runs
        margin = min(max(self.limit // 32, 8 << 20), 256 << 20)
        used = self.number('memory.current') or 0
        if used > self.limit // 2:
            # The kernel reclaims these before it kills.
            stat = self.table('memory.stat')
            used -= sum(stat.get(name, 0) for name in ('active_file', 'inactive_file', 'slab_reclaimable'))
        return self.limit - margin - used

    def message(self):
        limit = self.limit
        return 'the container ran out of memory' + (' (its limit is %d MiB)' % (limit >> 20) if limit else '')


SHARED_MEMORY = '/dev/shm'
# `worker`: only the worker uses /dev/shm; `user`: it is a volume of the Function.
SHARED_MEMORY_OWNER = 'SHAREDCLOUD_SHARED_MEMORY_OWNER'
OMP_THREADS = 'OMP_NUM_THREADS'
# Libraries that use as many threads as OMP_NUM_THREADS if their own variable is not set, and those that do not.
THREADS_LIKE_OMP = ('OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS', 'BLIS_NUM_THREADS', 'NUMEXPR_NUM_THREADS')
THREADS = ('NUMBA_NUM_THREADS', 'RAYON_NUM_THREADS', 'POLARS_MAX_THREADS')


def shared_memory_advice(always, form):
    """Returns what to add to an error that may be due to /dev/shm; '' if it is not full, unless `always`."""
    try:
        stat = os.statvfs(SHARED_MEMORY)
    except OSError:
        return ''
    full, size = stat.f_bavail * 50 < stat.f_blocks, '%d MiB' % (stat.f_blocks * stat.f_frsize >> 20)
    if not stat.f_blocks or not full and not always:
        return ''
    return form % (
        ('%s is full (%s): to get more shared memory, ' if full else '%s has %s: if the process needs more shared memory, ')
        % (SHARED_MEMORY, size) +
        ('enlarge the volume that the Function mounts there' if os.environ.get(SHARED_MEMORY_OWNER) == 'user' else
         'set spec.pod.sharedMemory of the Function, such as 1Gi'))


def usable(folder):
    return bool(folder) and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


def made(folder):
    """Makes a folder unless it exists, and returns whether it can be used."""
    try:
        os.makedirs(folder, 0o700)
    except OSError:
        pass
    return usable(folder)


def passwd_entry():
    try:
        import pwd
        return pwd.getpwuid(os.getuid())
    except (ImportError, KeyError):
        return None


def nodes_below(folder, device):
    """Returns the path and the status of everything in a folder, contents first, without other file systems in it."""
    try:
        names = os.listdir(folder)
    except OSError:
        names = []
    for name in names:
        path = os.path.join(folder, name)
        try:
            found = os.lstat(path)
            if found.st_dev != device:
                continue
            if found.st_mode & 0o170000 == 0o040000:
                if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
                    os.chmod(path, 0o700)
                for node in nodes_below(path, device):
                    yield node
        except OSError:
            continue
        yield path, found


def remove_below(folder, kept=()):
    """Removes what is in a folder, except the (inode, device) in `kept`. Stops after 5 s."""
    deadline = monotonic() + 5
    try:
        device = os.lstat(folder).st_dev
    except OSError:
        return
    for path, found in nodes_below(folder, device):
        if (found.st_ino, found.st_dev) in kept or found.st_uid != os.geteuid():
            continue
        try:
            (os.rmdir if found.st_mode & 0o170000 == 0o040000 else os.unlink)(path)
        except OSError:
            pass                 # not empty: something in it is kept
        if monotonic() > deadline:
            return


def system_v():
    """Returns the shared memory segments, semaphores and message queues that this user has created, as (kind, id)."""
    found = set()
    for kind in ('shm', 'sem', 'msg'):
        lines = [line.split() for line in content('/proc/sysvipc/' + kind).splitlines()]
        for words in lines[1:]:
            if int(words[lines[0].index('cuid')]) == os.geteuid():
                found.add((kind, int(words[1])))
    return found


class Surroundings(object):
    """What a child finds around it that many images lack, and what it must not leave to the next one.

    A home directory, a name, a number of threads that suits the CPU limit; a temporary directory of its own; an unused
    /dev/shm.
    """

    def __init__(self, environment):
        self.environment = dict(environment)
        self.temporary = self.own_home = None
        self.left = []           # temporary folders to remove
        home = environment.get('SHAREDCLOUD_HOME')
        self.home = home if usable(home) else None
        for base in (environment.get('TMPDIR'), '/tmp', '/var/tmp', '/usr/tmp'):
            if usable(base):
                self.base = base
                break
        else:
            self.base = os.path.join(self.home or SHARED_MEMORY, '.tmp')
            made(self.base)
        self.add_home()
        self.add_user()
        self.add_threads()
        self.cleans = self.owns_shared_memory(environment.get(SHARED_MEMORY_OWNER))

    def add_home(self):
        """Sets HOME and XDG_CACHE_HOME, if the image has none or they cannot be written."""
        values, entry = self.environment, passwd_entry()
        home = values.get('HOME') or entry and entry.pw_dir
        if not home or home == '/' or not made(home):
            home = values['HOME'] = self.home or self.make_home()
            values.pop('XDG_CACHE_HOME', None)
        cache = values.get('XDG_CACHE_HOME')
        if home and not (cache and made(cache)):
            cache = os.path.join(home, '.cache')
            if not made(cache):
                cache = os.path.join(self.home or self.make_home(), '.cache')
                made(cache)
            values['XDG_CACHE_HOME'] = cache

    def make_home(self):
        self.own_home = self.own_home or self.make_folder()
        return self.own_home or self.base

    def add_user(self):
        values, entry = self.environment, passwd_entry()
        name = values.get('LOGNAME') or values.get('USER') or (entry.pw_name if entry else 'worker')
        for variable in ('USER', 'LOGNAME'):
            values[variable] = values.get(variable) or name

    def add_threads(self):
        limit, values = cpu_limit(), self.environment
        if limit is None:
            return
        for variable in THREADS + (() if values.get(OMP_THREADS) else (OMP_THREADS,) + THREADS_LIKE_OMP):
            values[variable] = values.get(variable) or str(limit)

    @staticmethod
    def owns_shared_memory(owner):
        """Whether nothing but the child uses /dev/shm. That of a developer's machine is not cleaned, nor a user's volume."""
        mounts = [line.split() for line in content('/proc/self/mountinfo').splitlines()]
        found = [words for words in mounts if words[4] == SHARED_MEMORY]
        if not found or owner == 'user':
            return False
        kind, source, options = found[-1][found[-1].index('-') + 1:][:3]
        # Container runtimes mount it with this name or size.
        return kind == 'tmpfs' and (owner == 'worker' or os.getpid() == 1 and (
            source == 'shm' or 'size=65536k' in options.split(',')))

    def make_folder(self):
        folder = os.path.join(self.base, 'sharedcloud-' + binascii.b2a_hex(os.urandom(6)).decode('ascii'))
        return folder if made(folder) else None

    def prepare(self):
        """Notes what exists before a child starts, and returns its environment."""
        if self.cleans:
            device = os.lstat(SHARED_MEMORY).st_dev
            self.before = set((found.st_ino, found.st_dev) for _, found in nodes_below(SHARED_MEMORY, device)), system_v()
        self.temporary = self.make_folder()
        return dict(self.environment, TMPDIR=self.temporary) if self.temporary else self.environment

    def clean(self):
        """Removes what a child, which has ended, has left: memory, and its temporary files."""
        if self.cleans:
            remove_below(SHARED_MEMORY, self.before[0])
            self.remove_system_v(system_v() - self.before[1])
        if self.temporary:
            self.left.append(self.temporary)
        for folder in self.left:
            remove_below(folder)
            try:
                os.rmdir(folder)
            except OSError:
                pass
        self.left = [folder for folder in self.left if os.path.isdir(folder)]
        self.temporary = None

    @staticmethod
    def remove_system_v(found):
        if not found:
            return
        try:
            import ctypes
            library = ctypes.CDLL(None)
        except Exception:
            return               # a minimal interpreter
        for kind, number in found:
            if kind == 'sem':
                library.semctl(number, 0, 0)         # IPC_RMID
            else:
                getattr(library, kind + 'ctl')(number, 0, None)

    def close(self):
        """Removes everything at the end of the worker."""
        if self.own_home:
            self.left.append(self.own_home)
        self.clean()


# ---------------------------------------------------------------------------------------------------------------------
# 6  The exchange

class Refused(Exception):
    """The exchange has answered, and the same call is repeated."""


class Exchange(object):
    """Makes calls, one at a time, on a thread of its own. Each is repeated until it is answered."""

    ANSWER_MARGIN = 15           # seconds that an answer may take beyond waitSeconds

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
        try:                     # these imports are the slowest part of a start; the child starts at the same time
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
                self.connect(self.ANSWER_MARGIN)
            except Exception:
                self.close()     # the first call reports the error
            while True:
                retried(os.read, self.calls, 1)
                self.post(self.repeat(*self.asked))
        except Exception as error:
            self.post((0, 'the worker cannot connect to the exchange: %s: %s' % (type(error).__name__, error)))

    def post(self, answer):
        self.answers.append(answer)
        os.write(self.wake, b'!')

    def repeat(self, body, wait):
        """Returns (status, answer) of the first answer of the exchange; a parsed one if the status is 200."""
        delay, reported = 0.1, False
        while True:
            used = self.connection is not None
            try:
                status, data = self.attempt(body, wait)
                if status == 200:
                    answer = json.loads(data.decode('utf-8'))
                    if reported:
                        self.note('the exchange answers again')
                    return status, answer
                if status in (400, 404, 409, 413):
                    return status, data.decode('utf-8', 'replace')
                if status in (401, 403):
                    self.close()     # the next connection reads the token again
                raise Refused('it answers with status %d' % status)
            except Exception as error:
                if not isinstance(error, Refused):
                    self.close()
                    if used:
                        continue     # the server has closed an idle connection: no need to wait
                if delay > 1 and not reported:
                    reported = True
                    self.note('the exchange does not accept a call (%s: %s); the worker repeats it until it does'
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
            # Python 3.13 sets this flag, which requires extensions that not every authority adds. The chain and the name are
            # verified without it, too.
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
            self.connect(self.ANSWER_MARGIN)
        self.connection.sock.settimeout(wait + self.ANSWER_MARGIN)
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
# 7  Decisions
#
# What the supervisor decides: from values and the time, without processes, descriptors or clocks.

MAX_MESSAGE_INPUTS = 128         # inputs in one message to the child
SHORT_INPUT = 0.005              # seconds; inputs that take less are not announced one by one
MAX_BODY = 8 << 20               # bytes of a call before outcomes are left for the next one
REPORT_DELAY = 0.1               # seconds that an outcome waits for others to be reported with
LOAD_TIMEOUT = 600               # seconds that loading may take; or the time limit of an input, if that is longer
LEAVE_TIMEOUT = 20               # seconds that the current input has after SIGTERM when the pod is ending


class Termination(object):
    """Why a child ended, or is ended, and the status and crash of its input's outcome.

    Without a status, the input has no outcome and goes back.
    """

    def __init__(self, status, kind, message, crash=False):
        self.status, self.kind, self.message, self.crash = status, kind, message, crash


WITHOUT_OUTCOME = Termination(None, None, None)


def activity_of(loading):
    return 'while it loaded the module' if loading else 'while it ran this input'


def signal_name(number):
    for name in dir(signal):
        if name.startswith('SIG') and not name.startswith('SIG_') and getattr(signal, name) == number:
            return name
    return 'SIG%d' % number


def death_of(status, activity):
    """Returns the termination of a child that ended by itself. `status` is that of waitpid; None if it is still there."""
    kind = 'ProcessExited'
    if status is None:
        kind, message = 'ProcessKilled', 'the process was killed %s and did not end' % activity
    elif os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        kind = 'ProcessKilled'
        message = 'the process was ended by signal %d (%s) %s' % (number, signal_name(number), activity)
    elif os.WEXITSTATUS(status) == DESCRIPTORS_LOST:
        message = ('the process closed the descriptors by which it reports (status %d) %s: close only what the code has opened'
                   % (DESCRIPTORS_LOST, activity))
    else:
        message = 'the process exited with status %d %s: handler(event) must return' % (os.WEXITSTATUS(status), activity)
    return Termination('Failed', kind, message, True)


Call = collections.namedtuple('Call', 'want wait')
Feeding = collections.namedtuple('Feeding', 'at_once announce_before batch_size')


class Schedule(object):
    """The time of one pass of the loop, and when the next one is due."""

    def __init__(self, now):
        self.now, self.next = now, now + 3600

    def reached(self, moment):
        """Whether the moment has come. If not, the next pass is due then."""
        if self.now >= moment:
            return True
        self.next = min(self.next, moment)
        return False


class WorkerState(object):
    """What the worker holds and knows.

    `child` is what is known of the child, None if there is none: `loading`, whether its module is not loaded yet; `started`,
    when the process was started; `given`, the inputs that it has, in order; and `ignored`, indexes of them that were
    revoked. `waiting` is how many of the given ones it has not claimed.
    """

    def __init__(self, now):
        # Settings of the run, with the values that hold until the first answer.
        self.limits = dict(LIMITS)
        self.lease, self.timeout, self.hand_back_delay = 15.0, None, None
        self.live_delay = None              # seconds between reports of new output; None: none are wanted
        self.batch_size = 1                 # inputs of one call of the handler

        self.queue = collections.deque()    # (index, form, value): not given to the child
        self.done = collections.deque()     # (index, JSON): not reported
        self.done_since = now
        self.suspects = []                  # indexes of one call of the handler whose process ended
        self.executing = None               # the input that executes, the first one of several
        self.since = now                    # when it was first seen, by the monotonic clock
        self.began = 0                      # the same by the wall clock
        self.average = None                 # seconds that an input takes
        self.busy_since = now               # when the child got work, or when outcomes were last read

        self.load_error, self.load_delay, self.spawn_at = None, 0, now
        self.load_output = ()               # what the module printed while it was loaded, not reported

        # Output that was reported while its input executes: the input, bytes of stdout and stderr, and when.
        self.live_item, self.live_sent, self.live_sent_at = None, (0, 0), now
        self.sequence = 0
        self.calling = None                 # (fields, time) of the call that is not answered yet
        self.reporting = []                 # its outcomes
        self.called_at = None
        self.body_limit = MAX_BODY
        self.report_limit = None            # outcomes in one call, while one is sought that the exchange refuses
        self.replaced = None                # index of the outcome that replaced a refused one
        self.round_trip = 0.005
        self.urgent = False                 # call at once
        self.last_call_empty = False        # the last call that wanted inputs brought none
        self.idle_until, self.idle_delay = now, 0.01

        self.finished = False               # nothing is left for this worker
        self.leaving = False                # SIGTERM arrived
        self.pod_ending = False             # and the exchange has confirmed that Kubernetes ends the pod
        self.leave_by = now
        self.exit_status = None

    # -- inputs and outcomes

    def held(self, child):
        """The indexes that the worker has not reported yet."""
        indexes = [item[0] for item in self.queue] + [index for index, _ in self.done]
        if child is not None:
            indexes.extend([item[0] for item in child.given if item[0] not in child.ignored])
        return indexes

    def add_outcomes(self, done, now):
        if not done:
            return
        if not self.done:
            self.done_since = now
        self.done.extend(done)
        each = (now - self.busy_since) / len(done)
        self.average = each if self.average is None else (self.average + each) / 2
        self.busy_since = now

    def short(self):
        """Whether inputs are so short that a notification for each of them would cost more than they do."""
        return self.average is not None and self.average < SHORT_INPUT

    def observe(self, child, waiting, schedule, wall):
        """Notes which input executes."""
        executing = child.given[0] if len(child.given) > waiting else None
        if executing is not self.executing:
            self.executing, self.since, self.began = executing, schedule.now, wall
        if child.given and self.short():
            # A child with short inputs announces few of them: look again soon.
            schedule.reached(schedule.now + REPORT_DELAY / 2)

    def feeding(self, child):
        """How to feed the child: the arguments of ChildHandle.feed. None if it gets nothing now."""
        if not self.queue or child is None or child.loading:
            return None
        announce_before = int(self.call_ahead() / max(self.average, 1e-6)) if self.short() else None
        # Complete calls in one message, so that the message and its claims arrive together.
        at_once = max(MAX_MESSAGE_INPUTS // self.batch_size * self.batch_size, self.batch_size)
        return Feeding(at_once, announce_before, self.batch_size)

    def watches_output(self, given, now):
        """Whether the child's output has to be read as it comes: otherwise it is read with the outcomes."""
        return not given or not self.short() or now - self.since > REPORT_DELAY / 2

    def slow(self, child, schedule):
        """Whether the current input, or the loading of the module, takes so long that no other input may wait for it."""
        if self.hand_back_delay is None:
            return False
        if child is None or child.loading:
            return schedule.reached((self.spawn_at if child is None else child.started) + self.hand_back_delay)
        return self.executing is not None and schedule.reached(self.since + self.hand_back_delay)

    def hand_back_due(self, child, schedule):
        behind = self.queue or child is not None and len(child.given) > 1
        return bool(behind and (self.leaving or self.slow(child, schedule)))

    def hand_back(self, recalled):
        """Hands back all inputs that have not begun: the next call, made at once, does not list them in `held`."""
        if self.queue or recalled:
            self.queue.clear()
            self.urgent = True

    def requeue(self, recalled):
        """Puts inputs that were taken back from the child before the others."""
        self.queue.extendleft(reversed(recalled))

    def revoke(self, revoked, child):
        """Drops inputs that the exchange has given to other workers.

        Returns which of the child's inputs to ignore while it executes the others, and whether it has no others.
        """
        self.done = collections.deque(pair for pair in self.done if pair[0] not in revoked)
        self.queue = collections.deque(item for item in self.queue if item[0] not in revoked)
        claimed = set() if child is None else set([item[0] for item in child.given])
        if claimed - revoked:
            return claimed & revoked, False
        return set(), bool(claimed)

    # -- the child

    def spawn_due(self, schedule):
        return bool(self.queue or not self.finished) and schedule.reached(self.spawn_at)

    def loaded(self, output=()):
        self.load_error, self.load_delay, self.load_output = None, 0, output

    def not_loaded(self, error, now, output=()):
        """Notes that the module could not be loaded, and when to try again."""
        self.load_error, self.load_output = error, output
        self.load_delay = min(max(1, self.load_delay * 2), 10)
        self.spawn_at = now + self.load_delay
        self.urgent = True

    def limit_exceeded(self, child, schedule):
        """Returns the termination of a child that has exceeded a time limit, or None."""
        if child.loading:
            timeout = max(LOAD_TIMEOUT, self.timeout or 0)
            if not schedule.reached(child.started + timeout):
                return None
            return Termination('TimedOut', 'LoadTimedOut', 'the module was not loaded within %g s' % timeout)
        if self.executing is None or not self.timeout or not schedule.reached(self.since + self.timeout):
            return None
        return Termination('TimedOut', 'TimeLimitExceeded', 'the handler exceeded its time limit of %g s' % self.timeout)

    def ended(self, items, ignored, reason, now, wall):
        """Takes the inputs of a call whose process ended.

        A single one has an outcome: returns it without its output. Which of several ended the process is not known: they
        become suspects, which the exchange hands out one at a time.
        """
        if len(items) > 1:
            self.suspects += [item[0] for item in items if item[0] not in ignored]
            self.urgent = True
            return None
        seen = items[0] is self.executing
        if not self.done:
            self.done_since = now
        return {'index': items[0][0], 'status': reason.status, 'crash': reason.crash,
                'error': error_object(reason.kind, reason.message), 'startTime': micros(self.began if seen else wall),
                'durationMicros': micros(now - self.since if seen else 0)}

    # -- calls: when

    def call_ahead(self):
        """How many seconds of work are left in the queue when the next call should be made."""
        return 2 * self.round_trip + 0.001

    def wants_inputs(self, child, waiting, schedule):
        if child is None or child.loading or self.leaving or self.finished:
            return False
        waiting += len(self.queue)
        if waiting and (self.average is None or waiting * self.average > self.call_ahead()):
            return False
        return not self.slow(child, schedule)

    def unreported_output(self, child, printed):
        """Whether the executing input has printed something unreported. `printed` is (stdout, stderr) in bytes."""
        if self.live_delay is None or self.executing is None or child is None or child.loading:
            return False
        sent = self.live_sent if self.live_item is self.executing else (0, 0)
        return any(total > reported for total, reported in zip(printed, sent))

    def live_at(self):
        return max(self.live_sent_at, self.since) + self.live_delay

    def heartbeat_at(self, child, now):
        if self.called_at is None:
            return child.started + 1 if child is not None else now
        return self.called_at + self.lease * 0.3

    def max_wait(self):
        """Seconds that the exchange may keep a call open. Bounded: a worker reacts to SIGTERM with its next call."""
        return max(1, int(min(10, self.lease * 0.3)))

    def call_due(self, child, waiting, schedule, printed):
        """Returns the Call that is due, or None."""
        if self.calling is not None:
            return None
        busy = bool(self.queue or child is not None and child.given)
        want = self.wants_inputs(child, waiting, schedule)
        due = self.urgent or schedule.reached(self.heartbeat_at(child, schedule.now))
        if not due and self.unreported_output(child, printed):
            due = schedule.reached(self.live_at())
        if self.done:
            due = due or not busy or schedule.reached(self.done_since + REPORT_DELAY)
        if want:
            due = due or (not self.last_call_empty if busy else schedule.reached(self.idle_until))
        return Call(want, 0 if busy or not want else self.max_wait()) if due else None

    # -- calls: what

    def begin_call(self, call, child, now):
        """Begins a call: returns its fields except the outcomes, which are in `reporting`."""
        size = 0
        while self.done and len(self.reporting) != self.report_limit and (
                not self.reporting or size + len(self.done[0][1]) <= self.body_limit):
            size += len(self.done[0][1])
            self.reporting.append(self.done.popleft())
        wait = 0 if self.done else call.wait     # with outcomes left, the next call follows at once
        fields = {'protocol': PROTOCOL, 'sequence': self.sequence + 1, 'held': compress(self.held(child)),
                  'want': call.want, 'waitSeconds': wait, 'leaving': self.leaving}
        if self.executing is not None and self.executing[0] not in child.ignored:
            fields['executing'] = self.executing[0]
        self.calling = fields, now
        self.called_at = now
        self.urgent = bool(self.done)
        return fields

    def add_reports(self, fields, device):
        """Adds what is reported once, and the device."""
        if self.load_error is not None:
            fields['loadError'], self.load_error = self.load_error, None
        if self.load_output:
            fields['loadOutput'], self.load_output = self.load_output, ()
        if device is not None:
            fields['device'] = device
        if self.suspects:
            fields['suspects'], self.suspects = compress(self.suspects), []

    def live_reported(self, printed, now):
        """Notes that output was reported up to `printed`. Returns up to where it had been reported before."""
        before = self.live_sent if self.live_item is self.executing else (0, 0)
        self.live_item, self.live_sent, self.live_sent_at = self.executing, printed, now
        return before

    # -- answers

    def apply_settings(self, answer):
        """Takes the settings of the run from an answer."""
        self.lease = float(answer.get('leaseSeconds') or self.lease)
        self.timeout = answer.get('timeoutSeconds') or self.timeout
        self.batch_size = answer.get('batchSize') or 1
        if answer.get('handBackMillis'):
            self.hand_back_delay = answer['handBackMillis'] / 1000.0
        if answer.get('liveMillis'):
            self.live_delay = answer['liveMillis'] / 1000.0
        self.limits.update(answer.get('limits') or {})

    def answered(self, answer, now):
        """Takes the rest of an answer.

        Returns whether the pod is ending: its SIGTERM came before there was a handler for it.
        """
        asked, called = self.calling
        self.sequence += 1
        self.reporting, self.calling = [], None
        if not self.done:
            self.report_limit = None
        inputs = answer.get('inputs') or []
        self.queue.extend([(one['index'], 0, one['json']) if 'json' in one else (one['index'], LITERAL, one['literal'])
                           for one in inputs])
        took = now - called
        if inputs or not asked['waitSeconds']:
            self.round_trip += (min(took, 1) - self.round_trip) / 4
        if asked['want']:
            self.last_call_empty = not inputs
        if inputs or took > 0.05:
            self.idle_delay = 0.01
        else:
            # The exchange did not keep the call open: call less and less often.
            self.idle_delay = min(self.idle_delay * 2, 0.5)
            self.idle_until = now + self.idle_delay
        action = answer.get('action')
        if asked['leaving']:
            # A worker that holds something gets `finished` only if its pod is ending.
            if action == 'finished' and asked['held']:
                self.pod_ending = True
            elif action not in ('finished', 'stop'):
                self.leaving = self.pod_ending = False
        self.finished = action == 'finished'
        if action == 'stop':
            self.exit_status = POD_ENDED if asked['leaving'] else 0
        return bool(answer.get('podEnding'))

    def too_large(self):
        """Takes a 413: the outcomes go in several calls, and one that is too large alone is replaced."""
        if len(self.reporting) == 1:
            self.replace('ResultTooLarge', 'the exchange does not accept an outcome of %d bytes: return less, or store the '
                         'data elsewhere and return a reference to it' % len(self.reporting[0][1]))
        self.body_limit = max(1 << 16, sum(len(data) for _, data in self.reporting) // 2)
        self.report_again()

    def refused(self, reason):
        """Takes a 400: the outcomes go in smaller calls until one is alone, which is replaced. So no other one is lost.

        Returns False if the cause is not an outcome.
        """
        if not self.reporting or len(self.reporting) == 1 and self.reporting[0][0] == self.replaced:
            return False
        self.report_limit = max(1, len(self.reporting) // 2)
        if len(self.reporting) == 1:
            self.report_limit, self.replaced = None, self.reporting[0][0]
            self.replace('ResultRefused', 'the exchange refuses the outcome of this input (%s): return a simpler structure, '
                         'or a string' % reason, True)
        self.report_again()
        return True

    def replace(self, kind, message, with_output=False):
        """Replaces the only outcome of the call by an error."""
        import re
        index, data = self.reporting[0]
        # The times and the output are behind the result, which may have members of the same names.
        start, duration = list(re.finditer(b'"(?:startTime|durationMicros)": ?([0-9]+)', data))[-2:]
        outcome = json.dumps({'index': index, 'status': 'Failed', 'error': error_object(kind, message),
                              'startTime': int(start.group(1)), 'durationMicros': int(duration.group(1))})
        output = data[duration.end():-1] if with_output else b''
        self.reporting[0] = index, outcome[:-1].encode('ascii') + output + b'}'

    def report_again(self):
        """Puts back what the last call reported."""
        fields, _ = self.calling
        self.done.extendleft(reversed(self.reporting))
        self.load_error = self.load_error or fields.get('loadError')
        self.load_output = self.load_output or fields.get('loadOutput')
        self.suspects = sorted(expand(fields.get('suspects'))) + self.suspects
        self.reporting, self.calling, self.urgent = [], None, True

    # -- the end

    def leave(self, now):
        """Begins to leave after a SIGTERM. Returns False if the worker is leaving already."""
        if self.leaving:
            return False
        self.leaving, self.pod_ending, self.urgent = True, False, True
        self.leave_by = now + LEAVE_TIMEOUT
        return True

    def leave_timeout_reached(self, child, schedule):
        """Whether the current input has to be ended, because the pod is."""
        return self.pod_ending and child is not None and bool(child.given) and schedule.reached(self.leave_by)

    def decide_exit(self, child):
        if self.finished and self.calling is None and self.exit_status is None and not self.held(child):
            self.exit_status = POD_ENDED if self.pod_ending else 0


# ---------------------------------------------------------------------------------------------------------------------
# 8  The supervisor

MAX_LIVE = 64 << 10              # bytes of each stream that one call reports of the input that executes
MEMORY_SPEED = 4 << 30           # bytes a second: the fastest that a child is expected to allocate


class Supervisor(object):
    """Acts on the decisions of its WorkerState, all on one thread."""

    def __init__(self, environment):
        now = monotonic()
        self.code = environment['SHAREDCLOUD_CODE']
        self.device = environment.get('NVIDIA_VISIBLE_DEVICES')
        self.container_streams = ContainerStream(1), ContainerStream(2)
        self.state = WorkerState(now)
        self.child = None
        self.terminated = False             # SIGTERM arrived and is not dealt with yet
        self.memory, self.memory_at = Memory(), now
        self.surroundings = Surroundings(environment)
        self.wake, wake_end = os.pipe()
        for fd in (self.wake, wake_end):
            set_blocking(fd, False)
            set_inherited(fd, False)
        self.take_signals(wake_end)
        # Before there is a second thread, and before the imports that a connection needs.
        self.spawn()
        self.exchange = Exchange(environment['SHAREDCLOUD_EXCHANGE_URL'], environment['SHAREDCLOUD_TOKEN_FILE'],
                                 environment.get('SHAREDCLOUD_CA_FILE'), wake_end)

    def take_signals(self, wake_end):
        for name in IGNORED_SIGNALS:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        signal.set_wakeup_fd(wake_end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self.on_sigterm)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.siginterrupt(number, False)   # Python 2 would lose the answer to a call

    def on_sigterm(self, *_):
        self.terminated = True

    def log(self, message):
        self.container_streams[1].write(('sharedcloud: %s\n' % message).encode('utf-8'))

    # -- the loop

    def run(self):
        while self.state.exit_status is None:
            schedule = Schedule(monotonic())
            self.step(schedule)
            if self.state.exit_status is None:
                self.wait(schedule)
        return self.exit()

    def step(self, schedule):
        self.collect(schedule.now)
        self.take_answers(schedule.now)
        self.check_termination(schedule)
        self.watch_child(schedule)
        if self.state.hand_back_due(self.child, schedule):
            self.hand_back()
        self.feed(schedule.now)
        self.call_if_due(schedule)
        self.state.decide_exit(self.child)

    def wait(self, schedule):
        """Waits until something happens or the next pass is due."""
        poller, child = select.poll(), self.child
        poller.register(self.wake, select.POLLIN)
        for stream in self.container_streams:
            if stream.pending:
                poller.register(stream.fd, select.POLLOUT)
        if child is not None:
            poller.register(child.control, select.POLLIN | (select.POLLOUT if child.unsent else 0))
            if child.lines:
                poller.register(child.result, select.POLLIN)     # the rest of a long line
            if self.state.watches_output(child.given, schedule.now):
                for stream in child.streams:
                    if stream.open:
                        poller.register(stream.fd, select.POLLIN)
        timeout = max(0, schedule.next - monotonic())
        try:
            events = dict(poller.poll(int(timeout * 1000) + 1 if timeout else 0))
        except select.error:
            return               # a signal, in Python 2
        if self.wake in events:
            os.read(self.wake, 4096)
        for stream in self.container_streams:
            stream.flush()
        if child is not None:
            self.read_child(child, events)

    @staticmethod
    def read_child(child, events):
        control = child.control.fileno()
        if events.get(control, 0) & select.POLLOUT:
            child.send()
        if events.get(control, 0) & ~select.POLLOUT:
            try:
                if not child.control.recv(4096):
                    time.sleep(0.001)    # its end is closed: the child is about to exit
            except socket.error:
                pass
        for stream in child.streams:
            if stream.fd in events:
                child.read_output(stream)

    # -- the child

    def spawn(self):
        self.memory.killed_since()
        environment = self.surroundings.prepare()
        try:
            self.child = ChildHandle(self.code, self.state.limits, self.container_streams, environment)
        except (OSError, IOError) as error:
            # Processes or descriptors are exhausted, which may be temporary.
            self.surroundings.clean()
            self.not_loaded(error_object('ProcessNotStarted', 'no process could be started for the module: %s' % error),
                            monotonic())

    def collect(self, now):
        child = self.child
        if child is None:
            return
        child.reap()
        loading = child.loading
        done = [pair for pair in child.collect() if pair[0] not in child.ignored]
        if loading and not child.loading:
            self.state.loaded(child.load_output)
        self.state.add_outcomes(done, now)

    def feed(self, now):
        feeding = self.state.feeding(self.child)
        if feeding is None:
            return
        if not self.child.given:
            self.state.busy_since = now
        self.child.feed(self.state.queue, *feeding)

    def hand_back(self):
        self.state.hand_back(self.child.recall() if self.child is not None else [])

    def watch_child(self, schedule):
        state, child = self.state, self.child
        if child is None:
            if state.spawn_due(schedule):
                self.spawn()
            return
        if child.status is not None:
            self.end_child(None, schedule.now)
            return
        if not child.loading:
            state.observe(child, child.waiting(), schedule, time.time())
        exceeded = state.limit_exceeded(child, schedule) or self.memory_exceeded(schedule)
        if exceeded:
            self.end_child(exceeded, schedule.now)

    def memory_exceeded(self, schedule):
        """Returns the termination of a child that has used up the container's memory, or None."""
        if self.memory.limit is None or not self.memory.unified or not schedule.reached(self.memory_at):
            return None
        headroom = self.memory.headroom()
        if headroom <= 0:
            return Termination('Failed', 'OutOfMemory', self.memory.message() +
                               ': the process was ended before the kernel ends the whole container', True)
        self.memory_at = schedule.now + min(max(float(headroom) / MEMORY_SPEED, 0.01), 0.5)
        schedule.reached(self.memory_at)
        return None

    def end_child(self, reason, now):
        """Kills the child, and takes what it left: outcomes, inputs that it did not begin, and those that it executed.

        With no reason, it has ended by itself.
        """
        state, child = self.state, self.child
        child.kill()             # also what it started and left behind
        self.collect(now)        # it may have finished just before it was ended
        state.requeue(child.recall())
        reason = reason or self.death_of(child)
        for stream in child.streams:
            stream.drain(state.limits['outputBytes'])
        if child.loading:
            if child.load_error is None:
                child.load_output = child.take_load_output()
            self.not_loaded(child.load_error or error_object(reason.kind, reason.message), now, child.load_output)
        elif child.given:
            if reason is not WITHOUT_OUTCOME:
                self.conclude(child, reason)
        elif reason is not WITHOUT_OUTCOME:
            self.log('the process ended between two inputs (%s); a new one is started' % reason.message)
        child.close()
        self.child = state.executing = None
        self.surroundings.clean()

    def death_of(self, child):
        activity = activity_of(child.loading)
        if child.status == signal.SIGKILL and self.memory.killed_since():
            return Termination('Failed', 'OutOfMemory',
                               self.memory.message() + ': the kernel ended the process ' + activity, True)
        reason = death_of(child.status, activity)
        if child.status is not None and child.status & 0x7f == signal.SIGBUS:
            reason.message += shared_memory_advice(True, ': %s')
        return reason

    def conclude(self, child, reason):
        outcome = self.state.ended(child.given, child.ignored, reason, monotonic(), time.time())
        if outcome is None:
            self.log('%s; the call had %d inputs, which are now executed one at a time' % (reason.message, len(child.given)))
            return
        # A program that reads only stderr must find the reason there.
        message = ('sharedcloud: %s\n' % reason.message).encode('utf-8')
        child.streams[1].tail.add(message, self.state.limits['outputBytes'])
        self.container_streams[1].write(message)
        data = json.dumps(outcome)[:-1].encode('ascii') + child.output() + b'}'
        self.state.done.append((outcome['index'], data))

    def not_loaded(self, error, now, output=()):
        self.state.not_loaded(error, now, output)
        self.log('the module could not be loaded (%s: %s); the next attempt is in %d s'
                 % (error['type'], error['message'], self.state.load_delay))
        self.hand_back()         # another worker may be able to

    # -- calls

    def printed(self):
        """The bytes of stdout and stderr that the executing input has printed, as far as they were read."""
        return tuple(stream.printed() for stream in self.child.streams) if self.child is not None else (0, 0)

    def call_if_due(self, schedule):
        state, child = self.state, self.child
        if state.calling is not None:
            return               # saves the system call below
        printed = self.printed()
        call = state.call_due(child, child.waiting() if child is not None else 0, schedule, printed)
        if call is None:
            return
        fields = state.begin_call(call, child, schedule.now)
        if 'executing' in fields and state.unreported_output(child, printed) and schedule.now >= state.live_at():
            fields['live'] = self.live_output(printed, schedule.now)
        state.add_reports(fields, self.device)
        body = b''.join((json.dumps(fields)[:-1].encode('ascii'), b',"outcomes":[',
                         b','.join(data for _, data in state.reporting), b']}'))
        self.exchange.call(body, fields['waitSeconds'])

    def live_output(self, printed, now):
        """Returns the field `live` of a call."""
        state = self.state
        fields = {'index': state.executing[0], 'startTime': micros(state.began)}
        for stream, reported in zip(self.child.streams, state.live_reported(printed, now)):
            start, data = stream.since(reported, MAX_LIVE)
            if data:
                fields[stream.name] = binascii.b2a_base64(data)[:-1].decode('ascii')
                fields[stream.name + 'From'] = start
        return fields

    def take_answers(self, now):
        while self.exchange.notes:
            self.log(self.exchange.notes.popleft())
        while self.exchange.answers:
            status, answer = self.exchange.answers.popleft()
            if status == 200:
                self.take_answer(answer, now)
            elif status == 404:
                self.state.exit_status = 0
            elif status == 413:
                self.state.too_large()
            elif status == 400 and self.state.refused(answer):
                pass
            else:
                self.log('the exchange refuses this worker (%s): %s' % (status or 'no call', answer))
                self.state.exit_status = 1

    def take_answer(self, answer, now):
        self.state.apply_settings(answer)
        if answer.get('revoked'):
            self.revoke(expand(answer['revoked']), now)
        if self.state.answered(answer, monotonic()):
            self.terminated = True

    def revoke(self, revoked, now):
        if self.child is not None:
            self.state.requeue(self.child.recall())
        ignored, end = self.state.revoke(revoked, self.child)
        if ignored:
            self.child.ignored |= ignored
        if end:
            self.end_child(WITHOUT_OUTCOME, now)
            self.state.revoke(revoked, None)     # it may have finished just before it was ended

    # -- the end

    def check_termination(self, schedule):
        if self.terminated:
            self.terminated = False
            if self.state.leave(schedule.now):
                self.hand_back()
        if self.state.leave_timeout_reached(self.child, schedule):
            self.end_child(WITHOUT_OUTCOME, schedule.now)
            self.state.urgent = True

    def exit(self):
        if self.child is not None:
            if self.state.finished and self.state.exit_status == 0 and not self.child.loading:
                self.child.dismiss(1)
            else:
                self.child.kill()
            self.child.close()
        self.surroundings.close()
        deadline = monotonic() + 1
        while any(stream.pending for stream in self.container_streams) and monotonic() < deadline:
            time.sleep(0.005)
            for stream in self.container_streams:
                stream.flush()
        return self.state.exit_status


def main(arguments):
    if arguments[1:2] == ['--child']:
        child_main(arguments[2], [int(fd) for fd in arguments[3:]])
        return 0
    if hasattr(sys, 'set_int_max_str_digits'):
        sys.set_int_max_str_digits(0)
    sys.setrecursionlimit(12000)         # as deep as the server lets an input be nested
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
        os._exit(status)         # the exchange's thread may be within a call
