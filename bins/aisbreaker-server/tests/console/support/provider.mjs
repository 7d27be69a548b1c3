// A local provider. It speaks Anthropic's API, answering in a few words, and OpenAI's, where the name of a model says
// how it behaves:
//
// - `plain`, or any other, answers in a few words
// - `held` sends one word, and the rest after `release()`
// - `endless` streams until the client disconnects
// - `cut` breaks the connection in the middle
// - `hostile` answers with markup, and `hostile-error` with an error whose text is markup
// - `error-503` (or any other status) fails
import { once } from "node:events";
import http from "node:http";

// Makes an element, a request or a dialog wherever it is taken for markup.
export const HOSTILE =
  `</textarea></title></script><x-hostile data-hostile onclick="alert(1)">text</x-hostile>` +
  `<img data-hostile src="stolen.png" onerror="alert(1)"><svg data-hostile onload="alert(1)"></svg>` +
  `<iframe data-hostile src="javascript:alert(1)"></iframe><a data-hostile href="javascript:alert(1)">link</a>` +
  `<style data-hostile>* { display: none }</style><script data-hostile>alert(1)</script>` +
  `![picture](https://hostile.example/stolen.png) [link](javascript:alert(1)) \${alert(1)} {{alert(1)}} \u202eright to left`;
// As long as the name of a key may be.
export const HOSTILE_NAME = `<img data-hostile src=stolen.png onerror="alert(1)">`;
export const PROVIDER = "models.example";
export const PRICE = { input: 1, output: 2 };
const MODELS = ["plain", "held", "endless", "cut", "hostile", "hostile-error"];

export async function startProvider() {
  const provider = { calls: [], models: [...MODELS], disconnects: 0 };
  let release;
  // Lets the model `held` go on, now and for the calls that follow.
  provider.release = () => release();
  provider.hold = () => (provider.released = new Promise((resolve) => (release = resolve)));
  provider.hold();
  const server = http.createServer((request, response) => serve(provider, request, response));
  await once(server.listen(0, "127.0.0.1"), "listening");
  provider.url = `http://127.0.0.1:${server.address().port}`;
  provider.stop = () => {
    server.close();
    server.closeAllConnections();
  };
  return provider;
}

async function serve(provider, request, response) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const body = Buffer.concat(pieces).toString();
  provider.calls.push({ path: request.url, authorization: request.headers.authorization, body });
  if (request.url.endsWith("/models")) {
    const data = provider.models.map((id) => ({ id, object: "model", created: 0, owned_by: "test" }));
    return send(response, 200, { object: "list", data });
  }
  const { model, stream } = JSON.parse(body);
  if (request.url.endsWith("/messages")) return serveMessages(response, model, stream);
  if (model === "hostile-error") return send(response, 400, { error: { message: HOSTILE, type: "invalid_request" } });
  const [, status] = /^error-(\d+)$/.exec(model) ?? [];
  if (status) return send(response, Number(status), { error: { message: `made to fail with ${status}` } });
  if (!stream) {
    const message = { role: "assistant", content: model === "hostile" ? HOSTILE : "Hello from the provider." };
    return send(response, 200, {
      id: "1",
      model,
      choices: [{ index: 0, message, finish_reason: "stop" }],
      usage: USAGE,
    });
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.flushHeaders();
  response.on("close", () => response.writableFinished || provider.disconnects++);
  for await (const word of words(provider, model, response)) {
    response.write(event({ model, choices: [{ index: 0, delta: { content: word }, finish_reason: null }] }));
  }
  if (model === "cut") return response.destroy();
  response.write(event({ model, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }));
  response.write(event({ model, choices: [], usage: USAGE }));
  response.end("data: [DONE]\n\n");
}

const USAGE = { prompt_tokens: 1000, completion_tokens: 500, total_tokens: 1500 };
// As Anthropic's API has it.
const MESSAGE = {
  id: "1",
  type: "message",
  role: "assistant",
  content: [{ type: "text", text: "Hello from the provider." }],
  stop_reason: "end_turn",
  stop_sequence: null,
  usage: { input_tokens: 1000, output_tokens: 500 },
};

function serveMessages(response, model, stream) {
  if (!stream) return send(response, 200, { ...MESSAGE, model });
  const begun = { ...MESSAGE, model, content: [], stop_reason: null, usage: { input_tokens: 1000, output_tokens: 1 } };
  const delta = (text) => ({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } });
  const events = [
    { type: "message_start", message: begun },
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
    { type: "ping" },
    delta("Hello "),
    delta("from the provider."),
    { type: "content_block_stop", index: 0 },
    { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 500 } },
    { type: "message_stop" },
  ];
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.end(events.map((one) => `event: ${one.type}\ndata: ${JSON.stringify(one)}\n\n`).join(""));
}

const event = (chunk) =>
  `data: ${JSON.stringify({ id: "1", object: "chat.completion.chunk", created: 0, ...chunk })}\n\n`;

async function* words(provider, model, response) {
  if (model === "hostile") {
    // Cut in the middle of tags.
    for (let start = 0; start < HOSTILE.length; start += 7) yield HOSTILE.slice(start, start + 7);
    return;
  }
  yield "Hello ";
  if (model === "held") await provider.released;
  while (model === "endless" && !response.destroyed) {
    yield "again ";
    // As fast as the client reads, but no faster than a model would be.
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  // The word before the cut has to arrive first.
  if (model === "cut") return void (await new Promise((resolve) => response.write(event({ choices: [] }), resolve)));
  yield "from the provider.";
}

function send(response, status, value) {
  const body = JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}
