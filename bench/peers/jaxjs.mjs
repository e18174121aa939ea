// jax-js on WebGPU in its best form: NCHW, everything in one jit, arrays handed on instead of copied.
import "./webgpu.mjs";
import {
  blockUntilReady,
  defaultDevice,
  getWebGPUDevice,
  init,
  jit,
  lax,
  nn,
  numpy as np,
  random,
  tree,
  valueAndGrad,
  vjp,
} from "@jax-js/jax";
import { failOnErrors, serve } from "./serve.mjs";

await init("webgpu");
defaultDevice("webgpu");
failOnErrors(getWebGPUDevice());

const EPS = 1e-5;
const RATE = 1e-3;
const MOMENTUM = 0.9;

let drawn = 0;
const normal = (shape, deviation = 1) => random.normal(random.key(drawn++), shape).mul(deviation);
const conv = (x, weight, stride = 1) => {
  const padding =
    weight.shape[2] === 1
      ? [
          [0, 0],
          [0, 0],
        ]
      : [
          [1, 1],
          [1, 1],
        ];
  return lax.convGeneralDilated(x, weight, [stride, stride], padding);
};

/** Runs a function on arrays that stay, and waits for its results. */
const running =
  (body, ...inputs) =>
  async () => {
    const results = body(...inputs.map((input) => tree.ref(input)));
    await blockUntilReady(results);
    tree.dispose(results);
  };

/** gamma · (x − mean) / √(variance + eps) + beta over `axes`; gamma and beta broadcast. */
function normalize(x, gamma, beta, axes) {
  const mean = np.mean(x.ref, axes, { keepdims: true });
  const centred = x.sub(mean);
  const variance = np.mean(np.square(centred.ref), axes, { keepdims: true });
  return centred
    .div(np.sqrt(variance.add(EPS)))
    .mul(gamma)
    .add(beta);
}

const channelwise = (v) => v.reshape([1, v.shape[0], 1, 1]);

const PREPARE = {
  matmul: ({ size }) =>
    running(
      jit((a, b) => np.matmul(a, b)),
      normal([size, size]),
      normal([size, size]),
    ),
  conv2d: ({ batch, channels, side, gradients }) => {
    const x = normal([batch, channels, side, side]);
    const weight = normal([channels, channels, 3, 3]);
    if (!gradients)
      return running(
        jit((x, weight) => conv(x, weight)),
        x,
        weight,
      );
    const all = jit((x, weight, dy) => {
      const [y, backward] = vjp((x, weight) => conv(x, weight), [x, weight]);
      const [dx, dweight] = backward(dy);
      return [y, dx, dweight];
    });
    return running(all, x, weight, normal([batch, channels, side, side]));
  },
  "ghost-batch-norm": ({ batch, ghostSize, channels, side }) => {
    const split = [batch / ghostSize, ghostSize, channels, side * side];
    const forward = (x, gamma, beta) => {
      const wide = (v) => v.reshape([1, 1, channels, 1]);
      return nn.relu(normalize(x, wide(gamma), wide(beta), [1, 3]));
    };
    const all = jit((x, gamma, beta, dy) => {
      const [y, backward] = vjp(forward, [x, gamma, beta]);
      const [dx, dgamma, dbeta] = backward(dy);
      return [y, dx, dgamma, dbeta];
    });
    return running(all, normal(split), np.ones([channels]), np.zeros([channels]), normal(split));
  },
  "resnet-step": ({ depth, batch }) => {
    const blocks = (depth - 2) / 6;
    const layer = (from, to, kernel) => ({
      weight: normal([to, from, kernel, kernel], Math.sqrt(2 / (kernel * kernel * to))),
      gamma: np.ones([to]),
      beta: np.zeros([to]),
    });
    const strides = [];
    const params = {
      first: layer(3, 16, 3),
      blocks: [],
      weight: normal([64, 10], 0.1),
      bias: np.zeros([10]),
    };
    let from = 16;
    for (const [stage, width] of [16, 32, 64].entries()) {
      for (let i = 0; i < blocks; i++) {
        const stride = stage > 0 && i === 0 ? 2 : 1;
        const block = { a: layer(from, width, 3), b: layer(width, width, 3) };
        params.blocks.push(stride > 1 ? { ...block, shortcut: layer(from, width, 1) } : block);
        strides.push(stride);
        from = width;
      }
    }
    const apply = (x, { weight, gamma, beta }, stride) =>
      normalize(conv(x, weight, stride), channelwise(gamma), channelwise(beta), [0, 2, 3]);
    const logits = (p, x) => {
      let h = nn.relu(apply(x, p.first, 1));
      for (const [i, block] of p.blocks.entries()) {
        const inner = nn.relu(apply(h.ref, block.a, strides[i]));
        const residual = block.shortcut ? apply(h, block.shortcut, strides[i]) : h;
        h = nn.relu(apply(inner, block.b, 1).add(residual));
      }
      return np.matmul(np.mean(h, [2, 3]), p.weight).add(p.bias);
    };
    return training(logits, params, normal([batch, 3, 32, 32]), batch);
  },
  "f1-step": ({ batch }) => {
    const params = { layers: [], weight: normal([512, 10], 0.04), bias: np.zeros([10]) };
    let from = 784;
    for (let i = 0; i < 5; i++) {
      const [weight, bias] = [normal([from, 512], 1 / Math.sqrt(3 * from)), np.zeros([512])];
      params.layers.push({ weight, bias, gamma: np.ones([512]), beta: np.zeros([512]) });
      from = 512;
    }
    const logits = (p, x) => {
      let h = x;
      for (const { weight, bias, gamma, beta } of p.layers) {
        h = nn.relu(normalize(np.matmul(h, weight).add(bias), gamma, beta, [0]));
      }
      return np.matmul(h, p.weight).add(p.bias);
    };
    return training(logits, params, normal([batch, 784]), batch);
  },
};

/** A step of momentum SGD on the mean cross-entropy; parameters and velocity go from step to step. */
function training(logits, params, x, batch) {
  const classes = np.array(Int32Array.from({ length: batch }, (_, i) => i % 10));
  const labels = nn.oneHot(classes, 10);
  const loss = (p, x, labels) => np.mean(nn.logSoftmax(logits(p, x), -1).mul(labels).sum(-1)).mul(-1);
  const step = jit((p, velocity, x, labels) => {
    const [value, gradient] = valueAndGrad(loss)(tree.ref(p), x, labels);
    const next = tree.map((v, g) => v.mul(MOMENTUM).add(g), velocity, gradient);
    const moved = tree.map((w, v) => w.sub(v.mul(RATE)), p, tree.ref(next));
    return [moved, next, value];
  });
  let state = [params, tree.map((w) => np.zeros(w.shape), tree.ref(params))];
  return async () => {
    const [moved, next, value] = step(state[0], state[1], x.ref, labels.ref);
    state = [moved, next];
    await blockUntilReady([moved, next, value]);
    value.dispose();
  };
}

await serve(async (one) => PREPARE[one.kind](one));
