"""The realtime API over a WebSocket, after OpenAI's public API reference. Each response repeats the conversation."""
import json

from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

MODEL = "gpt-realtime"


def serve(call):
    """Agrees to a handshake, and serves the conversation until the client closes it."""
    if call.query.get("model") != MODEL:
        call.refuse(f"The model `{call.query.get('model')}` does not exist", 404, "model_not_found")
    handler = call.handler
    handler.close_connection = True
    # The client of the SDK offers none.
    offered = ["realtime"] if "sec-websocket-protocol" in handler.headers else None
    protocol = ServerProtocol(subprotocols=offered)
    head = "".join(f"{name}: {value}\r\n" for name, value in handler.headers.items())
    protocol.receive_data(f"{handler.requestline}\r\n{head}\r\n".encode())
    requests = [event for event in protocol.events_received() if isinstance(event, Request)]
    protocol.send_response(protocol.accept(requests[0]))
    texts = []
    send(protocol, {"type": "session.created", "session": {"type": "realtime", "model": MODEL}})
    while flush(protocol, handler.connection):
        data = handler.connection.recv(65536)
        if data:
            protocol.receive_data(data)
        else:
            protocol.receive_eof()
        for frame in protocol.events_received():
            if frame.opcode is Opcode.TEXT:
                respond(protocol, json.loads(frame.data), texts)


def flush(protocol, connection):
    """Sends what there is to send, and returns whether the conversation goes on."""
    for data in protocol.data_to_send():
        if data == b"":
            return False
        connection.sendall(data)
    return True


def respond(protocol, event, texts):
    if event["type"] == "conversation.item.create":
        texts += [part["text"] for part in event["item"]["content"]]
    elif event["type"] == "response.create":
        said = "You said: " + " ".join(texts)
        send(protocol, {"type": "response.output_text.delta", "delta": said})
        usage = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
        response = {"id": "resp_1", "object": "realtime.response", "status": "completed", "output": [], "usage": usage}
        send(protocol, {"type": "response.done", "response": response})
    else:
        error = {"type": "invalid_request_error", "message": f"no event {event['type']}"}
        send(protocol, {"type": "error", "error": error})


def send(protocol, event):
    protocol.send_text(json.dumps(event | {"event_id": "event_1"}).encode())
