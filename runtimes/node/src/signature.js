'use strict';
// Handlers that are written for another runtime: handler(event, context, callback).

const { TypeErrorOfNode, textOf } = require('./natives');

const CALLED = 'this runtime calls handler(event) with one argument, the input, and without a context or a callback: ' +
  'return the result, or a promise of it (async function handler(event) { … })';
const CALLBACKS = /[,(]\s*(?:cb|callback|done|next)\s*\)/;

/** The parameters of the handler, as far as they are written. */
function parameters(handler) {
  const text = Function.prototype.toString.call(handler);
  return text.slice(0, text.indexOf(')') + 1);
}

/** Whether a handler that returned nothing waits for its callback to be called. Parameters with a default do not count. */
function expectsCallback(handler) {
  return handler.length > 1 && (handler.length > 2 || CALLBACKS.test(parameters(handler)));
}

function callbackError(handler) {
  const error = new TypeErrorOfNode('the handler has ' + handler.length +
    ' parameters and returned nothing, as if it were to call a callback: ' + CALLED);
  error.stack = '';
  return error;
}

/** Adds to an error how this runtime calls the handler, if the reason may be an argument that the handler expects. */
function withSignature(error, handler) {
  try {
    if (typeof handler !== 'function' || handler.length < 2) return error;
    const missing = error instanceof TypeErrorOfNode && /undefined|not a function/.test(error.message);
    if (!missing && error.name !== 'NeverSettled') return error;
    const before = textOf(error.message), message = before + ' (the handler has ' + handler.length + ' parameters: ' + CALLED + ')';
    const stack = typeof error.stack === 'string' ? error.stack.replace(before, () => message) : '';
    error.message = message;
    error.stack = stack;
  } catch (failure) {
    // The error is shown as it is.
  }
  return error;
}

module.exports = { expectsCallback, callbackError, withSignature };
