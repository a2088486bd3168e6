"""For each line, prints the value that ast.literal_eval reads from it, in the form of literals.js; see node_test.go."""
import ast
import json
import re
import struct
import sys
import warnings

warnings.simplefilter("ignore")
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)

# What is passed over around the whole.
BEFORE = re.compile(r"(?:[ \t\f\r\n]|#[^\r\n\0]*)*")


def number(value):
    return "f" + struct.pack(">d", value).hex()


def canonical(value):
    if value is None or value is True or value is False or value is ...:
        return str(value)
    if type(value) is int:
        return number(value) if abs(value) < 1 << 53 else "i%d" % value
    if type(value) is float:
        return number(value)
    if type(value) is complex:
        return "c(%s,%s)" % (number(value.real + 0.0), number(value.imag + 0.0))
    if type(value) is str:
        return "s" + value.encode("utf-16-be", "surrogatepass").hex()
    if type(value) is bytes:
        return "b" + value.hex()
    if type(value) is set:
        return "S{%s}" % ",".join(sorted(map(canonical, value)))
    if type(value) is dict:
        kind = "O" if all(type(key) is str for key in value) else "M"
        return kind + "{%s}" % ",".join(sorted(canonical(key) + ":" + canonical(one) for key, one in value.items()))
    return "[%s]" % ",".join(map(canonical, value))


def answer(text):
    text = text[BEFORE.match(text).end():].rstrip(" \t\f\r\n")
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError, OverflowError) as error:
        return {"accepted": False, "why": "%s: %s" % (type(error).__name__, error)}
    return {"accepted": True, "value": canonical(value if type(value) in (tuple, list) else (value,))}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))))
