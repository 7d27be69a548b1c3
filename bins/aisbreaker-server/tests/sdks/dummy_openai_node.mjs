// OpenAI's SDK for Node at `chat:dummy`, without a key: every operation, streamed and not.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.SDKS_SERVER}/v1`, apiKey: "none", maxRetries: 0 });
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const CHAT_TOOL = { type: "function", function: { name: "get_weather", parameters } };
const TOOL = { type: "function", name: "get_weather", parameters, strict: true };
const ARGUMENTS = { city: "dummy" };
const messages = (content) => [{ role: "user", content }];
const WEATHER = messages("What is the weather?");

const chat = (content, more = {}) =>
  client.chat.completions.create({ model: "dummy/echo", messages: messages(content), ...more });

async function collected(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

const checks = {
  async chatAnswersAndStreams() {
    const completion = await chat("Hi there");
    assert.equal(completion.choices[0].message.content, "Hi there");
    assert.equal(completion.usage.completion_tokens, 2);
    const chunks = await collected(await chat("one two", { stream: true, stream_options: { include_usage: true } }));
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), "one two");
    assert.equal(chunks.at(-1).usage.completion_tokens, 2);
    const stream = client.chat.completions.stream({ model: "dummy/echo", messages: messages("one two") });
    assert.equal(await stream.finalContent(), "one two");
  },

  async chatRunsTools() {
    const asked = [];
    const weather = {
      type: "function",
      function: {
        ...CHAT_TOOL.function,
        parse: JSON.parse,
        function: (input) => {
          asked.push(input);
          return "snow";
        },
      },
    };
    for (const stream of [false, true]) {
      const runner = client.chat.completions.runTools({ model: "dummy/echo", messages: WEATHER, tools: [weather], stream });
      assert.equal(await runner.finalContent(), "snow");
    }
    assert.deepEqual(asked, [ARGUMENTS, ARGUMENTS]);
  },

  async completionsAnswerAndStream() {
    const completion = await client.completions.create({ model: "dummy/echo", prompt: "one two" });
    assert.equal(completion.choices[0].text, "one two");
    const stream = await client.completions.create({ model: "dummy/echo", prompt: "one two", stream: true });
    assert.equal((await collected(stream)).map((chunk) => chunk.choices[0].text).join(""), "one two");
  },

  async responsesAnswerAndStream() {
    const response = await client.responses.create({ model: "dummy/echo", input: "Hi there" });
    assert.equal(response.output_text, "Hi there");
    const stream = client.responses.stream({ model: "dummy/echo", input: "one two" });
    assert.equal((await stream.finalResponse()).output_text, "one two");
    const counted = await client.responses.inputTokens.count({ model: "dummy", input: "Hi there" });
    assert.equal(counted.input_tokens, response.usage.input_tokens);
  },

  async responsesCallTools() {
    const response = await client.responses.create({ model: "dummy", input: WEATHER, tools: [TOOL] });
    assert.deepEqual(JSON.parse(response.output[0].arguments), ARGUMENTS);
    const stream = client.responses.stream({ model: "dummy", input: WEATHER, tools: [TOOL] });
    const call = (await stream.finalResponse()).output[0];
    assert.deepEqual([call.type, JSON.parse(call.arguments)], ["function_call", ARGUMENTS]);
  },

  async embeddingsAreVectors() {
    // The SDK asks for base64 unless a call names another encoding.
    const create = (more) => client.embeddings.create({ model: "dummy", input: "a", ...more });
    const encoded = (await create({ dimensions: 64 })).data[0].embedding;
    const floats = (await create({ dimensions: 64, encoding_format: "float" })).data[0].embedding;
    assert.deepEqual(encoded, floats.map(Math.fround));
    assert.equal((await create()).data[0].embedding.length, 1536);
  },

  async imagesAreMade() {
    const images = await client.images.generate({ model: "dummy", prompt: "a door" });
    assert.ok(Buffer.from(images.data[0].b64_json, "base64").subarray(1).toString("latin1").startsWith("PNG"));
    const events = await collected(
      await client.images.generate({ model: "dummy", prompt: "a door", stream: true, partial_images: 1 }),
    );
    assert.deepEqual(
      events.map((event) => event.type),
      ["image_generation.partial_image", "image_generation.completed"],
    );
  },

  async modelsAreListed() {
    const minted = await fetch(`${process.env.SDKS_SERVER}/api/v1/oauth/token`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ requestAuthAndQuotas: {} }),
    });
    // With another credential, the list of the provider that takes it would come first.
    const listing = client.withOptions({ apiKey: (await minted.json()).access_token });
    assert.deepEqual((await listing.models.list()).data.map((model) => model.id), ["dummy", "dummy/echo"]);
    assert.equal((await client.models.retrieve("dummy/echo")).id, "dummy/echo");
  },

  async errorsHaveTheirClasses() {
    const rows = [
      [400, OpenAI.BadRequestError],
      [401, OpenAI.AuthenticationError],
      [404, OpenAI.NotFoundError],
      [429, OpenAI.RateLimitError],
      [503, OpenAI.InternalServerError],
    ];
    for (const [status, errorClass] of rows) {
      for (const stream of [false, true]) {
        const isExpected = (error) => error instanceof errorClass && error.status === status;
        await assert.rejects(() => chat("Hi", { model: `dummy/error-${status}`, stream }), isExpected);
      }
    }
  },
};

for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
  } catch (error) {
    console.log(`${error?.stack}\nFAILED: ${name}`);
    process.exit(1);
  }
  console.log(`ok: ${name}`);
}
