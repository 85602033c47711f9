/**
 * Reads a pickle, Python's format for objects, without Python: a stack machine that builds inert values.
 * It executes nothing. A class that is not known becomes a placeholder; a call that runs code or programs is refused by
 * name; limits on instructions and visited values end what is made to take time or memory.
 */

import { instructions } from "./pickle-instructions.ts";
import { type Persistent, PickleMachine } from "./pickle-machine.ts";
import type { PickleValue } from "./pickle-values.ts";

/** A value and where the bytes go on after it. */
export interface Unpickled {
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
