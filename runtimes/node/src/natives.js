'use strict';
// What the child needs of Node, bound before the user's code is loaded: that code runs in the same process and can replace
// any global or method.

const fs = require('fs');
const util = require('util');

const { readSync, writeSync, fstatSync } = fs;
const { hrtime, reallyExit } = process;
const wall = Date.now;
const { stringify, parse } = JSON;
const immediately = setImmediate;
const bufferFrom = Buffer.from;
const inspect = util.inspect;
const PromiseOfNode = Promise;
const { Error: ErrorOfNode, RangeError: RangeErrorOfNode, TypeError: TypeErrorOfNode } = global;
const { isArray } = Array;
const { isView } = ArrayBuffer;
const promiseThen = Promise.prototype.then;
const apply = Reflect.apply;
const textOf = String;
const BigInteger = typeof BigInt === 'function' ? BigInt : null;
const tagOf = Object.prototype.toString;

module.exports = {
  readSync, writeSync, fstatSync, hrtime, reallyExit, wall, stringify, parse, immediately, bufferFrom, inspect,
  PromiseOfNode, ErrorOfNode, RangeErrorOfNode, TypeErrorOfNode, isArray, isView, promiseThen, apply, textOf,
  BigInteger, tagOf,
};
