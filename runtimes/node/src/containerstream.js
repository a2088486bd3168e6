'use strict';
// The container's own stdout and stderr.

const MAX_PENDING = 1 << 20;     // bytes that wait to be written

/** Writes to the container's own stream without blocking: its reader may be slow, or there may be none. */
class ContainerStream {
  constructor(target) {
    this.target = target;
    this.parts = [];
    this.pending = this.lost = 0;
    this.writing = false;
    target.on('error', () => {
      this.target = null;
      this.parts = [];
      this.pending = 0;
    });
  }

  write(data) {
    if (this.target === null) return;
    if (this.pending > MAX_PENDING) {
      this.lost += data.length;
      return;
    }
    this.parts.push(data);
    this.pending += data.length;
    this.flush();
  }

  flush() {
    if (this.writing || !this.parts.length) return;
    const data = this.parts.length === 1 ? this.parts[0] : Buffer.concat(this.parts);
    this.parts = [];
    this.writing = true;
    this.target.write(data, () => {
      this.writing = false;
      this.pending -= data.length;
      if (this.lost && !this.parts.length && this.target) {
        const mark = Buffer.from('\n[sharedcloud: ' + this.lost + ' bytes of output are missing here: they were not read in time]\n');
        this.parts.push(mark);
        this.pending += mark.length;
        this.lost = 0;
      }
      this.flush();
    });
  }
}

module.exports = { ContainerStream };
