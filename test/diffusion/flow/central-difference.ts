/** The slope of a function of one number. */
export const centralDifference = (f: (t: number) => number, t: number, step = 1e-5): number =>
  (f(t + step) - f(t - step)) / (2 * step);
