"""Files and batches of both dialects, after their public API references. They are kept in memory."""
import json

KEPT = {}
CREATED = 1_700_000_000
DAY = "2026-11-29T00:00:00Z"


def serve(call):
    """Serves a call, and returns whether it is one of these."""
    parts = call.path.removeprefix("/v1/").removeprefix("messages/").split("/")
    kinds = {"files": upload, "batches": batch}
    if parts[0] not in kinds:
        return False
    call.require(call.method in ("GET", "POST", "DELETE"), f"the method is {call.method}")
    if call.method == "POST" and len(parts) == 1:
        kinds[parts[0]](call)
        return True
    if len(parts) == 1:
        listed = [description for owner, description, _ in KEPT.values() if owner == (call.dialect, parts[0])]
        call.send_json({"object": "list", "data": listed, "has_more": False})
        return True
    owner, description, content = KEPT.get(parts[1], (None, None, None))
    if owner != (call.dialect, parts[0]):
        call.refuse(f"no such object: {parts[1]}", 404)
    if call.method == "DELETE":
        del KEPT[parts[1]]
        gone = {"id": parts[1], "object": "file", "deleted": True}
        call.send_json(gone if call.dialect == "openai" else {"id": parts[1], "type": "file_deleted"})
    elif parts[2:] in (["content"], ["results"]):
        call.send(200, content, "application/octet-stream")
    else:
        call.send_json(description)
    return True


def upload(call):
    files = [(name, content) for field, name, content in call.form() if field == "file"]
    call.require(len(files) == 1 and files[0][0], "file: required")
    name, content = files[0]
    if call.dialect == "openai":
        id = f"file-{call.id}"
        description = {"id": id, "object": "file", "bytes": len(content), "created_at": CREATED, "filename": name}
        description |= {"purpose": "batch", "status": "processed"}
    else:
        id = f"file_{call.id}"
        description = {"id": id, "type": "file", "filename": name, "size_bytes": len(content), "created_at": DAY}
        description |= {"mime_type": "application/octet-stream", "downloadable": True}
    KEPT[id] = ((call.dialect, "files"), description, content)
    call.send_json(description)


def batch(call):
    request = call.json()
    if call.dialect == "openai":
        call.require(request.get("input_file_id") in KEPT, "input_file_id: no such file")
        id = f"batch_{call.id}"
        description = {"id": id, "object": "batch", "status": "completed", "created_at": CREATED} | request
        KEPT[id] = ((call.dialect, "batches"), description, b"")
    else:
        id = f"msgbatch_{call.id}"
        counts = {"canceled": 0, "errored": len(request["requests"]), "expired": 0, "processing": 0, "succeeded": 0}
        description = {"id": id, "type": "message_batch", "processing_status": "ended", "request_counts": counts}
        description |= {"created_at": DAY, "expires_at": DAY, "ended_at": DAY, "cancel_initiated_at": None}
        # Where clients must not go with a key of the server.
        description["results_url"] = f"https://api.anthropic.com/v1/messages/batches/{id}/results"
        lines = [{"custom_id": each["custom_id"], "result": {"type": "expired"}} for each in request["requests"]]
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        KEPT[id] = ((call.dialect, "batches"), description | {"archived_at": None}, content)
    call.send_json(KEPT[id][1])
