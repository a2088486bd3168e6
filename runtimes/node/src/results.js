'use strict';
// The results of a call with several inputs.

const { ErrorOfNode, TypeErrorOfNode, apply, isArray, isView, tagOf, textOf } = require('./natives');
const { checkedStep, close, isAsyncIterator, isIterator } = require('./resultwriter');

/** Takes the values of an iterator, at most one more than there are events. */
function taken(iterator, max) {
  const values = [], { next } = iterator;
  while (values.length <= max) {
    const step = checkedStep(apply(next, iterator, []));
    if (step.done) return values;
    values.push(step.value);
  }
  close(iterator);
  return values;
}

async function takenLater(iterator, max) {
  const values = [], { next } = iterator;
  while (values.length <= max) {
    const step = checkedStep(await apply(next, iterator, []));
    if (step.done) return values;
    values.push(step.value);
  }
  await close(iterator);
  return values;
}

function checked(values, count) {
  const listed = isArray(values) || isView(values) && typeof values.length === 'number';
  if (listed && values.length === count) return values;
  let kind = typeof values;
  if (values === null || kind === 'undefined') kind = textOf(values);
  else if (isArray(values)) kind = 'an array';
  else if (kind === 'object') kind = values.constructor && values.constructor.name || 'Object';
  throw new TypeErrorOfNode('with batchSize, handler(events) returns an array with one result for each of its ' + count +
    ' events, and not ' + kind + (listed ? ' of ' + (values.length > count ? 'more' : values.length) : ''));
}

/** Returns the results of `count` events as an array, or a promise of it. An iterator is consumed. */
function eventResults(values, count) {
  if (values !== null && typeof values === 'object' && !isArray(values) && !isView(values)) {
    if (isIterator(values)) return checked(taken(values, count), count);
    if (isAsyncIterator(values)) return takenLater(values, count).then((list) => checked(list, count));
  }
  return checked(values, count);
}

/** Returns the result of one event. Throws an Error that is in its place. */
function resultOf(value) {
  if (value instanceof ErrorOfNode || apply(tagOf, value, []) === '[object Error]') throw value;
  if (value && typeof value.then === 'function') {
    throw new TypeErrorOfNode('a promise is in place of a result: with batchSize, return Promise.all(...) of them');
  }
  return value;
}

module.exports = { eventResults, resultOf };
