// OpenAI's SDK for Node at a provider of Anthropic's messages.
import assert from "node:assert/strict";
import OpenAI from "openai";

const SERVER = process.env.SDKS_SERVER;
const PROVIDER = process.env.SDKS_PROVIDER;
const TOOL = {
  type: "function",
  function: {
    name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

/** Mints a key with translated aliases. */
async function mint() {
  const limits = { requestsPerMinute: 100000, requestsPerHour: 100000, requestsPerDay: 100000 };
  const alias = (model) => ({ model: `chat:anthropic.com/${model}`, translate: true });
  const requestAuthAndQuotas = {
    requestQuotas: { perClientRequestLimits: limits, globalRequestLimits: limits },
    serviceSecrets: [{ serviceId: "chat:anthropic.com", authSecret: "sk-ant-provider", url: PROVIDER }],
    modelAliases: {
      claude: alias("claude-sonnet-4-5"),
      none: alias("claude-none"),
      flaky: alias("flaky-429-translated-node"),
      cut: alias("cut-translated-node"),
    },
  };
  const response = await fetch(`${SERVER}/api/v1/oauth/token`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ requestAuthAndQuotas }),
  });
  assert.equal(response.status, 200);
  const minted = await response.json();
  assert.equal(minted.warnings, undefined, JSON.stringify(minted.warnings));
  return minted.access_token;
}

const client = new OpenAI({ baseURL: `${SERVER}/v1`, apiKey: await mint() });
const conversation = (content) => [{ role: "user", content }];
const chat = (model, more = {}) => client.chat.completions.create({ model, messages: conversation("hello"), ...more });

async function collected(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

const checks = {
  async chatAnswersAndStreams() {
    const completion = await chat("claude", { messages: conversation("hello, Tromsø ☃") });
    assert.equal(completion.choices[0].message.content, "You said: hello, Tromsø ☃");
    assert.deepEqual([completion.usage.prompt_tokens, completion.usage.completion_tokens], [15, 6]);
    assert.match(completion._request_id, /^req_anthropic_/);
    const chunks = await collected(await chat("claude", { stream: true, stream_options: { include_usage: true } }));
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), "You said: hello");
    assert.equal(chunks.at(-1).usage.total_tokens, 21);
  },

  async chatUsesTools() {
    const messages = conversation("What is the weather?");
    const first = (await chat("claude", { messages, tools: [TOOL] })).choices[0].message;
    const [call] = first.tool_calls;
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "Tromsø" });
    messages.push(first, { role: "tool", tool_call_id: call.id, content: "snow" });
    const last = await chat("claude", { messages, tools: [TOOL] });
    assert.equal(last.choices[0].message.content, "The tool says: snow");
    const stream = client.chat.completions.stream({ model: "claude", messages: conversation("weather?"), tools: [TOOL] });
    const [streamed] = (await stream.finalMessage()).tool_calls;
    assert.deepEqual(JSON.parse(streamed.function.arguments), { city: "Tromsø" });
  },

  async errorsAreThoseOfTheSdk() {
    assert.equal((await chat("flaky")).choices[0].message.content, "You said: hello");
    await assert.rejects(chat("none"), OpenAI.NotFoundError);
    await assert.rejects(chat("claude", { n: 2 }), (error) => error instanceof OpenAI.BadRequestError && error.param === "n");
    const cut = async () => collected(await chat("cut", { stream: true }));
    await assert.rejects(cut, (error) => error instanceof OpenAI.APIError && error.message.includes("cut short"));
  },
};

const refusedBefore = (await (await fetch(`${PROVIDER}/seen`)).json()).refused.length;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
  } catch (error) {
    console.log(`${error?.stack}\nFAILED: ${name}`);
    process.exit(1);
  }
  console.log(`ok: ${name}`);
}
const refused = (await (await fetch(`${PROVIDER}/seen`)).json()).refused.slice(refusedBefore);
assert.equal(refused.length, 0, `the provider refused ${refused}`);
