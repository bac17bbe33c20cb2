// How fast a count grows. A count comes when it changes, at times twice in a moment, and what is told first may be of a while
// ago: a point stands for a second or more, and the first count only says from where.
export function meter(most = 600, least = 1000) {
  const points = [];
  let last = null;
  function add(at, done) {
    if (last && at - last[0] < least) return;
    // A count that fell is of another beginning: results that were lost are owed again.
    if (last) points.push([at, (Math.max(0, done - last[1]) * 1000) / (at - last[0])]);
    last = [at, done];
    if (points.length > most) points.shift();
  }
  return { points, add };
}
