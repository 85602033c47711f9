/**
 * Reads a pickle, Python's format for objects, without Python: a stack machine that builds inert values.
 * It executes nothing. A class that is not known becomes a placeholder; a call that runs code or programs is refused by
 * name; limits on instructions and visited values end what is made to take time or memory.
 */

import { type Persistent, PickleMachine } from "./pickle-machine.ts";
import type { PickleValue } from "./pickle-values.ts";

/** A value and where the bytes go on after it. */
interface Unpickled {
  readonly value: PickleValue;
  readonly end: number;
  /** Names of the classes and functions in it that are not known here, in the order of the file. */
  readonly placeholders: readonly string[];
}

const mostInstructions = 2_000_000; // a tensor takes about 50, in Adam's moments twice as many again
const stop = 0x2e;

/**
 * The value of the pickle that starts at `start`; `where` names the file.
 * @throws InputError for anything refused or damaged; its subclass PickleCutOff where the bytes end too early.
 */
export function unpickle(bytes: Uint8Array, start: number, where: string, persistent: Persistent): Unpickled {
  const machine = new PickleMachine(bytes, start, where, persistent);
  for (let count = 0; count < mostInstructions; count++) {
    const opcode = machine.operands.u8();
    if (opcode === stop) {
      return { value: machine.pop(), end: machine.operands.at, placeholders: [...machine.placeholders] };
    }
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

type Instruction = (machine: PickleMachine) => void;

/** By opcode; those of protocols 0 to 5. Buffers outside of the pickle are none of torch's. */
export const instructions: { readonly [opcode: number]: Instruction } = {
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
  73: (m) => m.push(m.operands.decimal()), // INT
  76: (m) => m.push(m.operands.decimal()), // LONG
  70: (m) => m.push(m.operands.float()), // FLOAT
  83: (m) => m.push(m.operands.quoted()), // STRING
  86: (m) => m.push(m.operands.unicode()), // UNICODE
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
  100: (m) => m.dictionary(m.popToMark()), // DICT
  115: (m) => m.setItem(), // SETITEM
  117: (m) => m.setItems(m.popToMark()), // SETITEMS
  143: (m) => m.push(new Set()), // EMPTY_SET
  144: (m) => m.addItems(m.popToMark()), // ADDITEMS
  145: (m) => m.push(new Set(m.popToMark())), // FROZENSET
  // The stack and the memo.
  48: (m) => void m.pop(), // POP
  49: (m) => void m.popToMark(), // POP_MARK
  50: (m) => m.push(m.top()), // DUP
  112: (m) => m.memoize(m.operands.index()), // PUT
  103: (m) => m.recall(m.operands.index()), // GET
  113: (m) => m.memoize(m.operands.u8()), // BINPUT
  114: (m) => m.memoize(m.operands.u32()), // LONG_BINPUT
  148: (m) => m.memoizeNext(), // MEMOIZE
  104: (m) => m.recall(m.operands.u8()), // BINGET
  106: (m) => m.recall(m.operands.u32()), // LONG_BINGET
  // Objects.
  99: (m) => m.push(m.global(m.operands.line(), m.operands.line())), // GLOBAL
  147: (m) => m.globalFromStack(), // STACK_GLOBAL
  105: (m) => m.call(m.global(m.operands.line(), m.operands.line()), m.popToMark()), // INST
  111: (m) => m.callFromMark(), // OBJ
  130: (m) => m.push(m.global("copyreg", `extension ${m.operands.u8()}`)), // EXT1
  131: (m) => m.push(m.global("copyreg", `extension ${m.operands.u16()}`)), // EXT2
  132: (m) => m.push(m.global("copyreg", `extension ${m.operands.i32()}`)), // EXT4
  82: (m) => m.reduce(), // REDUCE
  146: (m) => m.callWithNames(), // NEWOBJ_EX
  129: (m) => m.reduce(), // NEWOBJ
  98: (m) => m.build(), // BUILD
  80: (m) => m.resolve(m.operands.line()), // PERSID
  81: (m) => m.resolve(m.pop()), // BINPERSID
  // Protocol and frames, which only say what follows.
  128: (m) => m.protocol(m.operands.u8()), // PROTO
  149: (m) => void m.operands.u64(), // FRAME
};
