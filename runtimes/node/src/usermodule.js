'use strict';
// Loads the user's module and finds its handler.

const crypto = require('crypto');
const fs = require('fs');
const Module = require('module');
const path = require('path');
const { errorObject } = require('./errors');
const { describe } = require('./exception');

const SIGNATURE = 'the code needs to have the following signature: function handler(event) { ... }';

/** Returns {handler, error}; one of them is null. */
function loadHandler(file) {
  const folder = path.dirname(file);
  process.argv = [process.execPath, file];
  const module = new Module(file, null);
  module.filename = file;
  // Beside the code; in the working directory, where an image may have its packages; and where npm installs globally.
  module.paths = Module._nodeModulePaths(folder).concat(Module._nodeModulePaths(process.cwd()),
    path.join(path.dirname(process.execPath), '..', 'lib', 'node_modules'));
  Module._cache[file] = Module._cache[fs.realpathSync(file)] = module;   // the files of a mounted ConfigMap are links
  let found;
  // The call is appended, so that lines keep their numbers. It is a global function with a random name, because the names
  // inside the module are the user's.
  const hook = '__sharedcloud_' + crypto.randomBytes(8).toString('hex');
  Object.defineProperty(global, hook, { value: (value) => { found = value; }, configurable: true });
  try {
    const code = fs.readFileSync(file, 'utf8').replace(/^\ufeff/, '');
    module._compile(code + '\n;' + hook + '(typeof handler === "undefined" ? undefined : handler);', file);
    module.loaded = true;
  } catch (error) {
    return { handler: null, error: describe(error, folder) };
  } finally {
    delete global[hook];
  }
  const exported = module.exports;
  if (typeof found !== 'function' && exported) {
    if (typeof exported.handler === 'function') found = exported.handler;
    else if (typeof exported === 'function') found = exported;
    else if (exported.handler !== undefined) found = exported.handler;
  }
  if (typeof found === 'function') return { handler: found, error: null };
  return { handler: null, error: found === undefined ?
    errorObject('HandlerMissing', SIGNATURE + ': it defines no handler') :
    errorObject('HandlerNotCallable', SIGNATURE + ': its handler is of the type ' + typeof found + ', which cannot be called') };
}

module.exports = { loadHandler };
