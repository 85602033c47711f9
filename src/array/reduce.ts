/** Sums, means and the like of plain numbers, in float64 and in order. */

export const sumOf = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

export const meanOf = (values: readonly number[]): number => sumOf(values) / values.length;

/** The first of the largest. */
export const argmax = (values: readonly number[]): number => values.indexOf(Math.max(...values));

/** The nearest whole number; of two equally near ones the even one, as Python and NumPy round. */
export function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  const fraction = x - below;
  if (fraction !== 0.5) return fraction < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
