'use strict';
// Sets of indexes as text: "17,20-31".

/** [17, 20, 21, 22] as "17,20-22". */
function compress(indexes) {
  const parts = [];
  indexes.sort((a, b) => a - b);
  for (let at = 0; at < indexes.length;) {
    const first = at++;
    while (at < indexes.length && indexes[at] === indexes[at - 1] + 1) at++;
    parts.push(at - first === 1 ? String(indexes[first]) : indexes[first] + '-' + indexes[at - 1]);
  }
  return parts.join(',');
}

/** The set that "17,20-22" names. */
function expand(text) {
  const indexes = new Set();
  for (const part of (text || '').split(',').filter(Boolean)) {
    const ends = part.split('-').map(Number);
    for (let index = ends[0]; index <= ends[ends.length - 1]; index++) indexes.add(index);
  }
  return indexes;
}

module.exports = { compress, expand };
