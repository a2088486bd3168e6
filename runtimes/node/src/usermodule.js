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
    compile(module, code, call, file);
    module.loaded = true;
  } catch (error) {
    if (!(error instanceof SyntaxError) || code === undefined || !needsImport(code, error)) {
      finish(null, describe(error, folders));
      return;
    }
    importModule(code + '\n;' + call, module.paths, file, folders, error, finish);
    return;
  }
  finish(module.exports, null);
}

/** Compiles the code and runs it. The call is appended, so that lines keep their numbers. */
function compile(module, code, call, file) {
  if (returnsAtTop(code)) {
    // What is appended may never run.
    const strict = /^(?:\s|\/\/[^\n]*|\/\*[^]*?\*\/)*(['"])use strict\1/.test(code.replace(/^#!/, '//')) ? '"use strict";' : '';
    module._compile(strict + call + code.replace(/^#!/, '//'), file);
  } else {
    module._compile(code + '\n;' + call, file);
  }
}

/** Whether a return statement is outside of all functions, which a module may have and a script must not. */
function returnsAtTop(code) {
  if (!/\breturn\b/.test(code)) return false;
  try {
    return !new vm.Script(code);
  } catch (error) {
    return /Illegal return/.test(error.message);
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
  const candidates = [exported, exported && exported.handler, exported && exported.default,
    exported && exported.default && exported.default.handler, exported && exported['module.exports']];
  if (typeof found !== 'function') {
    const [whole, named, byDefault, inDefault] = candidates;
    const callable = [named, whole, byDefault, inDefault].find((one) => typeof one === 'function');
    if (callable !== undefined) found = callable;
    else if (named !== undefined && named !== null) found = named;
  }
  if (typeof found === 'function') return { handler: found, error: null };
  return { handler: null, error: found === undefined ?
    errorObject('HandlerMissing', SIGNATURE + ': it defines no handler') :
    errorObject('HandlerNotCallable', SIGNATURE + ': its handler is of the type ' + typeof found + ', which cannot be called') };
}

module.exports = { loadHandler };
