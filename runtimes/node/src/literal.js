'use strict';
// Python literals, read as ast.literal_eval of Python 3 reads them.

const { BigInteger, bufferFrom, stringify } = require('./natives');

const MAX_NESTING = 200;         // nested brackets of a literal; the server accepts 90
const COMPUTATION = 'a literal contains no computation';
// A hexadecimal, octal or binary integer; or a decimal number with fraction (1), exponent (2) and imaginary unit (3).
const NUMBER = new RegExp('0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+|' +
  '(?:\\d+(?:_\\d+)*)?(\\.(?:\\d+(?:_\\d+)*)?)?([eE][-+]?\\d+(?:_\\d+)*)?([jJ])?', 'y');
const ESCAPES = { '\\': '\\', "'": "'", '"': '"', a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/**
 * Reads the text of a Python expression. It accepts what ast.literal_eval accepts and rejects everything else, with one
 * exception: it rejects \N{…}, because Node has no table of character names.
 *
 * An integer becomes a Number, or a BigInt where a Number cannot hold it; bytes a Buffer; None null; ... undefined; tuples
 * and lists arrays; sets a Set; a dict an object if all its keys are strings, otherwise a Map; 1+2j {real: 1, imag: 2}.
 */
class Literal {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.depth = 0;
    // Of the value that was read last: number, signed, imaginary, string, bytes, hashable, mutable or name.
    this.kind = '';
    this.whole = false;                // the number that was read last is an integer
  }

  static read(text) {
    let end = text.length;
    while (end > 0 && ' \t\f\r\n'.includes(text[end - 1])) end--;
    const literal = new Literal(text.slice(0, end));
    const elements = literal.list('');
    if (!elements.comma && elements.length === 0) literal.fail('the text is empty');
    return elements.comma ? literal.plain(elements) : literal.plain(elements)[0];
  }

  fail(message) {
    const before = this.text.slice(0, this.at).split(/\r\n|\r|\n/);
    throw new SyntaxError('line ' + before.length + ', column ' + (before[before.length - 1].length + 1) + ': ' + message);
  }

  /** Skips white space, comments and joined lines; inside brackets also the ends of lines. */
  skip() {
    const space = this.depth ?
      /(?:[ \t\f\r\n]|#[^\r\n\0]*|\\(?:\r\n|\r|\n)(?!$))*/y :
      /(?:[ \t\f]|#[^\r\n\0]*|\\(?:\r\n|\r|\n)(?!$))*/y;
    space.lastIndex = this.at;
    space.exec(this.text);
    this.at = space.lastIndex;
  }

  /**
   * Reads elements up to `closer`, or up to the end of the text if that is "". The array's properties say whether there
   * was a comma, a mutable element, or the bare name `set`.
   */
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

  /** Returns the elements as a plain array. */
  plain(elements) {
    if (elements.named) this.fail('set is a name; an empty set is written set()');
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
    if (++this.depth > MAX_NESTING) this.fail('more than ' + MAX_NESTING + ' brackets are open');
    this.at++;
  }

  /** Reads a value with its sign, or a sum that is a complex number. */
  value() {
    let left = this.signed();
    this.skip();
    const sign = this.text[this.at];
    if (sign !== '+' && sign !== '-') return left;
    if (this.kind !== 'number' && this.kind !== 'signed') this.fail(COMPUTATION);
    this.at++;
    this.skip();
    if (this.text[this.at] === '+' || this.text[this.at] === '-') this.fail('a number has at most one sign');
    const right = this.atom();
    if (this.kind !== 'imaginary') this.fail(COMPUTATION);
    this.skip();
    if (this.text[this.at] === '+' || this.text[this.at] === '-') this.fail(COMPUTATION);
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
    if (this.kind !== 'number' && this.kind !== 'imaginary') this.fail('only a number can have a sign');
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
    if (!found) this.fail('unexpected ' + stringify(char));
    if (/["']/.test(this.text[name.lastIndex] || '')) return this.strings();
    this.at = name.lastIndex;
    this.kind = 'hashable';
    switch (found[0]) {
      case 'None': return null;
      case 'True': return true;
      case 'False': return false;
      case 'set': this.kind = 'name'; return null;     // only set() is a value
    }
    return this.fail(found[0] + ' is a name; a literal contains only values');
  }

  parenthesis() {
    this.open();
    const elements = this.list(')');
    this.depth--;
    if (elements.length === 1 && !elements.comma) return elements[0];   // this.kind is that of the element
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
    if (!called.test(this.text)) this.fail('set() takes no elements');
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
      if (this.text[this.at] === '}') break;
      const key = this.value();
      if (this.kind === 'mutable' || this.kind === 'name') this.fail('a list, set or dict cannot be a key or an element of a set');
      this.skip();
      const colon = this.text[this.at] === ':';
      if (pairs !== null && pairs !== colon) this.fail('either every key of a dict has a colon and a value, or, in a set, none has');
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
        if (this.kind === 'name') this.fail('set is a name; an empty set is written set()');
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
    NUMBER.lastIndex = start;
    const found = NUMBER.exec(this.text), plain = found[0].replace(/_/g, '');
    this.at = NUMBER.lastIndex;
    if (/[A-Za-z_0-9\u0080-\uffff]/.test(this.text[this.at] || '')) this.fail('invalid number');
    if (found[3]) {
      this.kind = 'imaginary';
      return { real: 0, imag: Number(plain.slice(0, -1)) };
    }
    this.kind = 'number';
    this.whole = found[1] === undefined && found[2] === undefined;
    if (!this.whole) return Number(plain);
    if (/^0+[1-9]/.test(plain)) this.fail('an integer cannot begin with 0');
    const value = Number(plain);
    return BigInteger && !Number.isSafeInteger(value) ? BigInteger(plain) : value;
  }

  /** Reads a string and those that directly follow it: Python joins them. */
  strings() {
    const texts = [];
    let kind = null;
    for (;;) {
      const text = this.string();
      if (kind !== null && kind !== this.kind) this.fail('bytes and text cannot be joined');
      kind = this.kind;
      texts.push(text);
      this.skip();
      if (!/^[A-Za-z]{0,2}["']/.test(this.text.slice(this.at, this.at + 3))) break;
    }
    this.kind = 'hashable';
    return kind === 'bytes' ? bufferFrom(texts.join(''), 'latin1') : texts.join('');
  }

  /** Reads one string; of bytes, each byte is a character. */
  string() {
    const prefix = /[A-Za-z_0-9\u0080-\uffff]*/y;
    prefix.lastIndex = this.at;
    const letters = prefix.exec(this.text)[0].toLowerCase();
    if (!/^(?:u?|r|b|br|rb)$/.test(letters)) this.fail(letters + ' is not a prefix of a string');
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
        const ended = char === undefined || char === '\r' || char === '\n';
        this.fail(ended ? 'unterminated string' : 'a string cannot contain this character');
      }
    }
    this.at += closer.length;
    this.kind = bytes ? 'bytes' : 'string';
    return parts.join('');
  }

  /** Reads an escape sequence. One that Python does not know stands for itself. */
  escape(raw, bytes) {
    const start = this.at, char = this.text[start + 1];
    if (char === '\r' || char === '\n') {
      this.at += this.text.startsWith('\r\n', start + 1) ? 3 : 2;
      return raw ? '\\\n' : '';
    }
    if (char === undefined || char === '\0' || bytes && char > '\x7f') {
      this.at++;
      return '\\';               // the caller rejects what follows
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
      if (text.length < digits || /[^0-9a-fA-F]/.test(text) || parseInt(text, 16) > 0x10ffff) {
        this.fail('\\' + char + ' needs ' + digits + ' hexadecimal digits of a character');
      }
      this.at += digits;
      return String.fromCodePoint(parseInt(text, 16));
    }
    if (char === 'N' && !bytes) {
      this.fail('\\N{...} needs a table of character names, which Node does not have: write \\u and the number of the character');
    }
    return '\\' + char;
  }
}

/** Returns the same text for values that are equal in Python, and therefore the same key: 1, 1.0 and True are. */
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
  if (Array.isArray(value)) return '(' + value.map(identity).map((text) => text.length + ':' + text).join('');
  return value.imag === 0 ? identity(value.real) : 'c' + (value.real + 0) + ',' + value.imag;
}

module.exports = { Literal };
