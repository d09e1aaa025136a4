/* The latent explorer: sliders and buttons set a code, and the decoder draws it. */

const SWING = 2; // deviations that a traversal plays to each side
const PERIOD = 4000; // milliseconds there and back
const EACH = 700; // milliseconds of a category that plays

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const explorer = (() => {
  const models = JSON.parse(document.getElementById("explorer-data").textContent);
  const decoders = new Map();
  const panels = [];

  function decoderOf(index) {
    if (!decoders.has(index)) {
      const base64 = document.getElementById("weights-" + index).textContent;
      const decode = buildDecoder(models[index].decoder, base64);
      decoders.set(index, { decode, problem: problemOf(models[index], decode) });
    }
    return decoders.get(index);
  }

  /* Why the pictures of a decoder are not those of the model; empty if they are. */
  function problemOf(model, decode) {
    const expected = bytesOf(model.check), pixels = decode(model.examples[0].code);
    if (pixels.length !== expected.length) return "The picture has another size than the model's.";
    let largest = 0;
    for (let i = 0; i < pixels.length; i++) {
      const difference = Math.abs(Math.round(255 * pixels[i]) - expected[i]);
      if (!(difference <= largest)) largest = difference;
    }
    return largest <= 1
      ? ""
      : `This browser draws pixels that are ${largest} of 255 off the model's, so nothing is drawn.`;
  }

  function paint(canvas, pixels, [channels, height, width]) {
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    // such a canvas stays in the memory that the pixels come from
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const image = context.createImageData(width, height);
    const area = width * height;
    for (let i = 0; i < area; i++) {
      for (let c = 0; c < 3; c++) {
        image.data[4 * i + c] = Math.round(255 * pixels[(channels === 3 ? c : 0) * area + i]);
      }
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  function makePanel(first) {
    const root = document.getElementById("panel").content.firstElementChild.cloneNode(true);
    const find = (selector) => root.querySelector(selector);
    const select = find("select"), canvas = find("canvas"), original = find(".original");
    const panel = { root, code: [], example: 0, index: first, pixels: null };
    let model, decoder, rows, playing = null, waiting = false;
    root.setAttribute("aria-label", "Explorer " + (panels.length + 1));
    models.forEach((m, i) => select.append(element("option", { value: i }, m.title)));

    function draw() {
      waiting = false;
      const start = performance.now();
      panel.pixels = decoder.decode(panel.code);
      paint(canvas, panel.pixels, model.decoder.shape);
      const spent = Math.max(1, Math.round(performance.now() - start));
      find(".time").textContent = `Drawn in ${spent} ms.`;
    }

    function later() {
      if (waiting || decoder.problem) return;
      waiting = true;
      requestAnimationFrame(draw);
    }

    function show() {
      rows.forEach((row) => row.show());
      later();
    }

    function stop() {
      if (playing === null) return;
      cancelAnimationFrame(playing.frame);
      playing.button.setAttribute("aria-pressed", "false");
      playing.button.textContent = "▶";
      playing = null;
    }

    function play(button, move) {
      const again = playing && playing.button === button;
      stop();
      if (again || decoder.problem) return;
      button.setAttribute("aria-pressed", "true");
      button.textContent = "■";
      let begun = null;
      const step = (now) => {
        if (begun === null) begun = now;
        move(now - begun);
        waiting = true;
        draw();
        if (playing) playing.frame = requestAnimationFrame(step);
      };
      playing = { button, frame: requestAnimationFrame(step) };
    }

    function playButton(latent, move) {
      const button = element(
        "button",
        { type: "button", class: "play", "aria-pressed": "false", "aria-label": "Play " + latent.name },
        "▶"
      );
      button.addEventListener("click", () => play(button, move));
      return button;
    }

    function heading(latent) {
      const what = element("span", { class: "what" }, element("b", {}, latent.name), " ");
      const first = latent.mark || latent.tells;
      if (first) what.append(first, " ");
      what.append(element("small", {}, latent.use));
      return what;
    }

    function slider(latent) {
      const input = element("input", {
        type: "range", min: -latent.reach, max: latent.reach, step: 0.05,
        "aria-label": `${latent.name} ${latent.tells}`.trim(),
      });
      const output = element("output", {});
      const place = () => (panel.code[latent.column] - latent.centre) / latent.width;
      const row = {
        show() {
          const deviations = place();
          input.value = deviations;
          output.textContent = deviations.toFixed(2);
          input.setAttribute("aria-valuetext", `${deviations.toFixed(2)} ${latent.unit}`);
        },
        set(deviations) {
          panel.code[latent.column] = latent.centre + latent.width * deviations;
          row.show();
        },
        middle: () => row.set(0),
      };
      input.addEventListener("input", () => {
        stop();
        row.set(Number(input.value));
        later();
      });
      let start = 0;
      row.button = playButton(latent, (passed) => {
        if (passed === 0) start = Math.asin(Math.max(-1, Math.min(1, place() / SWING)));
        row.set(SWING * Math.sin(start + (2 * Math.PI * passed) / PERIOD));
      });
      row.root = element("div", { class: "latent", title: latent.unit }, heading(latent), input, output, row.button);
      return row;
    }

    function buttons(latent) {
      const name = `panel${panel.number}-${latent.name}`;
      const choices = [...Array(latent.size).keys()].map((k) => {
        const input = element("input", { type: "radio", name, value: k });
        input.addEventListener("change", () => {
          stop();
          row.set(k);
          later();
        });
        return element("label", {}, input, String(k + 1));
      });
      const row = {
        show() {
          const block = panel.code.slice(latent.column, latent.column + latent.size);
          const chosen = block.indexOf(Math.max(...block));
          choices.forEach((choice, k) => {
            choice.classList.toggle("on", k === chosen);
            choice.firstChild.checked = k === chosen;
          });
        },
        set(k) {
          for (let i = 0; i < latent.size; i++) panel.code[latent.column + i] = Number(i === k);
          row.show();
        },
        middle: () => row.set(0),
      };
      row.button = playButton(latent, (passed) => row.set(Math.floor(passed / EACH) % latent.size));
      row.root = element(
        "div",
        { class: "latent", role: "radiogroup", "aria-label": `Category of ${latent.name} ${latent.tells}`.trim() },
        heading(latent), element("div", { class: "categories" }, ...choices), row.button
      );
      return row;
    }

    /* Take the code of an example; another panel takes that of the same image, if it has it. */
    panel.encode = (index, alone) => {
      stop();
      const example = model.examples[index];
      panel.example = index;
      panel.code = example.code.slice();
      original.src = example.image;
      root.querySelectorAll(".examples button").forEach((button, i) => {
        button.setAttribute("aria-pressed", String(i === index));
      });
      show();
      if (alone) return;
      for (const other of panels) {
        if (other !== panel) other.follow(example.image);
      }
    };

    panel.follow = (image) => {
      const index = model.examples.findIndex((example) => example.image === image);
      if (index >= 0) panel.encode(index, true);
    };

    panel.choose = (index) => {
      stop();
      panel.index = index;
      model = models[index];
      select.value = index;
      try {
        decoder = decoderOf(index);
      } catch (error) {
        decoder = { decode: null, problem: "This decoder cannot be drawn: " + error.message };
      }
      find(".problem").textContent = decoder.problem;
      find(".problem").hidden = !decoder.problem;
      find(".about").textContent = model.about;
      find(".about").hidden = !model.about;
      rows = model.latents.map((latent) => (latent.size ? buttons(latent) : slider(latent)));
      const idle = model.latents.filter((latent) => !latent.active).length;
      const some = idle < model.latents.length; // of a model that uses none, all are shown
      find(":scope > .latents").replaceChildren(
        ...rows.filter((_, i) => !some || model.latents[i].active).map((row) => row.root)
      );
      find(".idle .latents").replaceChildren(
        ...rows.filter((_, i) => some && !model.latents[i].active).map((row) => row.root)
      );
      find(".idle summary").textContent = `${idle} ${idle === 1 ? "latent" : "latents"} not in use`;
      find(".idle").hidden = !some || !idle;
      find(".examples").replaceChildren(
        ...model.examples.map((example, i) =>
          element(
            "button",
            { type: "button", "aria-label": `Encode image ${i + 1}`, onclick: () => panel.encode(i) },
            element("img", { src: example.image, alt: "" })
          )
        )
      );
      panel.encode(0, true);
    };

    panel.stop = stop;
    panel.number = panels.length;
    select.addEventListener("change", () => {
      const image = model.examples[panel.example].image;
      panel.choose(Number(select.value));
      panel.follow(image);
    });
    find(".reset").addEventListener("click", () => panel.encode(panel.example, true));
    find(".middle").addEventListener("click", () => {
      stop();
      rows.forEach((row) => row.middle());
      later();
    });
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") stop();
    });
    panels.push(panel);
    panel.choose(first);
    return panel;
  }

  if (models.length) {
    const place = document.getElementById("panels"), compare = document.getElementById("compare");
    place.append(makePanel(0).root);
    compare.hidden = models.length < 2;
    compare.addEventListener("click", () => {
      const second = panels[1] || makePanel(1), open = !second.root.isConnected;
      if (open) {
        place.append(second.root);
        const first = panels[0];
        second.follow(models[first.index].examples[first.example].image);
      } else {
        second.stop();
        second.root.remove();
      }
      compare.setAttribute("aria-expanded", String(open));
      compare.textContent = open ? "Hide the second model" : "Compare with a second model";
    });
  }
  return { models, panels, decoderOf };
})();
