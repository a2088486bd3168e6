'use strict';
// Writes values of any type as JSON, so that nothing is lost: what JSON has no form for is converted, or an error.

const { quote } = require('./json');
const {
  BufferOfNode, Bytes, ErrorOfNode, ObjectPrototype, RangeErrorOfNode, TypeErrorOfNode, apply, bufferToJSON, dateTime,
  entriesOfMap, getPrototypeOf, isArray, isView, joinTyped, keysOf, sizeOfMap, sizeOfSet, subarray, tagOf, textOf, valuesOfSet,
} = require('./natives');
const { MAX_RESULT_DEPTH, className, notSerializable, pathText, tooDeep, tooLarge } = require('./resulterrors');

const { iterator: ITERATOR, asyncIterator: ASYNC_ITERATOR } = Symbol;
const MAX_PIECES = 8192;         // texts that are joined at a time
const TYPED_PART = 16384;        // elements of a typed array that are converted at a time

// What to return in place of objects without data that JSON can hold, by the name of their class.
const INSTEAD = {
  Promise: 'await it; for several ones, await Promise.all(…)',
  Response: 'return await response.json() or await response.text()',
  Request: 'return what you need of it, such as its url',
  Blob: 'return await blob.text(), or Array.from(new Uint8Array(await blob.arrayBuffer()))',
  File: 'return await file.text(), or Array.from(new Uint8Array(await file.arrayBuffer()))',
  WeakMap: 'return an object or a Map',
  WeakSet: 'return an array or a Set',
  WeakRef: 'return what it refers to',
};
const STREAMS = /^(?:Readable|Writable|Transform)Stream$/;
const STREAM = 'read it to its end and return what you need of its content';

/** Calls a method that only objects of one class have; undefined for others. */
function branded(method, value) {
  try {
    return apply(method, value, []);
  } catch (error) {
    return undefined;
  }
}

const isBuffer = (value) => isView(value) && value.toJSON === bufferToJSON && value instanceof BufferOfNode;
const isIterator = (value) => typeof value.next === 'function' && typeof value[ITERATOR] === 'function' && value[ITERATOR]() === value;
const isAsyncIterator = (value) => Boolean(ASYNC_ITERATOR) && typeof value.next === 'function' &&
  typeof value[ASYNC_ITERATOR] === 'function';

/** Ends an iterator before its end. What its return() throws does not replace the reason. */
function close(iterator) {
  try {
    if (typeof iterator.return === 'function') return iterator.return();
  } catch (error) {
    // The reason is another error already.
  }
  return undefined;
}

function checkedStep(step) {
  if (step === null || typeof step !== 'object' && typeof step !== 'function') {
    throw new TypeErrorOfNode('next() of the iterator returned ' + textOf(step) + ', which is not an object');
  }
  return step;
}

class ResultWriter {
  constructor(limit) {
    this.limit = limit;
    this.left = limit;
    this.out = this.whole = [];        // texts, and arrays of texts that asynchronous iterators fill
    this.pieces = [];
    this.path = [];
    this.open = new Map();             // the objects around the current value, and how deep each is
    this.pending = [];                 // asynchronous iterators that are not consumed yet
    this.consumed = false;             // an iterator was consumed
    this.own = true;                   // only plain values, Map and Set were found, of which util.inspect shows everything
    this.differs = false;              // it shows them differently
  }

  /** Whether REST shows the text of util.inspect and not the JSON. */
  textDiffers() {
    return this.own && this.differs;
  }

  text() {
    this.flush();
    const flat = (parts) => parts.map((part) => (typeof part === 'string' ? part : flat(part))).join('');
    return flat(this.whole);
  }

  add(text) {
    this.left -= text.length;
    if (this.left < 0) throw tooLarge(this.limit);
    if (this.pieces.push(text) >= MAX_PIECES) this.flush();
  }

  flush() {
    if (this.pieces.length) this.out.push(this.pieces.join(''));
    this.pieces = [];
  }

  /** Checks a number of elements before any is converted. */
  count(elements) {
    if (2 * elements > this.left) throw tooLarge(this.limit);
  }

  refuse(what, instead) {
    return notSerializable(this.path, what, instead);
  }

  /** Writes the value that the handler returned. */
  root(value) {
    this.guarded(() => this.write(this.converted(value, '')));
  }

  /** Calls write, and replaces the error of a stack overflow in it. */
  guarded(write) {
    try {
      write();
    } catch (error) {
      if (error instanceof RangeErrorOfNode && /call stack/.test(error.message) && this.path.length > 300) throw tooDeep(this.path);
      throw error;
    }
  }

  /** Returns what toJSON makes of a value, or the value. */
  converted(value, key) {
    const kind = typeof value;
    if (value === null || kind !== 'object' && kind !== 'function' && kind !== 'bigint') return value;
    if (kind === 'object') {
      const time = apply(tagOf, value, []) === '[object Date]' ? branded(dateTime, value) : undefined;
      if (time !== undefined && time !== time) throw this.refuse('an invalid Date', 'return null or a text');
      if (isBuffer(value)) return value;
    }
    const { toJSON } = value;
    if (typeof toJSON !== 'function') return value;
    this.own = false;
    return apply(toJSON, value, [textOf(key)]);
  }

  write(value) {
    switch (typeof value) {
      case 'string':
        this.count(value.length / 2);
        this.add(quote(value));
        break;
      case 'number':
        if (value - value === 0) {
          this.add(textOf(value));
        } else {
          this.differs = true;
          this.add('"' + textOf(value) + '"');
        }
        break;
      case 'boolean': case 'bigint': this.add(textOf(value)); break;
      case 'undefined': this.add('null'); break;
      case 'symbol': throw this.refuse('a symbol (' + textOf(value) + ')', 'return a text');
      case 'function':
        throw this.refuse('a function' + (value.name ? ' (' + textOf(value.name) + ')' : ''), 'return what it returns, or leave it out');
      default:
        if (value === null) this.add('null');
        else this.object(value);
    }
  }

  object(value) {
    if (this.path.length >= MAX_RESULT_DEPTH) throw this.open.has(value) ? this.cycle(value) : tooDeep(this.path);
    if (this.open.has(value)) throw this.cycle(value);
    this.open.set(value, this.path.length);
    this.content(value, apply(tagOf, value, []));
    this.open.delete(value);
  }

  cycle(value) {
    return this.refuse('the same object as ' + pathText(this.path.slice(0, this.open.get(value))) + ', which contains it',
      'return a value without cycles, such as an id in its place');
  }

  content(value, tag) {
    if (isArray(value) || tag === '[object Arguments]') {
      this.count(value.length);
      this.list(value.length, (i) => value[i]);
    } else if (isView(value)) {
      this.own = false;
      if (isBuffer(value)) this.buffer(value);
      else this.typed(tag === '[object DataView]' ? new Bytes(value.buffer, value.byteOffset, value.byteLength) : value, tag);
    } else if (tag === '[object Map]' && branded(sizeOfMap, value) !== undefined) {
      this.map(value);
    } else if (tag === '[object Set]' && branded(sizeOfSet, value) !== undefined) {
      this.differs = true;
      this.count(apply(sizeOfSet, value, []));
      this.iterate(apply(valuesOfSet, value, []));
    } else {
      this.own = this.own && (tag === '[object Object]' || tag === '[object Proxy]');
      this.special(value, tag);
    }
  }

  special(value, tag) {
    const name = tag.slice(8, -1);
    if (name === 'ArrayBuffer' || name === 'SharedArrayBuffer') {
      this.typed(new Bytes(value), '');
    } else if (/^(?:Number|String|Boolean|BigInt|Symbol)$/.test(name) && typeof value.valueOf() !== 'object') {
      this.write(value.valueOf());
    } else if (name === 'RegExp') {
      this.write(textOf(value));
    } else if (name === 'Error' || value instanceof ErrorOfNode) {
      this.error(value);
    } else if (name === 'Promise' || typeof value.then === 'function') {
      throw this.refuse(name === 'Promise' ? 'a Promise' : 'a thenable of the class ' + className(value), INSTEAD.Promise);
    } else if (STREAMS.test(name) || typeof value.pipe === 'function' && typeof value.on === 'function') {
      throw this.refuse('a stream (' + className(value) + ')', STREAM);
    } else if (/^(?:URLSearchParams|Headers|FormData)$/.test(name) && typeof value.entries === 'function') {
      this.consume(value.entries());
    } else if (isIterator(value)) {
      this.consume(value);
    } else if (isAsyncIterator(value)) {
      this.later(value);
    } else {
      this.members(value, name);
    }
  }

  /** Writes an object by its own enumerable properties; one that has none by its iterator. */
  members(value, name) {
    const keys = keysOf(value), prototype = getPrototypeOf(value);
    const plain = prototype === null || prototype === ObjectPrototype ||
      getPrototypeOf(prototype) === null && className(value) === 'Object';   // of another context
    if (!plain) this.own = false;
    if (!keys.length && typeof value[ITERATOR] === 'function') {
      this.consume(value[ITERATOR]());
    } else if (!keys.length && ASYNC_ITERATOR && typeof value[ASYNC_ITERATOR] === 'function') {
      this.later(value[ASYNC_ITERATOR]());
    } else if (!keys.length && !plain) {
      const known = name === 'Object' ? className(value) : name;
      throw this.refuse('an object of the class ' + known + ' without enumerable properties',
        apply(ObjectPrototype.hasOwnProperty, INSTEAD, [known]) ? INSTEAD[known] :
          'return a plain object, or add toJSON() to the class');
    } else {
      this.count(keys.length);
      this.record(keys, (key) => value[key], true);
    }
  }

  record(keys, read, omitsUndefined) {
    let first = true;
    this.add('{');
    for (const key of keys) {
      this.path.push(key);
      const member = this.converted(read(key), key);
      if (member !== undefined || !omitsUndefined) {
        this.count(key.length / 2);
        this.add((first ? '' : ',') + quote(key) + ':');
        this.write(member);
        first = false;
      }
      this.path.pop();
    }
    this.add('}');
  }

  list(length, read) {
    this.add('[');
    for (let i = 0; i < length; i++) this.element(read(i), i);
    this.add(']');
  }

  element(value, i) {
    if (i) this.add(',');
    this.path.push(i);
    this.write(this.converted(value, i));
    this.path.pop();
  }

  map(value) {
    const pairs = Array.from(apply(entriesOfMap, value, []));
    this.count(pairs.length);
    this.differs = true;
    if (pairs.every((pair) => typeof pair[0] === 'string')) {
      let at = 0;
      this.record(pairs.map((pair) => pair[0]), () => pairs[at++][1], false);
    } else {
      this.list(pairs.length, (i) => pairs[i]);
    }
  }

  buffer(value) {
    this.add('{"type":"Buffer","data":');
    this.typed(value, '');
    this.add('}');
  }

  typed(value, tag) {
    const length = value.length, floats = tag.startsWith('[object Float');
    this.count(length);
    this.add('[');
    for (let at = 0; at < length; at += TYPED_PART) {
      const part = apply(subarray, value, [at, Math.min(at + TYPED_PART, length)]);
      let finite = true;
      for (let i = 0; floats && finite && i < part.length; i++) finite = part[i] - part[i] === 0;
      if (at) this.add(',');
      if (finite) this.add(apply(joinTyped, part, [',']));
      else for (let i = 0; i < part.length; i++) this.element(part[i], i);
    }
    this.add(']');
  }

  /** Writes an error as an object: its name, its message and what it holds. */
  error(value) {
    const keys = ['name', 'message'].concat(keysOf(value).filter((key) => !/^(?:name|message|stack)$/.test(key)));
    for (const key of ['cause', 'errors']) {
      if (apply(ObjectPrototype.hasOwnProperty, value, [key]) && !keys.includes(key)) keys.push(key);
    }
    this.record(keys, (key) => value[key], true);
  }

  // -- iterators

  /** Consumes an iterator that belongs to the user's code. */
  consume(iterator) {
    this.consumed = true;
    this.own = false;
    this.iterate(iterator);
  }

  iterate(iterator) {
    const { next } = iterator;
    this.add('[');
    for (let i = 0; ; i++) {
      const step = checkedStep(apply(next, iterator, []));
      if (step.done) break;
      try {
        this.element(step.value, i);
      } catch (error) {
        close(iterator);
        throw error;
      }
    }
    this.add(']');
  }

  /** Leaves a place for what an asynchronous iterator yields. */
  later(iterator) {
    this.consumed = true;
    this.own = false;
    this.flush();
    const place = [];
    this.out.push(place);
    this.pending.push({ iterator, place, path: this.path.slice(), open: new Map(this.open) });
  }

  /** Consumes the asynchronous iterators, one after the other. */
  async drain() {
    this.flush();
    for (const { iterator, place, path, open } of this.pending) {
      [this.out, this.path, this.open] = [place, path, open];
      const { next } = iterator;
      this.add('[');
      for (let i = 0; ; i++) {
        const step = checkedStep(await apply(next, iterator, []));
        if (step.done) break;
        try {
          this.guarded(() => this.element(step.value, i));
        } catch (error) {
          await Promise.resolve(close(iterator)).catch(() => {});
          throw error;
        }
      }
      this.add(']');
      this.flush();
    }
  }
}

module.exports = { ResultWriter, isIterator, isAsyncIterator, close, checkedStep };
