// @openai/agents. Runs the scenario that is named, and prints what came of it as JSON.

import { Agent, OpenAIResponsesModel, Runner, setTracingDisabled, tool } from '@openai/agents';
import { applyDiff, applyPatchTool, computerTool, shellTool } from '@openai/agents';
import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import OpenAI from 'openai';
import { z } from 'zod';

setTracingDisabled(true);
const client = new OpenAI({ maxRetries: 0, timeout: 30_000 });
const model = new OpenAIResponsesModel(client, 'm');
const runner = new Runner({ tracingDisabled: true });

const weather = tool({
  name: 'weather',
  description: 'The weather of a city.',
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `${city}: rain`,
});

const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

// A screen that remembers what was done to it.
function screen() {
  const done = [];
  const actions = ['click', 'doubleClick', 'drag', 'keypress', 'move', 'scroll', 'type', 'wait'];
  const remembering = actions.map((name) => [name, async (...given) => void done.push([name, ...given])]);
  return { done, environment: 'browser', dimensions: [1024, 768], screenshot: async () => PIXEL, ...Object.fromEntries(remembering) };
}

function execute(command) {
  return new Promise((resolve) => {
    execFile('sh', ['-c', command], { timeout: 10_000 }, (error, stdout, stderr) =>
      resolve({ stdout, stderr, outcome: { type: 'exit', exitCode: error?.code ?? 0 } }),
    );
  });
}

const editor = {
  async createFile({ path, diff }) {
    await writeFile(path, applyDiff('', diff, 'create'));
    return { status: 'completed', output: `Created ${path}` };
  },
  async updateFile({ path, diff }) {
    await writeFile(path, applyDiff(await readFile(path, 'utf8'), diff));
    return { status: 'completed', output: `Updated ${path}` };
  },
  async deleteFile({ path }) {
    await rm(path);
    return { status: 'completed', output: `Deleted ${path}` };
  },
};

const scenarios = {
  async functions() {
    const agent = new Agent({ name: 'Ann', instructions: 'Be brief.', model, tools: [weather] });
    return { output: (await runner.run(agent, 'Bonn?')).finalOutput };
  },

  async handoff() {
    const bob = new Agent({ name: 'Bob', instructions: 'You are Bob.', model });
    const ann = Agent.create({ name: 'Ann', instructions: 'You are Ann.', model, handoffs: [bob] });
    const result = await runner.run(ann, 'Bob, please.');
    return { output: result.finalOutput, agent: result.lastAgent.name };
  },

  async structure() {
    const outputType = z.object({ city: z.string(), rain: z.boolean() });
    const agent = new Agent({ name: 'Ann', model, tools: [weather], outputType });
    return { output: (await runner.run(agent, 'Bonn?')).finalOutput };
  },

  async stream() {
    const agent = new Agent({ name: 'Ann', model, tools: [weather] });
    const result = await runner.run(agent, 'Bonn?', { stream: true });
    const items = [];
    let text = '';
    for await (const event of result) {
      if (event.type === 'raw_model_stream_event' && event.data.type === 'output_text_delta') text += event.data.delta;
      if (event.type === 'run_item_stream_event') items.push(event.name);
    }
    await result.completed;
    return { output: result.finalOutput, text, items };
  },

  async continued() {
    const agent = new Agent({ name: 'Ann', model, tools: [weather] });
    const first = await runner.run(agent, 'Bonn?');
    const second = await runner.run(agent, 'Sure?', { previousResponseId: first.lastResponseId });
    return { output: second.finalOutput };
  },

  async conversation() {
    const { id } = await client.conversations.create({});
    const agent = new Agent({ name: 'Ann', model, tools: [weather] });
    await runner.run(agent, 'Bonn?', { conversationId: id });
    return { output: (await runner.run(agent, 'Sure?', { conversationId: id })).finalOutput };
  },

  async computer() {
    const computer = screen();
    const agent = new Agent({ name: 'Ann', model, tools: [computerTool({ computer })] });
    const { finalOutput } = await runner.run(agent, 'Write hi.');
    return { output: finalOutput, done: computer.done };
  },

  async shell() {
    const run = async ({ commands }) => ({ output: await Promise.all(commands.map(execute)) });
    const agent = new Agent({ name: 'Ann', model, tools: [shellTool({ shell: { run } })] });
    return { output: (await runner.run(agent, 'Make a.txt.')).finalOutput };
  },

  async patch() {
    const agent = new Agent({ name: 'Ann', model, tools: [applyPatchTool({ editor })] });
    return { output: (await runner.run(agent, 'Patch.')).finalOutput };
  },
};

console.log(JSON.stringify(await scenarios[process.argv[2]]()));
