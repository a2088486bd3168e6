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
const isPromise = (value) => value instanceof PromiseOfNode;
const textOf = String;
const BigInteger = typeof BigInt === 'function' ? BigInt : null;
const tagOf = Object.prototype.toString;
const { getPrototypeOf, keys: keysOf } = Object;
const ObjectPrototype = Object.prototype;
const BufferOfNode = Buffer, bufferToJSON = Buffer.prototype.toJSON;
const dateTime = Date.prototype.getTime;
const sizeOfMap = Object.getOwnPropertyDescriptor(Map.prototype, 'size').get;
const sizeOfSet = Object.getOwnPropertyDescriptor(Set.prototype, 'size').get;
const { entries: entriesOfMap } = Map.prototype, { values: valuesOfSet } = Set.prototype;
const { join: joinTyped, subarray } = getPrototypeOf(Uint8Array.prototype);
const Bytes = Uint8Array;

module.exports = {
  readSync, writeSync, fstatSync, hrtime, reallyExit, wall, stringify, parse, immediately, bufferFrom, inspect,
  PromiseOfNode, ErrorOfNode, RangeErrorOfNode, TypeErrorOfNode, isArray, isView, promiseThen, apply, textOf,
  isPromise, BigInteger, tagOf, getPrototypeOf, keysOf, ObjectPrototype, BufferOfNode, bufferToJSON, dateTime, sizeOfMap, sizeOfSet,
  entriesOfMap, valuesOfSet, joinTyped, subarray, Bytes,
};
