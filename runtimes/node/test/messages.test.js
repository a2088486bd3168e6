'use strict';

const assert = require('assert');
const test = require('node:test');
const { parseAnswer } = require('../src/answer');
const { DESCRIPTORS_LOST } = require('../src/constants');
const { errorJSON, errorObject } = require('../src/errors');
const { compress, expand } = require('../src/indexes');
const { readInput } = require('../src/input');
const { encode } = require('../src/result');
const { activityOf, deathOf } = require('../src/termination');

test('indexes are compressed to ranges, in order', () => {
  for (const [indexes, text] of [[[], ''], [[7], '7'], [[22, 17, 21, 20], '17,20-22'], [[1, 2, 4, 5, 9], '1-2,4-5,9']]) {
    assert.strictEqual(compress(indexes.slice()), text);
    assert.deepStrictEqual(Array.from(expand(text)).sort((a, b) => a - b), indexes.slice().sort((a, b) => a - b));
  }
  assert.strictEqual(expand(undefined).size, 0);
});

test('the inputs of an answer stay text, also when they look like other parts of it', () => {
  const answer = parseAnswer(' {"limits": {"resultBytes": 9}, "inputs": [ ' +
    '{"index": 4, "json": [12345678901234567890, "]}\\"", {"inputs": []}]},' +
    '{"index": 5, "literal": "(\\u00e9, \\"x\\")"} ], "action": "work"}');
  assert.deepStrictEqual(answer, { limits: { resultBytes: 9 }, action: 'work', inputs: [
    [4, false, '[12345678901234567890, "]}\\"", {"inputs": []}]'], [5, true, '(\u00e9, "x")']] });
  assert.deepStrictEqual(parseAnswer('{"action":"wait"}').inputs, []);
  assert.throws(() => parseAnswer('<html>'), SyntaxError);
});

test('integers of any size reach the handler, and come back', () => {
  const value = readInput(false, '[12345678901234567890, -9007199254740993, "12345678901234567890", 1.5e3]');
  assert.deepStrictEqual(value, [BigInt('12345678901234567890'), BigInt('-9007199254740993'), '12345678901234567890', 1500]);
  assert.strictEqual(encode(value, 1000).fields, '"result":[12345678901234567890,-9007199254740993,"12345678901234567890",1500],');
});

test('an input that is not an array is the only element of the event', () => {
  assert.deepStrictEqual(readInput(true, "{'a': 1}"), [{ a: 1 }]);
});

test('a result that exceeds the limit is an error with its size', () => {
  assert.strictEqual(encode('x'.repeat(8), 10).fields, '"result":"xxxxxxxx",');
  assert.throws(() => encode('x'.repeat(9), 10), { name: 'ResultTooLarge', message: /has 11 bytes, more than the limit of 10:/ });
});

test('a long error keeps its beginning and its end', () => {
  const { message } = errorObject('E', 'a'.repeat(40000) + 'b'.repeat(40000));
  assert.match(message, /^a{32768}\n\[\.\.\. 14464 characters cut \.\.\.\]\nb{32768}$/);
});

test('an error is valid JSON whatever it contains', () => {
  const error = errorObject('E', 'a "quoted"\n\ud800', 'x');
  assert.deepStrictEqual(JSON.parse(errorJSON(error)), error);
});

test('the reason of a death follows from its status, its signal and the last output', () => {
  const activity = activityOf(false);
  for (const [exit, printed, type, message] of [
    [null, '', 'ProcessKilled', 'the process was killed while it ran this input and did not end'],
    [{ status: 3, signal: null }, '', 'ProcessExited', 'exited with status 3 while it ran this input: handler(event) must return'],
    [{ status: DESCRIPTORS_LOST, signal: null }, '', 'ProcessExited', 'closed the descriptors by which it reports'],
    [{ status: null, signal: 'SIGSEGV' }, '', 'ProcessKilled', 'ended by signal 11 (SIGSEGV)'],
    [{ status: null, signal: 'SIGABRT' }, 'FATAL ERROR: JavaScript heap out of memory', 'OutOfMemory', '--max-old-space-size'],
  ]) {
    const reason = deathOf(exit, printed, activity);
    assert.deepStrictEqual([reason.status, reason.crash, reason.type], ['Failed', true, type]);
    assert.ok(reason.message.includes(message), reason.message);
  }
  assert.match(deathOf({ status: 1, signal: null }, '', activityOf(true)).message, /while it loaded the module/);
});
