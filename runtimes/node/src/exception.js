'use strict';
// What the handler threw, as the error of an outcome.

const path = require('path');
const { RUNNER } = require('./constants');
const { errorObject } = require('./errors');
const { sharedMemoryAdvice } = require('./sharedmemory');
const { ErrorOfNode, inspect, textOf } = require('./natives');

const MAX_NODES = 2000;          // values inside an error beyond which only its first level is shown
const MAX_ELEMENTS = 50;         // of an array inside an error
const SHOWN = { breakLength: 120, maxArrayLength: MAX_ELEMENTS, maxStringLength: 4096 };
const MAX_DEPTH = 4;             // levels of causes, inner errors and properties

/** Returns the error of an outcome for whatever was thrown. Folders are left out of the paths in its traceback. */
function describe(thrown, folders) {
  let type = typeof thrown, message, trace = null;
  try {
    if (thrown !== null && type === 'object' || type === 'function') {
      const maker = thrown.constructor;
      type = typeof thrown.name === 'string' && thrown.name ? thrown.name : maker && maker.name || 'Object';
      if (typeof thrown.stack === 'string') {
        trace = traceOf(thrown, folders);
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
      const shown = inspect(thrown, options(thrown));
      message = typeof thrown === 'string' ? thrown : inspect(thrown);
      if (thrown instanceof ErrorOfNode) message = textOf(thrown.message);     // its stack is no text
      trace = 'Uncaught ' + ownLines(shown, folders);
    } catch (error) {
      message = '<the thrown value cannot be shown>';
    }
  }
  if (trace === null) trace = type + ': ' + message;
  if (/ENOSPC|No space left/.test(message) && /\bshm\b/.test(message)) message += sharedMemoryAdvice(process.env);
  return errorObject(textOf(type), message, trace ? trace + '\n' : '');
}

/** Returns the stack; as Node prints it, with causes, inner errors and further properties, if the error has any. */
function traceOf(error, folders) {
  const further = Object.getOwnPropertyNames(error).filter((name) =>
    name !== 'stack' && name !== 'message' && !(name === 'name' && typeof error.name === 'string'));
  if (!error.stack || !further.length) return ownLines(error.stack, folders);
  try {
    const shown = ownLines(inspect(error, options(error)), folders);
    // Node 14 and earlier do not show what a constructor of a later version would have hidden.
    return further.some((name) => shown.includes(name)) ? shown : ownLines(error.stack, folders);
  } catch (failure) {
    return ownLines(error.stack, folders);           // of a property that throws when it is shown
  }
}

/** The options of inspect: getters are not called, and a value with much in it is shown to its first level. */
function options(value) {
  const counter = { left: MAX_NODES };
  countNodes(value, MAX_DEPTH + 1, counter);
  return Object.assign({ depth: counter.left > 0 ? MAX_DEPTH : 1 }, SHOWN);
}

function countNodes(value, depth, counter) {
  if (--counter.left <= 0 || !depth || value === null || typeof value !== 'object') return;
  const names = Array.isArray(value) ? value.slice(0, MAX_ELEMENTS).map((_, i) => String(i)) : Object.getOwnPropertyNames(value);
  if (value instanceof Map || value instanceof Set) counter.left -= Math.min(value.size, 200);
  for (let i = 0; i < names.length && counter.left > 0; i++) {
    const property = Object.getOwnPropertyDescriptor(value, names[i]);
    if (property && 'value' in property) countNodes(property.value, depth - 1, counter);
  }
}

const NODE_FRAME =
  /[( ](?:node:|internal\/|(?:module|vm|timers|events|next_tick|bootstrap_node|domain|net|fs)\.js:|<anonymous>\)?$)/;

/** Returns the text without the frames of the runner and of Node's own modules, and with the names of the user's files. */
function ownLines(text, folders) {
  const lines = [];
  for (const line of text.split('\n')) {
    if (/^ +\.\.\. \d+ lines matching cause stack trace \.\.\.$/.test(line)) continue;      // they are the runner's
    if (!/^ {4,}at /.test(line) || !line.includes(RUNNER) && !NODE_FRAME.test(line)) lines.push(line);
    else if (line.endsWith(' {')) lines[lines.length - 1] += ' {';   // the properties of the error follow
  }
  let own = lines.join('\n');
  for (const folder of folders) {
    for (const prefix of ['file://' + encodeURI(folder + path.sep), folder + path.sep]) own = own.split(prefix).join('');
  }
  return own;
}

/** The error of what waits for something that can never come. */
function neverSettled(what) {
  const error = new ErrorOfNode(what + ' can never settle: nothing is left that could settle it');
  error.name = 'NeverSettled';
  error.stack = '';
  return error;
}

module.exports = { ownLines, describe, neverSettled };
