/** Reading ahead: the batches of a step are drawn while the step before is computed. */

/** `draw`, called for step k + 1 as soon as step k is asked for; the last of `steps` steps is the last one drawn. */
export function oneAhead<T>(draw: (step: number) => Promise<T>, steps: number): (step: number) => Promise<T> {
  let next: { step: number; drawn: Promise<T> } | undefined;
  return async (step) => {
    const drawn = next?.step === step ? next.drawn : draw(step);
    next = undefined;
    const batch = await drawn;
    if (step + 1 < steps) {
      next = { step: step + 1, drawn: draw(step + 1) };
      next.drawn.catch(() => undefined); // told to whoever asks for that step; nobody may
    }
    return batch;
  };
}
