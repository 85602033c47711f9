/** Gradients of the image operations: convolution and pooling. */
import { broadcast, cast, div, equal, mul, reshape, sum } from "./build.ts";
import type { Shape } from "./dim.ts";
import { apply, dimAt, fixedDim, type Node, ShapeError, type Tensor } from "./tensor.ts";

/** Gradients of x, weight and bias. */
export function conv2dGradient(
  node: Node<"conv2d">,
  [dy]: readonly Tensor[],
  needs: (input: number) => boolean,
): readonly (Tensor | undefined)[] {
  const [x, weight] = node.inputs as [Tensor, Tensor];
  const { stride, padding } = node.attributes;
  const inputSize = [fixedDim(x, 2), fixedDim(x, 3)] as const;
  const kernelSize = [fixedDim(weight, 2), fixedDim(weight, 3)] as const;
  return [
    needs(0) ? apply("conv2dInputGradient", [dy!, weight], { stride, padding, inputSize }).outputs[0] : undefined,
    needs(1) ? apply("conv2dWeightGradient", [dy!, x], { stride, padding, kernelSize }).outputs[0] : undefined,
    needs(2) ? sum(dy!, [0, 2, 3]) : undefined,
  ];
}

/** Shares the gradient of each window equally among its largest elements. */
export function maxPoolGradient(node: Node<"maxPool2d">, dy: Tensor): Tensor {
  const { x, windows, pooled } = windowShapes(node);
  const isMax = cast(equal(reshape(x, windows), reshape(node.outputs[0]!, pooled)), x.dtype);
  const share = div(isMax, sum(isMax, [3, 5], true));
  return reshape(mul(share, reshape(dy, pooled)), x.shape);
}

/** Spreads the gradient of each window evenly. */
export function averagePoolGradient(node: Node<"averagePool2d">, dy: Tensor): Tensor {
  const { x, windows, pooled } = windowShapes(node);
  const { kernel } = node.attributes;
  return reshape(broadcast(mul(reshape(dy, pooled), 1 / kernel ** 2), windows), x.shape);
}

/** Pooling as a reshape to [N, C, H', k, W', k], which windows that tile the image allow. */
function windowShapes(node: Node<"maxPool2d"> | Node<"averagePool2d">): { x: Tensor; windows: Shape; pooled: Shape } {
  const x = node.inputs[0]!;
  const { kernel, stride, padding } = node.attributes;
  const [h, w] = [fixedDim(x, 2), fixedDim(x, 3)];
  if (kernel !== stride || padding !== 0 || h % kernel !== 0 || w % kernel !== 0) {
    throw new ShapeError(
      `${node.op}: the gradient expects windows that tile the image; kernel ${kernel}, stride ${stride}, padding ${padding}, image ${h}×${w}`,
    );
  }
  const [n, c] = [dimAt(x, 0), dimAt(x, 1)];
  return {
    x,
    windows: [n, c, h / kernel, kernel, w / kernel, kernel],
    pooled: [n, c, h / kernel, 1, w / kernel, 1],
  };
}
