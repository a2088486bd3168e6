'use strict';
// ES modules: where the interpreter has them, handler.js may be one.

const childProcess = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const { errorObject } = require('./errors');
const { describe, ownLines } = require('./exception');
const { parse, stringify, textOf } = require('./natives');

const STATEMENT = /^\s*(?:import\s*(?:[\w$*{]|["'])|export\s*(?:[{*]|(?:default|const|let|var|function|async|class)\b))/m;
const COMMONJS = 'write a CommonJS module: function handler(event) { … }, or exports.handler = …, and ' +
  'const fs = require(\'fs\') in place of import fs from \'fs\'';

/** Whether code that is no CommonJS module may be an ES module. */
function needsImport(code, error) {
  if (STATEMENT.test(code) || /import\.meta/.test(code)) return true;
  return /\bawait\b/.test(code) && /await|reserved word|identifier|missing \)/.test(error.message);
}

function link(target, name) {
  try {
    fs.symlinkSync(target, name);
  } catch (error) {
    // One of this name, which comes first in the order of the search.
  }
}

/** Names of a folder; none if it cannot be read. */
function namesIn(folder) {
  try {
    return fs.readdirSync(folder);
  } catch (error) {
    return [];
  }
}

/** Links the packages that require() finds, because import looks for them beside the code only. */
function linkPackages(folders, modules) {
  for (const folder of folders) {
    for (const name of namesIn(folder)) {
      if (!name.startsWith('@')) {
        if (name[0] !== '.') link(path.join(folder, name), path.join(modules, name));
        continue;
      }
      const scope = path.join(modules, name);
      if (!fs.existsSync(scope)) fs.mkdirSync(scope);
      for (const inner of namesIn(path.join(folder, name))) link(path.join(folder, name, inner), path.join(scope, inner));
    }
  }
}

/**
 * Makes a folder of ES modules with this code, and returns the path of its file.
 *
 * The files beside the code are links there, except those that are ES modules and are not named so: the type of a file is
 * that of the package.json beside the file to which a link leads.
 */
function moduleFolder(code, searched, file) {
  const source = path.dirname(file), folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'esm-')));
  let settings = {};
  for (const name of namesIn(source)) {
    const from = path.join(source, name), to = path.join(folder, name);
    if (name === path.basename(file) || name.startsWith('..') || name === 'node_modules') continue;
    const text = /\.(?:js|json)$/.test(name) ? fs.readFileSync(from, 'utf8') : '';
    if (name === 'package.json') settings = parse(text);
    else if (name.endsWith('.js') && STATEMENT.test(text)) fs.writeFileSync(to, text);
    else link(from, to);
  }
  fs.writeFileSync(path.join(folder, 'package.json'), stringify(Object.assign({}, settings, { type: 'module' })));
  const modules = path.join(folder, 'node_modules');
  fs.mkdirSync(modules);
  linkPackages(searched.concat((process.env.NODE_PATH || '').split(path.delimiter).filter(Boolean)), modules);
  const copy = path.join(folder, path.basename(file));
  fs.writeFileSync(copy, code);
  return copy;
}

/** Where the syntax error of an ES module is, which only Node itself shows. */
function located(file, folders) {
  const { stderr } = childProcess.spawnSync(process.execPath, ['--check', file], { timeout: 10000, stdio: ['ignore', 'ignore', 'pipe'] });
  return ownLines(textOf(stderr).split('\n\nNode.js v')[0], folders);
}

/** Imports the code and calls done(exports, error). `refusal` is the error of loading it as CommonJS. */
function importModule(code, searched, file, folders, refusal, done) {
  let load, copy;
  const failed = (error) => {
    // Code without import and export is an ES module only if it can be loaded as one.
    if (!(error instanceof SyntaxError)) {
      done(null, describe(error, folders));
      return;
    }
    const described = describe(STATEMENT.test(code) ? error : refusal, folders);
    if (STATEMENT.test(code)) described.traceback = located(copy, folders) || described.traceback;
    done(null, described);
  };
  try {
    load = new Function('url', 'return import(url)');          // Node 8 cannot parse it here
  } catch (error) {
    load = null;
  }
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (load === null || major < 12 || major === 12 && minor < 17) {
    const described = describe(refusal, folders);
    done(null, errorObject('SyntaxError', described.message + ': the code is an ES module, which Node ' + process.versions.node +
      ' cannot load: ' + COMMONJS, described.traceback));
    return;
  }
  try {
    copy = moduleFolder(code, searched, file);
  } catch (error) {
    done(null, errorObject('SyntaxError', refusal.message + ': no folder for it (' +
      error.message + '): ' + COMMONJS));
    return;
  }
  folders.push(path.dirname(copy));
  // Node's realpath ends early, at a link, if the last file whose status was read is a pipe, as the streams here are.
  fs.statSync(copy);
  load('file://' + encodeURI(copy)).then((exported) => done(exported, null), failed).catch(failed);
}

module.exports = { importModule, needsImport };
