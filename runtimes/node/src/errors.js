'use strict';
// Errors as they are reported: {type, message, traceback}.

const { quote } = require('./json');

const MAX_ERROR_TEXT = 64 << 10;   // characters of an error's message, and of its traceback

/** Returns the text; if it is too long, without its middle. */
function clipped(text) {
  if (text.length <= MAX_ERROR_TEXT) return text;
  const half = MAX_ERROR_TEXT >> 1;
  return text.slice(0, half) + '\n[... ' + (text.length - 2 * half) + ' characters cut ...]\n' + text.slice(-half);
}

function errorObject(type, message, traceback) {
  return { type: clipped(type), message: clipped(message), traceback: clipped(traceback || '') };
}

/** Returns the error as JSON, also when the user's code has set Object.prototype.toJSON. */
function errorJSON(error) {
  return '{"type":' + quote(error.type) + ',"message":' + quote(error.message) + ',"traceback":' + quote(error.traceback) + '}';
}

module.exports = { errorObject, errorJSON };
