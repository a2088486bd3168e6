'use strict';
// JSON text: where values end, integers of any size, lone surrogates.

const crypto = require('crypto');
const { BigInteger, parse, stringify } = require('./natives');

const ESCAPES_SURROGATES = stringify('\ud800').length === 8;   // Node 12 and later

/** Escapes lone surrogates, which UTF-8 cannot encode. */
function wellFormed(json) {
  if (ESCAPES_SURROGATES || !/[\ud800-\udfff]/.test(json)) return json;
  return json.replace(/[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]/g,
    (found) => (found.length === 2 ? found : '\\u' + found.charCodeAt(0).toString(16)));
}

const quote = (text) => wellFormed(stringify(text));

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

/**
 * Calls visit(key, start) for each member of the object, or visit(position, start) for each element of the array, that
 * begins at `at` of well-formed JSON.
 */
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

const BIG = '\u0000' + crypto.randomBytes(12).toString('hex') + ':';   // prefix of a string that stands for an integer

/** Parses JSON. An integer that a Number cannot hold becomes a BigInt, if this Node has them. */
function parseJSON(text) {
  if (!BigInteger || !/\d{16}/.test(text)) return parse(text);
  const parts = [];
  const number = /-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/y;
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
  const restored = (_, value) => (typeof value === 'string' && value.startsWith(BIG) ? BigInteger(value.slice(BIG.length)) : value);
  return parse(parts.join(''), restored);
}

module.exports = { wellFormed, quote, afterString, afterValue, eachMember, parseJSON, BIG };
