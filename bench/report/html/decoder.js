"use strict";
/* What bench/report/html/decoder.py has taken apart, put together again: plain arithmetic on
   Float32Arrays, without a library. A tensor is {data, shape}; there is one row at a time. */

const HALVES = (() => {
  let table = null;
  return () => {
    if (table) return table;
    table = new Float32Array(65536);
    for (let bits = 0; bits < 65536; bits++) {
      const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
      let value = (1 + fraction / 1024) * 2 ** (exponent - 15);
      if (exponent === 0) value = fraction * 2 ** -24;
      if (exponent === 31) value = fraction ? NaN : Infinity;
      table[bits] = sign * value;
    }
    return table;
  };
})();

function bytesOf(base64) {
  const text = atob(base64.trim()), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/* {layers, likelihood, shape, format, exact} and base64 -> a function from a code, an array of
   numbers, to the pixels (C, H, W) in [0, 1], a Float32Array. */
function buildDecoder(spec, base64) {
  const bytes = bytesOf(base64), start = 4 * spec.exact;
  const exact = new Float32Array(bytes.buffer, 0, spec.exact);

  function weightsOf(layer, count) {
    const data = new Float32Array(count), first = layer.weight;
    if (spec.format === "float32") {
      data.set(new Float32Array(bytes.buffer, start + 4 * first, count));
    } else if (spec.format === "float16") {
      const coded = new Uint16Array(bytes.buffer, start + 2 * first, count), halves = HALVES();
      for (let i = 0; i < count; i++) data[i] = halves[coded[i]];
    } else throw new Error("unknown format of weights: " + spec.format);
    return data;
  }

  function biasOf(layer) {
    return layer.bias === null
      ? new Float32Array(layer.outputs)
      : exact.subarray(layer.bias, layer.bias + layer.outputs);
  }

  function map(f) {
    return (x) => ({ data: x.data.map(f), shape: x.shape });
  }

  const build = {
    relu: () => map((v) => (v > 0 ? v : 0)),
    tanh: () => map(Math.tanh),
    sigmoid: () => map((v) => 1 / (1 + Math.exp(-v))),
    silu: () => map((v) => v / (1 + Math.exp(-v))),
    reshape: (layer) => (x) => ({ data: x.data, shape: layer.shape }),
    codebook: codebook,
    linear: linear,
    grid: grid,
    conv: convolution,
    transposed: transposed,
    up: up,
  };

  function codebook(layer) {
    const count = layer.sizes.reduce((a, b) => a + b, 0);
    const values = exact.subarray(layer.values, layer.values + count);
    return (x) => {
      const y = new Float32Array(layer.sizes.length);
      let i = 0;
      layer.sizes.forEach((size, latent) => {
        for (let end = i + size; i < end; i++) y[latent] += x.data[i] * values[i];
      });
      return { data: y, shape: [y.length] };
    };
  }

  function linear(layer) {
    const n = layer.inputs, weights = weightsOf(layer, n * layer.outputs), bias = biasOf(layer);
    return (x) => {
      const y = new Float32Array(layer.outputs), input = x.data;
      for (let o = 0; o < y.length; o++) {
        let sum = bias[o];
        for (let i = 0, w = o * n; i < n; i++, w++) sum += weights[w] * input[i];
        y[o] = sum;
      }
      return { data: y, shape: [y.length] };
    };
  }

  /* The code at every pixel of a square, then the vertical and horizontal coordinates, -1 to 1. */
  function grid(layer) {
    const side = layer.size;
    return (x) => {
      const count = x.data.length, area = side * side, y = new Float32Array((count + 2) * area);
      for (let c = 0; c < count; c++) y.fill(x.data[c], c * area, (c + 1) * area);
      for (let i = 0; i < side; i++) {
        for (let j = 0; j < side; j++) {
          y[count * area + i * side + j] = -1 + (2 * i) / (side - 1);
          y[(count + 1) * area + i * side + j] = -1 + (2 * j) / (side - 1);
        }
      }
      return { data: y, shape: [count + 2, side, side] };
    };
  }

  function filled(bias, area) {
    const y = new Float32Array(bias.length * area);
    for (let o = 0; o < bias.length; o++) y.fill(bias[o], o * area, (o + 1) * area);
    return y;
  }

  function convolution(layer) {
    const { inputs, outputs, kernel, stride, padding } = layer;
    const taps = kernel * kernel, weights = weightsOf(layer, outputs * inputs * taps);
    const bias = biasOf(layer);
    return (x) => {
      const [, h, w] = x.shape, input = x.data;
      const H = Math.floor((h + 2 * padding - kernel) / stride) + 1;
      const W = Math.floor((w + 2 * padding - kernel) / stride) + 1;
      const y = filled(bias, H * W);
      let tap = 0;
      for (let o = 0; o < outputs; o++) {
        for (let c = 0; c < inputs; c++) {
          for (let a = 0; a < kernel; a++) {
            for (let b = 0; b < kernel; b++, tap++) {
              const weight = weights[tap];
              const first = Math.max(0, Math.ceil((padding - b) / stride));
              const last = Math.min(W - 1, Math.floor((w - 1 + padding - b) / stride));
              for (let i = 0; i < H; i++) {
                const row = i * stride - padding + a;
                if (row < 0 || row >= h) continue;
                const from = (c * h + row) * w - padding + b, to = (o * H + i) * W;
                for (let j = first; j <= last; j++) y[to + j] += weight * input[from + j * stride];
              }
            }
          }
        }
      }
      return { data: y, shape: [outputs, H, W] };
    };
  }

  function transposed(layer) {
    const { inputs, outputs, kernel, stride, padding, odd } = layer;
    const taps = kernel * kernel, weights = weightsOf(layer, outputs * inputs * taps);
    const bias = biasOf(layer);
    return (x) => {
      const [, h, w] = x.shape, input = x.data;
      const H = (h - 1) * stride - 2 * padding + kernel + odd;
      const W = (w - 1) * stride - 2 * padding + kernel + odd;
      const y = filled(bias, H * W);
      let tap = 0;
      for (let o = 0; o < outputs; o++) {
        for (let c = 0; c < inputs; c++) {
          for (let a = 0; a < kernel; a++) {
            for (let b = 0; b < kernel; b++, tap++) {
              const weight = weights[tap];
              const first = Math.max(0, Math.ceil((padding - b) / stride));
              const last = Math.min(w - 1, Math.floor((W - 1 + padding - b) / stride));
              for (let i = 0; i < h; i++) {
                const row = i * stride - padding + a;
                if (row < 0 || row >= H) continue;
                const from = (c * h + i) * w, to = (o * H + row) * W - padding + b;
                for (let j = first; j <= last; j++) y[to + j * stride] += weight * input[from + j];
              }
            }
          }
        }
      }
      return { data: y, shape: [outputs, H, W] };
    };
  }

  /* main(x) + skip(x), the latter enlarged to the former's size by repeating its pixels. */
  function up(layer) {
    const main = chain(layer.main), skip = chain(layer.skip);
    return (x) => {
      const y = main(x), z = skip(x), [channels, H, W] = y.shape, [, h, w] = z.shape;
      for (let c = 0; c < channels; c++) {
        for (let i = 0; i < H; i++) {
          const row = (c * h + Math.floor((i * h) / H)) * w;
          for (let j = 0; j < W; j++) {
            y.data[(c * H + i) * W + j] += z.data[row + Math.floor((j * w) / W)];
          }
        }
      }
      return y;
    };
  }

  function chain(layers) {
    const steps = layers.map((layer) => {
      if (!Object.hasOwn(build, layer.op)) throw new Error("unknown layer: " + layer.op);
      return build[layer.op](layer);
    });
    return (x) => steps.reduce((y, step) => step(y), x);
  }

  const means = {
    bernoulli: (l) => 1 / (1 + Math.exp(-l)),
    gaussian: (l) => 1 / (1 + Math.exp(-l)),
    continuous_bernoulli: (l) =>
      Math.abs(l) < 1e-2 ? 0.5 + l / 12 : -1 / Math.expm1(-l) - 1 / l,
  };
  if (!Object.hasOwn(means, spec.likelihood)) {
    throw new Error("unknown likelihood: " + spec.likelihood);
  }
  const decode = chain(spec.layers), mean = means[spec.likelihood];
  return (code) => {
    const logits = decode({ data: Float32Array.from(code), shape: [code.length] });
    return logits.data.map(mean);
  };
}
