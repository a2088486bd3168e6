"""Answers, line by line, what ast.literal_eval makes of a text; see differential_test.go."""
import ast
import json
import re
import sys
import warnings

warnings.simplefilter("ignore")
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)

# What ParseLiteral passes over around the whole.
BEFORE = re.compile(r"(?:[ \t\f\r\n]|#[^\r\n\0]*)*")


def evaluate(text):
    try:
        return True, ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        return False, "%s: %s" % (type(error).__name__, error)


def answer(question):
    text = question["text"]
    text = text[BEFORE.match(text).end():].rstrip(" \t\f\r\n")
    good, value = evaluate(text)
    if not good:
        return {"accepted": False, "why": value}
    if type(value) is not tuple or not all(type(inner) is tuple for inner in value):
        return {"accepted": False, "why": "not a tuple of tuples"}
    pieces = question["tuples"] or []
    if len(pieces) != len(value):
        return {"accepted": True, "why": "%d tuples" % len(value)}
    for index, (piece, inner) in enumerate(zip(pieces, value)):
        # The text of a value also tells 1 from True and 1.0, and shows nan as itself.
        good, alone = evaluate(piece)
        if not good or repr(alone) != repr(inner):
            return {"accepted": True, "why": "tuple %d is %r and its text gives %r" % (index, inner, alone)}
    return {"accepted": True, "why": ""}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))))
