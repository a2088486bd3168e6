'use strict';
// Why a result cannot be stored.

const { stringify, textOf } = require('./natives');

// Nested levels of a result. The exchange takes 10,000; JSON.stringify of Node overflows its stack at about 4,000.
const MAX_RESULT_DEPTH = 2500;
const MAX_PATH = 200;            // characters of a path in a message

function failure(name, message) {
  const error = new RangeError(message);
  error.name = name;
  error.stack = '';
  return error;
}

/** `size` is the number of bytes, if it is known. */
function tooLarge(limit, size) {
  return failure('ResultTooLarge', (size === undefined ? 'the result has more bytes than the limit of ' + limit :
    'the result has ' + size + ' bytes, more than the limit of ' + limit) +
    ': return less, or store the data elsewhere and return a reference to it');
}

/** [0, 'a', 'b c'] as $[0].a["b c"]. */
function pathText(path) {
  let text = '$';
  for (const key of path) {
    if (typeof key === 'number') text += '[' + key + ']';
    else text += /^[A-Za-z_$][\w$]*$/.test(key) ? '.' + key : '[' + stringify(key) + ']';
    if (text.length > 20 * MAX_PATH) break;
  }
  return text.length <= MAX_PATH ? text : text.slice(0, MAX_PATH) + '…';
}

function notSerializable(path, what, instead) {
  return failure('ResultNotSerializable', 'the result cannot be stored as JSON: ' + pathText(path) + ' is ' + what + ': ' + instead);
}

function tooDeep(path) {
  return failure('ResultNotSerializable', 'the result cannot be stored as JSON: nested too deeply, in more than ' +
    path.length + ' levels (' + pathText(path.slice(0, 20)) + '…): return a flat list of its parts, or a text that contains them');
}

/** The name of an object's class, in a message. */
function className(value) {
  try {
    const maker = value.constructor;
    return typeof maker === 'function' && maker.name ? textOf(maker.name) : 'Object';
  } catch (error) {
    return 'Object';
  }
}

module.exports = { MAX_RESULT_DEPTH, tooLarge, notSerializable, tooDeep, pathText, className };
