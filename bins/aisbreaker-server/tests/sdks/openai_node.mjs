// OpenAI's SDK for Node, unchanged except for `baseURL` and `apiKey`.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import OpenAI, { toFile } from "openai";

const SERVER = process.env.SDKS_SERVER;
const PROVIDER = process.env.SDKS_PROVIDER;
// Without the server in between.
const IS_DIRECT = SERVER === PROVIDER;
// How long a refusal may take that an SDK must not retry.
const AT_ONCE_MILLIS = 2000;
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
const VALUES = Buffer.from(Array.from({ length: 256 }, (_, value) => value));
const MODEL = "gpt-4o";
const TOOL = {
  type: "function",
  function: {
    name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

/** Mints an aisbreaker key for the provider. */
async function mint(perDay = 100000, budgets = undefined) {
  if (IS_DIRECT) return "sk-provider-openai";
  const perMinute = Math.max(perDay, 100);
  const limits = { requestsPerMinute: perMinute, requestsPerHour: perMinute, requestsPerDay: perDay };
  const requestAuthAndQuotas = {
    requestQuotas: { perClientRequestLimits: limits, globalRequestLimits: limits },
    serviceSecrets: [
      { serviceId: "chat:openai.com", authSecret: "sk-provider-openai", url: PROVIDER },
      { serviceId: "chat:anthropic.com", authSecret: "sk-ant-provider", url: PROVIDER },
    ],
    budgets,
  };
  const response = await fetch(`${SERVER}/api/v1/oauth/token`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ requestAuthAndQuotas }),
  });
  assert.equal(response.status, 200, await response.clone().text());
  return (await response.json()).access_token;
}

const clientOf = (apiKey) => new OpenAI({ baseURL: `${SERVER}/v1`, apiKey });
const KEY = await mint();
const client = clientOf(KEY);
const conversation = (content) => [{ role: "user", content }];
const chat = (model, more = {}, by = client) =>
  by.chat.completions.create({ model, messages: conversation("hello"), ...more });

/** Returns what the provider has received. With `closed`, waits until the client of that model has disconnected. */
async function providerState(closed = "") {
  return (await fetch(`${PROVIDER}/seen?closed=${closed}`)).json();
}

async function assertDisconnectSeen(model) {
  assert.ok((await providerState(model)).closed.includes(model), `the provider did not see the client of ${model} disconnect`);
}

async function textOf(stream) {
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  return text;
}

async function collected(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

/** Returns the error of this class that `action` must throw. */
async function expectError(errorClass, action) {
  let result;
  try {
    result = await action();
  } catch (error) {
    assert.ok(error instanceof errorClass, `no ${errorClass.name}, but ${error?.stack}`);
    return error;
  }
  assert.fail(`no ${errorClass.name}, but ${JSON.stringify(result)}`);
}

async function expectErrorAtOnce(errorClass, action) {
  const start = performance.now();
  const error = await expectError(errorClass, action);
  const elapsed = performance.now() - start;
  assert.ok(elapsed < AT_ONCE_MILLIS, `${errorClass.name} took ${elapsed} ms`);
  return error;
}

/** Describes content as the provider does. */
const description = (name, content) =>
  `${name} of ${content.length} bytes, ${createHash("sha256").update(content).digest("hex")}`;

const checks = {
  async chatAnswers() {
    const completion = await chat(MODEL, { messages: conversation("hello, Tromsø ☃") });
    assert.equal(completion.choices[0].message.content, "You said: hello, Tromsø ☃");
    assert.equal(completion.usage.total_tokens, 16);
    assert.match(completion._request_id, /^req_openai_/);
  },

  async chatTakesServiceIds() {
    for (const model of IS_DIRECT ? [] : ["chat:openai.com/gpt-4o", "openai.com/gpt-4o"]) {
      assert.equal((await chat(model)).model, "gpt-4o", model);
      assert.equal(await textOf(await chat(model, { stream: true })), "You said: hello", model);
    }
  },

  async chatStreams() {
    const stream = await chat(MODEL, { stream: true, stream_options: { include_usage: true } });
    const chunks = await collected(stream);
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    assert.equal(text, "You said: hello");
    assert.equal(chunks.at(-1).usage.total_tokens, 16);
  },

  async chatUsesTools() {
    const messages = conversation("What is the weather?");
    const first = (await chat(MODEL, { messages, tools: [TOOL] })).choices[0].message;
    const [call] = first.tool_calls;
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "Tromsø" });
    messages.push(first, { role: "tool", tool_call_id: call.id, content: "snow" });
    const last = await chat(MODEL, { messages, tools: [TOOL] });
    assert.equal(last.choices[0].message.content, "The tool says: snow");
    const streamed = client.chat.completions.stream({ model: MODEL, messages: conversation("weather?"), tools: [TOOL] });
    const [streamedCall] = (await streamed.finalMessage()).tool_calls;
    assert.deepEqual(JSON.parse(streamedCall.function.arguments), { city: "Tromsø" });
  },

  async chatAcceptsImages() {
    const url = `data:image/png;base64,${PNG.toString("base64")}`;
    const parts = [
      { type: "text", text: "what is it?" },
      { type: "image_url", image_url: { url } },
    ];
    const { message } = (await chat(MODEL, { messages: conversation(parts) })).choices[0];
    assert.equal(message.content, `You said: what is it? | ${description("image/png", PNG)}`);
  },

  async chatAnswersInJson() {
    const { message } = (await chat(MODEL, { response_format: { type: "json_object" } })).choices[0];
    assert.deepEqual(JSON.parse(message.content), { said: "You said: hello" });
  },

  async responsesAreCreatedRetrievedAndDeleted() {
    const created = await client.responses.create({ model: MODEL, input: "hello" });
    const read = await client.responses.retrieve(created.id);
    await client.responses.delete(created.id);
    await expectError(OpenAI.NotFoundError, () => client.responses.retrieve(created.id));
    assert.deepEqual([created.output_text, read.output_text], ["You said: hello", "You said: hello"]);
  },

  async responsesStream() {
    const events = await collected(await client.responses.create({ model: MODEL, input: "hello", stream: true }));
    const deltas = events.filter((event) => event.type === "response.output_text.delta");
    assert.equal(deltas.map((event) => event.delta).join(""), "You said: hello");
    assert.equal(events.at(-1).type, "response.completed");
    assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
  },

  async completionsAnswer() {
    const whole = await client.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: "hello" });
    assert.equal(whole.choices[0].text, "You said: hello");
  },

  async embeddingsAreNumbers() {
    for (const more of [{}, { encoding_format: "float" }]) {
      const input = ["one", "three"];
      const { data } = await client.embeddings.create({ model: "text-embedding-3-small", input, ...more });
      const expected = input.map((text) => [text.length, Buffer.from(text).reduce((sum, byte) => sum + byte, 0) % 1000]);
      assert.deepEqual(data.map((each) => [...each.embedding]), expected);
    }
  },

  async imagesAreGeneratedAndEdited() {
    const generated = await client.images.generate({ model: "gpt-image-1", prompt: "a dot" });
    const content = Buffer.concat([PNG, Buffer.from("\r\n--edited")]);
    const image = await toFile(content, "dot.png", { type: "image/png" });
    const edited = await client.images.edit({ model: "gpt-image-1", prompt: "a bigger dot", image });
    assert.equal(generated.data[0].b64_json, PNG.toString("base64"));
    assert.equal(edited.data[0].b64_json, content.toString("base64"));
  },

  async speechIsSynthesisedAndTranscribed() {
    const recording = Buffer.concat([...Array(1500).fill(VALUES), Buffer.from("\r\n--\r\n--boundary--\r\n")]);
    for (const prefix of IS_DIRECT ? [""] : ["", "chat:openai.com/"]) {
      const file = await toFile(recording, "said.wav", { type: "audio/wav" });
      const transcription = await client.audio.transcriptions.create({ model: `${prefix}whisper-1`, file });
      assert.equal(transcription.text, description("said.wav", recording));
      const audio = await client.audio.speech.create({ model: `${prefix}tts-1`, voice: "alloy", input: "hello" });
      const expected = Buffer.concat([...Array(400).fill(VALUES), Buffer.from("hello")]);
      assert.ok(expected.equals(Buffer.from(await audio.arrayBuffer())), "the audio is not the provider's");
    }
  },

  async moderationsAnswer() {
    const { results } = await client.moderations.create({ model: "omni-moderation-latest", input: "a fight" });
    assert.equal(results[0].flagged, true);
  },

  async modelsAreListedAndFound() {
    const names = (await collected(client.models.list())).map((model) => model.id);
    assert.ok(names.includes(MODEL) && names.includes("whisper-1"), names.join());
    assert.equal((await client.models.retrieve(MODEL)).owned_by, "openai");
    const missing = await expectError(OpenAI.NotFoundError, () => client.models.retrieve("gpt-none"));
    assert.equal(missing.code, "model_not_found");
  },

  async rateLimitErrorsAreRetried() {
    assert.equal((await chat("flaky-429-node")).choices[0].message.content, "You said: hello");
    assert.equal(await textOf(await chat("flaky-429-node-streamed", { stream: true })), "You said: hello");
    const { calls } = await providerState();
    // Three calls, of which the SDK made the second and the third as retries.
    assert.deepEqual(calls["flaky-429-node"], ["0", "1", "2"]);
    assert.deepEqual(calls["flaky-429-node-streamed"], ["0", "1", "2"]);
  },

  async abandonedStreamIsClosedAtTheProvider() {
    const left = await chat("endless-node", { stream: true });
    let count = 0;
    for await (const _ of left) if (++count === 5) break;
    await assertDisconnectSeen("endless-node");
    const aborted = await chat("endless-node-aborted", { stream: true });
    aborted.controller.abort();
    await assertDisconnectSeen("endless-node-aborted");
    const early = await chat("slow-first-node-left", { stream: true });
    early.controller.abort();
    await assertDisconnectSeen("slow-first-node-left");
  },

  async truncatedStreamIsAnError() {
    // Without the server in between, it is an error of the connection.
    const kind = IS_DIRECT ? Error : OpenAI.APIError;
    const actions = [
      async () => textOf(await chat("cut-node", { stream: true })),
      async () => collected(await client.responses.create({ model: "cut-node-2", input: "hello", stream: true })),
    ];
    for (const action of actions) {
      const error = await expectError(kind, action);
      assert.ok(IS_DIRECT || error.message.includes("cut short"), error.message);
    }
  },

  async keepAlivesAreNotEvents() {
    assert.equal(await textOf(await chat("slow-first-node", { stream: true })), "You said: hello");
    const raw = await chat("slow-first-node-raw", { stream: true }).asResponse();
    const lines = (await raw.text()).split("\n");
    assert.ok(IS_DIRECT || lines.includes(": keep-alive"), lines.join("\n"));
  },

  async spentDailyQuotaFailsAtOnce() {
    if (IS_DIRECT) return;
    for (const stream of [false, true]) {
      const spent = clientOf(await mint(1));
      await chat(MODEL, {}, spent);
      const error = await expectErrorAtOnce(OpenAI.RateLimitError, () => chat(MODEL, { stream }, spent));
      assert.equal(error.code, "rate_limit_exceeded");
      assert.match(error.message, /day limit exceeded/);
      assert.equal(error.headers.get("x-should-retry"), "false");
    }
  },

  async spentBudgetsAreNotRetried() {
    if (IS_DIRECT) return;
    // A call of 11 tokens at 2.50 and 5 at 10 dollars a million, and no second one with this cap.
    const spent = clientOf(await mint(100000, { global: { usdTotal: "0.00045" } }));
    await chat(MODEL, { max_tokens: 32 }, spent);
    const total = await expectErrorAtOnce(OpenAI.APIError, () => chat(MODEL, { max_tokens: 32 }, spent));
    assert.deepEqual([total.status, total.code, total.type], [402, "insufficient_quota", "insufficient_quota"]);
    const limited = clientOf(await mint(100000, { global: { tokensPerDay: 2000 } }));
    const large = await expectErrorAtOnce(OpenAI.RateLimitError, () => chat(MODEL, { max_tokens: 30000 }, limited));
    assert.deepEqual([large.code, large.type], ["rate_limit_exceeded", "tokens"]);
    assert.equal(large.headers.get("x-should-retry"), "false");
  },

  async usageChunkComesOnlyIfAskedFor() {
    const budgeted = clientOf(await mint(100000, { global: { tokensPerDay: 1000000 } }));
    const silent = await collected(await chat(MODEL, { stream: true }, budgeted));
    // Some clients read the first choice of every chunk.
    assert.equal(silent.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), "You said: hello");
    const asking = { stream: true, stream_options: { include_usage: true } };
    const asked = await collected(await chat(MODEL, asking, budgeted));
    assert.deepEqual([asked.at(-1).choices, asked.at(-1).usage.total_tokens], [[], 16]);
  },

  async badKeysAreRefused() {
    for (const key of [`aisbreaker_${"A".repeat(80)}`, `${KEY.slice(0, -4)}AAAA`]) {
      const error = await expectErrorAtOnce(OpenAI.AuthenticationError, () => chat(MODEL, {}, clientOf(key)));
      assert.equal(error.code, "invalid_api_key");
    }
  },

  async unknownModelsAreNotFound() {
    for (const model of ["gpt-none", "chat:nowhere.example/gpt-4o"]) {
      const error = await expectError(OpenAI.NotFoundError, () => chat(model));
      assert.equal(error.code, "model_not_found", model);
    }
  },

  // What a page does: its scripts can set no header field.
  async realtimeTakesTheKeyOfABrowser() {
    if (IS_DIRECT) return;
    const address = `${SERVER.replace("http", "ws")}/v1/realtime?model=gpt-realtime`;
    const socket = new WebSocket(address, ["realtime", `openai-insecure-api-key.${KEY}`]);
    const types = [];
    await new Promise((resolve, reject) => {
      socket.onerror = reject;
      socket.onmessage = ({ data }) => {
        types.push(JSON.parse(data).type);
        if (types.length === 1) socket.send(JSON.stringify({ type: "response.create" }));
        if (types.length === 3) resolve();
      };
    });
    assert.equal(socket.protocol, "realtime");
    assert.deepEqual(types, ["session.created", "response.output_text.delta", "response.done"]);
    const closed = new Promise((resolve) => (socket.onclose = resolve));
    socket.close(4000, "done");
    assert.equal((await closed).code, 4000);
  },
};

// How many calls of other scripts were refused.
const refusedBefore = (await providerState()).refused.length;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
  } catch (error) {
    console.log(`${error?.stack}\nFAILED: ${name}`);
    process.exit(1);
  }
  console.log(`ok: ${name}`);
}
const refused = (await providerState()).refused.slice(refusedBefore);
assert.ok(IS_DIRECT || refused.length === 0, `the provider refused ${refused}`);
