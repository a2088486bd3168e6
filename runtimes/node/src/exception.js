'use strict';
// What the handler threw, as the error of an outcome.

const path = require('path');
const { RUNNER } = require('./constants');
const { errorObject } = require('./errors');
const { inspect, textOf } = require('./natives');

/** Returns the error of an outcome for whatever was thrown. */
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
      message = '<the thrown value cannot be shown>';
    }
  }
  if (trace === null) trace = type + ': ' + message;
  return errorObject(textOf(type), message, trace ? trace + '\n' : '');
}

const NODE_FRAME =
  /[( ](?:node:)?(?:internal\/|(?:module|vm|timers|events|next_tick|bootstrap_node|domain|net|fs)\.js:|<anonymous>\)?$)/;

/** Returns the stack without the frames of the runner and of Node's own modules, followed by those of its causes. */
function ownFrames(error, folder) {
  const parts = [];
  for (let seen = 0; error && typeof error.stack === 'string' && seen < 10; seen++) {
    const lines = error.stack.split('\n').filter((line) => !/^ {4}at /.test(line) ||
      !line.includes(RUNNER) && !NODE_FRAME.test(line));
    parts.push((seen ? 'Caused by: ' : '') + lines.join('\n').split(folder + path.sep).join(''));
    error = error.cause;
  }
  return parts.join('\n');
}

module.exports = { describe };
