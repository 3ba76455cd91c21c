// The Vercel AI SDK of a major version. Plays the scenario that is named, and prints what came of it as JSON.

import { z } from 'zod';

const [scenario, major, store] = process.argv[2].split('@');
const { Output, generateText, stepCountIs, isStepCount, streamText, tool } = await import(`ai${major}`);
const { createOpenAI } = await import(`@ai-sdk/openai-for-ai${major}`);

const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const model = openai.responses('m');
const stopWhen = (stepCountIs ?? isStepCount)(5);
const tools = {
  weather: tool({
    description: 'The weather of a city.',
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => ({ city, rain: true }),
  }),
};
const schema = z.object({ city: z.string(), rain: z.boolean() });
const asked = { model, maxRetries: 0, abortSignal: AbortSignal.timeout(30_000) };

const scenarios = {
  async text() {
    const { text, usage, finishReason } = await generateText({ ...asked, system: 'Be brief.', prompt: 'Hi' });
    return { text, finishReason, tokens: [usage.inputTokens, usage.outputTokens] };
  },

  async tools() {
    const { text, steps } = await generateText({ ...asked, tools, stopWhen, prompt: 'Bonn?' });
    return { text, results: steps.flatMap((step) => step.toolResults.map((result) => result.output)) };
  },

  async object() {
    const output = Output.object({ schema });
    return (await generateText({ ...asked, output, prompt: 'Bonn?' })).output;
  },

  async stream() {
    const failures = [];
    const result = streamText({ ...asked, tools, stopWhen, prompt: 'Bonn?', onError: ({ error }) => failures.push(`${error}`) });
    const pieces = [];
    for await (const piece of result.textStream) pieces.push(piece);
    return { text: pieces.join(''), pieces: pieces.length, failures };
  },

  async streamedObject() {
    const { partialOutputStream, output } = streamText({ ...asked, output: Output.object({ schema }), prompt: 'Bonn?' });
    const partial = [];
    for await (const piece of partialOutputStream) partial.push(piece);
    return { output: await output, grew: partial.length > 1 };
  },

  async files() {
    const { text, sources, toolResults } = await generateText({
      ...asked,
      tools: { file_search: openai.tools.fileSearch({ vectorStoreIds: [store], maxNumResults: 3 }) },
      providerOptions: { openai: { include: ['file_search_call.results'] } },
      prompt: 'Why do boats float?',
    });
    const [{ output }] = toolResults;
    return { text, sources, queries: output.queries, found: output.results.map((result) => result.filename) };
  },

  async searchedWeb() {
    const web_search = openai.tools.webSearch({ searchContextSize: 'low', filters: { allowedDomains: ['127.0.0.1'] } });
    const { text, sources, toolResults } = await generateText({ ...asked, tools: { web_search }, prompt: 'Why do boats float?' });
    return { text, sources, actions: toolResults.map(({ output }) => output.action) };
  },

  async pictures() {
    const image_generation = openai.tools.imageGeneration({ outputFormat: 'webp', quality: 'low', size: '1024x1024' });
    const painting = { ...asked, tools: { image_generation } };
    const first = await generateText({ ...painting, prompt: 'A cat' });
    const messages = [
      { role: 'user', content: 'A cat' },
      ...first.response.messages,
      { role: 'user', content: 'Make it red' },
    ];
    const second = await generateText({ ...painting, messages });
    return { results: [first, second].map((done) => done.toolResults.map(({ output }) => output.result)), text: second.text };
  },

  async streamedPictures() {
    const image_generation = openai.tools.imageGeneration({ partialImages: 2 });
    const failures = [];
    const result = streamText({ ...asked, tools: { image_generation }, prompt: 'A cat', onError: ({ error }) => failures.push(`${error}`) });
    const shown = [];
    for await (const part of result.fullStream) {
      if (part.type === 'tool-result') shown.push(part.output.result);
    }
    return { shown, failures };
  },

  async fault() {
    try {
      await generateText({ ...asked, prompt: 'Hi' });
      return {};
    } catch (error) {
      return { status: error.statusCode, message: error.message };
    }
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
