'use strict';
// What the child finds around it that many images lack, and what it must not leave to the next one.

const fs = require('fs');
const os = require('os');
const path = require('path');
const { monotonic } = require('./descriptors');
const { SHARED_MEMORY, contentOf, ownsSharedMemory, removeSystemV, systemV } = require('./sharedmemory');

const CLEAN_TIMEOUT = 5;         // seconds
const OMP_THREADS = 'OMP_NUM_THREADS';
// Libraries that use as many threads as OMP_NUM_THREADS if their own variable is not set, and those that do not.
const THREADS_LIKE_OMP = ['OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS', 'BLIS_NUM_THREADS', 'NUMEXPR_NUM_THREADS'];
const THREADS = ['NUMBA_NUM_THREADS', 'RAYON_NUM_THREADS', 'POLARS_MAX_THREADS'];

function usable(folder) {
  try {
    fs.accessSync(folder, fs.constants.W_OK | fs.constants.X_OK);
    return fs.statSync(folder).isDirectory();
  } catch (error) {
    return false;
  }
}

/** Makes a folder unless it exists, and returns whether it can be used. */
function made(folder) {
  try {
    fs.mkdirSync(folder, 0o700);
  } catch (error) {
    // It exists, or usable() finds out.
  }
  return usable(folder);
}

/** Calls visit(path, status) for everything in a folder, contents first, without other file systems in it. */
function eachBelow(folder, device, visit) {
  let names = [];
  try {
    names = fs.readdirSync(folder);
  } catch (error) {
    // It is not readable, or gone.
  }
  for (const name of names) {
    const file = path.join(folder, name);
    try {
      const status = fs.lstatSync(file);
      if (status.dev !== device) continue;
      if (status.isDirectory()) {
        if (!usable(file)) fs.chmodSync(file, 0o700);
        eachBelow(file, device, visit);
      }
      visit(file, status);
    } catch (error) {
      // Something ended it meanwhile, or it is another user's.
    }
  }
}

const identity = (status) => status.dev + ':' + status.ino;

/** Removes what is in a folder, except the nodes in `kept`, as far as it takes CLEAN_TIMEOUT. */
function removeBelow(folder, kept) {
  const deadline = monotonic() + CLEAN_TIMEOUT;
  eachBelow(folder, fs.lstatSync(folder).dev, (file, status) => {
    if (kept.has(identity(status)) || status.uid !== process.geteuid() || monotonic() > deadline) return;
    if (status.isDirectory()) fs.rmdirSync(file);
    else fs.unlinkSync(file);
  });
}

/** The CPU limit of the container in whole CPUs; null if there is none. */
function cpuLimit(root) {
  const own = new Map();
  for (const line of contentOf('/proc/self/cgroup').split('\n').filter(Boolean)) {
    const fields = line.split(':');
    fields[1].split(',').forEach((name) => own.set(name, fields.slice(2).join(':')));
  }
  const places = [[path.join(root, own.get('') || ''), ['cpu.max']], [root, ['cpu.max']]];
  for (const base of ['cpu', 'cpu,cpuacct']) {
    for (const folder of [path.join(root, base, own.get('cpu') || ''), path.join(root, base)]) {
      places.push([folder, ['cpu.cfs_quota_us', 'cpu.cfs_period_us']]);
    }
  }
  for (const [folder, names] of places) {
    const [quota, period] = names.map((name) => contentOf(path.join(folder, name)).trim()).join(' ').split(' ').map(Number);
    if (quota > 0 && period > 0) return Math.max(1, Math.ceil(quota / period));
  }
  return null;
}

class Surroundings {
  constructor(environment, cgroups) {
    this.environment = Object.assign({}, environment);
    this.temporary = this.ownHome = null;
    this.left = [];                    // temporary folders that could not be removed yet
    this.home = usable(environment.SHAREDCLOUD_HOME) ? environment.SHAREDCLOUD_HOME : null;
    this.base = [environment.TMPDIR, '/tmp', '/var/tmp'].find(usable);
    if (this.base === undefined) {
      this.base = path.join(this.home || SHARED_MEMORY, '.tmp');
      made(this.base);
    }
    this.addHome();
    this.addUser();
    this.addThreads(cpuLimit(cgroups));
    this.cleans = ownsSharedMemory(environment);
  }

  /** Sets HOME and XDG_CACHE_HOME, if the image has none or they cannot be written. */
  addHome() {
    const values = this.environment;
    if (!values.HOME || values.HOME === '/' || !made(values.HOME)) {
      values.HOME = this.homeFolder();
      delete values.XDG_CACHE_HOME;
    }
    if (usable(values.XDG_CACHE_HOME)) return;
    const cache = path.join(values.HOME, '.cache');
    values.XDG_CACHE_HOME = made(cache) ? cache : path.join(this.homeFolder(), '.cache');
    made(values.XDG_CACHE_HOME);
  }

  homeFolder() {
    if (this.home !== null) return this.home;
    this.ownHome = this.ownHome || this.makeFolder();
    return this.ownHome || this.base;
  }

  addUser() {
    const values = this.environment;
    let name = values.LOGNAME || values.USER;
    try {
      name = name || os.userInfo().username;
    } catch (error) {
      name = 'worker';                 // the image does not know this user
    }
    for (const variable of ['USER', 'LOGNAME']) values[variable] = values[variable] || name;
  }

  addThreads(limit) {
    if (limit === null) return;
    const values = this.environment, unset = values[OMP_THREADS] ? [] : [OMP_THREADS].concat(THREADS_LIKE_OMP);
    for (const variable of THREADS.concat(unset)) values[variable] = values[variable] || String(limit);
  }

  makeFolder() {
    try {
      return fs.mkdtempSync(path.join(this.base, 'sharedcloud-'));
    } catch (error) {
      return null;
    }
  }

  /** Notes what exists before a child starts, and returns its environment. */
  prepare() {
    if (this.cleans) {
      this.before = { nodes: new Set(), systemV: systemV() };
      eachBelow(SHARED_MEMORY, fs.lstatSync(SHARED_MEMORY).dev, (_, status) => this.before.nodes.add(identity(status)));
    }
    this.temporary = this.makeFolder();
    return this.temporary === null ? this.environment : Object.assign({}, this.environment, { TMPDIR: this.temporary });
  }

  /** Removes what a child, which has ended, has left: memory, and its temporary files. */
  clean() {
    if (this.cleans && this.before) {
      removeBelow(SHARED_MEMORY, this.before.nodes);
      removeSystemV(this.before.systemV);
    }
    if (this.temporary !== null) this.left.push(this.temporary);
    this.temporary = null;
    this.left = this.left.filter((folder) => {
      try {
        removeBelow(folder, new Set());
        fs.rmdirSync(folder);
      } catch (error) {
        return fs.existsSync(folder);
      }
      return false;
    });
  }

  /** Removes everything at the end of the worker. */
  close() {
    if (this.ownHome !== null) this.left.push(this.ownHome);
    this.ownHome = null;
    this.clean();
  }
}

module.exports = { Surroundings };
