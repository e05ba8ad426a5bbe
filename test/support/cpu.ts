/**
 * CPU time of this process so far, microseconds. User and system time together: a kernel that counts ticks knows only their
 * sum exactly, and `user` of one call is then nothing, or what belongs to others.
 */
export function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
