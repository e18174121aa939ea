// TensorFlow.js on WebGPU in its best form: NHWC, its own optimizer, its own gradients, everything disposed of by tidy.
import "./webgpu.mjs";
import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-webgpu";
import { failOnErrors, serve } from "./serve.mjs";

await tf.setBackend("webgpu");
await tf.ready();
const backend = /** @type {any} */ (tf.backend());
failOnErrors(backend.device);

const EPS = 1e-5;
const RATE = 1e-3;
const MOMENTUM = 0.9;

async function settle() {
  if (backend.commandEncoder) {
    backend.endComputePassEncoder();
    backend.submitQueue();
  }
  await backend.device.queue.onSubmittedWorkDone();
}

/** Runs `body` once, disposes of what it made, waits until the GPU is done. */
const running = (/** @type {() => any} */ body) => async () => {
  const results = body();
  await settle();
  tf.dispose(results);
};

const PREPARE = {
  matmul: ({ size }) => {
    const [a, b] = [tf.randomNormal([size, size]), tf.randomNormal([size, size])];
    return running(() => tf.matMul(a, b));
  },
  conv2d: ({ batch, channels, side, gradients }) => {
    const x = tf.randomNormal([batch, side, side, channels]);
    const weight = tf.randomNormal([3, 3, channels, channels]);
    const dy = tf.randomNormal(x.shape);
    const conv = (x, weight) => tf.conv2d(x, weight, 1, "same");
    if (!gradients) return running(() => conv(x, weight));
    const both = tf.valueAndGrads(conv);
    return running(() => both([x, weight], dy));
  },
  "ghost-batch-norm": ({ batch, ghostSize, channels, side }) => {
    const ghosts = batch / ghostSize;
    const x = tf.randomNormal([batch, side, side, channels]);
    const dy = tf.randomNormal(x.shape);
    const [gamma, beta] = [tf.ones([channels]), tf.zeros([channels])];
    const forward = (x, gamma, beta) => {
      const split = tf.reshape(x, [ghosts, ghostSize * side * side, channels]);
      const { mean, variance } = tf.moments(split, [1], true);
      const normalized = tf.mul(tf.sub(split, mean), tf.rsqrt(tf.add(variance, EPS)));
      return tf.relu(tf.reshape(tf.add(tf.mul(normalized, gamma), beta), x.shape));
    };
    const all = tf.valueAndGrads(forward);
    return running(() => all([x, gamma, beta], dy));
  },
  "resnet-step": ({ depth, batch }) => {
    const blocks = (depth - 2) / 6;
    const network = [];
    const conv = (from, to, kernel) =>
      tf.variable(tf.randomNormal([kernel, kernel, from, to], 0, Math.sqrt(2 / (kernel * kernel * to))));
    const norm = (width) => ({ gamma: tf.variable(tf.ones([width])), beta: tf.variable(tf.zeros([width])) });
    const first = { weight: conv(3, 16, 3), norm: norm(16) };
    let from = 16;
    for (const [stage, width] of [16, 32, 64].entries()) {
      for (let i = 0; i < blocks; i++) {
        const stride = stage > 0 && i === 0 ? 2 : 1;
        const shortcut = stride > 1 ? { weight: conv(from, width, 1), norm: norm(width) } : null;
        network.push({
          stride,
          a: { weight: conv(from, width, 3), norm: norm(width) },
          b: { weight: conv(width, width, 3), norm: norm(width) },
          shortcut,
        });
        from = width;
      }
    }
    const classifier = {
      weight: tf.variable(tf.randomNormal([64, 10], 0, 0.1)),
      bias: tf.variable(tf.zeros([10])),
    };
    const normalize = (x, { gamma, beta }) => {
      const { mean, variance } = tf.moments(x, [0, 1, 2]);
      return tf.batchNorm(x, mean, variance, beta, gamma, EPS);
    };
    const layer = (x, { weight, norm }, stride) => normalize(tf.conv2d(x, weight, stride, "same"), norm);
    const logits = (x) => {
      let h = tf.relu(layer(x, first, 1));
      for (const { stride, a, b, shortcut } of network) {
        const residual = shortcut ? layer(h, shortcut, stride) : h;
        h = tf.relu(tf.add(layer(tf.relu(layer(h, a, stride)), b, 1), residual));
      }
      return tf.add(tf.matMul(tf.mean(h, [1, 2]), classifier.weight), classifier.bias);
    };
    return training(logits, tf.randomNormal([batch, 32, 32, 3]), batch);
  },
  "f1-step": ({ batch }) => {
    const layers = [];
    let from = 784;
    for (let i = 0; i < 5; i++) {
      const weight = tf.variable(tf.randomUniform([from, 512], -1 / Math.sqrt(from), 1 / Math.sqrt(from)));
      layers.push({
        weight,
        bias: tf.variable(tf.zeros([512])),
        gamma: tf.variable(tf.ones([512])),
        beta: tf.variable(tf.zeros([512])),
      });
      from = 512;
    }
    const last = {
      weight: tf.variable(tf.randomUniform([512, 10], -0.04, 0.04)),
      bias: tf.variable(tf.zeros([10])),
    };
    const logits = (x) => {
      let h = x;
      for (const { weight, bias, gamma, beta } of layers) {
        const z = tf.add(tf.matMul(h, weight), bias);
        const { mean, variance } = tf.moments(z, [0]);
        h = tf.relu(tf.batchNorm(z, mean, variance, beta, gamma, EPS));
      }
      return tf.add(tf.matMul(h, last.weight), last.bias);
    };
    return training(logits, tf.randomNormal([batch, 784]), batch);
  },
};

/** A step of momentum SGD on the mean cross-entropy. */
function training(logits, x, batch) {
  const labels = tf.oneHot(
    tf.tensor1d(
      Array.from({ length: batch }, (_, i) => i % 10),
      "int32",
    ),
    10,
  );
  const optimizer = tf.train.momentum(RATE, MOMENTUM);
  return running(() => optimizer.minimize(() => tf.losses.softmaxCrossEntropy(labels, logits(x)), true));
}

await serve(async (one) => PREPARE[one.kind](one));
