'use strict';
// Loads the user's module and finds its handler.

const crypto = require('crypto');
const fs = require('fs');
const Module = require('module');
const path = require('path');
const vm = require('vm');
const { errorObject } = require('./errors');
const { describe } = require('./exception');
const { importModule, needsImport } = require('./esmodule');

const STRICT = /^(?:\s|\/\/[^\n]*|\/\*[^]*?\*\/)*(['"])use strict\1/;
const SIGNATURE = 'the code needs to have the following signature: function handler(event) { ... }';

/** Calls done({handler, error}); one of them is null. It is called at once, unless the code is an ES module. */
function loadHandler(file, folders, done) {
  process.argv = [process.execPath, file];
  const module = new Module(file, null);
  module.filename = file;
  // Beside the code; in the working directory, where an image may have its packages; and where npm installs globally.
  module.paths = Module._nodeModulePaths(path.dirname(file)).concat(Module._nodeModulePaths(process.cwd()),
    path.join(path.dirname(process.execPath), '..', 'lib', 'node_modules'));
  Module._cache[file] = Module._cache[fs.realpathSync(file)] = module;   // the files of a mounted ConfigMap are links
  let found, code;
  // The code calls it. It is a global function with a random name, because the names inside the module are the user's.
  const hook = '__sharedcloud_' + crypto.randomBytes(8).toString('hex');
  Object.defineProperty(global, hook, { value: (read) => { found = read; }, configurable: true });
  const call = hook + '(() => (typeof handler === "undefined" ? undefined : handler));';
  const finish = (exported, error) => {
    delete global[hook];
    if (error) done({ handler: null, error });
    else done(handlerOf(found, exported));
  };
  try {
    code = fs.readFileSync(file, 'utf8').replace(/^\ufeff/, '');
    const refusal = scriptError(code, file);
    if (refusal !== null && needsImport(code, refusal)) {
      importModule(code + '\n;' + call, module.paths, file, folders, refusal, finish);
      return;
    }
    if (refusal !== null && /Illegal return/.test(refusal.message)) {
      // What is appended may never run.
      const strict = STRICT.test(code.replace(/^#!/, '//')) ? '"use strict";' : '';
      module._compile(strict + call + code.replace(/^#!/, '//'), file);
    } else {
      module._compile(code + '\n;' + call, file);   // appended, so that lines keep their numbers
    }
    module.loaded = true;
  } catch (error) {
    finish(null, describe(error, folders));
    return;
  }
  finish(module.exports, null);
}

/** Why the code is no script, where it may be an ES module or have a return statement outside of functions; or null. */
function scriptError(code, file) {
  if (!/\b(?:return|import|export|await)\b/.test(code)) return null;
  try {
    return new vm.Script(code, file) && null;
  } catch (error) {
    return error;
  }
}

function readHandler(found) {
  try {
    return found === undefined ? undefined : found();
  } catch (error) {
    return undefined;                  // a constant below the return statement
  }
}

/** Returns {handler, error} of a module that was loaded. */
function handlerOf(read, exported) {
  let found = readHandler(read);
  if (typeof found !== 'function' && exported) {
    const { handler, default: byDefault } = exported;
    const callable = [handler, exported, byDefault, byDefault && byDefault.handler].find((one) => typeof one === 'function');
    if (callable !== undefined) found = callable;
    else if (handler !== undefined) found = handler;
  }
  if (typeof found === 'function') return { handler: found, error: null };
  return { handler: null, error: found === undefined ?
    errorObject('HandlerMissing', SIGNATURE + ': it defines no handler') :
    errorObject('HandlerNotCallable', SIGNATURE + ': its handler is of the type ' + typeof found + ', which cannot be called') };
}

module.exports = { loadHandler };
