'use strict';
// For each line, prints the value that the Node runner reads from it, in the form of canonical.py; see node_test.go.
const { readInput } = require('../../runtimes/node/src/input.js');

function number(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value, 0);
  return 'f' + bytes.toString('hex');
}

function text(value) {
  let hex = '';
  for (let i = 0; i < value.length; i++) hex += ('000' + value.charCodeAt(i).toString(16)).slice(-4);
  return 's' + hex;
}

function canonical(value) {
  if (value === null) return 'None';
  if (value === undefined) return 'Ellipsis';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value === 'number') return number(value);
  if (typeof value === 'bigint') return 'i' + value;
  if (typeof value === 'string') return text(value);
  if (Buffer.isBuffer(value)) return 'b' + value.toString('hex');
  if (Array.isArray(value)) return '[' + value.map(canonical).join(',') + ']';
  if (value instanceof Set) return 'S{' + Array.from(value, canonical).sort().join(',') + '}';
  if (value instanceof Map) return 'M{' + Array.from(value, (pair) => pair.map(canonical).join(':')).sort().join(',') + '}';
  const keys = Object.keys(value);
  // A dict with both keys would look the same: the generator writes none.
  if (keys.join() === 'real,imag') return 'c(' + number(value.real + 0) + ',' + number(value.imag + 0) + ')';
  return 'O{' + keys.map((key) => canonical(key) + ':' + canonical(value[key])).sort().join(',') + '}';
}

for (const line of require('fs').readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  let answer;
  try {
    answer = { accepted: true, value: canonical(readInput(true, JSON.parse(line))) };
  } catch (error) {
    answer = { accepted: false, why: error.name + ': ' + error.message };
  }
  console.log(JSON.stringify(answer));
}
