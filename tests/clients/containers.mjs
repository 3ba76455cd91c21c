// Code in containers: the Vercel AI SDK in two major versions, and @openai/agents. Runs the scenario that is
// named, and prints what came of it as JSON.

import OpenAI from 'openai';

const [scenario, major] = process.argv[2].split('@');

async function aiSdk() {
  const { generateText, streamText } = await import(`ai${major}`);
  const { createOpenAI } = await import(`@ai-sdk/openai-for-ai${major}`);
  const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
  const asked = { model: openai.responses('m'), maxRetries: 0, abortSignal: AbortSignal.timeout(30_000) };
  return { generateText, streamText, openai, asked };
}

async function agents() {
  const { Agent, OpenAIResponsesModel, Runner, codeInterpreterTool, setTracingDisabled, shellTool } = await import(
    '@openai/agents'
  );
  setTracingDisabled(true);
  const model = new OpenAIResponsesModel(new OpenAI({ maxRetries: 0, timeout: 30_000 }), 'm');
  return { Agent, model, runner: new Runner({ tracingDisabled: true }), codeInterpreterTool, shellTool };
}

const scenarios = {
  async code() {
    const { generateText, openai, asked } = await aiSdk();
    const tools = { code_interpreter: openai.tools.codeInterpreter({}) };
    const { text, sources, toolCalls, toolResults } = await generateText({ ...asked, tools, prompt: 'Plot.' });
    return { text, code: toolCalls[0].input.code, outputs: toolResults[0].output.outputs, sources };
  },

  async codeStream() {
    const { streamText, openai, asked } = await aiSdk();
    const tools = { code_interpreter: openai.tools.codeInterpreter({}) };
    const { fullStream, text } = streamText({ ...asked, tools, prompt: 'Plot.' });
    const parts = [];
    for await (const part of fullStream) if (!parts.includes(part.type)) parts.push(part.type);
    return { text: await text, parts };
  },

  async shell() {
    const { generateText, openai, asked } = await aiSdk();
    const first = await generateText({
      ...asked,
      tools: { shell: openai.tools.shell({ environment: { type: 'containerAuto' } }) },
      prompt: 'Go.',
    });
    const kept = await new OpenAI({ maxRetries: 0, timeout: 30_000 }).responses.retrieve(first.response.id);
    const containerId = kept.tools[0].environment.container_id;
    const second = await generateText({
      ...asked,
      tools: { shell: openai.tools.shell({ environment: { type: 'containerReference', containerId } }) },
      messages: [{ role: 'user', content: 'Go.' }, ...first.response.messages, { role: 'user', content: 'On.' }],
    });
    const stdout = (result) => result.toolResults.map(({ output }) => output.output[0].stdout);
    return { texts: [first.text, second.text], printed: [stdout(first), stdout(second)] };
  },

  async agentsCode() {
    const { Agent, model, runner, codeInterpreterTool } = await agents();
    const agent = new Agent({ name: 'Ann', model, tools: [codeInterpreterTool({ container: { type: 'auto' } })] });
    const first = await runner.run(agent, 'Count.');
    const calls = first.newItems.filter((item) => item.type === 'tool_call_item');
    const second = await runner.run(agent, [...first.history, { role: 'user', content: 'And?' }]);
    return { outputs: [first.finalOutput, second.finalOutput], names: calls.map((item) => item.rawItem.name) };
  },

  async agentsShell() {
    const { Agent, model, runner, shellTool } = await agents();
    const agent = new Agent({ name: 'Ann', model, tools: [shellTool({ environment: { type: 'container_auto' } })] });
    const first = await runner.run(agent, 'Go.');
    const second = await runner.run(agent, 'On.', { previousResponseId: first.lastResponseId });
    return { outputs: [first.finalOutput, second.finalOutput], items: first.newItems.map((item) => item.type) };
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
