/** Which tokens are masked and which are visible, as lists of places. N images, L tokens, B buffer tokens. */
import { int32, type NDArray } from "../../array/ndarray.ts";
import { permutation, type RandomKey } from "../../array/random.ts";

/** A random order of an image's tokens: the first ones are masked longest, and generated last. */
export type TokenOrder = Int32Array;

/** One order for each key. */
export function tokenOrders(keys: readonly RandomKey[], tokens: number): TokenOrder[] {
  return keys.map((key) => permutation(key, tokens));
}

/**
 * What the encoder sees while the first `masked` tokens of each order are masked: the buffer 0 … B − 1, then B + l for
 * each visible token l, ascending: [N, B + L − masked].
 */
export function visiblePlaces(orders: readonly TokenOrder[], masked: number, bufferSize: number): NDArray<"int32"> {
  const rows = orders.map((order) => [
    ...Array.from({ length: bufferSize }, (_, i) => i),
    ...order
      .slice(masked)
      .sort()
      .map((token) => bufferSize + token),
  ]);
  return int32(rows.flat(), [orders.length, rows[0]!.length]);
}

/** The tokens at places `from` … `to` − 1 of each order as rows n·L + l of all tokens, ascending: [N · (to − from)]. */
export function tokenRows(orders: readonly TokenOrder[], from: number, to: number): Int32Array {
  return Int32Array.from(
    orders.flatMap((order, n) => Array.from(order.slice(from, to).sort(), (token) => n * order.length + token)),
  );
}
