'use strict';
/*
The worker's program for Node 8 and later: a supervisor and the child that calls the user's handler.

Standard library only, one file. `node runner.js` is the supervisor, process 1 of the worker's container; it runs itself
again, with --child, as the process that loads the user's module once and calls handler(event) input by input.

A map:

  1  Both processes     clocks, descriptors, "17,20-31", the words of errors
  2  Inputs             JSON with integers of any size, and Python literals as ast.literal_eval reads them
  3  Results            what JSON can say of a value, and the text of the rest
  4  The child          loading, calling, and the end of each input
  5  Output             what inputs printed: kept per input, and passed on live
  6  The child's keeper spawning, feeding, recalling, collecting, killing a whole tree
  7  Memory             what the cgroup knows of limits and of kills
  8  The exchange       one persistent connection, repeating until answered
  9  The supervisor     what is held, when to call, time limits, the end

Between the two processes are pairs of connected sockets. Node can make none, so the supervisor listens in a folder of
its own, connects to itself, and removes the folder: it has both ends of each, and gives one to the child.

  claim    8 bytes an input. Whoever reads a record owns the input: the child to run it, the supervisor, which keeps the same
           end, to take it back. The kernel decides, so what is handed back is never executed, also while a handler that
           does not return keeps the child from hearing anything.
  result   A line an outcome, written before the next input begins, and a line when one begins. So what a dying child had
           finished is never lost, and the input that had begun is the one that it died of.
             *      an input begins; *4: four do, in one call
             {…}    the outcome of the first that has none; ,{…} has no output of its own; !… is the last of this process
             >  <   the module is loaded, or is not, and why
             ~      nobody caught an exception between two inputs
  control  To the child: inputs in batches. From the child: single bytes, "look now"; without one the supervisor leaves the
           others alone, so that short inputs do not wake it one by one.
  out, err What the child and all that it starts print. At the end of each input the child writes a mark, random bytes that
           nobody guesses, into both, by descriptors of its own: what lies between two marks is of one input.

With a batchSize above 1 a call of the handler gets an array of inputs: the first that is claimed and what can be claimed
with it. Their output is the first one's. When the process ends while it has more than one, nobody knows which of them it
was: they are told to the server as suspects, which come back one by one.

What goes beyond one input: an exception or a rejection that nobody catches fails the input that executes, and the child,
whose state nobody knows then, is replaced. A promise that nothing is left to settle fails its input at once. A timer or a
promise left behind runs on beside the inputs that follow, and what it prints is theirs.

As process 1 this program inherits orphans, and Node waits for no process that it did not start. They are killed with
the child; the entries that they leave in the table of processes (zombies) stay until the container ends. When there
are more than ZOMBIES of them the worker finishes what it executes, hands back the rest and exits with 1: its index gets a
fresh pod, before the table is full.
*/
const childProcess = require('child_process');
const crypto = require('crypto');
const fs = require('fs');
const Module = require('module');
const net = require('net');
const os = require('os');
const path = require('path');
const stream = require('stream');
const util = require('util');

const PROTOCOL = 1;
const SIGNATURE = 'the code needs to have the following signature: function handler(event) { ... }';

// ---------------------------------------------------------------------------------------------------------------------
// 1  Both processes
//
// The user's code shares the child's process and may replace anything in it. So all that the child needs is bound here,
// before that code is loaded.

const POD_ENDED = 143;           // exit status: 0 would complete the worker's index, and no pod would take its place
const DESCRIPTORS_LOST = 197;    // exit status: the handler closed what the child needs to report
const LIMITS = { resultBytes: 16 << 20, outputBytes: 256 << 10 };
const ERROR_TEXT = 64 << 10;     // bounds of an error's message and of its traceback
const MOST_CLAIMS = 4096;        // inputs in the child's hands, at most
const CLAIM = 8;                 // bytes of a claim: the input's number, and whether the child shall say that it began
const MARK = 24;                 // bytes that end an input's output
const RUNNER = __filename;

const { readSync, writeSync, fstatSync } = fs;
const { hrtime, reallyExit } = process;
const wall = Date.now;
const { stringify, parse } = JSON;
const immediately = setImmediate;
const bufferFrom = Buffer.from;
const inspect = util.inspect;
const PromiseOfNode = Promise;
const { Error: ErrorOfNode, RangeError: RangeErrorOfNode, TypeError: TypeErrorOfNode } = global;
const { isArray } = Array;
const { isView } = ArrayBuffer;
const promiseThen = Promise.prototype.then;
const apply = Reflect.apply;
const textOf = String;
const BigInteger = typeof BigInt === 'function' ? BigInt : null;
const SAYS_SURROGATES = stringify('\ud800').length === 8;   // Node 12 and later

function monotonic() {
  const time = hrtime();
  return time[0] + time[1] / 1e9;
}

/** JSON without lone surrogates, which no bytes can carry. */
function wellFormed(json) {
  if (SAYS_SURROGATES || !/[\ud800-\udfff]/.test(json)) return json;
  return json.replace(/[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]/g,
    (found) => (found.length === 2 ? found : '\\u' + found.charCodeAt(0).toString(16)));
}

const quote = (text) => wellFormed(stringify(text));

let sleeper = null;

/** Blocks the process: for moments in which there is nothing better to do. */
function pause(milliseconds) {
  sleeper = sleeper || new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(sleeper, 0, 0, milliseconds);
}

function writeAll(fd, data) {
  let at = 0;
  while (at < data.length) {
    try {
      at += writeSync(fd, data, at, data.length - at);
    } catch (error) {
      // Somebody who shares the descriptor, another Node most likely, made it one that does not block.
      if (error.code !== 'EAGAIN') throw error;
      pause(1);
    }
  }
}

/** How many bytes were read: -1 where there are none yet, 0 at the end. */
function readSome(fd, buffer) {
  try {
    return readSync(fd, buffer, 0, buffer.length, null);
  } catch (error) {
    if (error.code === 'EAGAIN') return -1;
    throw error;
  }
}

/** [17, 20, 21, 22] as "17,20-22". */
function compress(indexes) {
  const parts = [];
  indexes.sort((a, b) => a - b);
  for (let at = 0; at < indexes.length;) {
    const first = at++;
    while (at < indexes.length && indexes[at] === indexes[at - 1] + 1) at++;
    parts.push(at - first === 1 ? String(indexes[first]) : indexes[first] + '-' + indexes[at - 1]);
  }
  return parts.join(',');
}

/** The set that "17,20-22" names. */
function expand(text) {
  const indexes = new Set();
  for (const part of (text || '').split(',').filter(Boolean)) {
    const ends = part.split('-').map(Number);
    for (let index = ends[0]; index <= ends[ends.length - 1]; index++) indexes.add(index);
  }
  return indexes;
}

/** The text, its middle cut out where it is too long. */
function clipped(text) {
  if (text.length <= ERROR_TEXT) return text;
  const half = ERROR_TEXT >> 1;
  return text.slice(0, half) + '\n[... ' + (text.length - 2 * half) + ' characters cut ...]\n' + text.slice(-half);
}

function errorObject(type, message, traceback) {
  return { type: clipped(type), message: clipped(message), traceback: clipped(traceback || '') };
}

/** An error as JSON, whatever the user made of Object.prototype.toJSON. */
function errorJSON(error) {
  return '{"type":' + quote(error.type) + ',"message":' + quote(error.message) + ',"traceback":' + quote(error.traceback) + '}';
}

// ---------------------------------------------------------------------------------------------------------------------
// 2  Inputs

/** The end of the JSON string that begins at `at`. */
function afterString(text, at) {
  let end = at;
  for (;;) {
    end = text.indexOf('"', end + 1);
    let slashes = end;
    while (text[slashes - 1] === '\\') slashes--;
    if ((end - slashes) % 2 === 0) return end + 1;
  }
}

/** The end of the value of well-formed JSON that begins at `at`. */
function afterValue(text, at) {
  let depth = 0;
  do {
    switch (text[at]) {
      case '"': at = afterString(text, at); break;
      case '{': case '[': depth++; at++; break;
      case '}': case ']': depth--; at++; break;
      case ',': case ':': case ' ': case '\n': case '\r': case '\t': at++; break;
      default: while (at < text.length && !/[\s,\]}]/.test(text[at])) at++;
    }
  } while (depth > 0);
  return at;
}

/** Calls visit(key, start) for each member of the object, or visit(position, start) for each element of the array, that begins
 *  at `at` of well-formed JSON. */
function eachMember(text, at, visit) {
  const space = /\s*/y, named = text[at] === '{';
  const skip = (from) => {
    space.lastIndex = from;
    space.test(text);
    return space.lastIndex;
  };
  at = skip(at + 1);
  for (let position = 0; text[at] !== '}' && text[at] !== ']'; position++) {
    let key = position;
    if (named) {
      const end = afterString(text, at);
      key = parse(text.slice(at, end));
      at = skip(skip(end) + 1);
    }
    visit(key, at);
    at = skip(afterValue(text, at));
    if (text[at] === ',') at = skip(at + 1);
  }
}

/** The answer of the exchange, with the values of its inputs as they were written: [index, isLiteral, text]. */
function parseAnswer(text) {
  const inputs = [];
  let rest = text;
  try {
    parse(text);                 // or it is not the exchange that answers
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;   // Node 8 on an input that is nested deeply: it fails in the child
  }
  eachMember(text, text.search(/\S/), (key, start) => {
    if (key !== 'inputs' || text[start] !== '[') return;
    eachMember(text, start, (_, at) => {
      const item = [0, false, ''];
      eachMember(text, at, (name, from) => {
        const raw = () => text.slice(from, afterValue(text, from));
        if (name === 'index') item[0] = Number(raw());
        if (name === 'json') item[2] = raw();
        if (name === 'literal') {
          item[1] = true;
          item[2] = parse(raw());
        }
      });
      inputs.push(item);
    });
    rest = text.slice(0, start) + '[]' + text.slice(afterValue(text, start));
  });
  const answer = parse(rest);
  answer.inputs = inputs;
  return answer;
}

const BIG = '\u0000' + crypto.randomBytes(12).toString('hex') + ':';   // begins a text that stands for an integer

/** JSON with integers of any size: what a Number cannot hold becomes a BigInt, where there are any. */
function parseJSON(text) {
  if (!BigInteger || !/\d{16}/.test(text)) return parse(text);
  const parts = [], number = /-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/y;
  let done = 0;
  for (let at = 0; at < text.length;) {
    if (text[at] === '"') {
      at = afterString(text, at);
      continue;
    }
    number.lastIndex = at;
    const found = number.exec(text);
    if (!found) {
      at++;
      continue;
    }
    at += found[0].length;
    if (/^-?\d+$/.test(found[0]) && !Number.isSafeInteger(Number(found[0]))) {
      parts.push(text.slice(done, at - found[0].length), stringify(BIG + found[0]));
      done = at;
    }
  }
  parts.push(text.slice(done));
  return parse(parts.join(''), (_, value) => (typeof value === 'string' && value.startsWith(BIG) ? BigInteger(value.slice(BIG.length)) : value));
}

const MOST_NESTED = 200;         // brackets that a literal may have open; the server takes 90
const COMPUTES = 'a literal computes nothing';
const ESCAPES = { '\\': '\\', "'": "'", '"': '"', a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/**
 * Reads the text of a Python expression as ast.literal_eval of Python 3 does. It accepts what that accepts and refuses
 * the rest; the exception is \N{…}, for Node has no table of the characters' names.
 *
 * An integer becomes a Number, or a BigInt where a Number cannot hold it; bytes a Buffer; None null; ... undefined; tuples
 * and lists arrays; sets a Set; a dict an object if all its keys are strings, otherwise a Map; 1+2j {real: 1, imag: 2}.
 */
class Literal {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.depth = 0;
    this.kind = '';              // of the value that was read last: number, signed, imaginary, string, bytes, hashable, mutable, name
    this.whole = false;          // the number that was read last is an integer
  }

  static read(text) {
    let end = text.length;
    while (end > 0 && ' \t\f\r\n'.includes(text[end - 1])) end--;
    const literal = new Literal(text.slice(0, end));
    const elements = literal.list('');
    if (!elements.comma && elements.length === 0) literal.fail('there is nothing here');
    return elements.comma ? literal.plain(elements) : literal.plain(elements)[0];
  }

  fail(message) {
    const before = this.text.slice(0, this.at).split(/\r\n|\r|\n/);
    throw new SyntaxError('line ' + before.length + ', column ' + (before[before.length - 1].length + 1) + ': ' + message);
  }

  /** Passes over white space, comments and joined lines; says whether a line has ended. */
  skip() {
    const space = this.depth ? /(?:[ \t\f\r\n]|#[^\r\n\0]*|\\(?:\r\n|\r|\n)(?!$))*/y : /(?:[ \t\f]|#[^\r\n\0]*|\\(?:\r\n|\r|\n)(?!$))*/y;
    space.lastIndex = this.at;
    space.exec(this.text);
    this.at = space.lastIndex;
  }

  /** Elements until `closer`, "" for the end of the text. Its property comma says whether there was one. */
  list(closer) {
    const elements = [];
    elements.comma = elements.mutable = elements.named = false;
    if (!closer) {
      const before = /(?:[ \t\f\r\n]|#[^\r\n\0]*)*/y;
      before.exec(this.text);
      this.at = before.lastIndex;
    }
    for (;;) {
      this.skip();
      if (this.ended(closer)) return elements;
      elements.push(this.value());
      elements.mutable = elements.mutable || this.kind === 'mutable';
      elements.named = elements.named || this.kind === 'name';
      this.skip();
      if (this.text[this.at] !== ',') {
        if (!this.ended(closer)) this.fail('a comma is missing');
        return elements;
      }
      elements.comma = true;
      this.at++;
    }
  }

  /** The elements as an array and no more. */
  plain(elements) {
    if (elements.named) this.fail('set is a name, and an empty set is written set()');
    return elements.slice();
  }

  ended(closer) {
    if (closer) {
      if (this.text[this.at] !== closer) return false;
      this.at++;
      return true;
    }
    return /^(?:[ \t\f\r\n]|#[^\r\n\0]*)*$/.test(this.text.slice(this.at));
  }

  open() {
    if (++this.depth > MOST_NESTED) this.fail('more than ' + MOST_NESTED + ' brackets are open');
    this.at++;
  }

  /** A value with its sign, or a sum that is a complex number. */
  value() {
    let left = this.signed();
    this.skip();
    const sign = this.text[this.at];
    if (sign !== '+' && sign !== '-') return left;
    if (this.kind !== 'number' && this.kind !== 'signed') this.fail(COMPUTES);
    this.at++;
    this.skip();
    if (this.text[this.at] === '+' || this.text[this.at] === '-') this.fail('one sign before a number is enough');
    const right = this.atom();
    if (this.kind !== 'imaginary') this.fail(COMPUTES);
    this.skip();
    if (this.text[this.at] === '+' || this.text[this.at] === '-') this.fail(COMPUTES);
    this.kind = 'hashable';
    left = Number(left);
    return { real: left, imag: sign === '-' ? -right.imag : right.imag };
  }

  signed() {
    const sign = this.text[this.at];
    if (sign !== '+' && sign !== '-') return this.atom();
    this.at++;
    this.skip();
    const value = this.atom();
    if (this.kind !== 'number' && this.kind !== 'imaginary') this.fail('a sign stands before a number only');
    if (this.kind === 'imaginary') {
      this.kind = 'hashable';
      return sign === '-' ? { real: -0, imag: -value.imag } : value;
    }
    this.kind = 'signed';
    if (sign === '-' && value === 0 && this.whole) return 0;   // only floats have a negative zero
    return sign === '-' ? -value : value;
  }

  atom() {
    const value = this.primary();
    if (this.kind !== 'name') return value;
    this.skip();
    return this.text[this.at] === '(' ? this.emptySet() : value;
  }

  primary() {
    const char = this.text[this.at];
    switch (char) {
      case '(': return this.parenthesis();
      case '[': return this.bracket();
      case '{': return this.brace();
      case undefined: this.fail('a value is missing'); break;
      case '"': case "'": return this.strings();
    }
    if (/[0-9]/.test(char) || char === '.' && /[0-9]/.test(this.text[this.at + 1] || '')) return this.number();
    if (this.text.startsWith('...', this.at)) {
      this.at += 3;
      this.kind = 'hashable';
      return undefined;
    }
    const name = /[A-Za-z_\u0080-\uffff][A-Za-z_0-9\u0080-\uffff]*/y;
    name.lastIndex = this.at;
    const found = name.exec(this.text);
    if (!found) this.fail(stringify(char) + ' has no place here');
    if (/["']/.test(this.text[name.lastIndex] || '')) return this.strings();
    this.at = name.lastIndex;
    this.kind = 'hashable';
    switch (found[0]) {
      case 'None': return null;
      case 'True': return true;
      case 'False': return false;
      case 'set': this.kind = 'name'; return null;     // only set() is a value
    }
    return this.fail(found[0] + ' is a name, and a literal holds values only');
  }

  parenthesis() {
    this.open();
    const elements = this.list(')');
    this.depth--;
    if (elements.length === 1 && !elements.comma) return elements[0];   // the kind is its own
    this.kind = elements.mutable ? 'mutable' : 'hashable';
    return this.plain(elements);
  }

  bracket() {
    this.open();
    const elements = this.list(']');
    this.depth--;
    this.kind = 'mutable';
    return this.plain(elements);
  }

  emptySet() {
    const called = /\((?:[ \t\f\r\n]|#[^\r\n\0]*|\\(?:\r\n|\r|\n))*\)/y;
    called.lastIndex = this.at;
    if (!called.test(this.text)) this.fail('only an empty set is written set()');
    this.at = called.lastIndex;
    this.kind = 'mutable';
    return new Set();
  }

  brace() {
    this.open();
    const keys = [], values = [], positions = new Map();
    let pairs = null;
    for (;;) {
      this.skip();
      if (this.text[this.at] === '}' ) break;
      const key = this.value();
      if (this.kind === 'mutable' || this.kind === 'name') this.fail('a list, set or dict can be neither in a set nor a key');
      this.skip();
      const colon = this.text[this.at] === ':';
      if (pairs !== null && pairs !== colon) this.fail('a dict needs a colon and a value after each key, and a set none');
      pairs = colon;
      const same = identity(key);
      let position = positions.get(same);
      if (position === undefined) {
        position = keys.length;
        positions.set(same, position);
        keys.push(key);
      }
      if (colon) {
        this.at++;
        this.skip();
        values[position] = this.value();
        if (this.kind === 'name') this.fail('set is a name, and an empty set is written set()');
        this.skip();
      }
      if (this.text[this.at] === ',') this.at++;
      else if (this.text[this.at] !== '}') this.fail('a comma is missing');
    }
    this.at++;
    this.depth--;
    this.kind = 'mutable';
    if (pairs === false) return new Set(keys);
    if (keys.some((key) => typeof key !== 'string')) return new Map(keys.map((key, i) => [key, values[i]]));
    const result = {};
    keys.forEach((key, i) => Object.defineProperty(result, key,
      { value: values[i], configurable: true, enumerable: true, writable: true }));   // __proto__ is a key like any other
    return result;
  }

  number() {
    const start = this.at;
    const word = /0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+|(?:\d+(?:_\d+)*)?(\.(?:\d+(?:_\d+)*)?)?([eE][-+]?\d+(?:_\d+)*)?([jJ])?/y;
    word.lastIndex = start;
    const found = word.exec(this.text), plain = found[0].replace(/_/g, '');
    this.at = word.lastIndex;
    if (/[A-Za-z_0-9\u0080-\uffff]/.test(this.text[this.at] || '')) this.fail('a number is not written like this');
    if (found[3]) {
      this.kind = 'imaginary';
      return { real: 0, imag: Number(plain.slice(0, -1)) };
    }
    this.kind = 'number';
    this.whole = found[1] === undefined && found[2] === undefined;
    if (!this.whole) return Number(plain);
    if (/^0+[1-9]/.test(plain)) this.fail("an integer can't begin with 0");
    const value = Number(plain);
    return BigInteger && !Number.isSafeInteger(value) ? BigInteger(plain) : value;
  }

  /** A string and those that directly follow it, which Python joins. */
  strings() {
    const texts = [];
    let kind = null;
    for (;;) {
      const text = this.string();
      if (kind !== null && kind !== this.kind) this.fail("bytes and text can't be joined");
      kind = this.kind;
      texts.push(text);
      this.skip();
      if (!/^[A-Za-z]{0,2}["']/.test(this.text.slice(this.at, this.at + 3))) break;
    }
    this.kind = 'hashable';
    return kind === 'bytes' ? bufferFrom(texts.join(''), 'latin1') : texts.join('');
  }

  /** One string; of bytes, each is a character. */
  string() {
    const prefix = /[A-Za-z_0-9\u0080-\uffff]*/y;
    prefix.lastIndex = this.at;
    const letters = prefix.exec(this.text)[0].toLowerCase();
    if (!/^(?:u?|r|b|br|rb)$/.test(letters)) this.fail('a string has no prefix ' + letters);
    const raw = letters.includes('r'), bytes = letters.includes('b');
    this.at = prefix.lastIndex;
    let closer = this.text[this.at];
    if (this.text.startsWith(closer.repeat(3), this.at)) closer = closer.repeat(3);
    this.at += closer.length;
    const parts = [], plain = bytes ? /[^\\'"\r\n\0\u0080-\uffff]+/y : /[^\\'"\r\n\0]+/y;
    while (!this.text.startsWith(closer, this.at)) {
      plain.lastIndex = this.at;
      const run = plain.exec(this.text), char = this.text[this.at];
      if (run) {
        parts.push(run[0]);
        this.at = plain.lastIndex;
      } else if (char === '\\') {
        parts.push(this.escape(raw, bytes));
      } else if (char === '"' || char === "'") {
        parts.push(char);
        this.at++;
      } else if ((char === '\r' || char === '\n') && closer.length === 3) {
        parts.push('\n');
        this.at += this.text.startsWith('\r\n', this.at) ? 2 : 1;
      } else {
        this.fail(char === undefined || char === '\r' || char === '\n' ? 'a string has no end' : 'a string cannot hold this character');
      }
    }
    this.at += closer.length;
    this.kind = bytes ? 'bytes' : 'string';
    return parts.join('');
  }

  /** A backslash and what belongs to it. An escape that Python does not know stands for itself. */
  escape(raw, bytes) {
    const start = this.at, char = this.text[start + 1];
    if (char === '\r' || char === '\n') {
      this.at += this.text.startsWith('\r\n', start + 1) ? 3 : 2;
      return raw ? '\\\n' : '';
    }
    if (char === undefined || char === '\0' || bytes && char > '\x7f') {
      this.at++;
      return '\\';               // what follows is refused by the caller
    }
    this.at += 2;
    if (raw) return '\\' + char;
    if (ESCAPES[char] !== undefined) return ESCAPES[char];
    if (/[0-7]/.test(char)) {
      const octal = /[0-7]{1,3}/y;
      octal.lastIndex = start + 1;
      const code = parseInt(octal.exec(this.text)[0], 8);
      this.at = octal.lastIndex;
      return String.fromCharCode(bytes ? code & 0xff : code);
    }
    const digits = char === 'x' ? 2 : bytes ? 0 : char === 'u' ? 4 : char === 'U' ? 8 : 0;
    if (digits) {
      const text = this.text.slice(this.at, this.at + digits);
      if (text.length < digits || /[^0-9a-fA-F]/.test(text) || parseInt(text, 16) > 0x10ffff) this.fail('\\' + char + ' needs ' + digits + ' hexadecimal digits of a character');
      this.at += digits;
      return String.fromCodePoint(parseInt(text, 16));
    }
    if (char === 'N' && !bytes) this.fail('\\N{...} names a character, and Node knows no names of characters: write it as \\u and its number');
    return '\\' + char;
  }
}

/** A text that is the same for two values that are equal, and so one key, in Python: 1, 1.0 and True are. */
function identity(value) {
  switch (typeof value) {
    case 'string': return 's' + value;
    case 'boolean': return 'n' + Number(value);
    case 'bigint': return 'n' + value;
    case 'number': return 'n' + (BigInteger && Number.isInteger(value) ? BigInteger(value) : value + 0);
    case 'undefined': return 'e';
  }
  if (value === null) return 'z';
  if (Buffer.isBuffer(value)) return 'b' + value.toString('latin1');
  if (Array.isArray(value)) return '(' + value.map((element) => identity(element)).map((text) => text.length + ':' + text).join('');
  return value.imag === 0 ? identity(value.real) : 'c' + (value.real + 0) + ',' + value.imag;
}

/** An input as the array that the handler is called with. */
function readInput(isLiteral, text) {
  const value = isLiteral ? Literal.read(text) : parseJSON(text);
  return Array.isArray(value) ? value : [value];
}

// ---------------------------------------------------------------------------------------------------------------------
// 3  Results

const DEEPEST = 9000;            // levels of a result: readers of JSON give up at 10,000
const LOST = new Set(['Map', 'Set', 'WeakMap', 'WeakSet', 'Promise', 'Error', 'RegExp', 'ArrayBuffer', 'SharedArrayBuffer',
  'DataView', 'Function', 'Symbol'].map((name) => '[object ' + name + ']'));
const tagOf = Object.prototype.toString;
const UNSAYABLE = new Error('JSON cannot say it');
const WHOLE = { depth: null, maxArrayLength: null, maxStringLength: null, breakLength: Infinity, compact: true };

function tooLarge(message) {
  const error = new RangeError(message);
  error.name = 'ResultTooLarge';
  error.stack = '';
  return error;
}

/** The value as JSON if that loses nothing, with integers of any size; null otherwise. */
function asJSON(value) {
  let big = false, json;
  try {
    json = stringify(value, (_, part) => {
      switch (typeof part) {
        case 'number':
          if (part - part !== 0) throw UNSAYABLE;   // NaN or infinite
          break;
        case 'bigint': big = true; return BIG + part;
        case 'function': case 'symbol': throw UNSAYABLE;
        case 'object':
          if (part !== null && LOST.has(apply(tagOf, part, []))) throw UNSAYABLE;
      }
      return part;
    });
  } catch (error) {
    return null;                 // circular, too deep, a toJSON that throws
  }
  if (json === undefined) return null;
  if (big) json = json.replace(new RegExp(stringify(BIG).slice(0, -1).replace('\\', '\\\\') + '(-?\\d+)"', 'g'), '$1');
  return json.length > 2 * DEEPEST && depthOf(json) > DEEPEST ? null : wellFormed(json);
}

function depthOf(json) {
  let depth = 0, deepest = 0;
  for (let at = 0; at < json.length; at++) {
    switch (json.charCodeAt(at)) {
      case 0x22: at = afterString(json, at) - 1; break;
      case 0x5b: case 0x7b: deepest = Math.max(deepest, ++depth); break;
      case 0x5d: case 0x7d: depth--;
    }
  }
  return deepest;
}

/** The value as text, all of it unless it is nested so deeply that Node gives up. */
function shown(value) {
  try {
    return inspect(value, WHOLE);
  } catch (error) {
    if (!(error instanceof RangeErrorOfNode)) throw error;
    return inspect(value, { breakLength: Infinity });
  }
}

/** The fields result and resultText of a value, within the limit. */
function encoded(value, limit) {
  let json = null, text = null;
  switch (typeof value) {
    case 'string': json = quote(value); break;
    case 'boolean': case 'bigint': json = textOf(value); break;
    case 'number':
      if (value - value === 0) json = stringify(value);
      else text = textOf(value);
      break;
    case 'undefined': json = 'null'; text = 'undefined'; break;
    default:
      json = value === null ? 'null' : asJSON(value);
      if (json === null) text = shown(value);
  }
  if (text !== null) text = quote(text);
  for (const part of [json, text]) {
    if (part !== null && part.length * 3 > limit && Buffer.byteLength(part) > limit) {
      throw tooLarge('the result takes ' + Buffer.byteLength(part) + ' bytes and may take ' + limit +
        ': return less, or put it where a reference to it can be returned');
    }
  }
  return (json === null ? '' : '"result":' + json + ',') + (text === null ? '' : '"resultText":' + text + ',');
}

// ---------------------------------------------------------------------------------------------------------------------
// 4  The child

/** The exit status, or what else was thrown, in words: the error of an outcome. */
function describe(thrown, folder) {
  let type = typeof thrown, message, trace = null;
  try {
    if (thrown !== null && type === 'object' || type === 'function') {
      const maker = thrown.constructor;
      type = typeof thrown.name === 'string' && thrown.name ? thrown.name : maker && maker.name || 'Object';
      if (typeof thrown.stack === 'string') {
        trace = ownFrames(thrown, folder);
        message = textOf(thrown.message);
      }
    } else if (thrown === null) {
      type = 'null';
    }
  } catch (error) {
    message = '<the message of the exception cannot be shown>';
  }
  if (message === undefined) {
    try {
      message = typeof thrown === 'string' ? thrown : inspect(thrown);
      trace = 'Uncaught ' + inspect(thrown);
    } catch (error) {
      message = '<what was thrown cannot be shown>';
    }
  }
  if (trace === null) trace = type + ': ' + message;
  return errorObject(textOf(type), message, trace ? trace + '\n' : '');
}

/** The stack without the frames of this file and of Node's own modules, and with those of what caused it. */
function ownFrames(error, folder) {
  const parts = [];
  for (let seen = 0; error && typeof error.stack === 'string' && seen < 10; seen++) {
    const lines = error.stack.split('\n').filter((line) => !/^ {4}at /.test(line) ||
      !line.includes(RUNNER) && !/[( ](?:node:)?(?:internal\/|(?:module|vm|timers|events|next_tick|bootstrap_node|domain|net|fs)\.js:|<anonymous>\)?$)/.test(line));
    parts.push((seen ? 'Caused by: ' : '') + lines.join('\n').split(folder + path.sep).join(''));
    error = error.cause;
  }
  return parts.join('\n');
}

/** A stream as process.stdout is one, but for its writing at once whatever is behind the descriptor. */
class Printer extends stream.Writable {
  constructor(fd) {
    super({ decodeStrings: true });
    this.fd = fd;
    this._type = 'fs';
  }

  _write(chunk, encoding, done) {
    try {
      writeAll(this.fd, chunk);
    } catch (error) {
      Printer.failed = true;     // the handler closed it: look at the descriptors
    }
    done();
  }
}
Printer.failed = false;

/** The process that runs the user's code. */
class Child {
  constructor(file) {
    this.file = file;
    this.folder = path.dirname(file);
    [this.claims, this.result, this.control, this.out, this.err] = [3, 4, 5, 6, 7];
    this.record = Buffer.alloc(CLAIM);
    this.limit = LIMITS.resultBytes;
    this.mark = Buffer.alloc(0);
    this.batch = new Map();
    this.unread = Buffer.alloc(0);     // of the control socket, not whole yet
    this.parts = null;
    this.together = 1;                 // how many inputs one call of the handler gets
    this.current = null;               // the input that executes, or the call that has many
    this.number = -1;                  // claimed, and its input has not arrived yet
    this.numbers = null;               // the same of a call with many
    this.flagged = false;              // the supervisor wants to know when it begins
    this.state = 'loading';            // loading, idle, starting, busy, over
    this.unannounced = 0;              // outcomes in the result socket that the supervisor was not told of
    this.count = 0;
    this.streams = null;
  }

  run() {
    this.receive();
    try {
      fs.writeFileSync('/proc/self/oom_score_adj', '1000');
    } catch (error) {
      // It may be forbidden; then the kernel chooses.
    }
    this.openStreams();
    this.inodes = [fstatSync(this.out).ino, fstatSync(this.err).ino];
    process.on('uncaughtException', (error) => this.uncaught('uncaughtException', error));
    process.on('unhandledRejection', (error) => this.uncaught('unhandledRejection', error));
    process.on('beforeExit', () => this.neverSettles());
    this.loop = new net.Socket({ fd: this.control, readable: true, writable: true, allowHalfOpen: true });
    this.exit = process.exit.bind(process);
    this.finish = reallyExit.bind(process);
    const handler = this.load();
    immediately(() => {                // what the module left to be done at once comes first
      if (this.state !== 'loading') return;
      this.handler = handler;
      this.remember();
      this.markOutput();
      this.report('>\n');
      this.poke();
      this.state = 'idle';
      this.loop.on('data', (data) => this.heard(data));
      this.loop.on('end', () => this.exit(0));    // nothing is left to be done, or the supervisor is gone
      this.loop.on('error', () => this.finish(0));
      this.resume();
    });
  }

  // -- loading

  openStreams() {
    const old = parseInt(process.versions.node, 10) < 10;
    for (const name of old ? ['stdout', 'stderr'] : []) {
      // Node 8 has opened them already, and nothing may be lost of what is written past our streams.
      if (process[name]._handle && process[name]._handle.setBlocking) process[name]._handle.setBlocking(true);
    }
    for (const [name, fd] of [['stdout', 1], ['stderr', 2]]) this.setStream(name, new Printer(fd));
    if (old) {                         // and bound its console to them
      Object.defineProperty(global, 'console', { value: new console.Console(process.stdout, process.stderr), configurable: true, writable: true, enumerable: false });
    }
  }

  setStream(name, value) {
    Object.defineProperty(process, name, { value, configurable: true, enumerable: true, writable: true });
  }

  load() {
    process.argv = [process.execPath, this.file];
    const module = new Module(this.file, null);
    module.filename = this.file;
    // Where a package manager puts what an image offers to all: at its working directory, and globally.
    module.paths = Module._nodeModulePaths(this.folder).concat(Module._nodeModulePaths(process.cwd()),
      path.join(path.dirname(process.execPath), '..', 'lib', 'node_modules'));
    Module._cache[this.file] = Module._cache[fs.realpathSync(this.file)] = module;   // a ConfigMap is mounted by links
    let found;
    // Appended, so that lines keep their numbers. A hook and not a variable of the module, whose names are the user's.
    const hook = '__sharedcloud_' + crypto.randomBytes(8).toString('hex');
    Object.defineProperty(global, hook, { value: (value) => { found = value; }, configurable: true });
    try {
      const code = fs.readFileSync(this.file, 'utf8').replace(/^\ufeff/, '');
      module._compile(code + '\n;' + hook + '(typeof handler === "undefined" ? undefined : handler);', this.file);
      module.loaded = true;
    } catch (error) {
      this.refuse(describe(error, this.folder));
    }
    delete global[hook];
    const exported = module.exports;
    if (typeof found !== 'function' && exported) {
      if (typeof exported.handler === 'function') found = exported.handler;
      else if (typeof exported === 'function') found = exported;
      else if (exported.handler !== undefined) found = exported.handler;
    }
    if (found === undefined) this.refuse(errorObject('HandlerMissing', SIGNATURE + ': there is no handler in it'));
    if (typeof found !== 'function') {
      this.refuse(errorObject('HandlerNotCallable', SIGNATURE + ': its handler is of the type ' + typeof found + ', which cannot be called'));
    }
    return found;
  }

  refuse(error) {
    this.state = 'over';
    this.show(error);
    this.report('<' + errorJSON(error) + '\n');
    this.poke();
    reallyExit.call(process, 1);
  }

  /** Writes an error to stderr as an interpreter would. */
  show(error) {
    try {
      writeAll(2, bufferFrom(error.traceback || error.type + ': ' + error.message + '\n'));
    } catch (failure) {
      Printer.failed = true;
    }
  }

  // -- the loop

  heard(data) {
    this.push(data);
    this.resume();
  }

  /** Goes on where something was missing: a claim, or the input of one. */
  resume() {
    try {
      if (this.state === 'idle') this.next();
      else if (this.state === 'starting') this.begin();
    } catch (error) {
      this.lost(error);
    }
  }

  /** Claims an input; false where there is none, or the supervisor took it back. */
  claim() {
    const size = readSome(this.claims, this.record);
    if (size < 0) return false;
    if (size !== CLAIM) this.lost(null);
    this.number = this.record.readUInt32LE(0);
    this.flagged = this.record[4] !== 0;
    return true;
  }

  next() {
    if (!this.claim()) return;
    this.report('*\n');
    if (this.flagged) this.poke();
    this.begin();
  }

  /** Runs the handler for the input that was claimed. */
  begin() {
    if (!this.batch.has(this.number)) this.receive();
    const item = this.batch.get(this.number);
    this.state = item ? 'busy' : 'starting';
    if (!item) return;
    if (this.together > 1) {
      this.beginMany();
      return;
    }
    this.batch.delete(this.number);
    const input = { index: item[0], started: wall(), before: hrtime(), spent: null, outcome: null, error: null, waits: false, many: null };
    this.current = input;
    let event;
    try {
      event = readInput(item[1], item[2]);
    } catch (error) {
      this.fail(input, error);
      return;
    }
    this.invoke(input, event);
  }

  /** Runs the handler for the input that was claimed and those that can be claimed with it. */
  beginMany() {
    if (this.numbers === null) {
      const records = Buffer.alloc(CLAIM * (this.together - 1)), size = readSome(this.claims, records);
      this.numbers = [this.number];
      for (let at = 0; at + CLAIM <= size; at += CLAIM) this.numbers.push(records.readUInt32LE(at));
      this.report('*' + this.numbers.length + '\n');
      this.poke();
    }
    const arrived = () => this.numbers.every((number) => this.batch.has(number));
    if (!arrived()) this.receive();
    this.state = arrived() ? 'busy' : 'starting';
    if (this.state === 'starting') return;
    const call = { index: -1, started: wall(), before: hrtime(), spent: null, outcome: null, error: null, waits: false, many: [] };
    this.current = call;
    const events = [];
    for (const number of this.numbers) {
      const item = this.batch.get(number), part = { index: item[0], unread: false, outcome: null, error: null };
      this.batch.delete(number);
      call.many.push(part);
      try {
        events.push(readInput(item[1], item[2]));
      } catch (error) {
        part.unread = true;            // it fails alone, and the handler does not get it
        part.error = describe(error, this.folder);
      }
    }
    this.numbers = null;
    if (events.length) this.invoke(call, events);
    else this.succeed(call, events);
  }

  /** Calls the handler, and waits for what it promises. */
  invoke(input, event) {
    let value, settled = true;
    try {
      input.before = hrtime();
      const handler = this.handler;    // not a method of ours
      value = handler(event);
      if (value !== null && (typeof value === 'object' || typeof value === 'function')) {
        const then = value.then;
        if (typeof then === 'function') {
          settled = false;
          input.waits = true;
          this.loop.unref();           // so that Node says when nothing is left to be waited for
          const promise = new PromiseOfNode((resolve, reject) => apply(then, value, [resolve, reject]));
          apply(promiseThen, promise, [(result) => this.succeed(input, result), (error) => this.fail(input, error)]);
        }
      }
    } catch (error) {
      this.fail(input, error);
      return;
    }
    if (settled) this.succeed(input, value);
  }

  succeed(input, value) {
    if (input.outcome !== null) return;
    input.spent = hrtime(input.before);
    try {
      if (input.many === null) input.outcome = '"status":"Succeeded",' + encoded(value, this.limit);
      else this.succeedEach(input, value);
    } catch (error) {
      this.fail(input, error);
      return;
    }
    this.settle(input);
  }

  /** The results of a call with many. An Error in place of a result is that input's alone. */
  succeedEach(call, values) {
    const parts = call.many.filter((part) => !part.unread), listed = isArray(values) || isView(values) && typeof values.length === 'number';
    if (!listed || values.length !== parts.length) {
      let kind = typeof values;
      if (values === null || kind === 'undefined') kind = textOf(values);
      else if (isArray(values)) kind = 'an array';
      else if (kind === 'object') kind = values.constructor && values.constructor.name || 'Object';
      throw new TypeErrorOfNode('with batchSize, handler(events) returns an array with one result for each of its ' + parts.length +
        ' events, and not ' + kind + (listed ? ' of ' + values.length : ''));
    }
    parts.forEach((part, i) => {
      try {
        const value = values[i];
        if (value instanceof ErrorOfNode || apply(tagOf, value, []) === '[object Error]') throw value;
        if (value && typeof value.then === 'function') {
          throw new TypeErrorOfNode('a promise is in place of a result: with batchSize, return Promise.all(...) of them');
        }
        part.outcome = '"status":"Succeeded",' + encoded(value, this.limit);
      } catch (error) {
        part.error = describe(error, this.folder);
      }
    });
    call.outcome = '';
  }

  fail(input, error) {
    if (input.outcome !== null) return;
    input.spent = input.spent || hrtime(input.before);
    input.outcome = '"status":"Failed",';
    input.error = describe(error, this.folder);
    this.settle(input);
  }

  /** One turn later: what the handler left to be done at once, rejections above all, belongs to its input. */
  settle(input) {
    if (input.waits) this.loop.ref();
    immediately(() => {
      try {
        this.conclude(input);
      } catch (error) {
        this.lost(error);
      }
    });
  }

  /** The end of an input, and the beginning of the next one. */
  conclude(input) {
    if (this.current !== input) return;
    this.current = null;
    const spent = Math.floor(input.spent[0] * 1e6 + input.spent[1] / 1e3);
    if (input.error !== null) {
      this.show(input.error);
      input.outcome = '"status":"Failed","error":' + errorJSON(input.error) + ',';
    }
    this.mendStreams();
    // Looking costs as much as a trivial input takes; whoever closes a stream takes longer, or prints in vain.
    const looks = spent > 9 || Printer.failed || ++this.count % 16 === 0;
    const over = this.state === 'over' || looks && this.damaged();
    if (input.many !== null) this.showEach(input);
    this.markOutput();
    const line = input.many === null ? this.line(input, input.index, input.outcome, spent) : this.reportMany(input, spent);
    if (over) {
      this.state = 'over';             // the supervisor replaces this process
      this.report('!' + line);
      this.poke();
      return;
    }
    const more = this.claim();
    this.report(more ? line + '*\n' : line);
    this.unannounced++;
    if (!more || this.flagged || this.unannounced >= 64) this.poke();
    this.state = 'idle';
    if (more) this.begin();
  }

  line(input, index, outcome, spent) {
    return '{"index":' + index + ',' + outcome + '"startTime":' + input.started * 1000 + ',"durationMicros":' + spent + '}\n';
  }

  /** The outcomes of a call with many: what failed it failed each of them. */
  showEach(call) {
    for (const part of call.many) {
      if (call.error !== null && !part.unread) {
        part.outcome = call.outcome;
      } else if (part.error !== null) {
        this.show(part.error);
        part.outcome = '"status":"Failed","error":' + errorJSON(part.error) + ',';
      }
    }
  }

  /** Reports the outcomes of a call with many but for the last, whose line it returns. */
  reportMany(call, spent) {
    const each = Math.floor(spent / call.many.length);
    let line = '';
    call.many.forEach((part, i) => {
      if (i) this.report(line);
      line = (i ? ',' : '') + this.line(call, part.index, part.outcome, each);
      part.outcome = null;             // it may be large
    });
    return line;
  }

  uncaught(name, error) {
    if (process.listenerCount(name) > 1) return;     // the module has one of its own, and then it is caught
    if (this.state === 'loading') this.refuse(describe(error, this.folder));
    const input = this.current;
    if (input !== null) {
      this.state = 'over';
      input.error = describe(error, this.folder);
      if (input.outcome !== null) return;            // it is about to be concluded
      this.fail(input, error);
    } else if (this.state !== 'over') {
      this.state = 'over';
      const described = describe(error, this.folder);
      this.show(described);
      this.report('~' + quote(described.type + ': ' + described.message) + '\n');
      this.poke();
    }
  }

  neverSettles() {
    const input = this.current;
    if (input === null || input.outcome !== null) return;
    const error = new Error('the promise that the handler returned can never settle: nothing is left that could settle it');
    error.name = 'NeverSettled';
    error.stack = '';
    this.fail(input, error);
  }

  // -- messages

  /** Reads all that has come from the supervisor. */
  receive() {
    const buffer = Buffer.allocUnsafe(64 << 10);
    for (;;) {
      const size = readSome(this.control, buffer);
      if (size === 0) reallyExit.call(process, 0);   // the supervisor is gone
      if (size < 0) return;
      this.push(bufferFrom(buffer.slice(0, size)));
    }
  }

  push(data) {
    if (this.parts !== null) {
      this.parts.push(data);
      this.have += data.length;
      if (this.have < this.needed) return;
      data = Buffer.concat(this.parts);
      this.parts = null;
    }
    let at = 0;
    while (data.length - at >= 4) {
      const size = data.readUInt32LE(at);
      if (data.length - at - 4 < size) break;
      this.take(parse(data.toString('utf8', at + 4, at + 4 + size)));
      at += 4 + size;
    }
    const rest = data.slice(at);
    if (rest.length) {
      this.parts = [rest];
      this.have = rest.length;
      this.needed = rest.length < 4 ? 4 : 4 + rest.readUInt32LE(0);
    }
  }

  take(message) {
    if (message.mark) this.mark = bufferFrom(message.mark, 'hex');
    this.limit = message.limit;
    this.together = message.together || 1;
    if (!message.items) return;
    // The supervisor may have taken back what an earlier batch brought.
    for (const number of this.batch.keys()) {
      if (number >= message.first - MOST_CLAIMS) break;
      this.batch.delete(number);
    }
    message.items.forEach((item, i) => this.batch.set(message.first + i, item));
  }

  /** Writes a line, and says so before one that is longer than the socket may hold. */
  report(line) {
    const data = bufferFrom(line, 'utf8');
    if (data.length <= 32 << 10) {
      writeAll(this.result, data);
      return;
    }
    writeAll(this.result, data.slice(0, 4096));
    this.poke();
    writeAll(this.result, data.slice(4096));
  }

  /** Tells the supervisor to look. */
  poke() {
    this.unannounced = 0;
    try {
      writeSync(this.control, '!');
    } catch (error) {
      if (error.code !== 'EAGAIN') this.lost(error);   // it has not heard the earlier ones yet, and will look
    }
  }

  lost(error) {
    const gone = error && (error.code === 'EPIPE' || error.code === 'ECONNRESET');
    if (error && !gone && error.code !== 'EBADF') {
      try {
        writeAll(2, bufferFrom('sharedcloud: ' + (error.stack || error) + '\n'));
      } catch (failure) {
        // There is nobody to be told.
      }
    }
    reallyExit.call(process, gone ? 0 : DESCRIPTORS_LOST);
  }

  // -- output

  markOutput() {
    writeAll(this.out, this.mark);
    writeAll(this.err, this.mark);
  }

  /** Notes what the module made of the streams: that stays. */
  remember() {
    this.streams = ['stdout', 'stderr'].map((name) => ({ name, value: process[name], write: process[name].write }));
    this.console = global.console;
    this.methods = ['log', 'info', 'debug', 'warn', 'error'].map((name) => [name, this.console[name]]);
  }

  /** Puts back what a handler replaced or ended. */
  mendStreams() {
    for (const kept of this.streams) {
      const state = kept.value._writableState;
      if (state && (state.ending || state.destroyed) && kept.value instanceof Printer) {
        kept.value = new Printer(kept.value.fd);
        kept.write = kept.value.write;
        this.setStream(kept.name, kept.value);
      }
      if (process[kept.name] !== kept.value) this.setStream(kept.name, kept.value);
      if (kept.value.write !== kept.write) kept.value.write = kept.write;
    }
    if (global.console !== this.console) Object.defineProperty(global, 'console', { value: this.console, configurable: true, writable: true, enumerable: false });
    for (const method of this.methods) if (this.console[method[0]] !== method[1]) this.console[method[0]] = method[1];
  }

  /** Whether something else is where the streams were: Node cannot put them back. */
  damaged() {
    try {
      return fstatSync(1).ino !== this.inodes[0] || fstatSync(2).ino !== this.inodes[1];
    } catch (error) {
      return true;
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// 5  Output

/** The last bytes of one stream of one input. Holds the limit and one chunk at most. */
class Tail {
  constructor() {
    this.parts = [];
    this.kept = this.total = 0;
  }

  add(data, limit) {
    this.parts.push(data);
    this.kept += data.length;
    this.total += data.length;
    while (this.parts.length && this.kept - this.parts[0].length >= limit) this.kept -= this.parts.shift().length;
    // Many small pieces would weigh more than what is in them.
    if (this.parts.length > 256) this.parts = [Buffer.concat(this.parts)];
  }

  /** What came after the first `known` bytes, `most` bytes of it at most: [number of the first byte, the end of it]. */
  since(known, most) {
    const data = Buffer.concat(this.parts), size = Math.min(this.total - known, most, data.length);
    return [this.total - size, data.slice(data.length - size)];
  }

  /** The fields that say what is kept, and how much before it is not. */
  fields(name, limit) {
    if (!this.total) return '';
    let data = this.parts.length === 1 ? this.parts[0] : Buffer.concat(this.parts);
    data = data.slice(Math.max(0, data.length - limit));
    const dropped = this.total - data.length;
    return (data.length ? ',"' + name + '":"' + data.toString('base64') + '"' : '') + (dropped ? ',"' + name + 'Dropped":' + dropped : '');
  }
}

/** The container's own stream. Never blocks: nobody may be reading it. */
class Live {
  constructor(target) {
    this.target = target;
    this.parts = [];
    this.pending = this.lost = 0;
    this.writing = false;
    target.on('error', () => {
      this.target = null;
      this.parts = [];
      this.pending = 0;
    });
  }

  write(data) {
    if (this.target === null) return;
    if (this.pending > Live.MOST) {
      this.lost += data.length;
      return;
    }
    this.parts.push(data);
    this.pending += data.length;
    this.flush();
  }

  flush() {
    if (this.writing || !this.parts.length) return;
    const data = this.parts.length === 1 ? this.parts[0] : Buffer.concat(this.parts);
    this.parts = [];
    this.writing = true;
    this.target.write(data, () => {
      this.writing = false;
      this.pending -= data.length;
      if (this.lost && !this.parts.length && this.target) {
        const mark = Buffer.from('\n[sharedcloud: ' + this.lost + ' bytes of output were left out here: nobody read them in time]\n');
        this.parts.push(mark);
        this.pending += mark.length;
        this.lost = 0;
      }
      this.flush();
    });
  }
}
Live.MOST = 1 << 20;

/** One of the supervisor's ends: read at once when asked to, and watched by the event loop only where that is wanted. */
class Ear {
  constructor(socket, heard) {
    this.socket = socket;
    this.handle = socket._handle;
    this.fd = this.handle.fd;
    this.heard = heard;          // takes what was read
    this.watched = this.closed = false;
    // The stream flows and believes that it reads; whether it does is decided at its handle. So nothing is ever kept in
    // the stream, and what is read here comes after all that was heard there.
    this.handle.reading = true;
    socket.on('data', (data) => heard(data));
    socket.resume();
    socket.on('end', () => { this.closed = true; });
    socket.on('error', () => { this.closed = true; });
  }

  watch(on) {
    if (on === this.watched || this.closed || this.socket.destroyed) return;
    this.watched = on;
    if (on) this.handle.readStart();
    else this.handle.readStop();
  }

  /** Reads what is there now, `most` bytes of it at most; says whether there was anything. */
  read(most) {
    let total = 0;
    while (total < most && !this.closed && !this.socket.destroyed) {
      let size;
      try {
        size = readSome(this.fd, Ear.buffer);
      } catch (error) {
        size = 0;
      }
      if (size < 0) break;
      if (size === 0) {
        this.closed = true;
        break;
      }
      total += size;
      this.heard(Buffer.from(Ear.buffer.slice(0, size)));
      if (size < Ear.buffer.length) break;    // it is empty, or was a moment ago
    }
    return total > 0;
  }

  close() {
    this.closed = true;
    this.socket.destroy();
  }
}
Ear.buffer = Buffer.allocUnsafeSlow(256 << 10);

/** What one child prints to stdout or to stderr, cut at the marks. */
class Printed {
  constructor(name, socket, live, mark, keeper) {
    this.name = name;
    this.live = live;
    this.mark = mark;
    this.keeper = keeper;
    this.tail = new Tail();
    this.ended = [];             // of inputs that are at their end, in order
    this.part = null;            // what may be the beginning of a mark
    this.ear = new Ear(socket, (data) => this.take(data));
  }

  take(data) {
    if (this.part !== null) data = Buffer.concat([this.part, data]);
    this.part = null;
    let from = 0;
    for (;;) {
      const at = data.indexOf(this.mark, from);
      if (at < 0) break;
      this.add(data.slice(from, at));
      this.ended.push(this.tail);
      this.tail = new Tail();
      from = at + MARK;
    }
    let end = data.length;
    for (let at = Math.max(from, end - MARK + 1); at < end; at++) {
      at = data.indexOf(this.mark[0], at);
      if (at < 0) break;
      if (this.mark.compare(data, at, end, 0, end - at) === 0) {
        this.part = Buffer.from(data.slice(at));
        end = at;
      }
    }
    this.add(data.slice(from, end));
  }

  add(data) {
    if (!data.length) return;
    this.tail.add(data, this.keeper.limits.outputBytes);
    this.live.write(data);
    this.keeper.printed();
  }

  /** The output so far of the input that executes. What ended is still its own while its outcome was not read. */
  current() {
    return this.ended[0] || this.tail;
  }

  /** The output of the next input that is at its end. */
  next() {
    while (!this.ended.length && this.ear.read(1)) { /* its mark was written before its outcome */ }
    return this.ended.shift() || new Tail();
  }

  /** All that a child left, but for what is printed without end. */
  drain() {
    this.ear.read(4 << 20);
    if (this.part !== null) this.add(this.part);
    this.part = null;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// 6  The child's keeper

/** Makes pairs of connected sockets and calls done(error, [[ours, theirs], …]). */
function socketPairs(count, done) {
  const made = [];
  let folder = null, failure = null;
  for (const base of ['/dev/shm', os.tmpdir()]) {
    try {
      folder = fs.mkdtempSync(path.join(base, 'sharedcloud-'));   // nobody else may enter it
      break;
    } catch (error) {
      failure = error;
    }
  }
  if (folder === null) {
    done(failure, made);
    return;
  }
  const address = path.join(folder, 's');
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true });
  const remove = () => {
    for (const step of [() => fs.unlinkSync(address), () => fs.rmdirSync(folder)]) {
      try {
        step();
      } catch (gone) {
        // Closing removes the socket by itself.
      }
    }
  };
  process.once('exit', remove);        // it may come before the pairs are made
  const end = (error) => {
    if (folder === null) return;
    server.close();
    remove();
    process.removeListener('exit', remove);
    folder = null;
    if (error) made.forEach((pair) => pair.forEach((socket) => socket.destroy()));
    done(error, made);
  };
  const next = () => {
    if (made.length === count) {
      end(null);
      return;
    }
    let theirs = null, connected = false;
    const ours = new net.Socket({ allowHalfOpen: true });
    const both = () => {
      if (!theirs || !connected) return;
      made.push([ours, theirs]);
      next();
    };
    server.once('connection', (socket) => {
      theirs = socket;
      both();
    });
    ours.pause();
    ours.once('error', end);
    ours.connect({ path: address }, () => {
      connected = true;
      both();
    });
  };
  server.on('error', end);
  server.listen(address, next);
}

/** pid: {parent, session, state} of every process that can be seen. */
function processes() {
  const found = new Map();
  for (const name of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    let text;
    try {
      text = fs.readFileSync('/proc/' + name + '/stat', 'latin1');
    } catch (error) {
      continue;                  // it has ended meanwhile
    }
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    found.set(Number(name), { parent: Number(fields[1]), session: Number(fields[3]), state: fields[0] });
  }
  return found;
}

/**
 * The living processes that the child `root` started, itself included.
 *
 * What lost its parent is handed to process 1. So where that is the supervisor, all that descends from it is the
 * child's; `kubectl exec` comes from outside and does not. Elsewhere the session tells, as far as it can.
 */
function tree(table, root) {
  const belongs = (pid) => {
    while (table.has(pid) && pid !== process.pid) {
      if (pid === root) return true;
      pid = table.get(pid).parent;
    }
    return pid === process.pid && process.pid === 1;
  };
  return Array.from(table.keys()).filter((pid) => pid !== process.pid && table.get(pid).state !== 'Z' &&
    (table.get(pid).session === root || belongs(pid)));
}

/** How many of the dead nobody waits for: process 1 has them, and cannot. */
function zombies(table) {
  let count = 0;
  table.forEach((one) => { count += one.state === 'Z' && one.parent === process.pid ? 1 : 0; });
  return process.pid === 1 ? count : 0;
}

function send(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It has ended.
  }
}

/** One child: its process, its sockets, and the inputs that it was given and has not answered for. */
class Keeper {
  constructor(code, limits, live, changed, printed) {
    this.limits = limits;
    this.changed = changed;
    this.printed = printed;            // called for all that the child prints
    this.number = 0;
    this.given = [];                   // [index, isLiteral, text] in the order of their claims
    this.begun = 0;                    // how many of them are in the handler's hands: the first, or the first few
    this.lines = [];                   // of the result socket, not whole yet
    this.done = [];                    // [index, JSON] in order
    this.loading = true;
    this.error = this.status = this.pid = null;
    this.spent = this.failure = null;  // it asks to be replaced, and says why if it is between two inputs
    this.unsent = 0;                   // bytes on their way to the child
    this.ignored = new Set();          // indexes that were revoked
    this.failed = null;                // why there is no process
    this.started = monotonic();
    this.dead = 0;                     // zombies that were seen
    this.streams = [];
    this.live = live;
    this.mark = crypto.randomBytes(MARK);
    this.record = Buffer.alloc(MOST_CLAIMS * CLAIM);
    socketPairs(5, (error, pairs) => {
      try {
        if (error) throw error;
        this.spawn(code, pairs);
      } catch (failure) {
        this.failed = failure;
        pairs.forEach((pair) => pair.forEach((socket) => socket.destroy()));
        changed();
      }
    });
  }

  spawn(code, pairs) {
    const ours = pairs.map((pair) => pair[0]), fds = pairs.map((pair) => pair[1]._handle.fd);
    [this.claims, this.resultSocket, this.control] = ours;
    this.claimsKept = pairs[0][1];
    this.claimsFd = this.claims._handle.fd;
    this.claimsKeptFd = fds[0];
    ours.forEach((socket) => socket.on('error', () => {}));
    for (const blocking of [1, 3, 4]) pairs[blocking][1]._handle.setBlocking(true);   // result, out and err
    this.result = new Ear(this.resultSocket, (data) => this.heard(data));
    this.streams = [new Printed('stdout', ours[3], this.live[0], this.mark, this), new Printed('stderr', ours[4], this.live[1], this.mark, this)];
    this.control.on('data', this.changed);
    this.control.resume();
    this.tell({ mark: this.mark.toString('hex'), limit: this.limits.resultBytes });
    const child = childProcess.spawn(process.execPath, [RUNNER, '--child', code],
      { stdio: ['ignore', fds[3], fds[4], fds[0], fds[1], fds[2], fds[3], fds[4]], detached: true });
    child.on('error', (error) => {
      this.failed = error;
      this.changed();
    });
    child.on('exit', (status, signal) => {
      this.status = { status, signal };
      this.changed();
    });
    this.pid = child.pid || null;
    pairs.slice(1).forEach((pair) => pair[1].destroy());
  }

  // -- inputs

  /** How many of the given inputs have not begun yet, as far as is known. */
  waiting() {
    return this.given.length - this.begun;
  }

  /** The input whose handler runs, the first of several, or null. */
  executing() {
    return this.begun && this.given.length ? this.given[0] : null;
  }

  /**
   * Gives inputs to the child, as many as it may hold, atOnce in one message, for calls with `together` of them.
   *
   * It says so when it begins one behind which `announced` wait; where that is null, when it begins any.
   */
  feed(queue, atOnce, announced, together) {
    let room = MOST_CLAIMS - this.given.length;
    while (queue.length && room > 0 && this.unsent < 1 << 20) {
      const batch = queue.splice(0, Math.min(room, atOnce)), first = this.number;
      const records = this.record.slice(0, batch.length * CLAIM).fill(0);
      const flagged = announced === null ? -1 : batch.length - 1 - announced + queue.length;
      batch.forEach((_, i) => {
        records.writeUInt32LE(first + i, i * CLAIM);
        records[i * CLAIM + 4] = announced === null || i === flagged ? 1 : 0;
      });
      // Claims first: an idle child looks for them when a message comes, and one that is not idle waits for a message
      // if it claims what has not come yet.
      try {
        writeSync(this.claimsFd, records, 0, records.length);
      } catch (error) {
        queue.unshift.apply(queue, batch);
        return false;            // the socket is full, or the child is gone
      }
      room -= batch.length;
      this.number += batch.length;
      this.given = this.given.concat(batch);
      this.tell({ first, limit: this.limits.resultBytes, together, items: batch });
    }
    return true;
  }

  tell(message) {
    const text = Buffer.from(wellFormed(stringify(message)));
    const head = Buffer.alloc(4);
    head.writeUInt32LE(text.length, 0);
    const size = text.length + 4;
    this.unsent += size;
    this.control.write(Buffer.concat([head, text]), () => {
      this.unsent -= size;
      if (this.unsent < 1 << 20) this.changed();
    });
  }

  /** Takes back what the child has not claimed, in order. None of it is executed by this child any more. */
  recall() {
    let records = 0;
    for (;;) {
      const size = this.pid === null ? -1 : readSome(this.claimsKeptFd, this.record);
      if (size <= 0) break;
      records += size / CLAIM;
    }
    return records ? this.given.splice(this.given.length - records) : [];
  }

  // -- outcomes

  /** The outcomes that the child wrote since the last time: [index, JSON] in order. */
  collect() {
    if (this.pid === null) return [];
    while (this.result.read(8 << 20)) { /* there may be more */ }
    const done = this.done.filter((pair) => !this.ignored.has(pair[0]));
    this.done = [];
    return done;
  }

  heard(data) {
    if (data.indexOf(10) < 0) {
      this.lines.push(data);
      return;
    }
    if (this.lines.length) data = Buffer.concat(this.lines.concat(data));
    let from = 0;
    for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10, from)) {
      this.line(data.slice(from, end));
      from = end + 1;
    }
    this.lines = from < data.length ? [data.slice(from)] : [];
    this.changed();
  }

  line(line) {
    switch (String.fromCharCode(line[0])) {
      case '*': this.begun = line.length > 1 ? Number(line.slice(1).toString()) : 1; break;
      case '!':
        this.spent = true;
        this.line(line.slice(1));
        break;
      case '{':
        this.outcome(line, this.streams.map((printed) => printed.next().fields(printed.name, this.limits.outputBytes)).join(''));
        break;
      case ',': this.outcome(line.slice(1), ''); break;
      case '>':
        this.loading = false;
        this.streams.forEach((printed) => printed.next());     // what loading printed belongs to no input
        break;
      case '<': this.error = parse(line.slice(1).toString()); break;
      case '~':
        this.spent = true;
        this.failure = parse(line.slice(1).toString());
    }
  }

  outcome(line, fields) {
    const item = this.given.shift();
    this.begun = Math.max(0, this.begun - 1);
    if (!item) return;
    this.done.push([item[0], fields ? Buffer.concat([line.slice(0, -1), Buffer.from(fields + '}')]) : line]);
  }

  // -- the process

  /** Lets a child that stopped itself go on. */
  wake() {
    let text;
    try {
      text = fs.readFileSync('/proc/' + this.pid + '/stat', 'latin1');
    } catch (error) {
      return;
    }
    if (text[text.lastIndexOf(')') + 2] !== 'T') return;
    send(-this.pid, 'SIGCONT');
    send(this.pid, 'SIGCONT');
  }

  /** Ends the child and all that it started, and calls done. What the kernel cannot end within 5 s is left to itself. */
  kill(done) {
    const started = monotonic();
    const strike = () => {
      if (this.pid === null) {
        done();
        return;
      }
      const table = processes();
      let victims = tree(table, this.pid);
      this.dead = zombies(table);
      if (!victims.length && this.status !== null || monotonic() > started + 5) {
        done();
        return;
      }
      if (victims.length && process.pid === 1 && monotonic() > started + 1) {
        victims = [-1];          // they multiply faster than they can be counted: everything but process 1, at a stroke
      }
      victims.forEach((pid) => send(pid, 'SIGKILL'));
      setTimeout(strike, 2);
    };
    strike();
  }

  /** Lets the child end as an interpreter does, exit handlers and all, for as long as patience says. */
  dismiss(patience, done) {
    const deadline = monotonic() + patience;
    if (this.pid !== null) this.control.end();
    this.streams.forEach((printed) => printed.ear.watch(true));
    const look = () => {
      if (this.pid === null || this.status !== null || monotonic() > deadline) this.kill(done);
      else setTimeout(look, 2);
    };
    look();
  }

  /** [type, sentence] for a child that ended by itself. */
  death(doing) {
    if (this.status === null) return ['ProcessKilled', 'the process did not end when it was told to, ' + doing];
    const { status, signal } = this.status;
    if (signal) {
      // V8 says so and aborts. The words are the same in all versions.
      const last = Buffer.concat(this.streams[1].tail.parts).toString('latin1');
      if (/JavaScript heap out of memory/.test(last)) {
        return ['OutOfMemory', 'the heap of JavaScript was full ' + doing +
          ': NODE_OPTIONS=--max-old-space-size=<MiB> in the function\'s environment makes it larger'];
      }
      return ['ProcessKilled', 'the process was ended by signal ' + os.constants.signals[signal] + ' (' + signal + ') ' + doing];
    }
    if (status === DESCRIPTORS_LOST) {
      return ['ProcessExited', 'the process closed the descriptors by which it reports (status ' + status + ') ' + doing + ': close only what was opened'];
    }
    return ['ProcessExited', 'the process exited with status ' + status + ' ' + doing + ': handler(event) must return'];
  }

  close() {
    if (!this.streams.length) return;  // it has no sockets
    this.streams.forEach((printed) => printed.drain());
    this.streams.forEach((printed) => printed.ear.close());
    this.result.close();
    [this.claims, this.claimsKept, this.control].forEach((socket) => socket.destroy());
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// 7  Memory

/**
 * What the container's cgroup knows of memory: its limit, how near that is, and how often the kernel killed.
 *
 * On cgroup v2 the kernel, when memory is out, kills every process of the container, the supervisor too. So there the
 * child is ended a little before that. On v1 the kernel takes one process, and that is the child by its oom_score_adj.
 */
class Memory {
  constructor(root) {
    this.unified = fs.existsSync(path.join(root, 'cgroup.controllers'));
    const own = new Map();
    for (const line of this.read('/proc/self/cgroup').split('\n').filter(Boolean)) {
      const fields = line.split(':');
      fields[1].split(',').forEach((name) => own.set(name, fields.slice(2).join(':')));
    }
    const base = this.unified ? root : path.join(root, 'memory');
    const folder = path.join(base, own.get(this.unified ? '' : 'memory') || '');
    // Inside a container the own cgroup is often mounted as the root.
    this.folder = fs.existsSync(path.join(folder, this.unified ? 'memory.events' : 'memory.oom_control')) ? folder : base;
    this.limit = this.number(this.unified ? 'memory.max' : 'memory.limit_in_bytes');
    if (this.limit > 2 ** 60) this.limit = null;     // v1's way to say that there is none
    this.kills = this.killed();
  }

  read(file) {
    try {
      return fs.readFileSync(file, 'latin1');
    } catch (error) {
      return '';
    }
  }

  number(name) {
    const text = this.read(path.join(this.folder, name)).trim();
    return /^\d+$/.test(text) ? Number(text) : null;
  }

  table(name) {
    const table = new Map();
    for (const line of this.read(path.join(this.folder, name)).split('\n')) {
      const pair = line.split(' ');
      if (pair.length === 2) table.set(pair[0], Number(pair[1]));
    }
    return table;
  }

  killed() {
    return this.table(this.unified ? 'memory.events' : 'memory.oom_control').get('oom_kill') || 0;
  }

  /** Whether the kernel has killed for memory since this was last asked. */
  killedSince() {
    const before = this.kills;
    this.kills = this.killed();
    return this.kills > before;
  }

  /** Bytes until the child should be ended. */
  headroom() {
    this.limit = this.number('memory.max') || this.limit;     // it may be changed while the container runs
    const margin = Math.min(Math.max(this.limit / 32, 8 << 20), 256 << 20);
    let used = this.number('memory.current') || 0;
    if (used > this.limit / 2) {
      // The kernel gives these up before it kills.
      const stat = this.table('memory.stat');
      for (const name of ['active_file', 'inactive_file', 'slab_reclaimable']) used -= stat.get(name) || 0;
    }
    return this.limit - margin - used;
  }

  sentence() {
    return 'the container ran out of memory' + (this.limit ? ' (its limit is ' + Math.floor(this.limit / (1 << 20)) + ' MiB)' : '');
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// 8  The exchange

const SLACK = 15;                // seconds that an answer may take beyond the time that the server was asked to wait

/** Makes the calls, one at a time, each repeated until it is answered. */
class Exchange {
  constructor(url, tokenFile, caFile, say) {
    this.address = new (require('url').URL)(url);
    this.client = require(this.address.protocol === 'https:' ? 'https' : 'http');
    this.tokenFile = tokenFile;
    this.caFile = caFile;
    this.say = say;
    this.agent = this.token = null;
    this.used = false;
    this.known = new WeakSet();
  }

  /** Calls done(status, text) with the first answer that is one. */
  call(body, wait, done) {
    let delay = 0.1, told = false;
    const again = (error) => {
      if (delay > 1 && !told) {
        told = true;
        this.say('the exchange does not take a call (' + error.message + '); it is repeated until it does');
      }
      setTimeout(attempt, delay * (0.5 + Math.random()) * 1000);
      delay = Math.min(delay * 2, 5);
    };
    const attempt = () => {
      const used = this.used;
      this.attempt(body, wait, (error, status, text) => {
        if (error) {
          this.close();
          if (used) attempt();   // the server had closed a connection that was kept open: no reason to wait
          else again(error);
          return;
        }
        if (status === 200) {
          try {
            text = parseAnswer(text);
          } catch (unreadable) {
            this.close();
            again(unreadable);
            return;
          }
          if (told) this.say('the exchange answers again');
        } else if (status !== 400 && status !== 404 && status !== 409 && status !== 413) {
          if (status === 401 || status === 403) this.close();      // the next connection reads the token again
          again(new Error('it answers ' + status));
          return;
        }
        done(status, text);
      });
    };
    attempt();
  }

  /** A connection is the one socket of an agent. Token and authority are read for each. */
  connect() {
    this.token = fs.readFileSync(this.tokenFile, 'utf8').trim();
    const options = { keepAlive: true, maxSockets: 1, rejectUnauthorized: true };
    if (this.caFile) options.ca = fs.readFileSync(this.caFile);
    this.agent = new this.client.Agent(options);
  }

  attempt(body, wait, done) {
    let over = false;
    const end = (error, status, text) => {
      if (over) return;
      over = true;
      done(error, status, text);
    };
    try {
      if (this.agent === null) this.connect();
    } catch (error) {
      end(error);
      return;
    }
    const agent = this.agent;
    const request = this.client.request({
      agent, method: 'POST', protocol: this.address.protocol, hostname: this.address.hostname.replace(/^\[|\]$/g, ''),
      port: this.address.port || undefined, path: this.address.pathname + this.address.search, rejectUnauthorized: true,
      headers: { Authorization: 'Bearer ' + this.token, 'Content-Type': 'application/json', 'Content-Length': body.length },
    }, (response) => {
      const parts = [];
      response.on('data', (data) => parts.push(data));
      response.on('aborted', () => end(new Error('the answer broke off')));
      response.on('error', end);
      response.on('end', () => {
        this.used = this.agent === agent;
        end(null, response.statusCode, Buffer.concat(parts).toString('utf8'));
      });
    });
    request.on('socket', (socket) => {
      if (this.known.has(socket)) return;
      this.known.add(socket);
      socket.setNoDelay(true);
      // Whatever comes after this socket is a new connection.
      socket.once('close', () => {
        if (this.agent === agent) this.close();
      });
    });
    request.setTimeout((wait + SLACK) * 1000, () => {
      end(new Error('no answer came in time'));
      request.abort();
    });
    request.on('error', end);
    request.end(body);
  }

  close() {
    if (this.agent !== null) this.agent.destroy();
    this.agent = null;
    this.used = false;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// 9  The supervisor

/** Why the supervisor ended a child, and what becomes of the input that it executed. */
function verdictOf(status, type, sentence, crash) {
  return { status, type, sentence, crash: Boolean(crash) };
}

const NO_OUTCOME = verdictOf(null, null, null);
const AT_ONCE = 128;             // inputs in one message to the child
const LIVE = 64 << 10;           // bytes of each stream that one call tells of the input that executes
const BRIEF = 0.005;             // seconds
const BODY = 8 << 20;            // what a call's body may take before outcomes are left for the next
const HARVEST = 0.1;             // seconds that a finished outcome waits for others to travel with
const LOADING = 600;             // seconds that loading may take; as long as an input may, where that is longer
const LEAVING = 20;              // seconds that the executing input gets after a SIGTERM that Kubernetes means
const MEMORY_SPEED = 2 ** 32;    // bytes a second that a child is believed able to fill
const STOPPED = 0.25;            // seconds between two looks at whether the child stopped itself
const ZOMBIES = 1000;            // see the top
const CENSUS = 30;               // seconds between two counts of them
const CGROUPS = '/sys/fs/cgroup';
const IGNORED_SIGNALS = ['SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGPROF', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU'];

/** Holds inputs, decides when to call, and ends what has to be ended. */
class Supervisor {
  constructor(environment) {
    this.code = environment.SHAREDCLOUD_CODE;
    this.live = [new Live(process.stdout), new Live(process.stderr)];
    this.limits = Object.assign({}, LIMITS);
    this.lease = 15;                   // before the first answer
    this.timeout = this.handBack = null;
    this.device = environment.NVIDIA_VISIBLE_DEVICES;
    this.now = this.alarm = monotonic();
    this.timer = null;
    this.scheduled = this.over = false;
    this.exitStatus = null;
    this.step = this.step.bind(this);
    this.changed = this.changed.bind(this);

    this.queue = [];                   // [index, isLiteral, text]: not given to the child
    this.done = [];                    // [index, JSON]: not reported
    this.doneSince = this.now;
    this.keeper = null;
    this.ending = false;               // the child is being killed
    this.executing = null;
    this.since = this.now;
    this.began = Date.now();
    this.loadError = null;
    this.loadDelay = 0;
    this.spawnAt = this.now;
    this.liveDelay = null;             // seconds after which new output of the input that executes is told; null: never
    this.told = [null, 0, 0];          // which input was told of, and how many bytes of its stdout and stderr
    this.toldAt = this.now;
    this.loud = false;                 // something was printed, and the loop will wake to tell it
    this.together = 1;                 // inputs that one call of the handler gets
    this.suspects = [];                // indexes that one call had when its process ended
    this.average = null;               // seconds that an input takes
    this.busySince = this.now;         // since when the child works without a pause, or since the last outcome

    this.sequence = 0;
    this.calling = null;
    this.reporting = [];
    this.calledAt = null;
    this.bodyLimit = BODY;
    this.roundTrip = 0.005;
    this.urgent = false;               // call at once
    this.dry = false;                  // the last call that wanted inputs brought none
    this.idleUntil = this.now;
    this.idleDelay = 0.01;
    this.finished = false;

    this.toldToEnd = false;            // SIGTERM came
    this.leaving = this.meant = false;
    this.leaveBy = this.now;
    this.worn = false;                 // there are too many zombies

    this.memory = new Memory(CGROUPS);
    this.memoryAt = this.stoppedAt = this.now;
    this.censusAt = this.now + CENSUS;
    for (const name of IGNORED_SIGNALS) {
      if (name !== 'SIGPROF' || parseInt(process.versions.node, 10) > 8) process.on(name, () => {});   // Node 8 warns of it
    }
    process.on('SIGTERM', () => {
      this.toldToEnd = true;
      this.changed();
    });
    this.spawn();
    this.exchange = new Exchange(environment.SHAREDCLOUD_EXCHANGE_URL, environment.SHAREDCLOUD_TOKEN_FILE,
      environment.SHAREDCLOUD_CA_FILE, (sentence) => this.say(sentence));
    this.changed();
  }

  say(sentence) {
    this.live[1].write(Buffer.from('sharedcloud: ' + sentence + '\n'));
  }

  // -- the loop

  changed() {
    if (this.scheduled || this.over) return;
    this.scheduled = true;
    setImmediate(this.step);
  }

  step() {
    this.scheduled = false;
    if (this.over) return;
    this.now = monotonic();
    this.alarm = this.now + 3600;
    this.loud = true;                  // what is read in this step wakes nobody
    this.collect();
    this.considerLeaving();
    this.watchChild();
    this.considerHandingBack();
    this.feed();
    this.considerCalling();
    this.considerEnd();
    if (this.exitStatus !== null) {
      this.end();
      return;
    }
    this.listen();
    clearTimeout(this.timer);
    this.timer = setTimeout(this.changed, Math.max(1, Math.ceil((this.alarm - monotonic()) * 1000)));
  }

  /** Whether the moment has come. If not, the loop wakes when it does. */
  reached(moment) {
    if (this.now >= moment) return true;
    this.alarm = Math.min(this.alarm, moment);
    return false;
  }

  /** Decides what wakes the loop. Messages of the child always do. */
  listen() {
    const keeper = this.keeper;
    if (keeper === null || keeper.pid === null) return;
    keeper.result.watch(keeper.lines.length > 0);    // the rest of a long line
    const listens = !keeper.given.length || !this.brief() || this.now - this.since > HARVEST / 2;
    keeper.streams.forEach((printed) => printed.ear.watch(listens));
  }

  // -- the child

  spawn() {
    this.memory.killedSince();
    this.keeper = new Keeper(this.code, this.limits, this.live, this.changed, () => {
      if (this.liveDelay === null || this.loud) return;
      this.loud = true;
      this.changed();
    });
  }

  collect() {
    const keeper = this.keeper;
    if (keeper === null) return;
    const loading = keeper.loading, done = keeper.collect();
    if (loading && !keeper.loading) {
      this.loadError = null;
      this.loadDelay = 0;
    }
    if (!done.length) return;
    if (!this.done.length) this.doneSince = this.now;
    this.done = this.done.concat(done);
    const each = (this.now - this.busySince) / done.length;
    this.average = this.average === null ? each : (this.average + each) / 2;
    this.busySince = this.now;
  }

  /** Whether inputs are so short that to be woken for each, or for what it prints, would cost more than it does. */
  brief() {
    return this.average !== null && this.average < BRIEF;
  }

  watchChild() {
    const keeper = this.keeper;
    if (this.ending) return;
    if (keeper === null) {
      if ((this.queue.length || !this.finished) && !this.worn && this.reached(this.spawnAt)) this.spawn();
      return;
    }
    if (keeper.failed) {
      // No process or no descriptor is to be had. Whatever takes them all may let go of some.
      this.keeper = null;
      keeper.close();
      this.notLoaded(errorObject('ProcessNotStarted', 'no process could be started for the module: ' + keeper.failed.message));
      return;
    }
    if (keeper.status !== null) {
      this.endChild(null);
      return;
    }
    if (keeper.spent) {
      if (keeper.failure) this.say('nobody caught an exception between two inputs (' + keeper.failure + '); a fresh process is started');
      this.endChild(NO_OUTCOME);
      return;
    }
    if (keeper.loading) {
      const patience = Math.max(LOADING, this.timeout || 0);
      if (this.reached(keeper.started + patience)) {
        this.endChild(verdictOf('TimedOut', 'LoadTimedOut', 'the module was not loaded within ' + patience + ' s'));
        return;
      }
    } else {
      const executing = keeper.executing();
      if (executing !== this.executing) {
        this.executing = executing;
        this.since = this.now;
        this.began = Date.now();
      }
      if (keeper.given.length && this.brief()) this.reached(this.now + HARVEST / 2);   // it may be with the next already, and prints unheard
      if (executing !== null && this.timeout && this.reached(this.since + this.timeout)) {
        this.endChild(verdictOf('TimedOut', 'TimeLimitExceeded', 'the handler was ended at its time limit of ' + this.timeout + ' s'));
        return;
      }
    }
    if ((keeper.loading || this.executing !== null) && keeper.pid !== null && this.reached(this.stoppedAt)) {
      keeper.wake();
      this.stoppedAt = this.now + STOPPED;
      this.reached(this.stoppedAt);
    }
    if (process.pid === 1 && this.reached(this.censusAt)) {
      this.count(zombies(processes()));
      this.censusAt = this.now + CENSUS;
      this.reached(this.censusAt);
    }
    this.watchMemory();
  }

  watchMemory() {
    if (!this.memory.limit || !this.memory.unified || !this.reached(this.memoryAt)) return;
    const headroom = this.memory.headroom();
    if (headroom <= 0) {
      this.endChild(verdictOf('Failed', 'OutOfMemory', this.memory.sentence() +
        ': the process was ended before the kernel would end all of the container', true));
      return;
    }
    this.memoryAt = this.now + Math.min(Math.max(headroom / MEMORY_SPEED, 0.01), 0.5);
    this.reached(this.memoryAt);
  }

  count(dead) {
    if (dead <= ZOMBIES || this.worn) return;
    this.worn = this.urgent = true;
    this.say('the code left ' + dead + ' dead processes behind, which nobody can remove before the container ends: this worker ends, and another takes its place');
    this.giveBack();
  }

  endChild(verdict) {
    this.ending = true;
    this.keeper.kill(() => {
      this.ending = false;
      this.now = monotonic();
      if (this.over) return;
      this.bury(verdict);
      this.changed();
    });
  }

  /** Settles what a child leaves: outcomes, inputs that it did not begin, and the one that it died of. */
  bury(verdict) {
    const keeper = this.keeper;
    this.collect();                    // it may have finished in the last moment, and then it did
    this.queue = keeper.recall().concat(this.queue);
    keeper.streams.forEach((printed) => printed.drain());
    const doing = keeper.loading ? 'while it loaded the module' : 'while it ran this input';
    if (verdict === null) {
      let [type, sentence] = keeper.death(doing);
      if (keeper.status && keeper.status.signal === 'SIGKILL' && this.memory.killedSince()) {
        type = 'OutOfMemory';
        sentence = this.memory.sentence() + ': the kernel ended the process ' + doing;
      }
      verdict = verdictOf('Failed', type, sentence, true);
    }
    // All that is claimed is in a call of many; otherwise the child may have claimed one that it had not begun.
    const died = keeper.begun ? keeper.given.splice(0, this.together > 1 ? keeper.given.length : 1) : [];
    if (keeper.loading) {
      this.notLoaded(keeper.error || errorObject(verdict.type, verdict.sentence));
    } else if (died.length) {
      if (verdict === NO_OUTCOME) this.urgent = true;    // it goes back
      else this.conclude(keeper, died, verdict);
    } else if (verdict !== NO_OUTCOME) {
      this.say('the process ended between two inputs (' + verdict.sentence + '); a fresh one is started');
    }
    this.queue = keeper.given.filter((item) => !keeper.ignored.has(item[0])).concat(this.queue);   // claimed, and not begun
    keeper.close();
    this.keeper = this.executing = null;
    this.count(keeper.dead);
  }

  /** The outcome of the input that a child was ended at or died of; of several it is to be found out which it was. */
  conclude(keeper, died, verdict) {
    if (died.length > 1) {
      this.suspects = this.suspects.concat(died.map((one) => one[0]).filter((index) => !keeper.ignored.has(index)));
      this.say(verdict.sentence + '; it had ' + died.length + ' inputs at once, which are now tried one by one');
      this.urgent = true;
      return;
    }
    const item = died[0], seen = item === this.executing, streams = keeper.streams;
    // Where a program knows nothing but stderr, it has to find the reason there.
    streams[1].add(Buffer.from('sharedcloud: ' + verdict.sentence + '\n'));
    const outcome = { index: item[0], status: verdict.status, crash: verdict.crash, error: errorObject(verdict.type, verdict.sentence),
      startTime: (seen ? this.began : Date.now()) * 1000, durationMicros: seen ? Math.floor((monotonic() - this.since) * 1e6) : 0 };
    if (!this.done.length) this.doneSince = this.now;
    this.done.push([item[0], Buffer.from(stringify(outcome).slice(0, -1) +
      streams.map((printed) => printed.tail.fields(printed.name, this.limits.outputBytes)).join('') + '}')]);
  }

  notLoaded(error) {
    this.loadError = error;
    this.loadDelay = Math.min(Math.max(1, this.loadDelay * 2), 10);
    this.spawnAt = this.now + this.loadDelay;
    this.say('the module could not be loaded (' + error.type + ': ' + error.message + '); the next try is in ' + this.loadDelay + ' s');
    this.giveBack();                   // another worker may be able to
    this.urgent = true;
  }

  // -- what is held

  /** Lets go of all that no handler has begun: the next call, made at once, does not list it. */
  giveBack() {
    if (this.keeper !== null) this.queue = this.keeper.recall().concat(this.queue);
    if (this.queue.length) {
      this.queue = [];
      this.urgent = true;
    }
  }

  held() {
    const items = this.queue.concat(this.done, this.keeper === null ? [] : this.keeper.given.filter((item) => !this.keeper.ignored.has(item[0])));
    return items.map((item) => item[0]);
  }

  /** Whether what runs now, the loading of the module too, has run for so long that nothing may wait behind it. */
  overlong() {
    if (this.handBack === null) return false;
    if (this.keeper === null || this.keeper.loading) return this.reached((this.keeper === null ? this.spawnAt : this.keeper.started) + this.handBack);
    return this.executing !== null && this.reached(this.since + this.handBack);
  }

  considerHandingBack() {
    const behind = this.queue.length || this.keeper !== null && this.keeper.given.length > 1;
    if (behind && (this.leaving || this.worn || this.overlong())) this.giveBack();
  }

  feed() {
    const keeper = this.keeper;
    if (!this.queue.length || keeper === null || keeper.pid === null || keeper.loading || keeper.spent || this.ending) return;
    if (!keeper.given.length) this.busySince = this.now;
    // Whole calls in one message: it and its claims arrive at once.
    const atOnce = Math.max(Math.floor(AT_ONCE / this.together), 1) * this.together;
    if (!keeper.feed(this.queue, atOnce, this.brief() ? Math.floor(this.timeToCall() / Math.max(this.average, 1e-6)) : null, this.together)) {
      this.reached(this.now + 0.01);
    }
  }

  /** How many seconds of work are left in the queue when the next call should be made. */
  timeToCall() {
    return 2 * this.roundTrip + 0.001;
  }

  /** What the server gave to others is not ours any more, wherever it is. */
  drop(revoked) {
    const keeper = this.keeper, stays = (pair) => !revoked.has(pair[0]);
    this.done = this.done.filter(stays);
    if (keeper !== null) this.queue = keeper.recall().concat(this.queue);
    this.queue = this.queue.filter(stays);
    if (keeper === null) return;
    for (const item of keeper.given) if (revoked.has(item[0])) keeper.ignored.add(item[0]);
    const called = keeper.given.slice(0, Math.max(keeper.begun, 1));
    if (called.length && called.every((item) => keeper.ignored.has(item[0])) && !this.ending) this.endChild(NO_OUTCOME);
  }

  // -- calls

  hungry() {
    const keeper = this.keeper;
    if (keeper === null || keeper.loading || keeper.spent || this.ending || this.leaving || this.worn || this.finished) return false;
    const waiting = this.queue.length + keeper.waiting();
    if (waiting && (this.average === null || waiting * this.average > this.timeToCall())) return false;
    return !this.overlong();
  }

  considerCalling() {
    if (this.calling !== null) return;
    const busy = Boolean(this.queue.length || this.keeper !== null && this.keeper.given.length);
    const want = this.hungry();
    let due = this.urgent || this.reached(this.heartbeat());
    this.loud = this.unheard();
    if (this.loud) due = due || this.reached(this.tellsAt());
    if (this.done.length) due = due || !busy || this.reached(this.doneSince + HARVEST);
    if (want) due = due || (busy ? !this.dry : this.reached(this.idleUntil));
    if (due) this.call(want, busy || !want ? 0 : this.patience());
  }

  /** Whether the input that executes has printed something that the server does not know of and wants to. */
  unheard() {
    const keeper = this.keeper;
    if (this.liveDelay === null || this.executing === null || keeper === null || keeper.given[0] !== this.executing) return false;
    const told = this.told[0] === this.executing ? this.told : [null, 0, 0];
    return keeper.streams.some((printed, i) => printed.current().total > told[i + 1]);
  }

  tellsAt() {
    return Math.max(this.toldAt, this.since) + this.liveDelay;
  }

  /** The field `live` of a call. */
  liveOutput() {
    const fields = { index: this.executing[0], startTime: this.began * 1000 };
    if (this.told[0] !== this.executing) this.told = [this.executing, 0, 0];
    this.keeper.streams.forEach((printed, i) => {
      const [from, data] = printed.current().since(this.told[i + 1], LIVE);
      if (!data.length) return;
      fields[printed.name] = data.toString('base64');
      fields[printed.name + 'From'] = from;
      this.told[i + 1] = from + data.length;
    });
    this.toldAt = this.now;
    return fields;
  }

  heartbeat() {
    if (this.calledAt === null) return this.keeper !== null ? this.keeper.started + 1 : this.now;
    return this.calledAt + this.lease * 0.3;
  }

  /** Seconds that the server may keep a call open: not more, for SIGTERM has to be answered meanwhile. */
  patience() {
    return Math.max(1, Math.floor(Math.min(10, this.lease * 0.3)));
  }

  call(want, wait) {
    let size = 0, count = 0;
    while (count < this.done.length && (!count || size + this.done[count][1].length <= this.bodyLimit)) size += this.done[count++][1].length;
    this.reporting = this.done.splice(0, count);
    if (this.done.length) wait = 0;    // the next call is made at once
    const fields = { protocol: PROTOCOL, sequence: this.sequence + 1, held: compress(this.held()), want, waitSeconds: wait, leaving: this.leaving };
    if (this.executing !== null && this.keeper.given[0] === this.executing && !this.keeper.ignored.has(this.executing[0])) {
      fields.executing = this.executing[0];
      if (this.unheard() && this.now >= this.tellsAt()) fields.live = this.liveOutput();
    }
    if (this.loadError !== null) {
      fields.loadError = this.loadError;
      this.loadError = null;
    }
    if (this.device !== undefined) fields.device = this.device;
    if (this.suspects.length) {
      fields.suspects = compress(this.suspects);
      this.suspects = [];
    }
    const parts = [Buffer.from(wellFormed(stringify(fields)).slice(0, -1) + ',"outcomes":[')];
    this.reporting.forEach((pair, i) => {
      if (i) parts.push(Buffer.from(','));
      parts.push(pair[1]);
    });
    parts.push(Buffer.from(']}'));
    this.calling = { fields, at: this.now };
    this.calledAt = this.now;
    this.urgent = this.done.length > 0;
    this.exchange.call(Buffer.concat(parts), wait, (status, answer) => {
      if (this.over) return;
      this.now = monotonic();
      if (status === 200) {
        this.takeAnswer(answer);
      } else if (status === 404) {
        this.exitStatus = 0;
      } else if (status === 413) {
        this.split();
      } else {
        this.say('the exchange refuses this worker (' + status + '): ' + answer);
        this.exitStatus = 1;
      }
      this.changed();
    });
  }

  /** The call was too large: its outcomes go in several, and one that is too large alone is replaced. */
  split() {
    if (this.reporting.length === 1) {
      const [index, data] = this.reporting[0], head = parse(data.toString());
      this.reporting[0] = [index, Buffer.from(stringify({ index, status: 'Failed',
        error: errorObject('ResultTooLarge', 'the exchange does not take an outcome of ' + data.length +
          ' bytes: return less, or put it where a reference to it can be returned'),
        startTime: head.startTime, durationMicros: head.durationMicros }))];
    }
    this.bodyLimit = Math.max(1 << 16, this.reporting.reduce((sum, pair) => sum + pair[1].length, 0) >> 1);
    this.done = this.reporting.concat(this.done);
    this.loadError = this.loadError || this.calling.fields.loadError || null;
    this.suspects = Array.from(expand(this.calling.fields.suspects)).concat(this.suspects);
    this.reporting = [];
    this.calling = null;
    this.urgent = true;
  }

  takeAnswer(answer) {
    const asked = this.calling.fields, took = this.now - this.calling.at, inputs = answer.inputs;
    this.sequence++;
    this.reporting = [];
    this.calling = null;
    this.lease = answer.leaseSeconds || this.lease;
    this.timeout = answer.timeoutSeconds || this.timeout;
    this.together = answer.batchSize || 1;
    if (answer.liveMillis) this.liveDelay = answer.liveMillis / 1000;
    if (answer.handBackMillis) this.handBack = answer.handBackMillis / 1000;
    Object.assign(this.limits, answer.limits);
    this.collect();                    // what is revoked may be done meanwhile
    if (answer.revoked) this.drop(expand(answer.revoked));
    this.queue = this.queue.concat(inputs);
    if (inputs.length || !asked.waitSeconds) this.roundTrip += (Math.min(took, 1) - this.roundTrip) / 4;
    if (asked.want) this.dry = !inputs.length;
    if (inputs.length || took > 0.05) {
      this.idleDelay = 0.01;
    } else {
      // The server did not keep the call open: do not ask faster and faster.
      this.idleDelay = Math.min(this.idleDelay * 2, 0.5);
      this.idleUntil = this.now + this.idleDelay;
    }
    if (asked.leaving) {
      // Without its being meant, `finished` is for those alone who hold nothing.
      if (answer.action === 'finished' && asked.held) this.meant = true;
      else if (answer.action !== 'finished' && answer.action !== 'stop') this.leaving = this.meant = false;
    }
    this.finished = answer.action === 'finished';
    if (answer.action === 'stop') this.exitStatus = asked.leaving ? POD_ENDED : 0;
    if (answer.podEnding) this.toldToEnd = true;   // its SIGTERM came before there was a handler for it
  }

  // -- the end

  considerLeaving() {
    if (this.toldToEnd) {
      this.toldToEnd = false;
      if (!this.leaving) {
        this.leaving = this.urgent = true;
        this.meant = false;
        this.leaveBy = this.now + LEAVING;
        this.giveBack();
      }
    }
    if (this.meant && !this.ending && this.keeper !== null && this.keeper.given.length && this.reached(this.leaveBy)) {
      this.endChild(NO_OUTCOME);
    }
  }

  considerEnd() {
    if (this.calling !== null || this.exitStatus !== null || this.urgent || this.held().length) return;
    if (this.finished) this.exitStatus = this.meant ? POD_ENDED : 0;
    else if (this.worn) this.exitStatus = 1;
  }

  end() {
    this.over = true;
    clearTimeout(this.timer);
    const keeper = this.keeper, deadline = monotonic() + 7;
    const leave = () => {
      if (keeper !== null) keeper.close();
      const flushed = monotonic() + 1;
      const look = () => {
        if (this.live.every((live) => !live.pending) || monotonic() > flushed) process.exit(this.exitStatus);
        setTimeout(look, 5);
      };
      look();
    };
    setTimeout(() => process.exit(this.exitStatus), (deadline - monotonic()) * 1000);
    if (keeper === null) leave();
    else if (this.finished && this.exitStatus === 0 && !keeper.loading) keeper.dismiss(1, leave);
    else keeper.kill(leave);
  }
}

function main() {
  const missing = ['SHAREDCLOUD_EXCHANGE_URL', 'SHAREDCLOUD_TOKEN_FILE', 'SHAREDCLOUD_CODE'].filter((name) => !process.env[name]);
  if (missing.length) {
    process.stderr.write('sharedcloud: this program is started by the operator, with ' + missing.join(', ') + ' in its environment\n');
    process.exitCode = 1;
    return;
  }
  new Supervisor(process.env);
}

if (require.main !== module) {
  module.exports = { readInput, Printed };     // for tests
} else if (process.argv[2] === '--child') {
  new Child(process.argv[3]).run();
} else {
  main();
}
