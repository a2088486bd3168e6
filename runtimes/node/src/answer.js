'use strict';
// The answer of the exchange.

const { afterValue, eachMember } = require('./json');
const { parse } = require('./natives');

/** Parses an answer. Its inputs stay text, because JSON.parse would round large integers: [index, isLiteral, text]. */
function parseAnswer(text) {
  const inputs = [];
  let rest = text;
  try {
    parse(text);                 // throws if it is not JSON, and so not an answer of the exchange
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;   // Node 8, with an input that is nested deeply: that fails in the child
  }
  eachMember(text, text.search(/\S/), (key, start) => {
    if (key !== 'inputs' || text[start] !== '[') return;
    eachMember(text, start, (_, at) => {
      const item = [0, false, ''];
      eachMember(text, at, (name, from) => {
        const raw = () => text.slice(from, afterValue(text, from));
        if (name === 'index') item[0] = Number(raw());
        if (name === 'json') item[2] = raw();
        if (name === 'literal') {
          item[1] = true;
          item[2] = parse(raw());
        }
      });
      inputs.push(item);
    });
    rest = text.slice(0, start) + '[]' + text.slice(afterValue(text, start));
  });
  const answer = parse(rest);
  answer.inputs = inputs;
  return answer;
}

module.exports = { parseAnswer };
