'use strict';
// Results: what the handler returned, as JSON and, where REST shows another text, as text.

const { quote, wellFormed } = require('./json');
const {
  ObjectPrototype, RangeErrorOfNode, getPrototypeOf, inspect, isArray, keysOf, stringify, textOf,
} = require('./natives');
const { MAX_RESULT_DEPTH, tooLarge } = require('./resulterrors');
const { ResultWriter } = require('./resultwriter');

const NOT_PLAIN = new Error('the value has more than plain JSON');
const COMPLETE = { depth: null, maxArrayLength: null, maxStringLength: null, breakLength: Infinity, compact: true };
const { iterator: ITERATOR, asyncIterator: ASYNC_ITERATOR } = Symbol;

/**
 * Measures values that JSON.stringify represents completely: null, booleans, finite numbers, texts, arrays and plain objects.
 * Throws NOT_PLAIN at any other one, and ResultTooLarge as soon as the JSON must be longer than the limit.
 */
class PlainMeasure {
  constructor(limit) {
    this.limit = limit;
    this.left = limit + 1;             // each value is counted with a comma
  }

  take(size) {
    this.left -= size;
    if (this.left < 0) throw tooLarge(this.limit);
  }

  value(value, depth) {
    switch (typeof value) {
      case 'string': this.take(value.length + 3); break;
      case 'number':
        if (value - value !== 0) throw NOT_PLAIN;    // NaN or infinite
        this.take(2);
        break;
      case 'boolean': case 'undefined': this.take(5); break;
      case 'object':
        if (value === null) this.take(5);
        else this.object(value, depth);
        break;
      default: throw NOT_PLAIN;
    }
  }

  object(value, depth) {
    if (depth === MAX_RESULT_DEPTH || value.toJSON !== undefined) throw NOT_PLAIN;
    this.take(2);
    if (isArray(value)) {
      if (2 * value.length > this.left) throw tooLarge(this.limit);
      for (let i = 0; i < value.length; i++) this.value(value[i], depth + 1);
      return;
    }
    const prototype = getPrototypeOf(value);
    if (prototype !== ObjectPrototype && prototype !== null) throw NOT_PLAIN;
    if (value[ITERATOR] !== undefined || ASYNC_ITERATOR && value[ASYNC_ITERATOR] !== undefined) throw NOT_PLAIN;
    const keys = keysOf(value);
    for (let i = 0; i < keys.length; i++) {
      const member = value[keys[i]];
      if (member === undefined) continue;            // omitted
      this.take(keys[i].length + 3);
      this.value(member, depth + 1);
    }
  }
}

/** Returns the JSON of a value that has only plain JSON, otherwise null. */
function plainJSON(value, limit) {
  try {
    new PlainMeasure(limit).value(value, 0);
    return wellFormed(stringify(value));
  } catch (error) {
    if (error !== NOT_PLAIN && !(error instanceof RangeErrorOfNode)) throw error;
    if (error.name === 'ResultTooLarge') throw error;
    return null;                       // RangeError: it is nested deeply
  }
}

/** Returns the whole value as text, or a shortened text if Node fails because it is nested too deeply. */
function shown(value) {
  try {
    return inspect(value, COMPLETE);
  } catch (error) {
    if (!(error instanceof RangeErrorOfNode)) throw error;
    return inspect(value, { breakLength: Infinity });
  }
}

/** The fields result and resultText of an outcome. Throws ResultTooLarge if one exceeds the limit. */
function fields(json, text, limit) {
  if (text !== null) text = quote(text);
  for (const part of [json, text]) {
    if (part !== null && part.length * 3 > limit && Buffer.byteLength(part) > limit) throw tooLarge(limit, Buffer.byteLength(part));
  }
  return (json === null ? '' : '"result":' + json + ',') + (text === null ? '' : '"resultText":' + text + ',');
}

/**
 * Encodes a value: {fields, consumed, drain}.
 *
 * `fields` are those of the outcome. They are null if the value contains asynchronous iterators: drain() consumes these and
 * returns a promise of the fields. `consumed` says that code of the user ran: an iterator was consumed.
 */
function encode(value, limit) {
  switch (typeof value) {
    case 'string':
      if (value.length > limit) throw tooLarge(limit, Buffer.byteLength(quote(value)));
      return { fields: fields(quote(value), null, limit), consumed: false, drain: null };
    case 'number':
      return { fields: value - value === 0 ? fields(stringify(value), null, limit) : fields(null, textOf(value), limit),
        consumed: false, drain: null };
    case 'boolean': return { fields: fields(textOf(value), null, limit), consumed: false, drain: null };
    case 'undefined': return { fields: fields('null', 'undefined', limit), consumed: false, drain: null };
  }
  const json = value === null ? 'null' : plainJSON(value, limit);
  if (json !== null) return { fields: fields(json, null, limit), consumed: false, drain: null };
  const writer = new ResultWriter(limit), finished = () => fields(writer.text(), writer.textDiffers() ? shown(value) : null, limit);
  writer.root(value);
  if (writer.pending.length) return { fields: null, consumed: true, drain: () => writer.drain().then(finished) };
  return { fields: finished(), consumed: writer.consumed, drain: null };
}

module.exports = { encode };
