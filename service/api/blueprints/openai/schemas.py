"""Bodies of `/v1`, as OpenAI documents them."""

from marshmallow import fields

from service.api.blueprints.openai.fields import (
    Content,
    Number,
    ResponseFormat,
    Stop,
    Unsupported,
    WireInput,
    WireOutput,
)
from service.api.fields import Choice, Flag, FlatObject, Items, Record, Text, Whole
from service.api.schemas import EXAMPLE_JOB_ID, OwnerId

ROLES = ("system", "developer", "user", "assistant")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_MAX_NAME_CHARACTERS = 512
_MOST = 2**31 - 1
_EXAMPLE_ID = f"chatcmpl-{EXAMPLE_JOB_ID}"


class PromptMessage(WireInput):
    role = Choice(ROLES, required=True)
    content = Content(required=True)
    name = Text(load_default=None, allow_none=True, max_length=_MAX_NAME_CHARACTERS)
    tool_calls = Unsupported([])
    function_call = Unsupported()


class StreamOptions(WireInput):
    include_usage = Flag(load_default=False)
    include_obfuscation = Flag(load_default=False, metadata={"description": "Ignored."})


class ChatCompletionRequest(WireInput):
    EXAMPLE = {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "You name cafés."},
            {"role": "user", "content": "Why is the sky blue?"},
        ],
    }

    model = Text(
        required=True,
        min_length=1,
        max_length=128,
        metadata={"description": "A name of `GET /v1/models`, or `default`."},
    )
    messages = Items(Record(PromptMessage), required=True, metadata={"minItems": 1, "description": "The whole prompt."})
    max_completion_tokens = Whole(
        least=1,
        most=_MOST,
        load_default=None,
        allow_none=True,
        metadata={
            "description": "The longest answer, 4096 by default; the model's limit and the balance may make it less."
        },
    )
    max_tokens = Whole(
        least=1, most=_MOST, load_default=None, allow_none=True, metadata={"description": "The same by its older name."}
    )
    temperature = Number(0, 2)
    top_p = Number(0, 1)
    frequency_penalty = Number(-2, 2)
    presence_penalty = Number(-2, 2)
    seed = Whole(least=-(2**63), most=2**63 - 1, load_default=None, allow_none=True)
    stop = Stop()
    response_format = ResponseFormat()
    reasoning_effort = Choice(EFFORTS, load_default=None, allow_none=True)
    stream = Flag(load_default=False, allow_none=True)
    stream_options = Record(StreamOptions, load_default=None, allow_none=True)
    metadata = FlatObject(
        load_default=None,
        allow_none=True,
        metadata={"description": "Scalars under identifiers, at most 1 KB; kept with the job."},
    )
    user = Text(
        load_default=None,
        allow_none=True,
        max_length=_MAX_NAME_CHARACTERS,
        metadata={"description": "Ignored: see `userId`."},
    )
    user_id = OwnerId(data_key="userId")
    n = Unsupported(1)
    tools = Unsupported([])
    tool_choice = Unsupported("none")
    parallel_tool_calls = Unsupported(True, False)
    functions = Unsupported([])
    function_call = Unsupported("none")
    logprobs = Unsupported(False)
    top_logprobs = Unsupported(0)
    logit_bias = Unsupported({})
    modalities = Unsupported(["text"])
    audio = Unsupported()
    prediction = Unsupported()
    web_search_options = Unsupported()
    service_tier = Unsupported("auto", "default")
    store = Unsupported(False)
    verbosity = Unsupported("medium")


class AssistantMessage(WireOutput):
    role = fields.String(required=True)
    content = fields.String(required=True)
    refusal = fields.String(required=True, allow_none=True)


class ChoiceMade(WireOutput):
    index = fields.Integer(required=True)
    message = Record(AssistantMessage, required=True)
    logprobs = fields.Raw(required=True, allow_none=True)
    finish_reason = fields.String(required=True, metadata={"enum": ["stop", "length"]})


class PromptDetails(WireOutput):
    cached_tokens = fields.Integer(required=True)


class CompletionDetails(WireOutput):
    reasoning_tokens = fields.Integer(required=True)


class CompletionUsage(WireOutput):
    prompt_tokens = fields.Integer(required=True)
    completion_tokens = fields.Integer(required=True)
    total_tokens = fields.Integer(required=True)
    prompt_tokens_details = Record(PromptDetails, required=True)
    completion_tokens_details = Record(CompletionDetails, required=True)


class ChatCompletion(WireOutput):
    EXAMPLE = {
        "id": _EXAMPLE_ID,
        "object": "chat.completion",
        "created": 1705312800,
        "model": "gpt-4o-mini",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Air scatters blue light most.", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 20,
            "completion_tokens": 18,
            "total_tokens": 38,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }

    id = fields.String(required=True)
    object = fields.String(required=True)
    created = fields.Integer(required=True, metadata={"description": "Unix time in seconds."})
    model = fields.String(required=True)
    choices = fields.List(Record(ChoiceMade), required=True)
    usage = Record(CompletionUsage, required=True)


class OfferedModel(WireOutput):
    EXAMPLE = {
        "id": "gpt-4-turbo",
        "object": "model",
        "created": 0,
        "owned_by": "talkmeter",
        "answered_by": "gpt-5.6-sol",
        "context_window": 128000,
        "max_output_tokens": 16384,
    }

    id = fields.String(required=True)
    object = fields.String(required=True)
    created = fields.Integer(required=True)
    owned_by = fields.String(required=True)
    answered_by = fields.String(
        required=True,
        metadata={"description": "What the provider is asked for: of a model that was shut, its successor."},
    )
    context_window = fields.Integer(required=True, metadata={"description": "Tokens of prompt and answer together."})
    max_output_tokens = fields.Integer(required=True)


class OfferedModels(WireOutput):
    EXAMPLE = {"object": "list", "data": [OfferedModel.EXAMPLE]}

    object = fields.String(required=True)
    data = fields.List(Record(OfferedModel), required=True)
