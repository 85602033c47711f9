/**
 * Reads a pickle, Python's format for objects, without Python: a stack machine that builds inert values.
 * It executes nothing. A class or function that is not on the list of `python-globals.ts` is refused by name,
 * and limits on instructions and copies end what is made to take time or memory.
 */

import { InputError } from "../../array/input-error.ts";
import { PickleOperands } from "./pickle-operands.ts";
import { kindOfValue, PickledGlobal, PickledObject, type PickleValue } from "./pickle-values.ts";
import { type Call, construct, isAllowed } from "./python-globals.ts";

/** Gives the value for a persistent id, by which torch names its storages. */
export type Persistent = (id: PickleValue, where: string) => PickleValue;

/** A value and where the bytes go on after it. */
export interface Unpickled {
  readonly value: PickleValue;
  readonly end: number;
}

const mostInstructions = 2_000_000; // a tensor takes about 50, in Adam's moments twice as many again
const newestProtocol = 5;

/**
 * The value of the pickle that starts at `start`; `where` names the file.
 * @throws InputError for anything refused or damaged; its subclass PickleCutOff where the bytes end too early.
 */
export function unpickle(bytes: Uint8Array, start: number, where: string, persistent: Persistent): Unpickled {
  const machine = new PickleMachine(bytes, start, where, persistent);
  for (let count = 0; count < mostInstructions; count++) {
    const opcode = machine.operands.u8();
    if (opcode === stop) return { value: machine.pop(), end: machine.operands.at };
    const instruction = instructions[opcode];
    if (!instruction) throw machine.damaged(`expected a pickle instruction, found ${describeOpcode(opcode)}`);
    instruction(machine);
  }
  throw machine.damaged(`over ${mostInstructions} pickle instructions, more than any weights file has; refused`);
}

function describeOpcode(opcode: number): string {
  const character = opcode > 0x20 && opcode < 0x7f ? ` ("${String.fromCharCode(opcode)}")` : "";
  return `byte ${opcode}${character}, which torch.save does not write`;
}

/** The stack, the marks on it and the memo. */
class PickleMachine {
  readonly operands: PickleOperands;
  readonly #where: string;
  readonly #persistent: Persistent;
  readonly #stack: PickleValue[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #copiesLeft: number;

  constructor(bytes: Uint8Array, start: number, where: string, persistent: Persistent) {
    this.operands = new PickleOperands(bytes, start, where);
    this.#where = where;
    this.#persistent = persistent;
    this.#copiesLeft = 4 * bytes.length + 1000;
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
    const list = this.top();
    if (!Array.isArray(list)) throw this.damaged(`it appends to ${kindOfValue(list)}`);
    for (const item of items) list.push(item);
  }

  /** Sets keys and values, alternating, of the dictionary that is then topmost. */
  setItems(items: readonly PickleValue[]): void {
    const map = this.top();
    if (!(map instanceof Map)) throw this.damaged(`it sets an item of ${kindOfValue(map)}`);
    if (items.length % 2 !== 0) throw this.damaged("a key has no value");
    for (let k = 0; k < items.length; k += 2) map.set(items[k]!, items[k + 1]!);
  }

  setItem(): void {
    const [value, key] = [this.pop(), this.pop()];
    this.setItems([key, value]);
  }

  addItems(items: readonly PickleValue[]): void {
    const set = this.top();
    if (!(set instanceof Set)) throw this.damaged(`it adds to ${kindOfValue(set)}`);
    for (const item of items) set.add(item);
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

  /** @throws InputError naming a class or function that is not on the list. */
  global(module: string, name: string): PickledGlobal {
    const full = `${module}.${name}`;
    if (!isAllowed(full)) {
      const shown = full.length > 200 ? `${full.slice(0, 200)}…` : full;
      throw new InputError(
        `${this.#where}: contains ${shown}, which a weights file has no need of; refused, nothing was executed`,
      );
    }
    return new PickledGlobal(full);
  }

  globalFromStack(): void {
    const [name, module] = [this.pop(), this.pop()];
    if (typeof name !== "string" || typeof module !== "string") throw this.damaged("a class has no name");
    this.push(this.global(module, name));
  }

  /** Stands for calling a class or function; nothing is called. */
  call(callable: PickleValue, args: PickleValue): void {
    if (!(callable instanceof PickledGlobal)) throw this.damaged(`it calls ${kindOfValue(callable)}`);
    if (!Array.isArray(args)) throw this.damaged(`it calls ${callable.name} with ${kindOfValue(args)}`);
    const call: Call = { name: callable.name, where: this.#where, spend: (copies) => this.#spend(copies) };
    this.push(construct(args, call));
  }

  reduce(): void {
    const args = this.pop();
    this.call(this.pop(), args);
  }

  /** Gives the topmost object its state. Dictionaries have attributes too (`_metadata`), which say nothing here. */
  build(): void {
    const state = this.pop();
    const target = this.top();
    if (target instanceof PickledObject) target.state = state;
    else if (!(target instanceof Map)) throw this.damaged(`it sets the state of ${kindOfValue(target)}`);
  }

  protocol(version: number): void {
    if (version > newestProtocol) {
      throw this.damaged(`expected pickle protocol ${newestProtocol} or older, found ${version}`);
    }
  }

  resolve(id: PickleValue): void {
    this.push(this.#persistent(id, this.#where));
  }

  #spend(copies: number): void {
    this.#copiesLeft -= copies;
    if (this.#copiesLeft < 0) throw this.damaged("it copies more than the file holds; refused");
  }
}

type Instruction = (machine: PickleMachine) => void;

const stop = 0x2e;

/** By opcode; those of protocols 1 to 5 that torch.save can meet. */
const instructions: { readonly [opcode: number]: Instruction } = {
  // Constants.
  78: (m) => m.push(null), // NONE
  136: (m) => m.push(true), // NEWTRUE
  137: (m) => m.push(false), // NEWFALSE
  74: (m) => m.push(m.operands.i32()), // BININT
  75: (m) => m.push(m.operands.u8()), // BININT1
  77: (m) => m.push(m.operands.u16()), // BININT2
  138: (m) => m.push(m.operands.integer(m.operands.u8())), // LONG1
  139: (m) => m.push(m.operands.integer(m.operands.u32())), // LONG4
  71: (m) => m.push(m.operands.f64()), // BINFLOAT
  140: (m) => m.push(m.operands.text(m.operands.u8())), // SHORT_BINUNICODE
  88: (m) => m.push(m.operands.text(m.operands.u32())), // BINUNICODE
  141: (m) => m.push(m.operands.text(m.operands.u64())), // BINUNICODE8
  85: (m) => m.push(m.operands.text(m.operands.u8())), // SHORT_BINSTRING: text of Python 2
  84: (m) => m.push(m.operands.text(m.operands.u32())), // BINSTRING
  67: (m) => m.push(m.operands.take(m.operands.u8())), // SHORT_BINBYTES
  66: (m) => m.push(m.operands.take(m.operands.u32())), // BINBYTES
  142: (m) => m.push(m.operands.take(m.operands.u64())), // BINBYTES8
  150: (m) => m.push(m.operands.take(m.operands.u64())), // BYTEARRAY8
  // Containers.
  40: (m) => m.mark(), // MARK
  93: (m) => m.push([]), // EMPTY_LIST
  108: (m) => m.push(m.popToMark()), // LIST
  97: (m) => m.append([m.pop()]), // APPEND
  101: (m) => m.append(m.popToMark()), // APPENDS
  41: (m) => m.push([]), // EMPTY_TUPLE
  133: (m) => m.tuple(1), // TUPLE1
  134: (m) => m.tuple(2), // TUPLE2
  135: (m) => m.tuple(3), // TUPLE3
  116: (m) => m.push(m.popToMark()), // TUPLE
  125: (m) => m.push(new Map()), // EMPTY_DICT
  115: (m) => m.setItem(), // SETITEM
  117: (m) => m.setItems(m.popToMark()), // SETITEMS
  143: (m) => m.push(new Set()), // EMPTY_SET
  144: (m) => m.addItems(m.popToMark()), // ADDITEMS
  145: (m) => m.push(new Set(m.popToMark())), // FROZENSET
  // The stack and the memo.
  48: (m) => void m.pop(), // POP
  49: (m) => void m.popToMark(), // POP_MARK
  50: (m) => m.push(m.top()), // DUP
  113: (m) => m.memoize(m.operands.u8()), // BINPUT
  114: (m) => m.memoize(m.operands.u32()), // LONG_BINPUT
  148: (m) => m.memoizeNext(), // MEMOIZE
  104: (m) => m.recall(m.operands.u8()), // BINGET
  106: (m) => m.recall(m.operands.u32()), // LONG_BINGET
  // Objects.
  99: (m) => m.push(m.global(m.operands.line(), m.operands.line())), // GLOBAL
  147: (m) => m.globalFromStack(), // STACK_GLOBAL
  105: (m) => m.call(m.global(m.operands.line(), m.operands.line()), m.popToMark()), // INST
  82: (m) => m.reduce(), // REDUCE
  129: (m) => m.reduce(), // NEWOBJ
  98: (m) => m.build(), // BUILD
  81: (m) => m.resolve(m.pop()), // BINPERSID
  // Protocol and frames, which only say what follows.
  128: (m) => m.protocol(m.operands.u8()), // PROTO
  149: (m) => void m.operands.u64(), // FRAME
};
