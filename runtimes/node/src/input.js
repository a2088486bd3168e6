'use strict';
// Inputs: from the text that the exchange hands out to the array that the handler is called with.

const { Literal } = require('./literal');
const { parseJSON } = require('./json');

/** Returns the array that the handler is called with. */
function readInput(isLiteral, text) {
  const value = isLiteral ? Literal.read(text) : parseJSON(text);
  return Array.isArray(value) ? value : [value];
}

module.exports = { readInput };
