'use strict';
// Results: as JSON where that loses nothing, and as text otherwise.

const { BIG, afterString, quote, wellFormed } = require('./json');
const { RangeErrorOfNode, apply, inspect, stringify, tagOf, textOf } = require('./natives');

const MAX_RESULT_DEPTH = 9000;            // nested levels of a result; parsers of JSON stop at 10,000
// Objects of which JSON.stringify loses the content, by Object.prototype.toString.
const LOSSY = new Set(['Map', 'Set', 'WeakMap', 'WeakSet', 'Promise', 'Error', 'RegExp', 'ArrayBuffer', 'SharedArrayBuffer',
  'DataView', 'Function', 'Symbol'].map((name) => '[object ' + name + ']'));
const NOT_JSON = new Error('JSON cannot represent the value');
const COMPLETE = { depth: null, maxArrayLength: null, maxStringLength: null, breakLength: Infinity, compact: true };

function tooLarge(message) {
  const error = new RangeError(message);
  error.name = 'ResultTooLarge';
  error.stack = '';
  return error;
}

/** Returns the value as JSON, with integers of any size, or null if JSON would lose something. */
function asJSON(value) {
  let big = false, json;
  try {
    json = stringify(value, (_, part) => {
      switch (typeof part) {
        case 'number':
          if (part - part !== 0) throw NOT_JSON;   // NaN or infinite
          break;
        case 'bigint': big = true; return BIG + part;
        case 'function': case 'symbol': throw NOT_JSON;
        case 'object':
          if (part !== null && LOSSY.has(apply(tagOf, part, []))) throw NOT_JSON;
      }
      return part;
    });
  } catch (error) {
    return null;                 // circular, nested too deeply, or a toJSON that throws
  }
  if (json === undefined) return null;
  if (big) json = json.replace(new RegExp(stringify(BIG).slice(0, -1).replace('\\', '\\\\') + '(-?\\d+)"', 'g'), '$1');
  return json.length > 2 * MAX_RESULT_DEPTH && depthOf(json) > MAX_RESULT_DEPTH ? null : wellFormed(json);
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

/** Returns the whole value as text, or a shortened text if Node fails because it is nested too deeply. */
function shown(value) {
  try {
    return inspect(value, COMPLETE);
  } catch (error) {
    if (!(error instanceof RangeErrorOfNode)) throw error;
    return inspect(value, { breakLength: Infinity });
  }
}

/** Returns the fields result and resultText of a value. Throws ResultTooLarge if one exceeds the limit. */
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
      throw tooLarge('the result has ' + Buffer.byteLength(part) + ' bytes, more than the limit of ' + limit +
        ': return less, or store the data elsewhere and return a reference to it');
    }
  }
  return (json === null ? '' : '"result":' + json + ',') + (text === null ? '' : '"resultText":' + text + ',');
}

module.exports = { encoded };
