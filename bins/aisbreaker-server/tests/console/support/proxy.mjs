// A reverse proxy that records what passes, and may serve everything below a path prefix.
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import http from "node:http";
import { basename, join } from "node:path";

// Starts a proxy in front of `target`. With `prefix`, paths without it are 404. `recorded` has the text of each request:
// its head and its body. With `files`, the files of the console come from that folder.
export async function startProxy(target, { prefix = "", files } = {}) {
  const { hostname, port } = new URL(target);
  const proxy = { recorded: [], outside: [] };
  const server = http.createServer(async (request, response) => {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const body = Buffer.concat(pieces);
    const head = `${request.method} ${request.url}\n${request.rawHeaders.join("\n")}`;
    proxy.recorded.push({ method: request.method, path: request.url, head, body: body.toString("latin1") });
    if (!request.url.startsWith(prefix)) {
      proxy.outside.push(request.url);
      return response.writeHead(404).end();
    }
    const options = { hostname, port, path: request.url.slice(prefix.length), method: request.method };
    const forwarded = http.request({ ...options, headers: request.headers }, async (reply) => {
      const replaced = files && (await fileOf(files, options.path, reply));
      response.writeHead(reply.statusCode, replaced ? headersFor(reply.headers, replaced) : reply.headers);
      if (replaced) return response.end(replaced);
      response.flushHeaders();
      reply.pipe(response).on("close", () => reply.destroy());
      reply.on("error", () => response.destroy());
    });
    response.on("close", () => response.writableFinished || forwarded.destroy());
    forwarded.on("error", () => response.destroy());
    forwarded.end(body);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  proxy.url = `http://127.0.0.1:${server.address().port}${prefix}`;
  proxy.stop = () => {
    server.close();
    server.closeAllConnections();
  };
  return proxy;
}

// Returns the file to send in place of this reply, if it is a file of the console. The header stays the server's.
async function fileOf({ folder, index }, path, reply) {
  const [, name] = /^\/console\/([a-z.]*)(?:\?|$)/.exec(path) ?? [];
  if (name === undefined || reply.statusCode !== 200) return undefined;
  reply.resume();
  return readFile(join(folder, basename(name || index)));
}

function headersFor({ etag, "content-encoding": coding, ...headers }, content) {
  return { ...headers, "content-length": content.length };
}
