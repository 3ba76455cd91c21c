// What a program runs in. Evaluated once in each context, before the program: it gives the function with which
// `v8.py` drives it. Whatever the program does to the globals, this here works with what it took before.
//
// A program always runs from its start, and always in the same way: no clock, no chance but of its seed, and
// answers only when nothing else is left to do, all at once and in the order of the calls (a "round").
(() => {
  "use strict";

  const { parse, stringify } = JSON;
  const { apply, construct, defineProperty, setPrototypeOf } = Reflect;
  const AsyncFunction = (async () => {}).constructor;
  const [push, then, isArray] = [Array.prototype.push, Promise.prototype.then, Array.isArray];
  const { startsWith, slice } = String.prototype;
  const [PromiseOf, StringOf] = [Promise, String];
  const [RealDate, ErrorOf, RangeErrorOf, TypeErrorOf] = [Date, Error, RangeError, TypeError];

  // What is told of the program inherits nothing: else it would write its state itself, with a `toJSON`.
  const bare = (array) => {
    setPrototypeOf(array, null);
    return array;
  };

  let limits; // how many calls and parts, characters of each kind, and characters of the fault
  const calls = bare([]); // [name, arguments as JSON], of the whole run
  const waiting = bare([]); // resolve and reject of each
  const parts = bare([]);
  let written = 0; // characters of all parts
  let told = 0; // characters of all arguments
  let answered = 0;
  let ended = false;
  let fault = null;

  // ---- what a program sees ----

  const shown = (value) => (typeof value === "string" ? value : (stringify(value) ?? StringOf(value)));

  function write(part, size) {
    if (parts.length >= limits.parts) throw new RangeErrorOf(`a program may write ${limits.parts} parts`);
    written += size;
    if (written > limits.characters) throw new RangeErrorOf("the program's output is too large");
    apply(push, parts, [bare(part)]);
  }

  function text(value) {
    const words = shown(value);
    write(["text", words, ""], words.length);
  }

  function image(value, options) {
    const url = typeof value === "string" ? value : value?.image_url;
    if (typeof url !== "string" || !apply(startsWith, url, ["data:image/"]))
      throw new TypeErrorOf("image() takes the data: URL of an image, or a part with image_url");
    const detail = StringOf(options?.detail ?? value?.detail ?? "auto");
    write(["image", url, detail], url.length + detail.length);
  }

  // A text stands for the member `only`, where the tool has but one to give.
  const caller = ([name, only]) => (argument) =>
    new PromiseOf((resolve, reject) => {
      if (calls.length >= limits.calls) throw new RangeErrorOf(`a program may make ${limits.calls} calls`);
      const named = typeof argument === "string" && only !== null ? { [only]: argument } : argument;
      const json = stringify(named ?? {});
      if (json === undefined) throw new TypeErrorOf(`tools.${name}() takes an object`);
      told += json.length;
      if (told > limits.characters) throw new RangeErrorOf("the arguments of the program's calls are too large");
      apply(push, calls, [bare([name, json])]);
      apply(push, waiting, [{ resolve, reject }]);
    });

  function toolsOf(names) {
    const tools = { __proto__: null };
    for (let at = 0; at < names.length; at++) tools[names[at][0]] = caller(names[at]);
    return Object.freeze(tools);
  }

  // ---- what is taken away ----

  const hidden = (target, name, value) =>
    defineProperty(target, name, { value, writable: true, enumerable: false, configurable: true });

  function takeAway() {
    for (const name of ["setTimeout", "clearTimeout", "__timer_manager"]) globalThis[name] = undefined;
    const names = ["console", "WebAssembly", "Atomics", "SharedArrayBuffer", "WeakRef"];
    for (const name of [...names, "FinalizationRegistry", "Temporal"]) delete globalThis[name];
  }

  const { imul } = Math;

  // Mulberry32: small, and the same everywhere.
  function seedChance(seed) {
    let state = seed >>> 0;
    hidden(Math, "random", function random() {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    });
  }

  function stopClock(now) {
    function Date(...given) {
      if (new.target === undefined) return new RealDate(now).toString();
      return construct(RealDate, given.length ? given : [now], new.target === Date ? RealDate : new.target);
    }
    for (const name of ["parse", "UTC"]) hidden(Date, name, RealDate[name]);
    hidden(Date, "now", () => now);
    defineProperty(Date, "prototype", { value: RealDate.prototype, writable: false });
    hidden(RealDate.prototype, "constructor", Date);
    hidden(globalThis, "Date", Date);
    stopFormats(now);
  }

  // Without a date they would format the time that it is.
  function stopFormats(now) {
    const prototype = Intl.DateTimeFormat.prototype;
    const format = Object.getOwnPropertyDescriptor(prototype, "format").get;
    const toParts = prototype.formatToParts;
    const get = function () {
      const bound = apply(format, this, []);
      return (date) => bound(date === undefined ? now : date);
    };
    defineProperty(prototype, "format", { get, configurable: true });
    hidden(prototype, "formatToParts", function formatToParts(date) {
      return apply(toParts, this, [date === undefined ? now : date]);
    });
  }

  // ---- how it is driven ----

  function wordsOf(error) {
    try {
      return error instanceof ErrorOf ? `${error}` : `Error: ${shown(error)}`;
    } catch {
      return "Error: the program threw what cannot be shown";
    }
  }

  function end(value) {
    if (value !== undefined) text(value);
    ended = true;
  }

  function fail(error) {
    fault = apply(slice, wordsOf(error), [0, limits.fault]);
    ended = true;
  }

  function begin(given) {
    const { code, tools, seed, now } = given;
    limits = given.limits;
    takeAway();
    seedChance(seed);
    stopClock(now);
    let run;
    try {
      run = new AsyncFunction("tools", "text", "image", code);
    } catch (error) {
      return fail(error);
    }
    const running = run(toolsOf(tools), text, image);
    apply(then, apply(then, running, [end]), [undefined, fail]);
  }

  function answer(answers) {
    for (let at = 0; at < answers.length; at++) {
      const { resolve, reject } = waiting[answered++];
      const given = answers[at]; // its value, and the words of its fault
      if (given[1] === null) resolve(given[0]);
      else reject(new ErrorOf(given[1]));
    }
  }

  // Its calls are those that wait.
  function state() {
    const due = bare([]);
    for (let at = answered; at < calls.length; at++) apply(push, due, [calls[at]]);
    return stringify({ __proto__: null, calls: due, ended, fault, parts });
  }

  // A step: nothing, to look how it stands; an array, with the answers of a round; an object, to begin.
  return (step) => {
    if (step !== "") {
      const given = parse(step);
      if (isArray(given)) answer(given);
      else begin(given);
    }
    return step === "" ? state() : "";
  };
})()
