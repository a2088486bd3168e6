'use strict';
// Memory of the container.

const fs = require('fs');
const path = require('path');

/**
 * Memory as the container's cgroup reports it: the limit, the bytes left, and the number of kills by the kernel.
 *
 * On cgroup v2, a kernel that is out of memory kills every process of the container, including the supervisor. The
 * supervisor therefore ends the child shortly before. On v1 it kills one process: the child, by its oom_score_adj.
 */
class Memory {
  constructor(root) {
    this.unified = fs.existsSync(path.join(root, 'cgroup.controllers'));
    const own = new Map();
    for (const line of this.read('/proc/self/cgroup').split('\n').filter(Boolean)) {
      const fields = line.split(':');
      fields[1].split(',').forEach((name) => own.set(name, fields.slice(2).join(':')));
    }
    const base = this.unified ? root : path.join(root, 'memory');
    const folder = path.join(base, own.get(this.unified ? '' : 'memory') || '');
    // Inside a container, the container's own cgroup is often mounted as the root.
    this.folder = fs.existsSync(path.join(folder, this.unified ? 'memory.events' : 'memory.oom_control')) ? folder : base;
    this.limit = this.number(this.unified ? 'memory.max' : 'memory.limit_in_bytes');
    if (this.limit > 2 ** 60) this.limit = null;     // v1 shows "no limit" like this
    this.kills = this.killed();
  }

  read(file) {
    try {
      return fs.readFileSync(file, 'latin1');
    } catch (error) {
      return '';
    }
  }

  number(name) {
    const text = this.read(path.join(this.folder, name)).trim();
    return /^\d+$/.test(text) ? Number(text) : null;
  }

  table(name) {
    const table = new Map();
    for (const line of this.read(path.join(this.folder, name)).split('\n')) {
      const pair = line.split(' ');
      if (pair.length === 2) table.set(pair[0], Number(pair[1]));
    }
    return table;
  }

  killed() {
    return this.table(this.unified ? 'memory.events' : 'memory.oom_control').get('oom_kill') || 0;
  }

  /** Whether the kernel has killed a process for memory since the last call. */
  killedSince() {
    const before = this.kills;
    this.kills = this.killed();
    return this.kills > before;
  }

  /** Returns the number of bytes left before the child is ended. */
  headroom() {
    this.limit = this.number('memory.max') || this.limit;     // it can change while the container runs
    const margin = Math.min(Math.max(this.limit / 32, 8 << 20), 256 << 20);
    let used = this.number('memory.current') || 0;
    if (used > this.limit / 2) {
      // The kernel reclaims these before it kills.
      const stat = this.table('memory.stat');
      for (const name of ['active_file', 'inactive_file', 'slab_reclaimable']) used -= stat.get(name) || 0;
    }
    return this.limit - margin - used;
  }

  message() {
    return 'the container ran out of memory' + (this.limit ? ' (its limit is ' + Math.floor(this.limit / (1 << 20)) + ' MiB)' : '');
  }
}

module.exports = { Memory };
