/** The stack machine that a pickle is a program for: stack, marks, memo, and inert values instead of objects. */

import { InputError } from "../../array/input-error.ts";
import { PickleOperands } from "./pickle-operands.ts";
import { kindOfValue, PickledGlobal, PickledObject, PickledTensor, type PickleValue } from "./pickle-values.ts";
import { boundClass, construct, globalOf, isKnown, refusedCall } from "./python-globals.ts";

/** Gives the value for a persistent id, by which torch names its storages. */
export type Persistent = (id: PickleValue, where: string) => PickleValue;

const newestProtocol = 5;
const longestGlobal = 1000;

/** The stack, the marks on it and the memo. */
export class PickleMachine {
  readonly operands: PickleOperands;
  /** Names that are not known, in the order of the file. */
  readonly placeholders = new Set<string>();
  readonly #where: string;
  readonly #persistent: Persistent;
  readonly #stack: PickleValue[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #visitsLeft: number;

  constructor(bytes: Uint8Array, start: number, where: string, persistent: Persistent) {
    this.operands = new PickleOperands(bytes, start, where);
    this.#where = where;
    this.#persistent = persistent;
    this.#visitsLeft = 4 * bytes.length + 1000;
  }

  damaged(what: string): InputError {
    return new InputError(`${this.#where}: at byte ${this.operands.at - 1} of the pickle: ${what}`);
  }

  push(value: PickleValue): void {
    this.#stack.push(value);
  }

  pop(): PickleValue {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) throw this.damaged("it takes a value where there is none");
    return this.#stack.pop() as PickleValue;
  }

  /** The topmost value, which stays. */
  top(): PickleValue {
    const value = this.pop();
    this.push(value);
    return value;
  }

  mark(): void {
    this.#marks.push(this.#stack.length);
  }

  /** All values since the latest mark, which goes with them. */
  popToMark(): PickleValue[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.damaged("it goes back to a mark where there is none");
    return this.#stack.splice(mark);
  }

  tuple(length: number): void {
    const items: PickleValue[] = [];
    for (let k = 0; k < length; k++) items.unshift(this.pop());
    this.push(items);
  }

  /** Appends to the list that is then topmost. */
  append(items: readonly PickleValue[]): void {
    const target = this.top();
    if (target instanceof PickledObject) target.items ??= [];
    const list = target instanceof PickledObject ? target.items : target;
    if (!Array.isArray(list)) throw this.damaged(`it appends to ${kindOfValue(target)}`);
    for (const item of items) list.push(item);
  }

  /** Sets keys and values, alternating, of the dictionary that is then topmost. */
  setItems(items: readonly PickleValue[]): void {
    const target = this.top();
    if (target instanceof PickledObject) target.entries ??= new Map();
    const map = target instanceof PickledObject ? target.entries : target;
    if (!(map instanceof Map)) throw this.damaged(`it sets an item of ${kindOfValue(target)}`);
    if (items.length % 2 !== 0) throw this.damaged("a key has no value");
    for (let k = 0; k < items.length; k += 2) map.set(items[k]!, items[k + 1]!);
  }

  setItem(): void {
    const [value, key] = [this.pop(), this.pop()];
    this.setItems([key, value]);
  }

  addItems(items: readonly PickleValue[]): void {
    const target = this.top();
    if (target instanceof PickledObject) this.append(items);
    else if (!(target instanceof Set)) throw this.damaged(`it adds to ${kindOfValue(target)}`);
    else for (const item of items) target.add(item);
  }

  dictionary(items: readonly PickleValue[]): void {
    this.push(new Map());
    this.setItems(items);
  }

  memoize(index: number): void {
    this.#memo.set(index, this.top());
  }

  memoizeNext(): void {
    this.memoize(this.#memo.size);
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.damaged(`it recalls value ${index}, which was not kept`);
    this.push(value);
  }

  /** A class or function; one that is not known is noted. */
  global(module: string, name: string): PickledGlobal {
    const full = `${module}.${name}`;
    if (full.length > longestGlobal) throw this.damaged(`a class or function with a name of ${full.length} letters`);
    this.#visit(full.length >>> 4); // texts may be recalled any number of times
    if (!isKnown(full)) this.placeholders.add(full);
    return globalOf(full);
  }

  globalFromStack(): void {
    const [name, module] = [this.pop(), this.pop()];
    if (typeof name !== "string" || typeof module !== "string") throw this.damaged("a class has no name");
    this.push(this.global(module, name));
  }

  /** Stands for calling a class or function; nothing is called. @throws InputError naming one that is refused. */
  call(callable: PickleValue, args: PickleValue): void {
    this.push(this.#made(callable, args));
  }

  #made(callable: PickleValue, args: PickleValue): PickleValue {
    const bound = callable instanceof PickledObject ? boundClass(callable) : undefined;
    if (bound !== undefined) return new PickledObject(bound, []);
    if (!(callable instanceof PickledGlobal)) throw this.damaged(`it calls ${kindOfValue(callable)}`);
    if (callable.isRefused) throw refusedCall(callable.name, this.#where);
    if (!Array.isArray(args)) throw this.damaged(`it calls ${callable.name} with ${kindOfValue(args)}`);
    this.#visit(args.length);
    return construct(args, { callable, where: this.#where, spend: (visits) => this.#visit(visits) });
  }

  /** The class precedes its arguments. */
  callFromMark(): void {
    const [callable = null, ...args] = this.popToMark();
    this.call(callable, args);
  }

  /** With arguments by name, too. */
  callWithNames(): void {
    const [named, args, callable] = [this.pop(), this.pop(), this.pop()];
    if (!Array.isArray(args)) throw this.damaged(`it calls ${kindOfValue(callable)} with ${kindOfValue(args)}`);
    this.#visit(args.length);
    this.call(callable, [...args, named]);
  }

  reduce(): void {
    const args = this.pop();
    this.call(this.pop(), args);
  }

  /** Gives the topmost object its state. Dictionaries and tensors have attributes too, which say nothing here. */
  build(): void {
    const state = this.pop();
    const target = this.top();
    if (target instanceof PickledObject) target.state = state;
    else if (!(target instanceof Map || target instanceof PickledTensor)) {
      throw this.damaged(`it sets the state of ${kindOfValue(target)}`);
    }
  }

  protocol(version: number): void {
    if (version > newestProtocol) {
      throw this.damaged(`expected pickle protocol ${newestProtocol} or older, found ${version}`);
    }
  }

  resolve(id: PickleValue): void {
    const value = this.#persistent(id, this.#where);
    if (value instanceof PickledObject) this.placeholders.add(value.type);
    this.push(value);
  }

  /** Counts values that are visited for one instruction, which may recall any number of them. */
  #visit(values: number): void {
    this.#visitsLeft -= values;
    if (this.#visitsLeft < 0) throw this.damaged("it visits its values more often than the file is large; refused");
  }
}
