'use strict';
// parameters/node_test.go compares the parser with Python's on generated texts; here is what each rule means.

const assert = require('assert');
const test = require('node:test');
const { Literal } = require('../src/literal');

const read = (text) => Literal.read(text);

const accepted = {
  'an integer': ['7', 7],
  'an integer with underscores': ['1_000', 1000],
  'a hexadecimal, an octal and a binary integer': ['(0xff, 0o17, 0b101)', [255, 15, 5]],
  'the largest safe integer': ['9007199254740991', 9007199254740991],
  'an integer that a Number cannot hold': ['9007199254740993', BigInt('9007199254740993')],
  'its negative': ['-9007199254740993', BigInt('-9007199254740993')],
  'zeros': ['000', 0],
  'a negative integer zero': ['-0', 0],
  'a negative float zero': ['-0.0', -0],
  'floats': ['(1., .5, 1e3, 1.5E-2)', [1, 0.5, 1000, 0.015]],
  'an infinite float': ['1e999', Infinity],
  'an imaginary number': ['2j', { real: 0, imag: 2 }],
  'a complex number': ['1-2.5j', { real: 1, imag: -2.5 }],
  'constants': ['(None, True, False, ...)', [null, true, false, undefined]],
  'a text': ["'a'", 'a'],
  'texts that are joined': ["'a' \"b\" '''c'''", 'abc'],
  'a text with escapes': ["'\\n\\x41\\u00e9\\U0001f600\\101\\q'", '\nA\u00e9\u{1f600}A\\q'],
  'a raw text': ["r'\\n'", '\\n'],
  'a text over lines': ["'''a\r\nb'''", 'a\nb'],
  'a text that a backslash continues': ["'a\\\nb'", 'ab'],
  'bytes': ["b'\\xff\\u00e9a'", Buffer.from('\xff\\u00e9a', 'latin1')],
  'a value in parentheses': ['((7))', 7],
  'a tuple of one': ['(7,)', [7]],
  'an input without parentheses': ['1, 2', [1, 2]],
  'an empty input': ['()', []],
  'a list': ['[1, [2,],]', [1, [2]]],
  'a dict with text keys': ["{'a': 1, '__proto__': 2}", JSON.parse('{"a": 1, "__proto__": 2}')],
  'a dict with other keys': ["{1: 'a', (2, 3): 'b'}", new Map([[1, 'a'], [[2, 3], 'b']])],
  'a dict whose keys are equal in Python': ["{1: 'a', 1.0: 'b', True: 'c'}", new Map([[1, 'c']])],
  'an empty dict': ['{}', {}],
  'a set': ['{1, 2, 1}', new Set([1, 2])],
  'an empty set': ['set()', new Set()],
  'comments and white space': [' \t# first\n(1,  # one\n 2)  # end\n', [1, 2]],
};

for (const name of Object.keys(accepted)) {
  test('reads ' + name, () => {
    const [text, want] = accepted[name];
    assert.deepStrictEqual(read(text), want);
  });
}

const rejected = {
  'an empty text': ['  ', /the text is empty/],
  'a comment alone': ['# 7', /the text is empty/],
  'a name': ['(x,)', /column 3: x is a name/],
  'a call': ['open("x")', /open is a name/],
  'a sum': ['1 + 2', /contains no computation/],
  'a product': ['2 * 3', /a comma is missing/],
  'a sign before a text': ["-'a'", /only a number can have a sign/],
  'two signs': ['--1', /only a number can have a sign|unexpected "-"/],
  'an integer that begins with 0': ['012', /cannot begin with 0/],
  'a number with a letter': ['1x', /invalid number/],
  'an open bracket': ['[1, 2', /a comma is missing/],
  'a closing bracket of another kind': ['(1]', /a comma is missing/],
  'a text without an end': ["'a", /unterminated string/],
  'a line break in a text': ["'a\nb'", /unterminated string/],
  'a null byte in a text': ["'a\0b'", /cannot contain this character/],
  'a text joined with bytes': ["'a' b'b'", /cannot be joined/],
  'a prefix that does not exist': ["f'a'", /f is not a prefix/],
  'an incomplete escape': ["'\\x4'", /needs 2 hexadecimal digits/],
  'the name of a character': ["'\\N{DIGIT ONE}'", /Node does not have/],
  'a list as a key': ['{[1]: 2}', /cannot be a key/],
  'a set in a set': ['{(1, {2})}', /cannot be a key/],
  'a set with a value': ['{1, 2: 3}', /every key of a dict has a colon/],
  'the bare name set': ['[set]', /set is a name/],
  'set with an element': ['set(1)', /takes no elements/],
  'too many brackets': ['['.repeat(201) + ']'.repeat(201), /more than 200 brackets/],
};

for (const name of Object.keys(rejected)) {
  test('rejects ' + name, () => {
    const [text, message] = rejected[name];
    assert.throws(() => read(text), (error) => error instanceof SyntaxError && message.test(error.message));
  });
}

test('names the line and the column of an error', () => {
  assert.throws(() => read("(1,\n 2,\r\n  x)"), /^SyntaxError: line 3, column 4: /);
});
