"""What OpenAI's own client does with a running jetbatch, unmodified: files, batches, models, and one request at a time.

    python client.py URL MODEL [SCHEMA]

The model 'tiny' answers the bundled facts, unless JETBATCH_TEST_ENGINE=echo; of others no answer is looked at. SCHEMA is
OpenAI's document of the batch API: where it is given, every answer is held against it. JETBATCH_API_KEY is the key, where
one is needed.
"""

import asyncio
import hashlib
import json
import os
import sys
import threading
from pathlib import Path

import httpx2 as httpx
import jsonschema
import openai

URL, MODEL = sys.argv[1].rstrip("/") + "/v1", sys.argv[2]
KEY = os.environ.get("JETBATCH_API_KEY", "none")
SCHEMA = Path(sys.argv[3]) if len(sys.argv) > 3 else None
IS_KNOWN = MODEL == "tiny" and os.environ.get("JETBATCH_TEST_ENGINE") != "echo"
MODELS = Path(__file__).resolve().parents[3] / "models"
KINDS = {
    "batch": "Batch",
    "file": "OpenAIFile",
    "model": "Model",
    "chat.completion": "CreateChatCompletionResponse",
    "text_completion": "CreateCompletionResponse",
}
seen = {}


def nulls_allowed(schema):
    """OpenAI's own answers have an explicit null for each field that is absent; its document does not say so."""
    if isinstance(schema, list):
        return [nulls_allowed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: nulls_allowed(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict):
        needed = schema.get("required", [])
        for name, part in schema["properties"].items():
            if name not in needed:
                schema["properties"][name] = {"anyOf": [part, {"type": "null"}]}
    return schema


def check(value):
    """Every object that OpenAI's document knows, wherever it stands."""
    kind = value.get("object")
    if value.get("deleted"):
        name = "DeleteFileResponse"
    elif kind == "list":
        of = {"Batch": "ListBatchesResponse", "OpenAIFile": "ListFilesResponse", "Model": "ListModelsResponse"}
        name = of.get(KINDS.get(value["data"][0].get("object")) if value["data"] else None)
    elif "error" in value:
        name = "ErrorResponse"
    else:
        name = KINDS.get(kind)
    seen[name] = seen.get(name, 0) + 1
    if document and name:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(value)


document = nulls_allowed(json.loads(SCHEMA.read_text())) if SCHEMA else None


def look(response):
    if response.headers.get("content-type", "").startswith("application/json"):
        response.read()
        check(response.json())
    assert response.headers["x-request-id"].startswith("req_"), response.headers


async def look_async(response):
    if response.headers.get("content-type", "").startswith("application/json"):
        await response.aread()
        check(response.json())


def client():
    http = httpx.Client(event_hooks={"response": [look]}, trust_env=False)
    return openai.OpenAI(base_url=URL, api_key=KEY, http_client=http, max_retries=0, timeout=120)


def lines(count):
    facts = [json.loads(line) for line in (MODELS / "sample.jsonl").read_text().splitlines()]
    for number in range(count):
        line = dict(facts[number % len(facts)])
        line["custom_id"] = f"{line['custom_id']}-{number}"
        line["body"] = line["body"] | {"model": MODEL}
        yield line


def expected(custom_id):
    answers = json.loads((MODELS / "expected.json").read_text())
    return answers[custom_id.rsplit("-", 1)[0]]


def content_is_right(line):
    text = line["response"]["body"]["choices"][0]["message"]["content"]
    return not IS_KNOWN or text == expected(line["custom_id"])


def until(poll, *states):
    """Waits for a state, and nothing else ends it."""
    for _ in range(600):
        batch = poll()
        if batch.status in states:
            return batch
        assert batch.status not in ("failed", "completed", "expired", "cancelled"), batch
        threading.Event().wait(0.1)
    raise AssertionError(f"{batch.status} and not {states}")


def jsonl(requests):
    return "".join(json.dumps(line) + "\n" for line in requests).encode()


def whole_batch(api):
    asked = list(lines(50))
    file = api.files.create(file=("asked.jsonl", jsonl(asked)), purpose="batch")
    assert (file.filename, file.purpose, file.bytes) == ("asked.jsonl", "batch", len(jsonl(asked))), file
    assert file.id.startswith("file-") and file.expires_at > file.created_at, file
    assert api.files.retrieve(file.id) == file
    assert api.files.content(file.id).read() == jsonl(asked)

    batch = api.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"team": "a"},
    )
    assert batch.id.startswith("batch_") and batch.input_file_id == file.id, batch
    assert (batch.endpoint, batch.completion_window, batch.metadata) == ("/v1/chat/completions", "24h", {"team": "a"})
    done = until(lambda: api.batches.retrieve(batch.id), "completed")
    counts = done.request_counts
    assert (counts.total, counts.completed, counts.failed) == (50, 50, 0), done
    assert done.created_at <= done.in_progress_at <= done.finalizing_at <= done.completed_at <= done.expires_at, done
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens > 0, done
    assert done.error_file_id is None and done.cancelled_at is None and done.errors is None, done

    answers = [json.loads(line) for line in api.files.content(done.output_file_id).text.splitlines()]
    assert [line["custom_id"] for line in answers] == [line["custom_id"] for line in asked]
    assert all(content_is_right(line) for line in answers)
    output = api.files.retrieve(done.output_file_id)
    assert (output.purpose, output.bytes) == ("batch_output", len(api.files.content(output.id).read())), output
    return done


def errors(api):
    bad = next(lines(1)) | {"custom_id": "bad"}
    bad["body"] = bad["body"] | {"temperature": 9}
    file = api.files.create(file=jsonl([*lines(2), bad]), purpose="batch")
    batch = api.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    done = until(lambda: api.batches.retrieve(batch.id), "completed")
    assert (done.request_counts.completed, done.request_counts.failed) == (2, 1), done
    [line] = api.files.content(done.error_file_id).text.splitlines()
    line = json.loads(line)
    assert line["custom_id"] == "bad" and line["response"]["status_code"] == 400, line

    broken = api.files.create(file=jsonl(lines(2)) + b"{\n", purpose="batch")
    batch = api.batches.create(input_file_id=broken.id, endpoint="/v1/chat/completions", completion_window="24h")
    failed = until(lambda: api.batches.retrieve(batch.id), "failed")
    [error] = failed.errors.data
    assert (error.code, error.line) == ("invalid_json_line", 3), failed
    assert failed.failed_at and failed.output_file_id is None, failed


def refusals(api):
    for call, kind, param in [
        (lambda: api.batches.retrieve("batch_none"), openai.NotFoundError, None),
        (lambda: api.files.retrieve("file-none"), openai.NotFoundError, None),
        (lambda: api.files.content("file-none"), openai.NotFoundError, None),
        (lambda: api.models.retrieve("gpt-none"), openai.NotFoundError, None),
        (
            lambda: api.batches.create(
                input_file_id="file-none", endpoint="/v1/chat/completions", completion_window="24h"
            ),
            openai.NotFoundError,
            "input_file_id",
        ),
        (lambda: api.files.create(file=b"{}", purpose="fine-tune"), openai.BadRequestError, "purpose"),
    ]:
        try:
            call()
        except kind as error:
            assert error.type == "invalid_request_error" and error.request_id, error
            assert param is None or error.param == param, error
        else:
            raise AssertionError(f"{kind} was to come")
    file = api.files.create(file=jsonl(lines(1)), purpose="batch")
    for wrong in [{"endpoint": "/v1/images"}, {"completion_window": "soon"}]:
        asked = {"endpoint": "/v1/chat/completions", "completion_window": "24h"} | wrong
        try:
            api.batches.create(input_file_id=file.id, **asked)
        except openai.BadRequestError as error:
            assert error.param in wrong, error
        else:
            raise AssertionError(wrong)


def lists(api):
    ids = []
    for number in range(5):
        file = api.files.create(file=(f"{number}.jsonl", jsonl(lines(1))), purpose="batch")
        batch = api.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        ids.append((file.id, batch.id))
    for _, batch in ids:
        until(lambda batch=batch: api.batches.retrieve(batch), "completed")
    batches = [batch.id for batch in api.batches.list(limit=2)]
    assert [batch for batch in batches if batch in {one for _, one in ids}] == [one for _, one in reversed(ids)]
    assert len(batches) == len(set(batches)) > 5
    for order in ("desc", "asc"):
        files = [file.id for file in api.files.list(limit=2, order=order, purpose="batch")]
        ours = [file for file in files if file in {one for one, _ in ids}]
        wanted = [one for one, _ in ids]
        assert ours == (wanted if order == "asc" else wanted[::-1]), (order, ours)
        assert len(files) == len(set(files))
    outputs = [file.purpose for file in api.files.list(purpose="batch_output")]
    assert len(outputs) >= 5 and set(outputs) == {"batch_output"}


def deletion(api, done):
    assert api.files.delete(done.input_file_id).deleted
    for gone in (lambda: api.files.retrieve(done.input_file_id), lambda: api.files.content(done.input_file_id)):
        try:
            gone()
        except openai.NotFoundError:
            continue
        raise AssertionError("it is still there")
    assert api.batches.retrieve(done.id).input_file_id == done.input_file_id
    assert api.files.delete(done.output_file_id).deleted
    assert done.output_file_id not in [file.id for file in api.files.list(purpose="batch_output")]


def parts(api):
    whole = jsonl(lines(500))
    size = 10_000
    upload = api.uploads.create(filename="parts.jsonl", purpose="batch", bytes=len(whole), mime_type="application/jsonl")
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    ids = [api.uploads.parts.create(upload.id, data=piece).id for piece in pieces]
    try:
        api.uploads.complete(upload.id, part_ids=ids[:-1])
    except openai.BadRequestError as error:
        assert error.param == "part_ids", error
    else:
        raise AssertionError("a part is missing")
    other = api.files.create(file=whole, purpose="batch")
    try:
        api.uploads.complete(upload.id, part_ids=[other.id.replace("file-", "part_")])
    except openai.BadRequestError as error:
        assert error.param == "part_ids", error
    else:
        raise AssertionError("a file of its own is no part")
    assert api.files.content(other.id).read() == whole
    done = api.uploads.complete(upload.id, part_ids=ids, md5=hashlib.md5(whole).hexdigest())
    assert (done.status, done.file.bytes, done.file.filename) == ("completed", len(whole), "parts.jsonl"), done
    assert api.uploads.complete(upload.id, part_ids=ids).file == done.file, "done twice it is one"
    assert api.files.content(done.file.id).read() == whole
    given_up = api.uploads.create(filename="x", purpose="batch", bytes=1, mime_type="text/plain")
    assert api.uploads.cancel(given_up.id).status == "cancelled"


def cancel(api):
    file = api.files.create(file=jsonl(lines(20_000)), purpose="batch")
    batch = api.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    until(lambda: api.batches.retrieve(batch.id), "in_progress")
    assert api.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    ended = until(lambda: api.batches.retrieve(batch.id), "cancelled")
    assert ended.cancelling_at <= ended.cancelled_at and ended.completed_at is None, ended
    counts = ended.request_counts
    assert counts.completed + counts.failed == counts.total == 20_000, ended


def idempotency(api):
    file = api.files.create(file=jsonl(lines(1)), purpose="batch")
    asked = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "1h"}
    key = {"Idempotency-Key": f"key-{os.getpid()}-{file.id}"}
    first, second = (api.batches.create(**asked, extra_headers=key) for _ in range(2))
    assert first.id == second.id and first.completion_window == "1h"
    inline = api.batches.create(
        input_file_id=openai.omit,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_body={"requests": list(lines(3)), "priority": "high"},
    )
    done = until(lambda: api.batches.retrieve(inline.id), "completed")
    assert done.request_counts.completed == 3 and done.model_extra["sla"] == "met", done


def one_at_a_time(api):
    assert MODEL in [model.id for model in api.models.list()]
    assert api.models.retrieve(MODEL).owned_by == "jetbatch"
    line = next(lines(1))
    messages = line["body"]["messages"]
    whole = api.chat.completions.create(model=MODEL, messages=messages, temperature=0)
    assert whole.usage.completion_tokens > 0
    assert not IS_KNOWN or whole.choices[0].message.content == expected(line["custom_id"])
    pieces = list(
        api.chat.completions.create(
            model=MODEL, messages=messages, temperature=0, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(choice.delta.content or "" for piece in pieces for choice in piece.choices)
    assert text == whole.choices[0].message.content and pieces[-1].usage == whole.usage, pieces
    assert api.completions.create(model=MODEL, prompt="The capital", max_tokens=4).choices[0].finish_reason
    for wrong, kind in [
        ({"model": "gpt-none"}, openai.NotFoundError),
        ({"temperature": 9}, openai.BadRequestError),
        ({"messages": []}, openai.BadRequestError),
    ]:
        try:
            api.chat.completions.create(**({"model": MODEL, "messages": messages} | wrong))
        except kind as error:
            assert error.type == "invalid_request_error", error
        else:
            raise AssertionError(wrong)


async def asynchronous():
    http = httpx.AsyncClient(event_hooks={"response": [look_async]}, trust_env=False)
    async with openai.AsyncOpenAI(base_url=URL, api_key=KEY, http_client=http, max_retries=0) as api:
        file = await api.files.create(file=jsonl(lines(10)), purpose="batch")
        batch = await api.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        while (batch := await api.batches.retrieve(batch.id)).status != "completed":
            assert batch.status in ("validating", "in_progress", "finalizing"), batch
            await asyncio.sleep(0.1)
        text = (await api.files.content(batch.output_file_id)).text
        assert len(text.splitlines()) == 10
        messages = next(lines(1))["body"]["messages"]
        asked = (api.chat.completions.create(model=MODEL, messages=messages) for _ in range(8))
        assert len(await asyncio.gather(*asked)) == 8
        assert [batch.id async for batch in api.batches.list(limit=1)]


def main():
    with client() as api:
        done = whole_batch(api)
        for part in (errors, refusals, lists, parts, cancel, idempotency, one_at_a_time):
            part(api)
            print(part.__name__, "passed", flush=True)
        deletion(api, done)
    asyncio.run(asynchronous())
    held = "held against the schema" if document else "seen"
    print(f"openai {openai.__version__}: all passed; {held}: {seen}")


main()
